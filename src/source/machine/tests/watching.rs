//! Watching → the next watch, a list, or a wait.

use super::*;

#[test]
fn items_are_kept_and_deletions_only_move_the_frontier() {
    let mut bench = Bench::watching();
    assert_eq!(bench.step(item(101)), [Action::Keep(position("0.101"))]);
    let deletion = item_of(110, Change::Advance, Duration::ZERO);
    assert_eq!(bench.step(deletion), [Action::Advance(position("0.110"))]);
    assert_eq!(bench.at(), "0.110");
}

#[test]
fn deletions_that_share_a_version_are_in_order() {
    let mut bench = Bench::watching();
    bench.step(item_of(110, Change::Advance, Duration::ZERO));
    assert_eq!(bench.step(item_of(110, Change::Advance, Duration::ZERO)), []);
    assert_eq!(bench.step(item(111)), [Action::Keep(position("0.111"))]);
}

#[test]
fn an_item_out_of_order_is_never_skipped_over() {
    let mut bench = Bench::watching();
    bench.step(item(120));
    assert_eq!(requests(&bench.step(item(119))), ["hang up"]);
    assert_eq!(requests(&bench.wake()), ["probe"]);
    bench.step(page(150));
    bench.step(Input::Connected);
    let actions = bench.step(item(119));
    assert!(reason(&actions).contains("listing anew"), "twice at the same place: {actions:?}");
    assert_eq!(requests(&bench.wake()), ["list"]);
}

#[test]
fn a_planned_end_is_followed_by_the_next_watch() {
    let mut bench = Bench::watching();
    bench.step(item(105));
    let actions = bench.after(240).step(closed());
    assert_eq!(requests(&actions), ["hang up", "watch 105"]);
    assert!(phase(&actions).expect("a phase").live, "nothing is wrong");
    bench.step(Input::Connected);
    let actions = bench.after(240).step(closed());
    assert_eq!(requests(&actions), ["hang up", "watch 105"], "also without an item");
}

#[test]
fn a_close_at_once_without_an_item_means_too_old() {
    let mut bench = Bench::watching();
    assert_eq!(requests(&bench.after(1).step(closed())), ["hang up", "list"]);
    assert_eq!(relisted(&bench.step(page(200))), Some(RelistCause::EmptyClose));
}

#[test]
fn two_early_closes_without_an_item_mean_too_old() {
    let mut bench = Bench::watching();
    assert_eq!(requests(&bench.after(100).step(closed())), ["hang up", "watch 100"]);
    bench.step(Input::Connected);
    assert_eq!(requests(&bench.after(100).step(closed())), ["hang up", "list"]);
}

#[test]
fn an_item_or_a_full_watch_between_two_early_closes_clears_the_first() {
    let mut bench = Bench::watching();
    bench.after(100).step(closed());
    bench.step(Input::Connected);
    bench.step(item(101));
    assert_eq!(requests(&bench.after(100).step(closed())), ["hang up", "watch 101"]);
    bench.step(Input::Connected);
    assert_eq!(requests(&bench.after(100).step(closed())), ["hang up", "watch 101"]);
    bench.step(Input::Connected);
    bench.after(240).step(closed());
    bench.step(Input::Connected);
    assert_eq!(requests(&bench.after(100).step(closed())), ["hang up", "watch 101"]);
}

#[test]
fn lists_that_do_not_help_are_bounded_by_the_backoff() {
    let mut bench = Bench::watching();
    let mut waited = Duration::ZERO;
    for _ in 0..12 {
        let actions = bench.step(closed());
        if !requests(&actions).contains(&"list".to_owned()) {
            waited += bench.due_in();
            assert_eq!(requests(&bench.wake()), ["list"]);
        }
        bench.step(page(200));
        bench.step(Input::Drained);
        bench.step(Input::Connected);
    }
    assert!(waited > Duration::from_secs(80), "{waited:?}");
}

#[test]
fn watches_that_end_at_once_after_an_item_are_bounded_by_the_backoff() {
    let mut bench = Bench::watching();
    bench.step(item(101));
    bench.step(closed());
    assert!(bench.due_in() > Duration::ZERO);
    assert_eq!(requests(&bench.wake()), ["probe"]);
}

#[test]
fn an_error_event_that_says_too_old_leads_to_a_list() {
    let gone = Refusal { reason: "Gone".into(), ..Refusal::default() };
    for failure in [answer(410), Failure::Answer(gone)] {
        let mut bench = Bench::watching();
        assert_eq!(requests(&bench.step(error_event(failure))), ["hang up", "list"]);
        assert_eq!(relisted(&bench.step(page(200))), Some(RelistCause::TooOld));
    }
}

#[test]
fn another_error_event_resumes_from_the_same_place() {
    let mut bench = Bench::watching();
    bench.step(item(105));
    let actions = bench.step(error_event(answer_after(500, 3)));
    assert_eq!(requests(&actions), ["hang up"]);
    assert_eq!(bench.due_in(), Duration::from_secs(3));
    assert_eq!(requests(&bench.wake()), ["probe"]);
    assert_eq!(requests(&bench.step(page(150))), ["watch 105"]);
}

#[test]
fn three_failures_without_an_item_lead_to_a_list() {
    let mut bench = Bench::watching();
    for _ in 0..2 {
        bench.step(error_event(answer(500)));
        assert_eq!(requests(&bench.wake()), ["probe"]);
        bench.step(page(150));
        bench.step(Input::Connected);
        bench.after(60);
    }
    assert_eq!(requests(&bench.step(error_event(answer(500)))), ["hang up", "list"]);
    assert_eq!(relisted(&bench.step(page(200))), Some(RelistCause::NoProgress));
}

#[test]
fn an_item_between_failures_is_progress() {
    let mut bench = Bench::watching();
    for number in 101..120 {
        bench.step(item(number));
        bench.step(cut());
        assert_eq!(bench.due_in(), Duration::from_millis(400), "the backoff starts over");
        assert_eq!(requests(&bench.wake()), ["probe"]);
        assert_eq!(requests(&bench.step(page(150))), [format!("watch {number}")]);
        bench.step(Input::Connected);
    }
}

#[test]
fn an_unreadable_item_is_read_again_and_then_listed() {
    let mut bench = Bench::watching();
    bench.step(item(105));
    assert_eq!(requests(&bench.step(unreadable())), ["hang up"]);
    assert_eq!(requests(&bench.wake()), ["probe"]);
    assert_eq!(requests(&bench.step(page(150))), ["watch 105"]);
    bench.step(Input::Connected);
    bench.step(unreadable());
    assert_eq!(requests(&bench.wake()), ["list"]);
    assert_eq!(relisted(&bench.step(page(200))), Some(RelistCause::Unreadable));
}

#[test]
fn unreadable_items_at_different_places_are_read_again() {
    let mut bench = Bench::watching();
    for number in 101..105 {
        bench.step(item(number));
        bench.step(unreadable());
        assert_eq!(requests(&bench.wake()), ["probe"]);
        bench.step(page(150));
        bench.step(Input::Connected);
    }
}

#[test]
fn a_watch_that_does_not_end_is_given_up() {
    let mut bench = Bench::watching();
    let mut actions = bench.wake();
    while requests(&actions) == ["probe"] {
        bench.step(Input::Probed { answer: Ok(version(100)), waited: HOUR });
        actions = bench.wake();
    }
    assert_eq!(requests(&actions), ["renew", "hang up"]);
    assert_eq!(bench.steady, Duration::from_secs(255), "240 s and some grace");
    assert_eq!(requests(&bench.wake()), ["probe"]);
}

#[test]
fn watches_are_asked_to_last_about_four_minutes() {
    let mut bench = Bench::resumed();
    bench.step(Input::Begin);
    let actions = bench.step(page(100));
    let Some(Action::Watch { timeout, .. }) = actions.last() else { panic!("{actions:?}") };
    assert_eq!(*timeout, Duration::from_secs(240));
}
