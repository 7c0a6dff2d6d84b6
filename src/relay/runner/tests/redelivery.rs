//! Dead letters on their way to the sink again: in order, within the quota, and not tried twice.

use super::*;

struct Bench {
    way: Redelivery,
    sent: UnboundedReceiver<Sent>,
    book: Book,
    report: SinkReport,
    stop: CancellationToken,
}

fn bench(profile: Profile, script: Vec<Act>, digests: bool) -> Bench {
    let book = Book::default();
    let (stage, sent) = Stage::new(script, book.clone());
    let stage = if digests { stage.making_digests() } else { stage };
    let sink = Box::new(stage.clone());
    let build: SinkFactory = Arc::new(move || Ok(Box::new(stage.clone())));
    let identity =
        Identity { name: "test".to_owned(), kind: "scripted", exporter: "Stage", required: true };
    let report = SinkReport::new(identity, &Arc::new(Metrics::new()), &[]);
    let stop = CancellationToken::new();
    let profile = Profile { build, ..profile };
    let way = Redelivery::new(profile, sink, &book, stop.clone());
    Bench { way, sent, book, report, stop }
}

fn letters(versions: std::ops::RangeInclusive<u64>) -> Vec<Record> {
    versions.map(super::super::fixtures::record).collect()
}

impl Bench {
    /// Places that were accepted and refused, in order, and why it stopped.
    async fn hand_over(
        &mut self,
        records: Vec<Record>,
    ) -> (Vec<usize>, Vec<usize>, Option<String>) {
        let (mut accepted, mut refused) = (Vec::new(), Vec::new());
        let settled = |handed: &Handed| {
            accepted.extend(&handed.accepted);
            refused.extend(handed.refused.iter().map(|(place, _)| *place));
            Ok(())
        };
        let stopped = self.way.hand_over(records, &self.book, &self.report, settled).await;
        (accepted, refused, stopped.expect("no failure of the state"))
    }

    fn versions(&mut self) -> Vec<u64> {
        self.sent.try_recv().expect("something was sent").versions
    }
}

fn limited(messages: u32, per: u64) -> Profile {
    let rate = Rate { messages, per: Span::from_secs(per) };
    Profile { quota: Some(Quota::of_sink("test", rate)), ..profile(100) }
}

#[tokio::test(start_paused = true)]
async fn each_is_taken_or_refused_and_none_is_tried_twice() {
    let script = vec![each(&[Outcome::Accepted, rejected(), Outcome::Accepted])];
    let mut bench = bench(profile(10), script, false);
    assert_eq!(bench.hand_over(letters(1..=3)).await, (vec![0, 2], vec![1], None));
    assert_eq!(bench.versions(), [1, 2, 3]);
    assert!(bench.sent.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_now_is_left_and_said() {
    let busy = Outcome::Retry { after: None, cause: "busy".to_owned() };
    let script = vec![
        each(&[Outcome::Accepted, busy, rejected()]),
        Act::Answer(Delivery::Whole(outcome(3))),
    ];
    let mut bench = bench(profile(10), script, false);
    let (accepted, refused, stopped) = bench.hand_over(letters(1..=3)).await;
    assert_eq!((accepted, refused), (vec![0], vec![2]));
    assert_eq!(stopped.as_deref(), Some("not now: busy"));
    let held = bench.hand_over(letters(4..=4)).await;
    assert_eq!(held, (vec![], vec![], Some("renew the token".to_owned())));
    assert_eq!((bench.versions(), bench.versions()), (vec![1, 2, 3], vec![4]));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_hides_a_bad_record_is_split() {
    let refusal = || Act::Answer(Delivery::Whole(rejected()));
    let accepts = || Act::Answer(Delivery::Whole(Outcome::Accepted));
    let mut bench = bench(profile(10), vec![refusal(), accepts(), refusal()], false);
    assert_eq!(bench.hand_over(letters(1..=2)).await, (vec![0], vec![1], None));
    assert_eq!(
        (bench.versions(), bench.versions(), bench.versions()),
        (vec![1, 2], vec![1], vec![2])
    );
}

#[tokio::test(start_paused = true)]
async fn the_window_of_the_quota_is_waited_for_and_noted() {
    let profile = limited(2, 60);
    let key = profile.quota.as_ref().expect("a quota").key().to_owned();
    let mut bench = bench(profile, vec![], false);
    for version in 1..=3 {
        assert_eq!(bench.hand_over(letters(version..=version)).await.0, [0]);
    }
    let at: Vec<_> = (0..3).map(|_| bench.sent.try_recv().expect("sent").at).collect();
    assert!(at[1] < Duration::from_secs(1), "{at:?}");
    assert!(at[2] >= Duration::from_secs(60), "{at:?}");
    assert!(bench.book.usage(&key).is_some_and(|usage| !usage.messages.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_window_that_stays_closed_is_not_waited_for() {
    let mut bench = bench(limited(1, 3_600), vec![], false);
    assert_eq!(bench.hand_over(letters(1..=1)).await.2, None);
    let (accepted, _, stopped) = bench.hand_over(letters(2..=2)).await;
    assert_eq!(accepted, [0; 0]);
    let stopped = stopped.expect("a reason");
    assert!(stopped.contains("keeps the sink waiting for"), "{stopped}");
    bench.stop.cancel();
    let stopped = bench.hand_over(letters(3..=3)).await.2.expect("a reason");
    assert!(stopped.contains("the relay is stopping"), "{stopped}");
}

#[tokio::test(start_paused = true)]
async fn many_become_one_message_when_the_quota_has_no_room_for_each() {
    let bytes = |count: usize| std::iter::repeat_n(1_000, count);
    let mut chat = bench(limited(20, 60), vec![], true);
    assert_eq!(chat.way.portion(bytes(5)).await, 1, "one by one");
    assert_eq!(chat.way.portion(bytes(50)).await, 50, "a digest");
    let mut plain = bench(profile(10), vec![], false);
    assert_eq!(plain.way.portion(bytes(50)).await, 10);
    let large = std::iter::repeat_n(700_000, 3);
    assert_eq!(plain.way.portion(large).await, 1, "a mebibyte at most");
    assert_eq!(
        plain.way.portion(std::iter::repeat_n(9_000_000, 2)).await,
        1,
        "but one in any case"
    );
    assert_eq!(plain.way.portion(bytes(0)).await, 0);
}
