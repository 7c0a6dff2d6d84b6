//! The promise of a runner, against any sink.

use proptest::prelude::*;

use super::*;
use crate::relay::runner::fixtures::version_at;

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0u8..4).prop_map(|code| Act::Answer(Delivery::Whole(outcome(code)))),
        4 => proptest::collection::vec(0u8..4, 1..8).prop_map(Act::Sort),
        2 => proptest::collection::btree_set(0usize..8, 1..8)
            .prop_map(|places| Act::TakePart(places.into_iter().collect())),
        1 => Just(Act::Answer(Delivery::Each(Vec::new()))),
        1 => Just(Act::TakeTime(Duration::from_secs(3_600))),
    ]
}

/// Runs a script to its end and returns what was written.
fn play(batch: usize, readings: &[u64], script: Vec<Act>) -> Vec<Entry> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let mut trial = Trial::start(profile(batch), script);
        let mut next = 1;
        for length in readings {
            trial.arrive(next..=next + length - 1);
            next += length;
        }
        while trial.book.moves().last() != Some(&(next - 1)) {
            // Time stands still only while something can be done.
            tokio::time::sleep(Duration::from_secs(1)).await;
            while trial.sent.try_recv().is_ok() {}
        }
        trial.end().await
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_a_sink_does_the_cursor_passes_only_what_has_ended(
        batch in 1usize..8,
        readings in proptest::collection::vec(1u64..30, 1..6),
        script in proptest::collection::vec(any_act(), 0..40),
    ) {
        let mut ended = std::collections::BTreeSet::new();
        let mut passed = 0;
        for entry in play(batch, &readings, script) {
            match entry {
                Entry::Accepted(version) | Entry::Buried(version, _) => {
                    prop_assert!(ended.insert(version), "{} ended twice", version);
                    prop_assert!(version > passed, "{} was sent behind the cursor", version);
                }
                Entry::Lost(loss) => prop_assert!(false, "nothing was taken away, but {loss:?}"),
                Entry::Moved(_, mark, ahead) => {
                    prop_assert!(mark.sequence >= passed);
                    passed = mark.sequence;
                    let ahead: Vec<_> = ahead.iter().map(version_at).collect();
                    let beyond: Vec<_> = ended.range(passed + 1..).copied().collect();
                    prop_assert_eq!(ahead, beyond, "what is done beyond the cursor");
                    let unlucky = |version: &u64| version % 100 == 13;
                    let open = (1..=passed).find(|one| !unlucky(one) && !ended.contains(one));
                    prop_assert_eq!(open, None);
                }
            }
        }
        prop_assert_eq!(passed, readings.iter().sum::<u64>());
    }
}
