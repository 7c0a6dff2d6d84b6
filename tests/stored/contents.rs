//! What a golden data directory holds, by rule. It never changes: golden directories made in the
//! past were filled by it.

use bytes::Bytes;
use jiff::Timestamp;
use kube_event_relay::cursor::{AuditEntry, Cursor, DeadLetter, Group, Usage};
use kube_event_relay::event::{Header, Position, Record, StreamId};
use kube_event_relay::log::{Entry, Gap, NewRecord};

/// The cluster it belongs to.
pub const CLUSTER: &str = "5f0c1c1e-7d0e-4b0a-9a53-3f1d8f6c2b7e";
/// Sinks with cursors.
pub const SINKS: [&str; 2] = ["oncall", "archive"];

/// Milliseconds since 1970 at which everything in it began.
const EPOCH: i64 = 1_764_000_000_000;
/// Records of the stream of all namespaces in generation 0 and in generation 1.
const RECORDS: [u64; 2] = [3_000, 300];
/// Records of the stream of one namespace.
const SHOP_RECORDS: u64 = 40;
/// Bytes that nothing compresses; large bodies are cut from them, so that all of them together pack
/// into one copy.
const NOISE: usize = 64 << 10;

/// The stream of all namespaces.
pub fn everything() -> StreamId {
    StreamId::all_namespaces()
}

/// The stream of one namespace.
pub fn shop() -> StreamId {
    StreamId::of_namespace("shop").expect("a namespace")
}

/// A step of filling a stream.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // nearly every step appends
pub enum Step {
    /// Append.
    Append(Entry),
    /// Wait until everything so far is durable; what follows begins a new block.
    Sync,
}

/// How each stream was filled.
pub fn steps(stream: &StreamId) -> Vec<Step> {
    let records = records(stream);
    let mut steps = Vec::new();
    if *stream == shop() {
        // A stream whose first block is empty.
        steps.push(Step::Append(Entry::Advance(position("0.17"))));
        steps.push(Step::Sync);
    }
    for (number, record) in (0u64..).zip(records) {
        let moved = moved_after(&record.position);
        steps.push(Step::Append(Entry::Record(new_record(record))));
        match number % 500 {
            // An empty block of its own …
            199 => steps.extend([Step::Sync, Step::Append(Entry::Advance(moved)), Step::Sync]),
            // … and one whose frontier lies past its last record.
            399 => steps.extend([Step::Append(Entry::Advance(moved)), Step::Sync]),
            _ => {}
        }
    }
    steps.push(Step::Append(Entry::Advance(frontier(stream))));
    steps.push(Step::Sync);
    steps
}

/// Where each stream ends.
pub fn frontier(stream: &StreamId) -> Position {
    position(if *stream == shop() { "0.99999999999999999999" } else { "1.100000" })
}

/// The records of a stream, in order.
pub fn records(stream: &StreamId) -> Vec<Record> {
    let noise = noise();
    if *stream == shop() {
        return (0..SHOP_RECORDS).map(|number| record(stream, 0, 20 + number, &noise)).collect();
    }
    let first = (0..RECORDS[0]).map(|number| record(stream, 0, 1_000 + number * 3, &noise));
    // The history of the API server was replaced: its versions begin again.
    let second = (0..RECORDS[1]).map(|number| record(stream, 1, 10 + number * 2, &noise));
    first.chain(second).collect()
}

/// All cursors: sink, stream, cursor.
pub fn cursors() -> Vec<(&'static str, StreamId, Cursor)> {
    let cursor = |text: Option<&str>, sequence, after| Cursor {
        position: text.map(position),
        sequence,
        updated_at: time(after),
    };
    vec![
        ("archive", everything(), cursor(Some("0.1597"), 200, 1)),
        ("oncall", everything(), cursor(Some("1.308"), 3_150, 86_400_000)),
        ("oncall", shop(), cursor(None, 0, 77)),
    ]
}

/// How much of which quota was used. Golden directories made before quotas have none.
pub fn usages() -> Vec<(&'static str, Usage)> {
    let usage = |messages: &[i64], under_way, closed_until: Option<i64>| Usage {
        messages: messages.iter().map(|after| time(*after)).collect(),
        under_way,
        closed_until: closed_until.map(time),
    };
    vec![
        ("dingtalk:1a7674eb4ee78df7", usage(&[5, 3_400, 3_390, 90_000_000], true, None)),
        ("sink:oncall", usage(&[], false, Some(600_000))),
    ]
}

/// What is done ahead of the cursor of a sink in a stream. Golden directories made before there was
/// such a thing have none.
pub fn ahead(sink: &str, stream: &StreamId) -> Vec<Position> {
    match sink {
        "archive" if *stream == everything() => {
            ["0.1600", "0.1699", "1.10"].into_iter().map(position).collect()
        }
        _ => Vec::new(),
    }
}

/// Sinks that are paused. Golden directories made before there were any have none.
pub const PAUSED: [&str; 1] = ["archive"];

/// What operators have changed. Golden directories made before this was kept have nothing of it.
pub fn changes() -> Vec<AuditEntry> {
    let change = |hour: i64| AuditEntry {
        at: Timestamp::from_second(1_767_225_600 + 3_600 * hour).expect("a time"),
        from: format!("10.0.0.{hour}:4711"),
        action: "cursor pause".to_owned(),
        subject: "archive".to_owned(),
        before: "running".to_owned(),
        after: "paused".to_owned(),
        effect: "its records wait in the log until it is resumed".to_owned(),
    };
    (0..3).map(change).collect()
}

/// Groups of a sink, each in a place. Golden directories made before there were any have none.
pub fn groups(sink: &str) -> Vec<(u16, Option<Group>)> {
    let all = records(&everything());
    let group = |record: usize, records| Group {
        id: [u8::try_from(record).expect("small"); 16],
        newest: Group::keepable(all[record].clone()),
        records,
        first: time(5),
        last: time(7),
        due: time(10_005),
    };
    match sink {
        "oncall" => vec![(0, Some(group(3, 2))), (1, None), (7, Some(group(9, 0)))],
        _ => Vec::new(),
    }
}

/// Dead letters of a sink, in order.
pub fn letters(sink: &str) -> Vec<DeadLetter> {
    let letter = |record: usize, reason: &str| {
        let at = time(100_000 + i64::try_from(record).expect("few records"));
        let record = records(&everything())[record].clone();
        DeadLetter::new(sink.to_owned(), record, reason.to_owned(), at)
    };
    match sink {
        "oncall" => vec![
            letter(0, "400 Bad Request: keyword missing"),
            // Large enough for parts.
            letter(7, "413 Payload Too Large"),
            letter(3_001, "422 Unprocessable Entity: \u{6d88}\u{606f}"),
        ],
        _ => vec![letter(8, "")],
    }
}

/// Gaps of a stream.
pub fn gaps(stream: &StreamId) -> Vec<Gap> {
    if *stream == shop() {
        return vec![Gap {
            after: None,
            until: position("0.17"),
            from_time: None,
            to_time: time(5),
            cause: "the first start".to_owned(),
        }];
    }
    vec![Gap {
        after: Some(position("0.9997")),
        until: position("1.10"),
        from_time: Some(time(3_000)),
        to_time: time(7_203_000),
        cause: "stopped for 2 h; events may have expired \u{2014} \u{4e8b}\u{4ef6}".to_owned(),
    }]
}

/// Until when a stream is complete.
pub fn complete_until(stream: &StreamId) -> Option<Timestamp> {
    (*stream != shop()).then(|| time(90_000_000))
}

fn record(stream: &StreamId, generation: u32, version: u64, noise: &[u8]) -> Record {
    Record {
        stream: stream.clone(),
        position: position(&format!("{generation}.{version}")),
        received_at: time(
            i64::from(generation) * 7_000_000 + i64::try_from(version).expect("small"),
        ),
        header: header(version),
        body: body(version, noise),
    }
}

fn header(version: u64) -> Header {
    if version % 100 == 37 {
        // An event with odd fields is stored as it is.
        return Header::default();
    }
    let pick = |of: &[&str]| of[usize::try_from(version).expect("small") % of.len()].to_owned();
    Header {
        uid: format!("00000000-0000-4000-8000-{version:012}"),
        event_type: pick(&["Normal", "Warning"]),
        reason: pick(&["BackOff", "Scheduled", "Killing", "FailedMount", "Pulled"]),
        kind: pick(&["Pod", "Node", "Job"]),
        namespace: pick(&["shop", "", "kube-system"]),
        name: format!("cart-{}", version % 97),
    }
}

/// One body in twenty is large: `version`, then noise.
fn body(version: u64, noise: &[u8]) -> Bytes {
    if version % 20 == 1 {
        let length = 56_000 + usize::try_from(version).expect("small") % 9_000;
        return [&version.to_le_bytes(), &noise[..length]].concat().into();
    }
    let count = version % 50 + 1;
    let text = format!(
        r#"{{"kind":"Event","apiVersion":"v1","metadata":{{"name":"cart-{}.{version:x}","resourceVersion":"{version}"}},"message":"{}","count":{count}}}"#,
        version % 97,
        "Back-off restarting failed container. "
            .repeat(usize::try_from(version % 7).expect("small")),
    );
    text.into_bytes().into()
}

fn noise() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..NOISE / 8).flat_map(|_| word()).collect()
}

/// A position a little past a record and before the next.
fn moved_after(position: &Position) -> Position {
    let version: u64 = position.resource_version.as_str().parse().expect("a number");
    let next = (version + 1).to_string().parse().expect("a version");
    Position::new(position.generation, next)
}

fn new_record(record: Record) -> NewRecord {
    let Record { position, received_at, header, body, .. } = record;
    NewRecord { position, received_at, header, body }
}

fn position(text: &str) -> Position {
    text.parse().expect("a position")
}

fn time(after: i64) -> Timestamp {
    Timestamp::from_millisecond(EPOCH + after).expect("a time")
}
