//! What has become of each record of a batch.
//!
//! Invariants:
//! 1. A record that is done is never sent again.
//! 2. A record is done when it was accepted or rejected by itself, and in no other way.
//! 3. The finished prefix, which is all a cursor may pass, ends before the first record that is not done.
//! 4. Records go out in order, but for those a sink found no room for; of a batch in portions the earlier
//!    portion is done before the later begins.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

use crate::event::Record;
use crate::fault::Fault;
use crate::sink::{Delivery, Outcome};

/// A batch on its way to a sink.
#[derive(Debug)]
pub(crate) struct Flight {
    records: Vec<Record>,
    done: Vec<bool>,
    /// What is left to send, each in order and never empty; the first is the one in hand.
    portions: VecDeque<Vec<usize>>,
    finished: usize,
}

/// What an attempt came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Number of records accepted.
    pub(crate) accepted: usize,
    /// Records refused for good, by index in the batch, with the service's words.
    pub(crate) rejected: Vec<(usize, String)>,
    /// Why the rest has to wait, if anything is left of what was sent.
    pub(crate) blocked: Option<Blocked>,
}

/// Why records have to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// For a while.
    Retry {
        /// What the service asked for.
        after: Option<Duration>,
        /// What happened.
        cause: String,
    },
    /// For an operator.
    Hold {
        /// What to do about it.
        cause: String,
    },
}

impl Flight {
    /// A batch of which nothing was sent yet.
    pub(crate) fn new(records: Vec<Record>) -> Self {
        let all: Vec<usize> = (0..records.len()).collect();
        let portions = (!all.is_empty()).then_some(all).into_iter().collect();
        Self { done: vec![false; records.len()], records, portions, finished: 0 }
    }

    /// What to send next, in order, or `None` when every record is done.
    ///
    /// Records are copied only when those between the portion's first and last are not all in it.
    pub(crate) fn next(&self) -> Option<Cow<'_, [Record]>> {
        let portion = self.portions.front()?;
        match portion.as_slice() {
            [first, .., last] if last - first + 1 == portion.len() => {
                Some(Cow::Borrowed(&self.records[*first..=*last]))
            }
            _ => Some(portion.iter().map(|index| self.records[*index].clone()).collect()),
        }
    }

    /// The places of what [`Self::next`] gives.
    pub(crate) fn in_hand(&self) -> &[usize] {
        self.portions.front().map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether every record is done.
    pub(crate) fn is_over(&self) -> bool {
        self.portions.is_empty()
    }

    /// Whether the record at a place is done.
    pub(crate) fn is_done(&self, place: usize) -> bool {
        self.done[place]
    }

    /// Takes note of what became of the records [`Self::next`] gave.
    pub(crate) fn settle(&mut self, delivery: Delivery) -> Verdict {
        let Some(sent) = self.portions.pop_front() else { return Verdict::default() };
        match delivery {
            Delivery::Whole(outcome) => self.settle_whole(sent, &outcome),
            Delivery::Part { records, outcome } if is_part(&records, sent.len()) => {
                let (part, rest) = split(sent, &records);
                if !rest.is_empty() {
                    self.portions.push_front(rest);
                }
                self.settle_whole(part, &outcome)
            }
            Delivery::Each(outcomes) if outcomes.len() == sent.len() => {
                self.settle_each(sent.into_iter().zip(outcomes))
            }
            Delivery::Each(outcomes) => self.distrust(sent, outcomes.len()),
            Delivery::Part { records, .. } => self.distrust(sent, records.len()),
        }
    }

    /// A refused whole is halved, until the record that is to blame stands alone.
    fn settle_whole(&mut self, mut sent: Vec<usize>, outcome: &Outcome) -> Verdict {
        if matches!(outcome, Outcome::Rejected { .. }) && sent.len() > 1 {
            let later = sent.split_off(sent.len() / 2);
            self.portions.push_front(later);
            self.portions.push_front(sent);
            return Verdict::default();
        }
        self.settle_each(sent.into_iter().map(|index| (index, outcome.clone())))
    }

    fn settle_each(&mut self, outcomes: impl Iterator<Item = (usize, Outcome)>) -> Verdict {
        let mut verdict = Verdict::default();
        let mut left = Vec::new();
        for (index, outcome) in outcomes {
            self.enter(index, outcome, &mut verdict);
            if !self.done[index] {
                left.push(index);
            }
        }
        if !left.is_empty() {
            self.portions.push_front(left);
        }
        self.finished += self.done[self.finished..].iter().take_while(|done| **done).count();
        verdict
    }

    fn distrust(&mut self, sent: Vec<usize>, outcomes: usize) -> Verdict {
        let cause = format!(
            "the sink gave {outcomes} outcomes for {} records, so none of them can be trusted",
            sent.len()
        );
        self.portions.push_front(sent);
        let mut verdict = Verdict::default();
        verdict.block(Blocked::Retry { after: None, cause });
        verdict
    }

    /// Records that are done although one before them is not.
    pub(crate) fn done_ahead(&self) -> impl Iterator<Item = &Record> {
        let behind = self.records.iter().zip(&self.done).skip(self.finished);
        behind.filter(|(_, done)| **done).map(|(record, _)| record)
    }

    /// Number of records at the front of the batch that are done.
    pub(crate) fn finished(&self) -> usize {
        self.finished
    }

    /// The whole batch, in order.
    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    fn enter(&mut self, index: usize, outcome: Outcome, verdict: &mut Verdict) {
        match outcome {
            Outcome::Accepted => {
                self.done[index] = true;
                verdict.accepted += 1;
            }
            Outcome::Rejected { reason } => {
                self.done[index] = true;
                verdict.rejected.push((index, reason));
            }
            Outcome::Retry { after, cause } => {
                self.done[index] = Fault::AdvancePastRetry.is_on();
                verdict.block(Blocked::Retry { after, cause });
            }
            Outcome::Hold { cause } => verdict.block(Blocked::Hold { cause }),
        }
    }
}

/// Whether these can be places in a batch of so many records: at least one, in order, none twice.
fn is_part(places: &[usize], count: usize) -> bool {
    let ordered = places.windows(2).all(|pair| pair[0] < pair[1]);
    ordered && places.last().is_some_and(|last| *last < count)
}

/// The records at these places, and the others.
fn split(sent: Vec<usize>, places: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut part = vec![false; sent.len()];
    for place in places {
        part[*place] = true;
    }
    let (in_part, others): (Vec<_>, Vec<_>) =
        sent.into_iter().zip(part).partition(|(_, is_in)| *is_in);
    let index = |(index, _)| index;
    (in_part.into_iter().map(index).collect(), others.into_iter().map(index).collect())
}

impl Verdict {
    /// Whether any record was done by the attempt.
    pub(crate) fn progressed(&self) -> bool {
        self.accepted > 0 || !self.rejected.is_empty()
    }

    /// For how long the service wants to be left alone.
    pub(crate) fn silence(&self) -> Option<Duration> {
        match &self.blocked {
            Some(Blocked::Retry { after, .. }) => *after,
            _ => None,
        }
    }

    /// Of several reasons to wait the one for an operator counts, else the longest wait; of equals the first.
    fn block(&mut self, reason: Blocked) {
        let replaces = match (&self.blocked, &reason) {
            (None, _) | (Some(Blocked::Retry { .. }), Blocked::Hold { .. }) => true,
            (Some(Blocked::Retry { after, .. }), Blocked::Retry { after: longer, .. }) => {
                longer > after
            }
            (Some(Blocked::Hold { .. }), _) => false,
        };
        if replaces {
            self.blocked = Some(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::runner::fixtures::{outcome, record};
    use proptest::prelude::*;

    fn flight(count: u64) -> Flight {
        Flight::new((1..=count).map(record).collect())
    }

    fn retry(seconds: Option<u64>) -> Outcome {
        Outcome::Retry { after: seconds.map(Duration::from_secs), cause: "busy".to_owned() }
    }

    fn rejected() -> Outcome {
        outcome(1)
    }

    fn versions(records: &[Record]) -> Vec<u64> {
        let version = |record: &Record| record.position.resource_version.as_str().parse();
        records.iter().map(|record| version(record).expect("digits")).collect()
    }

    #[test]
    fn only_the_unfinished_are_sent_again_and_the_prefix_waits_for_them() {
        let mut flight = flight(4);
        let outcomes = vec![Outcome::Accepted, retry(None), Outcome::Accepted, retry(Some(9))];
        let verdict = flight.settle(Delivery::Each(outcomes));
        assert_eq!(verdict.accepted, 2);
        let cause = "busy".to_owned();
        let after = Some(Duration::from_secs(9));
        assert_eq!(verdict.blocked, Some(Blocked::Retry { after, cause }));
        assert_eq!(flight.finished(), 1);
        assert_eq!(versions(&flight.next().expect("two are left")), [2, 4]);
        flight.settle(Delivery::Whole(Outcome::Accepted));
        assert_eq!((flight.finished(), flight.next()), (4, None));
    }

    #[test]
    fn a_refused_batch_is_halved_until_the_bad_record_stands_alone() {
        let mut flight = flight(5);
        let mut sent = Vec::new();
        let mut buried = Vec::new();
        while let Some(records) = flight.next() {
            let numbers = versions(&records);
            let bad = numbers.contains(&3);
            sent.push(numbers);
            let outcome = if bad { rejected() } else { Outcome::Accepted };
            buried.extend(flight.settle(Delivery::Whole(outcome)).rejected);
        }
        assert_eq!(buried, [(2, "too odd".to_owned())]);
        let expected: [&[u64]; 5] = [&[1, 2, 3, 4, 5], &[1, 2], &[3, 4, 5], &[3], &[4, 5]];
        assert_eq!(sent, expected);
    }

    #[test]
    fn what_found_no_room_is_sent_next() {
        let mut flight = flight(6);
        let part = |records: &[usize], outcome| Delivery::Part { records: records.into(), outcome };
        assert_eq!(flight.settle(part(&[0, 2, 5], Outcome::Accepted)).accepted, 3);
        assert_eq!(flight.finished(), 1);
        let ahead: Vec<_> = flight.done_ahead().cloned().collect();
        assert_eq!(versions(&ahead), [3, 6]);
        assert_eq!(versions(&flight.next().expect("the rest")), [2, 4, 5]);
        assert!(flight.settle(part(&[0, 2], retry(None))).blocked.is_some());
        assert_eq!(versions(&flight.next().expect("the same part")), [2, 5]);
        flight.settle(Delivery::Whole(rejected()));
        assert_eq!(versions(&flight.next().expect("halved")), [2]);
        flight.settle(part(&[0], Outcome::Accepted));
        flight.settle(part(&[0], Outcome::Accepted));
        assert_eq!(flight.finished(), 3);
        assert_eq!(versions(&flight.next().expect("the rest")), [4]);
        for impossible in [&[][..], &[1], &[0, 0]] {
            assert!(flight.settle(part(impossible, Outcome::Accepted)).blocked.is_some());
        }
        assert_eq!(flight.settle(part(&[0], Outcome::Accepted)).accepted, 1);
        assert_eq!((flight.finished(), flight.next()), (6, None));
        assert_eq!(flight.done_ahead().count(), 0);
    }

    #[test]
    fn a_wrong_number_of_outcomes_finishes_nothing() {
        let mut flight = flight(2);
        let verdict = flight.settle(Delivery::Each(vec![Outcome::Accepted]));
        assert!(matches!(verdict.blocked, Some(Blocked::Retry { ref cause, .. })
            if cause.contains("1 outcomes for 2 records")));
        assert_eq!(flight.finished(), 0);
        assert_eq!(versions(&flight.next().expect("both")), [1, 2]);
    }

    #[test]
    fn an_operator_s_matter_wins_over_a_wait() {
        let mut flight = flight(3);
        let hold = Outcome::Hold { cause: "token".to_owned() };
        let verdict = flight.settle(Delivery::Each(vec![retry(Some(1)), hold, retry(Some(2))]));
        assert_eq!(verdict.blocked, Some(Blocked::Hold { cause: "token".to_owned() }));
    }

    /// One answer of a sink; the numbers are cut to the size of what was sent.
    #[derive(Debug, Clone)]
    enum Answer {
        Whole(u8),
        Each(Vec<u8>),
        Part(Vec<usize>, u8),
        Miscounted(usize),
    }

    fn any_answer() -> impl Strategy<Value = Answer> {
        prop_oneof![
            (0u8..4).prop_map(Answer::Whole),
            proptest::collection::vec(0u8..4, 12).prop_map(Answer::Each),
            (proptest::collection::btree_set(0usize..12, 0..12), 0u8..4)
                .prop_map(|(records, code)| Answer::Part(records.into_iter().collect(), code)),
            (0usize..20).prop_map(Answer::Miscounted),
        ]
    }

    fn delivery(answer: &Answer, sent: usize) -> Delivery {
        match answer {
            Answer::Whole(code) => Delivery::Whole(outcome(*code)),
            Answer::Each(codes) => {
                Delivery::Each(codes.iter().cycle().take(sent).map(|code| outcome(*code)).collect())
            }
            Answer::Part(records, code) => {
                Delivery::Part { records: records.clone(), outcome: outcome(*code) }
            }
            Answer::Miscounted(count) if *count == sent => {
                Delivery::Each(vec![Outcome::Accepted; sent + 1])
            }
            Answer::Miscounted(count) => Delivery::Each(vec![Outcome::Accepted; *count]),
        }
    }

    proptest! {
        #[test]
        fn whatever_a_sink_answers_every_record_ends_once_and_the_prefix_is_done(
            count in 0u64..12,
            script in proptest::collection::vec(any_answer(), 0..60),
        ) {
            let mut flight = flight(count);
            let mut ended: Vec<u64> = Vec::new();
            // After the script the sink is well again, so that everything ends.
            let answers = script.iter().chain(std::iter::repeat(&Answer::Whole(0)));
            for answer in answers {
                let Some(sent) = flight.next().map(|sent| versions(&sent)) else { break };
                prop_assert!(sent.is_sorted() && !sent.is_empty());
                prop_assert!(sent.iter().all(|version| !ended.contains(version)));
                let delivery = delivery(answer, sent.len());
                let accepted: Vec<u64> = match &delivery {
                    Delivery::Whole(Outcome::Accepted) => sent.clone(),
                    Delivery::Part { records, outcome: Outcome::Accepted }
                        if is_part(records, sent.len()) =>
                    {
                        records.iter().map(|place| sent[*place]).collect()
                    }
                    Delivery::Each(each) if each.len() == sent.len() => sent.iter().zip(each)
                        .filter(|(_, outcome)| **outcome == Outcome::Accepted)
                        .map(|(version, _)| *version).collect(),
                    _ => Vec::new(),
                };
                let before = flight.finished();
                let verdict = flight.settle(delivery);
                prop_assert_eq!(verdict.accepted, accepted.len());
                let buried = verdict.rejected.iter()
                    .map(|(index, _)| versions(&flight.records()[*index..=*index])[0]);
                ended.extend(accepted);
                ended.extend(buried);
                prop_assert!(flight.finished() >= before);
                let prefix = versions(&flight.records()[..flight.finished()]);
                prop_assert!(prefix.iter().all(|version| ended.contains(version)));
            }
            ended.sort_unstable();
            prop_assert_eq!(ended, (1..=count).collect::<Vec<_>>());
            prop_assert_eq!(flight.finished(), flight.records().len());
        }
    }
}
