//! Log and state survive SIGKILL at any moment: what was promised to be durable is there, byte for
//! byte, and nothing else is.
//!
//! `LOG_KILLS` (100) says how often, `SEED` repeats an earlier run. The whole relay is killed against a
//! real API server in `tests/kill.rs`; here a kill costs a tenth of that, so ten thousand are a night's work.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::time::Duration;

use harness::exerciser::{self, Exerciser, Orders, Promises};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

#[test]
fn exerciser_process() {
    exerciser::run_when_ordered();
}

#[test]
fn what_was_durable_survives_kills_at_any_moment() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect(name));
    let kills = number("LOG_KILLS").unwrap_or(100);
    let seed = number("SEED").unwrap_or_else(rand::random);
    println!("SEED={seed} LOG_KILLS={kills}");
    let folder = tempfile::tempdir().expect("a folder");
    let mut dice = StdRng::seed_from_u64(seed);
    let mut earlier = Promises::default();
    let mut durable_in_all = 0;
    for kill in 0..kills {
        let orders = Orders {
            directory: folder.path().join("data"),
            seed: dice.random(),
            turns: None,
            environment: [].into(),
        };
        let process = Exerciser::start(&orders, "exerciser_process");
        // Of every ten, one dies while it opens.
        let delay = if dice.random_ratio(1, 10) { 0..15 } else { 10..400 };
        std::thread::sleep(Duration::from_millis(dice.random_range(delay)));
        let mut promises = earlier.clone();
        promises.opened = None;
        process.kill(&mut promises);
        assert_eq!(promises.violations, [""; 0], "kill {kill}");
        assert_eq!(promises.stopped, None, "kill {kill}");
        assert_eq!(earlier.broken_by(&promises), [""; 0], "kill {kill}");
        durable_in_all = promises.durable.max(durable_in_all);
        earlier = promises;
    }
    println!(
        "{kills} kills, {durable_in_all} versions durable, 0 lost, cursor at {}",
        earlier.moved
    );
    assert!(durable_in_all > kills, "it did some work");
}
