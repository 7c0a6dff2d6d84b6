//! What can be done to log and state, and how likely it is to be tried.
//!
//! Actions name places and sizes relative to what is there at the time, so that any sequence of them
//! makes sense, also one from which proptest has taken some away.

use proptest::collection::vec;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Hand a group over, without waiting for it to be durable.
    Append(Vec<Item>),
    /// Wait until all that was handed over is durable.
    Commit,
    /// Read some chunks.
    Read { reader: usize, chunks: usize },
    /// A reader begins anew somewhere.
    Seek { reader: usize, to: Place },
    /// Ask for the record at a place.
    Get(Place),
    /// A cursor moves, forward or back.
    MoveCursor { sink: usize, to: Place },
    /// A sink refuses a record for good, in so many words.
    Bury { sink: usize, record: u16, words: usize },
    /// List the dead letters of a sink.
    Letters(usize),
    /// Make the state durable.
    SyncState,
    /// Note the frontier in the state.
    NoteFrontier,
    /// Note until when the stream is complete.
    NoteComplete,
    /// Report a gap: a new one, or the last one, which has grown.
    ReportGap { grown: bool },
    /// Remove what lies behind a place.
    Trim(Place),
    /// Close in order and open again.
    Reopen,
    /// The process is killed, and another one opens what it has left.
    Crash(Moment),
    /// The volume fills up to so many KiB.
    Fill(u64),
    /// The volume has room again.
    Free,
}

/// What is appended: a record with a body of so many bytes, or a frontier that moves without one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Generations above, or below, the newest.
    pub generation: i8,
    /// Versions above, or below, the highest.
    pub step: i64,
    pub body: Option<usize>,
}

/// A place in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Place {
    Beginning,
    /// Of all that was ever appended, so many of 65,536.
    At(u16),
    Frontier,
    /// So many versions beyond all that was appended.
    Beyond(u8),
}

/// When a process is killed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Moment {
    /// When it has answered everything.
    Idle,
    /// So many microseconds after it was told to do this.
    Within(Box<Action>, u32),
    /// So many microseconds after the state was told to make durable that a sink has refused these
    /// records, and has passed everything.
    Passing(Vec<u16>, u32),
    /// As soon as the frontier has moved after this was handed over.
    Frontier(Vec<Item>),
    /// So many microseconds after another one has begun to open, which is then killed as well.
    Opening(u32),
}

/// A record from this length on is stored in several parts, also as a dead letter. None is much shorter
/// than this and longer than a few thousand bytes.
pub const LARGE: usize = 20_000;

/// Any sequence of actions on a volume with much room.
pub fn any_actions() -> impl Strategy<Value = Vec<Action>> {
    vec(any_action(), 1..40)
}

/// Any sequence of actions on a small volume that fills up now and then.
pub fn any_actions_on_a_small_volume() -> impl Strategy<Value = Vec<Action>> {
    let room = prop_oneof![
        prop_oneof![Just(0_u64), Just(4096)].prop_map(Action::Fill),
        Just(Action::Free)
    ];
    vec(prop_oneof![1 => room, 4 => any_action()], 1..25)
}

fn any_action() -> impl Strategy<Value = Action> {
    let killed_within = prop_oneof![
        4 => any_items().prop_map(Action::Append),
        2 => Just(Action::Commit),
        2 => Just(Action::SyncState),
        1 => Just(Action::ReportGap { grown: false }),
        2 => any_place().prop_map(Action::Trim),
        1 => Just(Action::Reopen),
    ];
    let moment = prop_oneof![
        2 => Just(Moment::Idle),
        5 => (killed_within, any_delay()).prop_map(|(action, delay)| Moment::Within(Box::new(action), delay)),
        2 => (vec(any::<u16>(), 3..30), any_delay())
            .prop_map(|(records, delay)| Moment::Passing(records, delay)),
        2 => any_items().prop_map(Moment::Frontier),
        1 => any_delay().prop_map(Moment::Opening),
    ];
    prop_oneof![
        8 => any_items().prop_map(Action::Append),
        5 => Just(Action::Commit),
        6 => (0..3_usize, 1..12_usize).prop_map(|(reader, chunks)| Action::Read { reader, chunks }),
        2 => (0..3_usize, any_place()).prop_map(|(reader, to)| Action::Seek { reader, to }),
        1 => any_place().prop_map(Action::Get),
        4 => (0..2_usize, any_place()).prop_map(|(sink, to)| Action::MoveCursor { sink, to }),
        3 => (0..2_usize, any::<u16>(), 0..3000_usize)
            .prop_map(|(sink, record, words)| Action::Bury { sink, record, words }),
        1 => (0..2_usize).prop_map(Action::Letters),
        2 => Just(Action::SyncState),
        1 => Just(Action::NoteFrontier),
        1 => Just(Action::NoteComplete),
        1 => any::<bool>().prop_map(|grown| Action::ReportGap { grown }),
        3 => any_place().prop_map(Action::Trim),
        1 => Just(Action::Reopen),
        4 => moment.prop_map(Action::Crash),
    ]
}

fn any<T: Arbitrary>() -> T::Strategy {
    proptest::arbitrary::any::<T>()
}

fn any_delay() -> impl Strategy<Value = u32> {
    prop_oneof![0..300_u32, 0..3_000_u32, 0..20_000_u32]
}

fn any_place() -> impl Strategy<Value = Place> {
    prop_oneof![
        1 => Just(Place::Beginning),
        6 => any::<u16>().prop_map(Place::At),
        2 => Just(Place::Frontier),
        1 => (1..50_u8).prop_map(Place::Beyond),
    ]
}

fn any_items() -> impl Strategy<Value = Vec<Item>> {
    prop_oneof![
        6 => vec(any_item(), 1..40),
        1 => vec(any_item(), 40..200),
        // Blocks without a record.
        1 => vec((1..4_i64).prop_map(|step| Item { generation: 0, step, body: None }), 1..3),
        // Enough to fill segments.
        2 => vec((700_000..1_500_000_usize).prop_map(|length| Item { generation: 0, step: 1, body: Some(length) }), 3..9),
    ]
}

fn any_item() -> impl Strategy<Value = Item> {
    let generation = prop_oneof![60 => Just(0_i8), 1 => Just(1), 1 => Just(-1)];
    let step = prop_oneof![20 => 1..4_i64, 2 => -5..1_i64, 1 => 1000..1_000_000_000_i64];
    let length = prop_oneof![
        100 => 0..3000_usize,
        8 => LARGE..60_000_usize,
        1 => 100_000..1_500_000_usize,
    ];
    let body = prop_oneof![5 => length.prop_map(Some), 1 => Just(None)];
    (generation, step, body).prop_map(|(generation, step, body)| Item { generation, step, body })
}
