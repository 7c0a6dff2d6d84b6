//! What is promised of the state for any input: see [`crate::fuzzing`].

use std::path::Path;

use bytes::Bytes;
use jiff::Timestamp;

use super::copy::Copy;
use super::encoding::decode;
use super::keys::{self, Key, Parts};
use super::letters::DeadLetter;
use super::state::{Mark, StoredCursor, StoredGap};
use super::{audit, groups, replays, usage};
use crate::event::{Generation, Header, Position, Record, ResourceVersion, StreamId};
use crate::fuzzing::Input;
use crate::log::VALUE_LIMIT;
use crate::log::fuzzing::with_file;

/// Names are told apart, whatever they are, and keys read back; any bytes are a key or none.
pub(crate) fn keys(data: &[u8]) {
    let mut input = Input::new(data);
    let names = [(); 4].map(|()| input.text());
    let key = |sink: &str, stream: &str| Key::new(keys::CURSOR).name(sink).name(stream).bytes();
    let [left_sink, left_stream, right_sink, right_stream] = &names;
    let (left, right) = (key(left_sink, left_stream), key(right_sink, right_stream));
    assert_eq!(left == right, (left_sink, left_stream) == (right_sink, right_stream));
    let Some(mut parts) = Parts::of(&left) else { panic!("a key without a tag") };
    assert_eq!((parts.name(), parts.name()), (Some(&**left_sink), Some(&**left_stream)));

    if let Some(mut parts) = Parts::of(input.rest()) {
        let _parts = (parts.name(), parts.stream(), parts.position(), parts.part());
    }
}

/// Any bytes are a value or none; a letter reads back, whatever is in it.
pub(crate) fn stored(data: &[u8]) {
    let path = Path::new("state");
    drop(decode::<StoredCursor>(path, "a cursor", data));
    drop(decode::<StoredGap>(path, "a gap", data));
    drop(decode::<Mark>(path, "a mark", data));
    drop(decode::<u64>(path, "a revision", data));
    drop(decode::<Vec<Position>>(path, "positions", data));
    drop(usage::read(path, data));
    drop(groups::read(path, data));
    drop(audit::read(path, data));
    drop(replays::read(path, data));
    with_file("cursors.json", data, |directory| {
        for line in Copy::read(directory).ok().flatten().into_iter().flat_map(|copy| copy.cursors) {
            drop(line.cursor());
        }
    });
    let stream = StreamId::all_namespaces();
    drop(DeadLetter::from_parts(path, "sink", &stream, &[(0, data)]));
    let (note, record) = data.split_at(data.len() / 2);
    drop(DeadLetter::from_parts(path, "sink", &stream, &[(0, note), (1, record)]));
    letter_reads_back(&mut Input::new(data), &stream);
}

fn letter_reads_back(input: &mut Input<'_>, stream: &StreamId) {
    let milliseconds = i64::from(input.word());
    let at = Timestamp::from_millisecond(milliseconds).unwrap_or_default();
    let reason = input.text();
    let header = Header { reason: input.text(), name: input.text(), ..Header::default() };
    let left_over = usize::from(input.word());
    let attempts = input.word().into();
    let record = Record {
        stream: stream.clone(),
        position: Position::new(Generation(input.word().into()), ResourceVersion::first()),
        received_at: at,
        header,
        body: Bytes::copy_from_slice(input.rest()),
    };
    let letter = DeadLetter { attempts, ..DeadLetter::new("sink".to_owned(), record, reason, at) };
    let Ok(pairs) = letter.pairs() else { panic!("a letter that cannot be stored") };
    assert!(pairs.values().all(|value| value.len() <= VALUE_LIMIT));
    let mut parts: Vec<(u16, Vec<u8>)> = (0..).zip(pairs.into_values()).collect();
    // Parts of a longer letter may follow.
    let next = u16::try_from(parts.len()).unwrap_or(u16::MAX);
    parts.push((next, vec![7; left_over]));
    let read = DeadLetter::from_parts(Path::new("state"), "sink", stream, &parts);
    assert_eq!(read.ok(), Some(letter));
}
