//! The runner as a whole, with time under control.

mod groups;
mod letters;
mod property;
mod redelivery;

use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::fixtures::{Act, Book, Entry, Sent, Stage, feed, outcome, position, records};
use super::*;
use crate::cursor::{DeadLettersConfig, LossCause};
use crate::event::{Match, Record};
use crate::log::LogError;
use crate::relay::report::Identity;
use crate::setting::Span;
use crate::sink::{Delivery, Outcome, Rate};
use crate::telemetry::Metrics;

struct Trial {
    readings: UnboundedSender<Reading<Vec<Record>>>,
    others: UnboundedSender<Reading<Vec<Record>>>,
    sent: UnboundedReceiver<Sent>,
    book: Book,
    report: Arc<SinkReport>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), LogError>>,
}

fn profile(max_records: usize) -> Profile {
    let exclude: Match = serde_json::from_str(r#"{"reasons":["Unlucky"]}"#).expect("a match");
    Profile {
        letters: DeadLettersConfig::default(),
        build: Arc::new(|| unreachable!("replaced by the trial")),
        filter: Filter::new(&Match::default(), &[exclude]).expect("patterns"),
        limits: Limits { max_records, max_bytes: 1 << 20, max_wait: Duration::ZERO },
        retry: Retry {
            initial: Span::from_secs(1),
            max: Span::from_secs(60),
            timeout: Span::from_secs(30),
        },
        hold_probe: Duration::from_secs(60),
        quota: None,
        group: None,
        windows: Windows::default(),
    }
}

impl Trial {
    fn start(profile: Profile, script: Vec<Act>) -> Self {
        Self::start_with(profile, script, |stage| stage)
    }

    fn start_with(profile: Profile, script: Vec<Act>, change: fn(Stage) -> Stage) -> Self {
        Self::start_on(Book::default(), profile, script, change)
    }

    /// Goes on with what an earlier runner has written.
    fn start_on(
        book: Book,
        profile: Profile,
        script: Vec<Act>,
        change: fn(Stage) -> Stage,
    ) -> Self {
        let (stage, sent) = Stage::new(script, book.clone());
        let stage = change(stage);
        let sink = Box::new(stage.clone());
        let build: SinkFactory = Arc::new(move || Ok(Box::new(stage.clone())));
        let streams =
            [StreamId::all_namespaces(), StreamId::of_namespace("shop").expect("a namespace")];
        let identity = Identity {
            name: "test".to_owned(),
            kind: "scripted",
            exporter: "Stage",
            required: true,
        };
        let report = Arc::new(SinkReport::new(identity, &Arc::new(Metrics::new()), &streams));
        let stop = CancellationToken::new();
        let ((readings, first), (others, second)) = (feed(), feed());
        let start = Mark { position: None, sequence: 0 };
        let [one, two] = streams;
        let track = |(stream, feed)| Start { stream, feed, mark: start.clone(), ahead: vec![] };
        let tracks = [(one, first), (two, second)].map(track).into();
        let profile = Profile { build, ..profile };
        let runner = Runner::new(profile, sink, tracks, book.clone(), report.clone(), stop.clone());
        let task = tokio::spawn(runner.run());
        Self { readings, others, sent, book, report, stop, task }
    }

    fn arrive(&self, versions: std::ops::RangeInclusive<u64>) {
        self.readings.send(records(versions)).expect("the runner reads");
    }

    async fn sent(&mut self) -> Sent {
        self.sent.recv().await.expect("the sink lives")
    }

    async fn versions(&mut self) -> Vec<u64> {
        self.sent().await.versions
    }

    /// Lets the runner do all it can without the clock moving.
    async fn settle(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    async fn end(self) -> Vec<Entry> {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("no failure of the log");
        assert_eq!(self.report.state(), SinkState::Stopped);
        self.book.entries()
    }
}

fn retry(after: Option<u64>) -> Act {
    let after = after.map(Duration::from_secs);
    Act::Answer(Delivery::Whole(Outcome::Retry { after, cause: "busy".to_owned() }))
}

fn each(outcomes: &[Outcome]) -> Act {
    Act::Answer(Delivery::Each(outcomes.to_vec()))
}

fn rejected() -> Outcome {
    outcome(1)
}

#[tokio::test(start_paused = true)]
async fn records_go_out_in_batches_and_the_cursor_follows() {
    let mut trial = Trial::start(profile(3), vec![]);
    trial.arrive(1..=5);
    assert_eq!(trial.versions().await, [1, 2, 3]);
    assert_eq!(trial.versions().await, [4, 5]);
    trial.settle().await;
    assert_eq!(trial.report.state(), SinkState::Idle);
    assert_eq!(trial.report.metrics.delivered.get(), 5);
    assert_eq!(trial.book.moves(), [3, 5]);
    trial.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_down_is_tried_with_growing_waits_until_it_accepts() {
    let mut trial = Trial::start(profile(10), vec![retry(None), retry(None), retry(Some(300))]);
    trial.arrive(1..=1);
    let first = trial.sent().await.at;
    trial.settle().await;
    assert_eq!(trial.report.state(), SinkState::Retrying);
    let failure = trial.report.failure().expect("a failure");
    assert_eq!((failure.cause.as_str(), failure.attempts), ("busy", 1));
    assert!(failure.next_attempt_at.is_some_and(|next| next > failure.at));
    assert!(trial.report.lag_seconds(jiff::Timestamp::now()) > 1_000.0);
    assert_eq!(trial.book.moves(), [0; 0]);
    let second = trial.sent().await.at;
    assert!(second >= first + Duration::from_millis(500));
    let third = trial.sent().await.at;
    assert!(third >= second + Duration::from_secs(1));
    let fourth = trial.sent().await.at;
    assert!(fourth >= third + Duration::from_secs(300), "what the service asks for is honoured");
    trial.settle().await;
    assert_eq!(trial.report.failure(), None);
    assert_eq!(trial.report.metrics.retried.get(), 3);
    assert!(trial.report.lag_seconds(jiff::Timestamp::now()) < f64::EPSILON);
    assert_eq!(trial.book.moves(), [1]);
    trial.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_record_is_kept_before_the_cursor_passes_it_and_blocks_nothing() {
    let mut trial =
        Trial::start(profile(3), vec![each(&[Outcome::Accepted, rejected(), Outcome::Accepted])]);
    trial.arrive(1..=3);
    trial.sent().await;
    trial.settle().await;
    assert_eq!(trial.report.metrics.dead_lettered.get(), 1);
    let mark = Mark { position: Some(position(3)), sequence: 3 };
    let expected = [
        Entry::Accepted(1),
        Entry::Accepted(3),
        Entry::Buried(2, "too odd".to_owned()),
        Entry::Moved(StreamId::all_namespaces(), mark, vec![]),
    ];
    assert_eq!(trial.end().await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_batch_refused_as_a_whole_is_split_down_to_the_record_to_blame() {
    let refusal = || Act::Answer(Delivery::Whole(rejected()));
    let accepts = || Act::Answer(Delivery::Whole(Outcome::Accepted));
    let mut trial =
        Trial::start(profile(4), vec![refusal(), accepts(), refusal(), refusal(), accepts()]);
    trial.arrive(1..=4);
    for expected in [vec![1, 2, 3, 4], vec![1, 2], vec![3, 4], vec![3], vec![4]] {
        assert_eq!(trial.versions().await, expected);
    }
    trial.settle().await;
    assert_eq!(trial.book.moves(), [2, 3, 4]);
    assert!(trial.end().await.contains(&Entry::Buried(3, "too odd".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_is_not_sent_again_and_the_cursor_waits_for_the_rest() {
    let busy = Outcome::Retry { after: None, cause: "busy".to_owned() };
    let script = vec![each(&[Outcome::Accepted, busy, Outcome::Accepted])];
    let mut trial = Trial::start(profile(3), script);
    trial.arrive(1..=3);
    assert_eq!(trial.versions().await, [1, 2, 3]);
    trial.settle().await;
    assert_eq!(trial.book.moves(), [1]);
    assert_eq!(trial.versions().await, [2]);
    trial.settle().await;
    assert_eq!(trial.book.moves(), [1, 3]);
    assert_eq!(trial.report.metrics.delivered.get(), 3);
    trial.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_cursor_stays_while_the_first_record_is_left() {
    let script = vec![Act::Sort(vec![0, 2, 0, 2]), Act::Sort(vec![2, 0])];
    let mut trial = Trial::start(profile(4), script);
    trial.arrive(1..=4);
    for expected in [vec![1, 2, 3, 4], vec![2, 4], vec![2]] {
        assert_eq!(trial.versions().await, expected);
    }
    trial.settle().await;
    assert_eq!(trial.book.moves(), [1, 1, 4], "the third and the fourth are done beyond it");
    assert_eq!(trial.book.ahead(), []);
    trial.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_held_sink_discards_nothing_and_resumes_by_itself() {
    let hold = Outcome::Hold { cause: "renew the token".to_owned() };
    let script =
        vec![Act::Answer(Delivery::Whole(hold.clone())), Act::Answer(Delivery::Whole(hold))];
    let mut trial = Trial::start(profile(10), script);
    trial.arrive(1..=2);
    let first = trial.sent().await.at;
    trial.settle().await;
    assert_eq!(trial.report.state(), SinkState::Held);
    assert_eq!(trial.report.metrics.held.get(), 1);
    let second = trial.sent().await;
    assert_eq!((second.versions, second.at), (vec![1, 2], first + Duration::from_secs(60)));
    trial.sent().await;
    trial.settle().await;
    assert_eq!(trial.report.metrics.held.get(), 0);
    assert_eq!(trial.book.moves(), [2]);
    trial.end().await;
}

#[tokio::test(start_paused = true)]
async fn neither_a_panic_nor_silence_ends_the_runner() {
    let silence = Act::TakeTime(Duration::from_secs(3_600));
    let mut trial = Trial::start(profile(10), vec![Act::Panic, silence]);
    trial.arrive(1..=1);
    trial.sent().await;
    trial.settle().await;
    assert!(trial.report.failure().is_some_and(|failure| failure.cause.contains("panicked")));
    let second = trial.sent().await.at;
    let third = trial.sent().await.at;
    assert!(third >= second + Duration::from_secs(30), "the time-out");
    trial.settle().await;
    assert_eq!(trial.book.moves(), [1]);
    trial.end().await;
}

#[tokio::test(start_paused = true)]
async fn excluded_records_are_passed_over_with_few_moves_of_the_cursor() {
    let trial = Trial::start(profile(10), vec![]);
    for hundred in 0..30 {
        let version = hundred * 100 + 13;
        trial.arrive(version..=version);
    }
    trial.settle().await;
    assert_eq!(trial.report.metrics.filtered.get(), 30);
    assert_eq!(trial.report.metrics.delivered.get(), 0);
    let moves = trial.book.moves();
    assert_eq!(moves.last(), Some(&2913));
    assert!(moves.len() <= 4, "{moves:?}");
    trial.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_reading_without_records_moves_the_cursor_of_an_idle_sink() {
    let trial = Trial::start(profile(10), vec![]);
    let empty = Reading::Records { records: vec![], end: position(70), sequence: 0 };
    trial.readings.send(empty).expect("the runner reads");
    trial.settle().await;
    let mark = Mark { position: Some(position(70)), sequence: 0 };
    assert_eq!(trial.end().await, [Entry::Moved(StreamId::all_namespaces(), mark, vec![])]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_leaves_when_it_is_full_or_has_waited_long_enough() {
    let mut waiting = profile(3);
    waiting.limits.max_wait = Duration::from_secs(5);
    let mut trial = Trial::start(waiting, vec![]);
    trial.arrive(1..=2);
    let first = trial.sent().await;
    assert_eq!((first.versions, first.at), (vec![1, 2], Duration::from_secs(5)));
    trial.arrive(3..=6);
    let second = trial.sent().await;
    assert_eq!((second.versions, second.at), (vec![3, 4, 5], Duration::from_secs(5)));
    assert_eq!(trial.sent().await.at, Duration::from_secs(10));
    trial.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_behind_a_rate_limit_leaves_together() {
    let rate = Rate { messages: 2, per: Span::from_secs(60) };
    let mut trial =
        Trial::start(Profile { quota: Some(Quota::of_sink("test", rate)), ..profile(100) }, vec![]);
    for version in 1..=2 {
        trial.arrive(version..=version);
        assert_eq!(trial.versions().await, [version]);
    }
    trial.arrive(3..=3);
    trial.settle().await;
    assert_eq!(trial.report.state(), SinkState::Throttled);
    trial.arrive(4..=9);
    let third = trial.sent().await;
    assert_eq!((third.versions, third.at), ((3..=9).collect(), Duration::from_secs(60)));
    trial.end().await;
}

#[tokio::test(start_paused = true)]
async fn streams_take_turns_and_share_no_batch() {
    let mut trial = Trial::start(profile(2), vec![]);
    trial.arrive(1..=4);
    trial.others.send(records(101..=104)).expect("the runner reads");
    let mut order = Vec::new();
    for _ in 0..4 {
        order.push(trial.versions().await);
    }
    assert_eq!(order, [[1, 2], [101, 102], [3, 4], [103, 104]]);
    trial.end().await;
}

#[tokio::test(start_paused = true)]
async fn damage_is_passed_and_its_records_count_as_lost() {
    let mut trial = Trial::start(profile(10), vec![]);
    trial.arrive(1..=1);
    assert_eq!(trial.versions().await, [1]);
    trial.readings.send(Reading::Damaged).expect("the runner reads");
    trial.arrive(41..=41);
    assert_eq!(trial.versions().await, [41]);
    trial.settle().await;
    assert_eq!(trial.report.metrics.lost.get(), 39);
    let entries = trial.end().await;
    let lost = |entry: &Entry| {
        matches!(entry, Entry::Lost(loss)
        if loss.after.position == Some(position(1)) && loss.until.position == Some(position(40))
            && loss.records == 39 && loss.cause == LossCause::Damaged)
    };
    let at = entries.iter().position(lost).expect("a loss with its range");
    let passes = |entry: &Entry| matches!(entry, Entry::Moved(_, mark, _) if mark.sequence > 1);
    assert_eq!(entries.iter().position(passes).map(|moved| moved > at), Some(true), "{entries:?}");
}

#[tokio::test(start_paused = true)]
async fn stopping_lets_the_delivery_under_way_end_and_begins_no_other() {
    let mut trial = Trial::start(profile(1), vec![Act::TakeTime(Duration::from_secs(5))]);
    trial.arrive(1..=9);
    assert_eq!(trial.versions().await, [1]);
    trial.stop.cancel();
    (&mut trial.task).await.expect("no panic").expect("no failure of the log");
    assert_eq!(trial.book.moves(), [1]);
    assert!(trial.sent.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_the_wait_of_a_sink_that_is_down() {
    let mut trial = Trial::start(profile(1), vec![retry(Some(600))]);
    trial.arrive(1..=1);
    trial.sent().await;
    trial.settle().await;
    let before = tokio::time::Instant::now();
    assert!(trial.end().await.is_empty());
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_failed_log_ends_the_runner_with_its_error() {
    let trial = Trial::start(profile(1), vec![]);
    drop(trial.readings);
    let result = trial.task.await.expect("no panic");
    assert!(matches!(result, Err(LogError::Stopped { .. })));
}

fn digests(messages: u32, script: Vec<Act>) -> Trial {
    let rate = Rate { messages, per: Span::from_secs(60) };
    let quota = Some(Quota::of_sink("test", rate));
    Trial::start_with(Profile { quota, ..profile(100) }, script, Stage::making_digests)
}

#[tokio::test(start_paused = true)]
async fn few_records_leave_one_by_one_and_many_together_spread_over_the_window() {
    let mut trial = digests(6, vec![]);
    trial.arrive(1..=3);
    for version in 1..=3 {
        let sent = trial.sent().await;
        assert_eq!((sent.versions, sent.at), (vec![version], Duration::ZERO));
    }
    trial.arrive(4..=9);
    let first = trial.sent().await;
    assert_eq!((first.versions, first.at), ((4..=9).collect(), Duration::from_secs(10)));
    trial.arrive(21..=24);
    let second = trial.sent().await;
    assert_eq!((second.versions, second.at), ((21..=24).collect(), Duration::from_secs(20)));
    trial.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_found_no_room_in_a_digest_goes_into_the_next() {
    let part = Delivery::Part { records: vec![0, 1, 6], outcome: Outcome::Accepted };
    let mut trial = digests(6, vec![Act::Answer(part)]);
    trial.arrive(1..=8);
    assert_eq!(trial.versions().await, (1..=8).collect::<Vec<_>>());
    trial.settle().await;
    assert_eq!(trial.book.moves(), [2]);
    assert_eq!(trial.book.ahead(), [position(7)], "a restart does not send it again");
    let rest = trial.sent().await;
    assert_eq!((rest.versions, rest.at), (vec![3, 4, 5, 6, 8], Duration::from_secs(10)));
    trial.settle().await;
    assert_eq!(trial.book.moves(), [2, 8]);
    assert_eq!(trial.book.ahead(), []);
    trial.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_silence_the_service_asks_for_closes_the_window_of_every_sink_with_the_credential() {
    let rate = Rate { messages: 6, per: Span::from_secs(60) };
    let quota = Some(Quota::new("robot", "token", vec![rate]));
    let windows = Windows::default();
    let profile = || Profile { quota: quota.clone(), windows: windows.clone(), ..profile(1) };
    let mut one = Trial::start(profile(), vec![retry(Some(600))]);
    let mut other = Trial::start(profile(), vec![]);
    one.arrive(1..=1);
    assert_eq!(one.versions().await, [1]);
    other.arrive(1..=1);
    other.settle().await;
    assert_eq!(other.report.state(), SinkState::Throttled);
    assert!(other.report.throttled_until().is_some() && other.report.metrics.throttled.get() == 1);
    assert!(other.sent().await.at >= Duration::from_secs(600));
    other.settle().await;
    assert_eq!(other.report.throttled_until(), None);
    let key = quota.as_ref().expect("a quota").key();
    let usage = one.book.usage(key);
    assert!(usage.is_some_and(|usage| usage.closed_until.is_some()), "a restart honours it too");
    one.end().await;
    other.end().await;
}
