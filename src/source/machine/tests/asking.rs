//! Asking → Resting → Asking: what each failure leads to.

use super::*;
use crate::source::PhaseName;

/// A machine that has asked for a watch.
fn connecting() -> Bench {
    let mut bench = Bench::resumed();
    bench.step(Input::Begin);
    assert_eq!(requests(&bench.step(page(150))), ["watch 100"]);
    bench
}

#[test]
fn a_watch_that_is_too_old_leads_to_a_list() {
    let expired = Refusal { code: 400, reason: "Expired".into(), ..Refusal::default() };
    for failure in [answer(410), Failure::Answer(expired)] {
        assert_eq!(requests(&connecting().step(Input::Failed(failure))), ["list"]);
    }
}

#[test]
fn too_many_requests_repeat_the_same_request_and_never_list() {
    let mut bench = connecting();
    for _ in 0..20 {
        let actions = bench.step(Input::Failed(answer_after(429, 8)));
        assert_eq!(bench.due_in(), Duration::from_secs(8), "as asked");
        assert!(reason(&actions).contains("asked to wait"));
        assert_eq!(requests(&bench.wake()), ["watch 100"]);
    }
    bench.step(Input::Failed(answer(429)));
    assert!(bench.due_in() >= Duration::from_secs(1), "without Retry-After");
}

#[test]
fn an_unavailable_server_is_probed_before_the_next_watch() {
    for code in [500, 502, 503, 504] {
        let mut bench = connecting();
        let actions = bench.step(Input::Failed(answer(code)));
        let waiting = phase(&actions).expect("a phase");
        assert_eq!((waiting.name, waiting.live), (PhaseName::Waiting, false));
        assert_eq!(bench.due_in(), Duration::from_millis(400), "half of the first ceiling");
        assert_eq!(requests(&bench.wake()), ["probe"]);
        assert_eq!(requests(&bench.step(page(150))), ["watch 100"]);
    }
}

#[test]
fn the_reason_stands_until_something_else_is_known() {
    let mut bench = connecting();
    bench.step(Input::Failed(network()));
    let asking = phase(&bench.wake()).cloned().expect("a phase");
    assert_eq!((asking.name, asking.live), (PhaseName::Connecting, false));
    assert!(asking.reason.expect("a reason").contains("connection refused"));
    bench.step(page(150));
    let watching = phase(&bench.step(Input::Connected)).cloned().expect("a phase");
    assert_eq!((watching.live, watching.reason), (true, None));
}

#[test]
fn retry_after_of_an_unavailable_server_is_honoured() {
    let mut bench = connecting();
    bench.step(Input::Failed(answer_after(503, 17)));
    assert_eq!(bench.due_in(), Duration::from_secs(17));
}

#[test]
fn waits_grow_until_a_watch_holds() {
    let mut bench = Bench::resumed();
    bench.step(Input::Begin);
    let mut waits = Vec::new();
    for _ in 0..8 {
        bench.step(Input::Failed(answer(503)));
        waits.push(bench.due_in().as_millis());
        bench.wake();
    }
    assert_eq!(waits, [400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000]);
    bench.step(page(100));
    bench.step(Input::Connected);
    bench.after(40).step(cut());
    assert_eq!(bench.due_in().as_millis(), 400);
}

#[test]
fn a_network_failure_is_followed_by_new_connections() {
    let mut bench = connecting();
    assert_eq!(requests(&bench.step(Input::Failed(network()))), ["renew"]);
    assert_eq!(requests(&bench.wake()), ["probe"]);
    let mut bench = Bench::resumed();
    bench.step(Input::Begin);
    assert_eq!(requests(&bench.step(Input::Failed(network()))), ["renew"]);
    assert_eq!(requests(&bench.wake()), ["probe"]);
}

#[test]
fn refused_credentials_are_read_anew_before_every_wait() {
    let mut bench = connecting();
    assert_eq!(requests(&bench.step(Input::Failed(answer(401)))), ["renew", "watch 100"]);
    let actions = bench.step(Input::Failed(answer(401)));
    assert!(reason(&actions).contains("credentials"), "{}", reason(&actions));
    assert_eq!(bench.due_in(), Duration::from_secs(1));
    assert_eq!(requests(&bench.wake()), ["watch 100"]);
    assert_eq!(requests(&bench.step(Input::Failed(answer(401)))), ["renew", "watch 100"]);
}

#[test]
fn credentials_that_work_again_may_be_renewed_again_at_once() {
    let mut bench = connecting();
    bench.step(Input::Failed(answer(401)));
    bench.step(Input::Connected);
    bench.after(40).step(closed());
    assert_eq!(requests(&bench.step(Input::Failed(answer(401))))[0], "renew");
}

#[test]
fn a_missing_permission_is_named_and_tried_every_minute() {
    let mut bench = connecting();
    let actions = bench.step(Input::Failed(answer(403)));
    assert!(reason(&actions).contains("verb watch on events in all namespaces"));
    assert_eq!(bench.due_in(), Duration::from_secs(1), "the server may have just started");
    for _ in 0..8 {
        assert_eq!(requests(&bench.wake()), ["watch 100"]);
        bench.step(Input::Failed(answer(403)));
    }
    assert!(bench.due_in() <= Duration::from_secs(60) && bench.due_in() > Duration::from_secs(50));
    let mut bench = Bench::resumed();
    bench.step(Input::Begin);
    let actions = bench.step(Input::Failed(answer(403)));
    assert!(reason(&actions).contains("verb list on events"));
    assert_eq!(requests(&bench.wake()), ["probe"]);
}

#[test]
fn a_wrong_address_is_named_and_tried_again() {
    for code in [400, 404] {
        let mut bench = Bench::resumed();
        bench.step(Input::Begin);
        let actions = bench.step(Input::Failed(answer(code)));
        assert!(reason(&actions).contains("source.kubernetes.server"));
        assert_eq!(requests(&bench.wake()), ["probe"]);
    }
}

#[test]
fn an_answer_that_cannot_be_used_is_tried_again() {
    let mut bench = Bench::resumed();
    bench.step(Input::Begin);
    let actions = bench.step(Input::Failed(Failure::Unusable("<html>".to_owned())));
    assert!(reason(&actions).contains("<html>"));
    assert_eq!(requests(&bench.wake()), ["probe"]);
}

#[test]
fn a_probe_that_is_too_old_is_tried_again() {
    let mut bench = Bench::resumed();
    bench.step(Input::Begin);
    assert_eq!(requests(&bench.step(Input::Failed(answer(410)))), [] as [&str; 0]);
    assert_eq!(requests(&bench.wake()), ["probe"]);
}

#[test]
fn waking_early_changes_nothing() {
    let mut bench = connecting();
    bench.step(Input::Failed(answer(503)));
    assert_eq!(bench.step(Input::Woke), []);
    assert_eq!(requests(&bench.wake()), ["probe"]);
}
