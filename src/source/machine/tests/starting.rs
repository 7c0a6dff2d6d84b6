//! Idle → the first request, and the probe before the first watch.

use super::*;
use crate::setting::Span;
use crate::source::PhaseName;

#[test]
fn now_begins_at_the_version_of_a_probe() {
    let mut bench = Bench::new(Start::Now, None, None);
    assert_eq!(requests(&bench.step(Input::Begin)), ["probe"]);
    let actions = bench.after(2).step(page(100));
    assert_eq!(actions[0], Action::Advance(position("0.100")));
    assert_eq!(actions[1], Action::Sync);
    assert_eq!(complete_until(&actions), Some(at(0)), "when the probe was asked for");
    assert_eq!(requests(&actions), ["watch 100"]);
}

#[test]
fn all_lists_everything() {
    let mut bench = Bench::new(Start::All, None, None);
    assert_eq!(requests(&bench.step(Input::Begin)), ["list"]);
    let actions = bench.step(page(100));
    assert_eq!(relisted(&actions), Some(RelistCause::FirstStart));
    let Some(Action::Drain(plan)) = actions.last() else { panic!("{actions:?}") };
    assert_eq!((&plan.after, plan.since, plan.replaced), (&None, None, false));
    assert!(!actions.iter().any(|action| matches!(action, Action::Report(_))), "no gap");
}

#[test]
fn a_duration_lists_what_is_young_enough() {
    let mut bench = Bench::new(Start::Since(Span::from_secs(1800)), None, None);
    bench.step(Input::Begin);
    let actions = bench.after(5).step(page(100));
    let Some(Action::Drain(plan)) = actions.last() else { panic!("{actions:?}") };
    assert_eq!(plan.since, Some(at(-1800)), "counted from the start, not from the list");
}

#[test]
fn a_log_that_is_not_empty_resumes_whatever_start_says() {
    for start in [Start::Now, Start::All, Start::Since(Span::from_secs(60))] {
        let mut bench = Bench::new(start, Some("0.100"), Some(at(-60)));
        assert_eq!(requests(&bench.step(Input::Begin)), ["probe"]);
        let actions = bench.step(page(150));
        assert_eq!(requests(&actions), ["watch 100"], "a probe never moves the position");
        assert_eq!(complete_until(&actions), None);
        assert_eq!(bench.at(), "0.100");
    }
}

#[test]
fn a_probe_that_shows_nothing_new_proves_completeness() {
    let mut bench = Bench::resumed();
    bench.step(Input::Begin);
    assert_eq!(complete_until(&bench.after(1).step(page(100))), Some(at(0)));
}

#[test]
fn a_probe_below_the_frontier_begins_a_new_generation() {
    let mut bench = Bench::resumed();
    bench.step(Input::Begin);
    assert_eq!(requests(&bench.step(page(40))), ["list"]);
    let actions = bench.step(page(41));
    assert_eq!(relisted(&actions), Some(RelistCause::HistoryReplaced));
    assert!(actions.contains(&Action::Stage(crate::event::Generation(1))));
    let Some(Action::Drain(plan)) = actions.last() else { panic!("{actions:?}") };
    assert!(plan.replaced);
    assert_eq!((plan.after.clone(), plan.end.clone()), (Some(position("0.100")), position("1.41")));
    assert_eq!(requests(&bench.step(Input::Drained)), ["watch 41"]);
    assert_eq!(bench.at(), "1.41");
}

#[test]
fn a_restart_in_a_later_generation_looks_whether_old_versions_are_known() {
    let mut bench = Bench::new(Start::Now, Some("1.100"), Some(at(-60)));
    bench.step(Input::Begin);
    assert_eq!(requests(&bench.step(page(150))), ["watch 100"]);
    bench.step(Input::Connected);
    assert_eq!(bench.step(item(150)), [Action::KeepUnlessKnown(position("1.150"))]);
    assert_eq!(bench.step(item(151)), [Action::Keep(position("1.151"))]);
    bench.step(cut());
    bench.wake();
    bench.step(page(300));
    bench.step(Input::Connected);
    assert_eq!(bench.step(item(152)), [Action::Keep(position("1.152"))], "only the first probe");
}

#[test]
fn live_means_that_a_watch_is_open() {
    let mut bench = Bench::resumed();
    let connecting = phase(&bench.step(Input::Begin)).cloned().expect("a phase");
    assert_eq!((connecting.name, connecting.live), (PhaseName::Connecting, false));
    assert_eq!(phase(&bench.step(page(100))), None, "nothing changed");
    let watching = phase(&bench.step(Input::Connected)).cloned().expect("a phase");
    assert_eq!(watching, Phase { name: PhaseName::Watching, live: true, reason: None });
}

#[test]
fn what_does_not_belong_to_the_state_changes_nothing() {
    let mut bench = Bench::resumed();
    assert_eq!(bench.step(item(1)), []);
    bench.step(Input::Begin);
    for stray in [Input::Begin, Input::Woke, Input::Drained, Input::Connected, item(200), closed()]
    {
        assert_eq!(bench.step(stray), []);
    }
    assert_eq!(requests(&bench.step(page(100))), ["watch 100"]);
    assert_eq!(bench.step(page(100)), [], "an answer that comes twice");
}
