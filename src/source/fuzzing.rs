//! What is promised of the API server's answers for any input: see [`crate::fuzzing`].

use super::lines::Lines;
use super::parse::{self, Message};
use crate::event::Record;

/// Any bytes are read without a panic, and the same bytes alike, however they arrive.
pub(crate) fn watch_lines(data: &[u8]) {
    let (sizes, text) = data.split_at(data.len().min(4));
    let whole = read(std::iter::once(text));
    let mut rest = text;
    let mut sizes = sizes.iter().cycle().map(|size| usize::from(*size).max(1));
    let chunks = std::iter::from_fn(|| {
        let (chunk, tail) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
        rest = tail;
        (!chunk.is_empty()).then_some(chunk)
    });
    assert_eq!(read(chunks), whole, "the same bytes in other chunks");

    drop(parse::status(text));
    drop(super::objects::uid(text));
    drop(super::objects::data(text));
    let _message = parse::event_message(text);
    if let Ok(page) = parse::page(text) {
        page.events.iter().for_each(|event| is_stable(&event.body));
        assert!(page.unreadable.iter().all(|cause| !cause.contains('\n')), "more than one line");
    }
}

/// What the lines of a watch say, and whether a line is unfinished.
fn read<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<String>, bool) {
    let mut lines = Lines::default();
    let mut said = Vec::new();
    for chunk in chunks {
        assert!(lines.push(chunk).is_ok(), "an input is shorter than the longest line");
        while let Some(line) = lines.next_line() {
            let message = parse::message(&line);
            if let Ok(Message::Record(event)) = &message {
                is_stable(&event.body);
            }
            said.push(format!("{message:?}"));
        }
    }
    (said, lines.is_within_line())
}

/// A body that is read again is the same event with the same bytes.
fn is_stable(body: &[u8]) {
    let Ok((version, header, again)) = Record::parse_event(body) else {
        panic!("a body that is no event");
    };
    assert_eq!(again, body, "{version} {header:?}");
}
