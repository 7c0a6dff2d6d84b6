//! Asking(page) → … → Draining → Asking(watch), and gaps.

use super::*;
use crate::log::Gap;

/// A machine whose watch was told "too old"; the first page is asked for.
fn listing(complete_until: Option<Timestamp>) -> Bench {
    let mut bench = Bench::new(Start::Now, Some("0.100"), complete_until);
    bench.step(Input::Begin);
    bench.step(page(150));
    assert_eq!(requests(&bench.step(Input::Failed(answer(410)))), ["list"]);
    bench
}

fn gap(actions: &[Action]) -> Option<&Gap> {
    actions.iter().find_map(|action| match action {
        Action::Report(gap) => Some(gap),
        _ => None,
    })
}

#[test]
fn pages_are_staged_and_then_drained_up_to_the_version_of_the_first() {
    let mut bench = listing(Some(at(-60)));
    let actions = bench.step(page_of_more(200, "t1"));
    assert_eq!(relisted(&actions), Some(RelistCause::TooOld));
    assert!(actions.contains(&Action::Stage(crate::event::Generation(0))));
    assert_eq!(requests(&actions), ["list t1"]);
    let actions = bench.step(page_of_more(200, "t2"));
    assert_eq!((requests(&actions), relisted(&actions)), (vec!["list t2".to_owned()], None));
    let actions = bench.step(page(205));
    assert_eq!(requests(&actions), ["drain 0.200"], "what came later comes with the watch");
    assert_eq!(bench.at(), "0.100", "not before everything is appended");
    let actions = bench.step(Input::Drained);
    assert_eq!(requests(&actions), ["watch 200"]);
    assert_eq!(complete_until(&actions), Some(at(0)));
    assert_eq!(bench.at(), "0.200");
}

#[test]
fn an_expired_token_starts_the_list_again() {
    let mut bench = listing(Some(at(-60)));
    bench.step(page_of_more(200, "t1"));
    let actions = bench.step(Input::Failed(answer(410)));
    assert_eq!(requests(&actions), [] as [&str; 0]);
    assert!(bench.due_in() > Duration::ZERO, "bounded by backoff");
    assert_eq!(requests(&bench.wake()), ["list"]);
    let actions = bench.step(page(300));
    assert_eq!(relisted(&actions), Some(RelistCause::ContinuationExpired));
    assert_eq!(requests(&actions), ["drain 0.300"], "of the new list");
}

#[test]
fn an_expired_token_does_not_forget_the_start() {
    let mut bench = Bench::new(Start::Since(crate::setting::Span::from_secs(60)), None, None);
    bench.step(Input::Begin);
    bench.step(page_of_more(200, "t1"));
    bench.step(Input::Failed(answer(410)));
    bench.wake();
    let actions = bench.step(page(300));
    let Some(Action::Drain(plan)) = actions.last() else { panic!("{actions:?}") };
    assert_eq!(plan.since, Some(at(-60)));
}

#[test]
fn a_failure_between_pages_asks_for_the_same_page() {
    for failure in [answer(500), answer(503), answer_after(429, 7), network()] {
        let mut bench = listing(Some(at(-60)));
        bench.step(page_of_more(200, "t1"));
        bench.step(Input::Failed(failure.clone()));
        assert_eq!(requests(&bench.wake()), ["list t1"], "{failure:?}");
    }
}

#[test]
fn a_list_below_the_frontier_begins_a_new_generation_whatever_it_was_for() {
    let mut bench = listing(Some(at(-60)));
    let actions = bench.step(page(99));
    assert_eq!(requests(&actions), ["drain 1.99"]);
    let mut bench = listing(Some(at(-60)));
    assert_eq!(requests(&bench.step(page(100))), ["drain 0.100"], "equal is not below");
}

#[test]
fn an_ordinary_list_is_no_gap() {
    let mut bench = listing(Some(at(-60)));
    assert_eq!(gap(&bench.step(page(200))), None);
}

#[test]
fn an_absence_longer_than_the_event_ttl_is_a_gap() {
    let mut bench = listing(Some(at(-3601)));
    let actions = bench.after(1).step(page(200));
    let found = gap(&actions).expect("a gap");
    assert_eq!(found.after, Some(position("0.100")));
    assert_eq!(found.until, position("0.200"));
    assert_eq!((found.from_time, found.to_time), (Some(at(-3601)), at(1)));
    assert!(found.cause.contains("3602 s") && found.cause.contains("1h"), "{}", found.cause);
    let report = actions.iter().position(|action| matches!(action, Action::Report(_)));
    let drain = actions.iter().position(|action| matches!(action, Action::Drain(_)));
    assert!(report < drain, "reported before anything beyond it is appended");
}

#[test]
fn the_last_minutes_of_the_event_ttl_are_not_relied_on() {
    assert!(gap(&listing(Some(at(-3301))).step(page(200))).is_some());
    assert!(gap(&listing(Some(at(-3299))).step(page(200))).is_none());
}

#[test]
fn unknown_completeness_is_a_gap() {
    let mut bench = listing(None);
    let actions = bench.step(page(200));
    let found = gap(&actions).expect("a gap");
    assert_eq!(found.from_time, None);
    assert!(found.cause.contains("not known"), "{}", found.cause);
}

#[test]
fn a_claim_from_the_future_is_worth_nothing() {
    assert!(gap(&listing(Some(at(3600))).step(page(200))).is_some());
    assert!(gap(&listing(Some(at(30))).step(page(200))).is_none(), "clocks differ a little");
}

#[test]
fn a_gap_is_reported_once() {
    let mut bench = listing(None);
    bench.step(page(200));
    bench.step(Input::Drained);
    bench.step(Input::Failed(answer(410)));
    bench.wake();
    assert_eq!(gap(&bench.step(page(300))), None, "the first list made the stream complete");
}

#[test]
fn items_that_are_left_out_are_a_gap() {
    let mut bench = listing(Some(at(-60)));
    bench.step(Input::Listed(Page {
        resource_version: version(200),
        next: Some("t1".to_owned()),
        unreadable: 2,
    }));
    let actions = bench.step(page(200));
    assert!(gap(&actions).expect("a gap").cause.contains("2 items"));
}
