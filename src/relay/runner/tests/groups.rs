//! Equal records told as one.

use super::*;
use crate::sink::Grouping;

fn profile_with_groups(messages: u32) -> Profile {
    let rate = Rate { messages, per: Span::from_secs(60) };
    let group = Grouping { by: vec![sink::Property::Reason], ..Grouping::default() };
    Profile { quota: Some(Quota::of_sink("test", rate)), group: Some(group), ..profile(100) }
}

fn start(profile: Profile, script: Vec<Act>) -> Trial {
    Trial::start_with(profile, script, Stage::making_digests)
}

#[tokio::test(start_paused = true)]
async fn repeats_of_one_thing_become_one_message_that_is_told_again_while_it_goes_on() {
    let mut trial = start(profile_with_groups(20), vec![]);
    trial.arrive(1..=5);
    trial.settle().await;
    assert_eq!(trial.book.moves(), [5], "they are in the group");
    let first = trial.sent().await;
    assert_eq!((first.versions, first.repeats), (vec![5], vec![5]));
    assert_eq!(first.at, Duration::from_secs(10));
    trial.arrive(6..=9);
    let second = trial.sent().await;
    assert_eq!((second.versions, second.repeats), (vec![9], vec![4]));
    assert_eq!(second.at, Duration::from_secs(610));
    trial.settle().await;
    assert_eq!(trial.report.metrics.delivered.get(), 9);
    assert_eq!(trial.book.groups("test").len(), 1);
    trial.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_that_fails_is_tried_again_and_one_that_is_refused_is_a_dead_letter() {
    let script = vec![retry(None), each(&[rejected()])];
    let mut trial = start(profile_with_groups(20), script);
    trial.arrive(1..=3);
    for _ in 0..2 {
        assert_eq!(trial.sent().await.repeats, [3]);
    }
    trial.settle().await;
    let buried = |entry: &Entry| matches!(entry, Entry::Buried(3, _));
    assert!(trial.book.entries().iter().any(buried));
    assert_eq!(trial.report.metrics.delivered.get(), 0);
    trial.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_in_groups_is_told_after_a_restart() {
    let before = start(profile_with_groups(20), vec![]);
    before.arrive(1..=3);
    before.settle().await;
    let book = before.book.clone();
    before.end().await;
    let mut after = Trial::start_on(book, profile_with_groups(20), vec![], Stage::making_digests);
    after.arrive(4..=4);
    assert_eq!(after.sent().await.repeats, [4]);
    after.end().await;
}
