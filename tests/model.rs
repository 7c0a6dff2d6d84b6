//! Log and cursors against a plain model: whatever is done to them, in whatever order and however
//! often the process is killed, they hold what a list in memory would.
//!
//! `PROPTEST_CASES` says how many sequences of actions are tried, `SEED` repeats an earlier run. What
//! fails is printed as the shortest sequence that does, which `MODEL_ACTIONS` does again, as often as
//! `PROPTEST_CASES` says: whether a kill hits the same moment is a matter of luck. What has failed once
//! has a test of its own.

#![allow(clippy::expect_used, clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
#![allow(clippy::cast_sign_loss, missing_docs, unreachable_pub)]

#[path = "model/action.rs"]
mod action;
#[path = "model/history.rs"]
mod history;
#[path = "model/oracle.rs"]
mod oracle;
#[path = "model/process.rs"]
mod process;
#[path = "model/protocol.rs"]
mod protocol;
#[path = "model/trial.rs"]
mod trial;

use std::cell::RefCell;
use std::path::PathBuf;

use action::{Action, any_actions, any_actions_on_a_small_volume};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use rig::Volume;
use trial::{Tally, Trial};

#[test]
fn process_under_test() {
    process::run_when_ordered();
}

#[test]
fn log_and_cursors_hold_what_a_plain_model_holds() {
    try_many(&any_actions(), 200, None);
}

#[test]
fn they_do_so_on_a_volume_that_fills_up() {
    if !Volume::is_possible() {
        return;
    }
    let volume = Volume::create(160 << 20);
    try_many(&any_actions_on_a_small_volume(), 60, Some(&volume));
}

/// Where files are in memory, when there is room: a kill leaves on any file system what was written,
/// and nothing has to wait for a disk.
fn in_memory() -> PathBuf {
    const MEMORY: &str = "/dev/shm";
    const ENOUGH: u64 = 512 << 20;
    let room = rustix::fs::statvfs(MEMORY).map(|volume| volume.f_bavail * volume.f_frsize);
    if room.is_ok_and(|room| room > ENOUGH) { MEMORY.into() } else { std::env::temp_dir() }
}

/// Tries sequences of actions until one fails, and then shorter ones.
fn try_many(actions: &impl Strategy<Value = Vec<Action>>, cases: u32, volume: Option<&Volume>) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect(name));
    let cases = number("PROPTEST_CASES").map_or(cases, |cases: u64| cases as u32);
    let seed = number("SEED").unwrap_or_else(rand::random);
    println!("SEED={seed} PROPTEST_CASES={cases}");
    let (process, tally) = (RefCell::new(None), RefCell::new(Tally::default()));
    let attempt = |actions: &[Action]| {
        let folder = match volume {
            Some(volume) => tempfile::tempdir_in(volume.path()),
            None => tempfile::tempdir_in(in_memory()),
        };
        let directory = folder.expect("a folder").keep();
        let (mut process, mut tally) = (process.borrow_mut(), tally.borrow_mut());
        let done =
            Trial::new(&mut process, &directory.join("data"), volume, &mut tally).run(actions);
        std::fs::remove_dir_all(&directory).expect("remove");
        done
    };
    if let Ok(text) = std::env::var("MODEL_ACTIONS") {
        let actions: Vec<Action> = serde_json::from_str(&text).expect("MODEL_ACTIONS");
        (0..cases).for_each(|_| attempt(&actions).expect("as the model"));
        return;
    }
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: Config::default().max_shrink_iters.min(500),
        max_shrink_time: 120_000,
        ..Config::default()
    };
    let tried = TestRunner::new_with_rng(config, random)
        .run(actions, |actions| attempt(&actions).map_err(TestCaseError::fail));
    println!("{:?}", tally.borrow());
    match tried {
        Ok(()) => {}
        Err(TestError::Fail(what, actions)) => {
            let text = serde_json::to_string(&actions).expect("JSON");
            panic!("{what}\nSEED={seed}\nMODEL_ACTIONS='{text}'");
        }
        Err(error) => panic!("{error}"),
    }
}
