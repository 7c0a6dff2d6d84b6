//! A reader of data directories written from `docs/on-disk-format.md` alone: it shares no code with
//! the program. What it cannot read, the description does not describe.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// generation, resourceVersion
pub type Position = (u32, String);

#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    pub number: u64,
    pub sequence: u64,
    pub generation: u32,
    pub end: String,
    pub written_at: i64,
    pub records: Vec<Record>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub version: String,
    pub received_at: i64,
    /// uid, type, reason, kind, namespace, name
    pub header: [String; 6],
    pub body: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Seal {
    pub last: Position,
    pub last_number: u64,
    pub first_sequence: u64,
    pub end_sequence: u64,
    pub sealed_at: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    pub first_number: u64,
    pub first_sequence: u64,
}

#[derive(Debug)]
pub struct Segment {
    pub first: Position,
    pub head: Option<Head>,
    pub seal: Option<Seal>,
    pub blocks: Vec<Block>,
}

#[derive(Debug, PartialEq)]
pub struct Cursor {
    pub position: Option<Position>,
    pub sequence: u64,
    pub updated_at: i64,
}

#[derive(Debug, PartialEq)]
pub struct Gap {
    pub after: Option<Position>,
    pub until: Position,
    pub from: Option<i64>,
    pub to: i64,
    pub cause: String,
}

#[derive(Debug, PartialEq)]
pub struct Mark {
    pub complete_until: Option<i64>,
    pub frontier: Option<Position>,
}

#[derive(Debug, PartialEq)]
pub struct Usage {
    /// When each message ended, or the last one began.
    pub messages: Vec<i64>,
    pub under_way: bool,
    pub closed_until: Option<i64>,
}

#[derive(Debug, PartialEq)]
pub struct Letter {
    pub sink: String,
    pub stream: String,
    pub position: Position,
    pub reason: String,
    pub attempts: u64,
    /// When it was first and last refused.
    pub times: [i64; 2],
    pub record: Record,
}

#[derive(Debug, Default)]
pub struct State {
    pub cursors: BTreeMap<(String, String), Cursor>,
    pub gaps: Vec<(String, Gap)>,
    pub marks: BTreeMap<String, Mark>,
    pub letters: Vec<Letter>,
    pub revision: u64,
    /// By quota.
    pub usages: BTreeMap<String, Usage>,
    /// By sink and stream.
    pub ahead: BTreeMap<(String, String), Vec<Position>>,
    /// By sink and place; those that are free are not here.
    pub groups: BTreeMap<(String, u16), Group>,
    pub paused: Vec<String>,
    /// By number.
    pub replays: BTreeMap<u64, Replay>,
    /// By number: when, and six texts.
    pub changes: BTreeMap<u64, (i64, [String; 6])>,
}

/// Position, and number of records up to it.
pub type Place = (Option<Position>, u64);

#[derive(Debug, PartialEq)]
pub struct Replay {
    pub sink: String,
    /// Stream, after, until.
    pub ranges: Vec<(String, Place, Place)>,
    pub filter: String,
    pub records: u64,
    pub per: u64,
    pub asked_at: i64,
    pub asked_by: String,
    pub lost: u64,
    /// When, whether by an operator, how many records were passed.
    pub end: Option<(i64, bool, u64)>,
}

#[derive(Debug, PartialEq)]
pub struct Group {
    pub id: [u8; 16],
    pub stream: String,
    pub position: Position,
    pub received_at: i64,
    pub event: String,
    pub records: u64,
    pub first: i64,
    pub last: i64,
    pub due: i64,
}

/// position, sequence, time of the last move, each as in `cursors.json`
pub type CopiedCursor = (Option<String>, u64, String);

/// Key and value of each entry of a database, in order.
pub type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

const LIMIT: u64 = 268_435_456;

/// The format of a directory, and its cluster.
pub fn identity(directory: &Path) -> (u64, Option<String>) {
    let text = fs::read(directory.join("relay.json")).expect("relay.json");
    let value: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    assert!(value.get("migratingFrom").is_none(), "to be migrated first");
    let cluster = value.get("clusterUid").map(|uid| uid.as_str().expect("text").to_owned());
    (value["format"].as_u64().expect("a number"), cluster)
}

/// The segments of a stream, in order.
pub fn segments(stream: &Path) -> Vec<Segment> {
    let mut segments: Vec<_> = fs::read_dir(stream)
        .expect("a stream")
        .map(|entry| entry.expect("an entry"))
        .filter_map(|entry| Some((position_of(entry.file_name().to_str()?)?, entry.path())))
        .map(|(first, path)| Segment {
            first,
            head: read_file(&path.join("head")).map(|bytes| head(&bytes)),
            seal: read_file(&path.join("seal")).map(|bytes| seal(&bytes)),
            blocks: blocks(&database(&path)),
        })
        .collect();
    segments.sort_by_key(|segment| order(&segment.first));
    segments
}

/// Checks what a reader checks, and returns all records with their generation.
pub fn records(segments: &[Segment]) -> Vec<(u32, Record)> {
    let mut before: Option<(u64, u64)> = None;
    let mut records = Vec::new();
    for (index, segment) in segments.iter().enumerate() {
        let (first, last) = (&segment.blocks[0], segment.blocks.last().expect("a block"));
        let first_sequence = first.sequence - first.records.len() as u64;
        let begins = first.records.first().map_or(&first.end, |record| &record.version);
        assert_eq!(segment.first, (first.generation, begins.clone()));
        if let Some(head) = &segment.head {
            let Head { first_number, first_sequence: sequence } = *head;
            assert_eq!((first_number, sequence), (first.number, first_sequence));
        }
        match &segment.seal {
            Some(seal) => {
                assert_eq!(seal.last, (last.generation, last.end.clone()));
                assert_eq!((seal.last_number, seal.end_sequence), (last.number, last.sequence));
                assert_eq!(seal.first_sequence, first_sequence);
                assert!(seal.sealed_at >= last.written_at);
            }
            None => assert_eq!(index, segments.len() - 1, "only the last one is without a seal"),
        }
        for block in &segment.blocks {
            let first_sequence = block.sequence - block.records.len() as u64;
            if let Some((number, sequence)) = before {
                assert_eq!((block.number, first_sequence), (number + 1, sequence));
            }
            before = Some((block.number, block.sequence));
            records.extend(block.records.iter().map(|record| (block.generation, record.clone())));
        }
    }
    records
}

/// All blocks among the pairs of a segment.
pub fn blocks(pairs: &Pairs) -> Vec<Block> {
    let mut blocks = Vec::new();
    for (key, value) in pairs {
        let (_, part) = block_key(key);
        if part > 0 {
            continue;
        }
        let (parts, mut payload) = open_part(key, value);
        for part in 1..parts {
            let mut key = key.clone();
            let at = key.len() - 2;
            key[at..].copy_from_slice(&part.to_be_bytes());
            let (same, more) = open_part(&key, &pairs[&key]);
            assert_eq!(same, parts);
            payload.extend(more);
        }
        blocks.push(block(&payload));
    }
    let parts: usize = pairs.keys().filter(|key| block_key(key).1 == 0).count();
    assert_eq!(blocks.len(), parts);
    blocks
}

/// The state database.
pub fn state(pairs: &Pairs) -> State {
    let mut state = State::default();
    for (key, value) in pairs {
        let mut key = Bytes(key);
        match key.byte() {
            1 => {
                let (sink, stream) = (key.name(), key.name());
                let (position, part) = (key.position(), u16::from_be_bytes(key.take()));
                if part == 0 {
                    state.letters.push(letter(pairs, sink, stream, position));
                }
            }
            2 => {
                let (stream, until) = (key.name(), key.position());
                let mut value = Bytes::stamped(value);
                let gap = Gap {
                    after: value.optional(Bytes::encoded_position),
                    until: value.encoded_position(),
                    from: value.optional(Bytes::signed),
                    to: value.signed(),
                    cause: value.text(),
                };
                value.end();
                assert_eq!(gap.until, until);
                state.gaps.push((stream, gap));
            }
            3 => {
                let mut value = Bytes::stamped(value);
                let complete_until = value.optional(Bytes::signed);
                let frontier = value.optional(Bytes::encoded_position);
                value.end();
                state.marks.insert(key.name(), Mark { complete_until, frontier });
            }
            4 => {
                let mut value = Bytes::stamped(value);
                let position = value.optional(Bytes::encoded_position);
                let (sequence, updated_at) = (value.unsigned(), value.signed());
                value.end();
                let cursor = Cursor { position, sequence, updated_at };
                state.cursors.insert((key.name(), key.name()), cursor);
            }
            5 => {
                let mut value = Bytes::stamped(value);
                state.revision = value.unsigned();
                value.end();
            }
            6 => drop(state.usages.insert(key.name(), usage(value))),
            7 => {
                let mut value = Bytes::stamped(value);
                let ahead = value.list(Bytes::encoded_position);
                value.end();
                state.ahead.insert((key.name(), key.name()), ahead);
            }
            8 => {
                let place = (key.name(), u16::from_be_bytes(key.take()));
                let mut value = Bytes::stamped(value);
                let group = value.optional(group);
                value.end();
                state.groups.extend(group.map(|group| (place, group)));
            }
            9 => {
                Bytes::stamped(value).end();
                state.paused.push(key.name());
            }
            10 => {
                let number = u64::from_be_bytes(key.take());
                let mut value = Bytes::stamped(value);
                let at = value.signed();
                let texts = [(); 6].map(|()| value.text());
                value.end();
                state.changes.insert(number, (at, texts));
            }
            12 => {
                let number = u64::from_be_bytes(key.take());
                let mut value = Bytes::stamped(value);
                let replay = replay(&mut value);
                value.end();
                state.replays.insert(number, replay);
            }
            tag => panic!("tag {tag}"),
        }
        key.end();
    }
    state
}

/// `cursors.json`: revision and cursors.
pub fn copy(text: &[u8]) -> (u64, BTreeMap<(String, String), CopiedCursor>) {
    let value: serde_json::Value = serde_json::from_slice(text).expect("JSON");
    assert_eq!(value["format"], 1);
    let content = &value["content"];
    let compact = serde_json::to_vec(content).expect("JSON");
    assert_eq!(value["checksum"].as_u64(), Some(u64::from(crc32(&[&compact]))));
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let lines = content["cursors"].as_array().expect("a list").iter().map(|line| {
        let position = line["position"].as_str().map(ToOwned::to_owned);
        let sequence = line["sequence"].as_u64().expect("a number");
        let place = (position, sequence, text(&line["updatedAt"]));
        ((text(&line["sink"]), text(&line["stream"])), place)
    });
    (content["revision"].as_u64().expect("a number"), lines.collect())
}

/// Everything in the database at `path`.
pub fn database(path: &Path) -> Pairs {
    let database = sled::Config::new().path(path).segment_size(1_048_576).open().expect("sled");
    let pairs = database.iter().map(|pair| pair.expect("a pair"));
    pairs.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

pub fn seal(bytes: &[u8]) -> Seal {
    let mut bytes = small_file(bytes);
    let seal = Seal {
        last: bytes.encoded_position(),
        last_number: bytes.unsigned(),
        first_sequence: bytes.unsigned(),
        end_sequence: bytes.unsigned(),
        sealed_at: bytes.signed(),
    };
    bytes.end();
    seal
}

pub fn head(bytes: &[u8]) -> Head {
    let mut bytes = small_file(bytes);
    let head = Head { first_number: bytes.unsigned(), first_sequence: bytes.unsigned() };
    bytes.end();
    head
}

fn usage(value: &[u8]) -> Usage {
    let mut value = Bytes::stamped(value);
    let distances = value.list(Bytes::signed);
    let (under_way, closed_until) = (value.yes_or_no(), value.optional(Bytes::signed));
    value.end();
    let mut at = 0;
    let mut moment = |distance| {
        at += distance;
        at
    };
    let messages = distances.into_iter().map(&mut moment).collect();
    Usage { messages, under_way, closed_until }
}

fn place(value: &mut Bytes<'_>) -> Place {
    (value.optional(Bytes::encoded_position), value.unsigned())
}

fn replay(value: &mut Bytes<'_>) -> Replay {
    Replay {
        sink: value.text(),
        ranges: value.list(|value| (value.text(), place(value), place(value))),
        filter: value.text(),
        records: value.unsigned(),
        per: value.unsigned(),
        asked_at: value.signed(),
        asked_by: value.text(),
        lost: value.unsigned(),
        end: value.optional(|value| (value.signed(), value.yes_or_no(), value.unsigned())),
    }
}

fn group(value: &mut Bytes<'_>) -> Group {
    Group {
        id: value.take(),
        stream: value.text(),
        position: value.encoded_position(),
        received_at: value.signed(),
        event: value.text(),
        records: value.unsigned(),
        first: value.signed(),
        last: value.signed(),
        due: value.signed(),
    }
}

fn letter(pairs: &Pairs, sink: String, stream: String, position: Position) -> Letter {
    let (generation, digits) = &position;
    let mut key = vec![1];
    for name in [&sink, &stream] {
        key.extend(u16::try_from(name.len()).expect("short").to_be_bytes());
        key.extend(name.bytes());
    }
    key.extend(generation.to_be_bytes());
    key.push(u8::try_from(digits.len()).expect("short"));
    key.extend(digits.bytes());
    let part = |part: u16| pairs.get(&[&key[..], &part.to_be_bytes()].concat());
    let joined = |from: u16| (from..).map_while(part).flatten().copied();
    let mut first = Bytes(part(0).expect("part 0"));
    let (reason, attempts, times, payload) = match first.byte() {
        1 => {
            let joined = joined(0).collect::<Vec<u8>>();
            let mut bytes = Bytes(&joined[1..]);
            let length = bytes.length_le();
            let mut bytes = Bytes(&bytes.0[..length]);
            let note = bytes.length_le();
            let (note, payload) = bytes.0.split_at(note);
            let mut note = Bytes::stamped(note);
            let (reason, at) = (note.text(), note.signed());
            note.end();
            (reason, 1, [at, at], payload.to_vec())
        }
        2 => {
            let record = u16::from_le_bytes(first.take());
            let length = first.length_le();
            let mut note = Bytes::stamped(first.0);
            let (reason, attempts) = (note.text(), note.unsigned());
            let times = [note.signed(), note.signed()];
            note.end();
            (reason, attempts, times, joined(record).take(length).collect::<Vec<u8>>())
        }
        other => panic!("format {other} of a dead letter"),
    };
    let mut block = block(&payload);
    let record = block.records.pop().expect("a record");
    assert_eq!((block.number, block.sequence, block.records.len()), (0, 1, 0));
    assert_eq!((block.generation, &record.version), (*generation, digits));
    Letter { sink, stream, position, reason, attempts, times, record }
}

fn block(payload: &[u8]) -> Block {
    let mut bytes = Bytes(payload);
    let (number, sequence) = (bytes.unsigned(), bytes.unsigned());
    let generation = u32::try_from(bytes.unsigned()).expect("a generation");
    let (end, written_at) = (bytes.text(), bytes.signed());
    let records = bytes.unsigned();
    let (heads_length, compressed, bodies_length) =
        (bytes.length(), bytes.length(), bytes.length());
    let (heads, bodies) = bytes.0.split_at(compressed);
    let (heads, bodies) = (decompress(heads, heads_length), decompress(bodies, bodies_length));
    let (mut heads, mut bodies) = (Bytes(&heads), Bytes(&bodies));
    assert_eq!(heads.unsigned(), records, "a list of so many heads");
    let records = (0..records).map(|_| {
        let (version, received_at) = (heads.text(), heads.signed());
        let header = std::array::from_fn(|_| heads.text());
        let length = heads.length();
        let (body, rest) = bodies.0.split_at(length);
        bodies = Bytes(rest);
        Record { version, received_at, header, body: body.to_vec() }
    });
    let records = records.collect();
    heads.end();
    bodies.end();
    Block { number, sequence, generation, end, written_at, records }
}

fn block_key(key: &[u8]) -> (Position, u16) {
    let mut key = Bytes(key);
    let found = (key.position(), u16::from_be_bytes(key.take()));
    key.end();
    found
}

/// Number of parts, and the payload of this one.
fn open_part(key: &[u8], value: &[u8]) -> (u16, Vec<u8>) {
    assert!(value.len() <= 14_563);
    let mut bytes = Bytes(value);
    assert_eq!(bytes.byte(), 1, "format");
    let sum = u32::from_le_bytes(bytes.take());
    assert_eq!(sum, crc32(&[key, &value[..1], bytes.0]));
    (u16::from_le_bytes(bytes.take()), bytes.0.to_vec())
}

fn small_file(bytes: &[u8]) -> Bytes<'_> {
    let mut bytes = Bytes(bytes);
    assert_eq!(bytes.byte(), 1, "format");
    let sum = u32::from_le_bytes(bytes.take());
    assert_eq!(sum, crc32(&[bytes.0]));
    bytes
}

fn read_file(path: &Path) -> Option<Vec<u8>> {
    path.exists().then(|| fs::read(path).expect("readable"))
}

fn position_of(name: &str) -> Option<Position> {
    let (generation, version) = name.split_once('.')?;
    let digits = version.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some((generation.parse().ok()?, version.to_owned()))
}

fn order((generation, version): &Position) -> (u32, usize, String) {
    (*generation, version.len(), version.clone())
}

fn decompress(frame: &[u8], length: usize) -> Vec<u8> {
    let plain = zstd::decode_all(frame).expect("a zstd frame");
    assert_eq!(plain.len(), length);
    plain
}

fn crc32(parts: &[&[u8]]) -> u32 {
    let table: Vec<u32> = (0..256)
        .map(|byte| (0..8).fold(byte, |sum, _| (sum >> 1) ^ (0xedb8_8320 * (sum & 1))))
        .collect();
    let step = |sum: u32, byte: &u8| table[usize::from(sum.to_le_bytes()[0] ^ byte)] ^ (sum >> 8);
    !parts.iter().copied().flatten().fold(u32::MAX, step)
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// A value of the state database behind its format.
    fn stamped(value: &'a [u8]) -> Self {
        let mut bytes = Self(value);
        assert_eq!(bytes.byte(), 1, "format");
        bytes
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_first_chunk().expect("more bytes");
        self.0 = rest;
        *taken
    }

    fn byte(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    fn string(&mut self, length: usize) -> String {
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8(text.to_vec()).expect("UTF-8")
    }

    fn unsigned(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=250 => small.into(),
            251 => u16::from_le_bytes(self.take()).into(),
            252 => u32::from_le_bytes(self.take()).into(),
            253 => u64::from_le_bytes(self.take()),
            other => panic!("{other:x} begins no number"),
        }
    }

    fn signed(&mut self) -> i64 {
        let unsigned = self.unsigned();
        let half = i64::try_from(unsigned / 2).expect("half of it fits");
        if unsigned.is_multiple_of(2) { half } else { -half - 1 }
    }

    fn length(&mut self) -> usize {
        let length = self.unsigned();
        assert!(length <= LIMIT);
        usize::try_from(length).expect("below the limit")
    }

    fn length_le(&mut self) -> usize {
        usize::try_from(u32::from_le_bytes(self.take())).expect("a length")
    }

    fn text(&mut self) -> String {
        let length = self.length();
        self.string(length)
    }

    fn yes_or_no(&mut self) -> bool {
        match self.byte() {
            0 => false,
            1 => true,
            other => panic!("{other:x} is neither yes nor no"),
        }
    }

    fn list<T>(&mut self, read: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.length()).map(|_| read(self)).collect()
    }

    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        match self.byte() {
            0 => None,
            1 => Some(read(self)),
            other => panic!("{other:x} begins no optional value"),
        }
    }

    /// A position in bincode.
    fn encoded_position(&mut self) -> Position {
        (u32::try_from(self.unsigned()).expect("a generation"), self.text())
    }

    /// A position in a key.
    fn position(&mut self) -> Position {
        let generation = u32::from_be_bytes(self.take());
        let digits = self.byte();
        (generation, self.string(digits.into()))
    }

    /// A name in a key.
    fn name(&mut self) -> String {
        let length = u16::from_be_bytes(self.take());
        self.string(length.into())
    }

    fn end(self) {
        assert_eq!(self.0, [0; 0], "nothing follows");
    }
}
