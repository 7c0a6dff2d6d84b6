//! The bound of dead letters: a full box holds the sink, or the oldest make room.

use super::*;
use crate::cursor::LettersFull;

fn bounded(max_records: u64, when_full: LettersFull) -> Profile {
    let letters = DeadLettersConfig { max_records, when_full, ..DeadLettersConfig::default() };
    Profile { letters, ..profile(1) }
}

fn refusing(count: usize) -> Vec<Act> {
    vec![Act::Answer(Delivery::Whole(rejected())); count]
}

#[tokio::test(start_paused = true)]
async fn a_sink_whose_letters_are_full_is_held_until_there_is_room() {
    let mut trial = Trial::start(bounded(2, LettersFull::Hold), refusing(3));
    trial.arrive(1..=5);
    assert_eq!((trial.versions().await, trial.versions().await), (vec![1], vec![2]));
    trial.settle().await;
    assert_eq!(trial.report.state(), SinkState::Held);
    let failure = trial.report.failure().expect("a failure");
    for part in ["2 of 2", "dead-letter list test", "dead-letter discard", "deadLetters.maxRecords"]
    {
        assert!(failure.cause.contains(part), "{part}: {}", failure.cause);
    }
    assert_eq!(failure.next_attempt_at, None);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!(trial.sent.try_recv().is_err(), "nothing is sent while it is held");
    assert_eq!(trial.book.moves(), [1, 2]);

    trial.book.remove_letters(1);
    assert_eq!(trial.versions().await, [3], "it goes on by itself");
    trial.settle().await;
    assert_eq!(trial.report.state(), SinkState::Held, "and is full again");
    trial.book.remove_letters(2);
    assert_eq!((trial.versions().await, trial.versions().await), (vec![4], vec![5]));
    trial.settle().await;
    assert_eq!((trial.report.state(), trial.report.failure()), (SinkState::Idle, None));
    assert_eq!(trial.report.metrics.dead_letters_dropped.get(), 0);
    trial.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_held_sink_stops_at_once() {
    let mut trial = Trial::start(bounded(1, LettersFull::Hold), refusing(1));
    trial.arrive(1..=2);
    assert_eq!(trial.versions().await, [1]);
    trial.settle().await;
    assert_eq!(trial.report.state(), SinkState::Held);
    let begun = Instant::now();
    trial.end().await;
    assert!(begun.elapsed() < Duration::from_millis(1));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_letters_make_room_and_are_counted() {
    let mut trial = Trial::start(bounded(2, LettersFull::DropOldest), refusing(5));
    trial.arrive(1..=6);
    for version in 1..=6 {
        assert_eq!(trial.versions().await, [version]);
    }
    trial.settle().await;
    assert_eq!(trial.report.state(), SinkState::Idle);
    assert_eq!(trial.book.letter_tally("test").records, 2);
    let metrics = &trial.report.metrics;
    assert_eq!((metrics.dead_lettered.get(), metrics.dead_letters_dropped.get()), (5, 3));
    trial.end().await;
}
