//! The probe beside an open watch, and completeness.

use super::*;
use crate::source::PhaseName;

fn probed(newest: u64, waited: u64) -> Input {
    Input::Probed { answer: Ok(version(newest)), waited: Duration::from_secs(waited) }
}

fn failed(failure: Failure) -> Input {
    Input::Probed { answer: Err(failure), waited: Duration::ZERO }
}

#[test]
fn a_probe_is_due_every_minute() {
    let mut bench = Bench::watching();
    assert_eq!(bench.due_in(), Duration::from_secs(60));
    assert_eq!(requests(&bench.wake()), ["probe"]);
    bench.step(probed(100, 60));
    assert_eq!(bench.due_in(), Duration::from_secs(60));
}

#[test]
fn a_history_that_ends_below_the_frontier_ends_the_silence() {
    let mut bench = Bench::probing();
    let actions = bench.step(probed(40, 60));
    assert_eq!(requests(&actions), ["hang up", "list"]);
    assert!(!phase(&actions).expect("a phase").live);
    let actions = bench.step(page(41));
    assert_eq!(relisted(&actions), Some(RelistCause::HistoryReplaced));
    assert_eq!(requests(&actions), ["drain 1.41"]);
}

#[test]
fn an_answer_is_compared_with_where_the_log_was_when_it_was_asked_for() {
    let mut bench = Bench::probing();
    bench.step(item(300));
    assert_eq!(requests(&bench.step(probed(200, 0))), [] as [&str; 0]);
    assert_eq!(bench.at(), "0.300");
}

#[test]
fn a_watch_that_is_silent_while_the_history_goes_on_is_replaced() {
    let mut bench = Bench::probing();
    let actions = bench.step(probed(150, 60));
    assert_eq!(requests(&actions), ["hang up", "watch 100"]);
    assert!(phase(&actions).expect("a phase").live, "nothing is known to be wrong");
    bench.step(Input::Connected);
    assert_eq!(bench.due_in(), Duration::from_secs(60));
}

#[test]
fn a_watch_that_has_just_spoken_is_believed() {
    let mut bench = Bench::probing();
    assert_eq!(requests(&bench.step(probed(150, 29))), [] as [&str; 0]);
    assert_eq!(bench.at(), "0.100", "a probe moves nothing");
}

#[test]
fn two_probes_without_an_answer_end_the_watch() {
    let mut bench = Bench::probing();
    assert_eq!(requests(&bench.after(10).step(failed(network()))), ["renew", "probe"]);
    let actions = bench.after(10).step(failed(network()));
    assert_eq!(requests(&actions), ["renew", "hang up"]);
    assert_eq!(bench.steady, Duration::from_secs(80), "within two minutes");
    assert_eq!(phase(&actions).expect("a phase").name, PhaseName::Waiting);
    assert_eq!(requests(&bench.wake()), ["probe"]);
    assert_eq!(requests(&bench.step(page(150))), ["watch 100"]);
}

#[test]
fn one_probe_without_an_answer_is_forgiven() {
    let mut bench = Bench::probing();
    bench.step(failed(network()));
    assert_eq!(requests(&bench.step(probed(100, 60))), [] as [&str; 0]);
    bench.wake();
    assert_eq!(requests(&bench.step(failed(network()))), ["renew", "probe"]);
}

#[test]
fn an_overloaded_server_keeps_its_watch() {
    let mut bench = Bench::probing();
    for _ in 0..5 {
        assert_eq!(bench.step(failed(answer_after(429, 9))), []);
        assert_eq!(bench.due_in(), Duration::from_secs(9));
        assert_eq!(requests(&bench.wake()), ["probe"]);
    }
}

#[test]
fn a_server_in_trouble_keeps_its_watch_but_is_not_called_live() {
    let mut bench = Bench::probing();
    assert_eq!(bench.step(failed(answer(500))), []);
    bench.wake();
    let actions = bench.step(failed(answer(500)));
    let doubted = phase(&actions).expect("a phase");
    assert_eq!((doubted.name, doubted.live), (PhaseName::Watching, false));
    bench.wake();
    let actions = bench.step(probed(100, 60));
    assert!(phase(&actions).expect("a phase").live, "the probes agree again");
}

#[test]
fn a_permission_that_was_taken_away_is_named_beside_the_watch() {
    let mut bench = Bench::probing();
    bench.step(failed(answer(403)));
    assert!(bench.due_in() > Duration::from_secs(30));
    bench.wake();
    let actions = bench.step(failed(answer(403)));
    assert!(reason(&actions).contains("verb list on events"));
}

#[test]
fn refused_credentials_of_a_probe_are_read_anew() {
    let mut bench = Bench::probing();
    assert_eq!(requests(&bench.step(failed(answer(401)))), ["renew"]);
    assert_eq!(bench.due_in(), Duration::ZERO);
    bench.wake();
    bench.step(failed(answer(401)));
    assert!(bench.due_in() > Duration::from_secs(30));
}

#[test]
fn an_answer_nobody_waits_for_changes_nothing() {
    let mut bench = Bench::watching();
    assert_eq!(bench.step(probed(40, 60)), []);
}

#[test]
fn a_reader_that_has_caught_up_is_complete() {
    let mut bench = Bench::probing();
    let actions = bench.after(3).step(probed(150, 60));
    assert_eq!(complete_until(&actions), Some(at(60)), "when the probe was asked for");
    bench.step(Input::Connected);
    let actions = bench.after(10).step(item_of(160, Change::Record, Duration::from_secs(5)));
    assert_eq!(complete_until(&actions), Some(at(73)));
}

#[test]
fn a_busy_reader_is_complete_when_it_reaches_the_version_of_the_probe() {
    let mut bench = Bench::probing();
    assert_eq!(complete_until(&bench.after(1).step(probed(150, 0))), None);
    assert_eq!(complete_until(&bench.after(1).step(item(149))), None);
    assert_eq!(complete_until(&bench.after(1).step(item(151))), Some(at(60)));
    assert_eq!(complete_until(&bench.after(1).step(item(152))), None, "told once");
}

#[test]
fn completeness_is_told_once_a_second() {
    let mut bench = Bench::watching();
    let waited = Duration::from_secs(5);
    assert!(complete_until(&bench.after(60).step(item_of(101, Change::Record, waited))).is_some());
    assert!(complete_until(&bench.step(item_of(102, Change::Record, waited))).is_none());
    assert!(complete_until(&bench.after(1).step(item_of(103, Change::Record, waited))).is_some());
}
