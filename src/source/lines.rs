//! Cuts a byte stream into lines.
//!
//! Invariant: a line is given out only when its end has been seen. What a cut connection leaves
//! behind is never taken for an item.

use bytes::{Bytes, BytesMut};

/// Longest line. etcd's limit for an object is about 1.5 MiB; this leaves room for larger ones and
/// still bounds memory when what answers is no API server.
const LONGEST: usize = 64 << 20;

/// Collects bytes and gives lines out.
#[derive(Debug, Default)]
pub(super) struct Lines {
    buffer: BytesMut,
    /// Bytes at the front that are known to hold no line end.
    searched: usize,
}

/// A line is longer than any object of an API server.
#[derive(Debug, thiserror::Error)]
#[error("a line is longer than {LONGEST} bytes")]
pub(super) struct LineTooLong;

impl Lines {
    /// Adds what was received.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), LineTooLong> {
        self.buffer.extend_from_slice(bytes);
        // Only an unfinished line stays in the buffer between two calls.
        if self.searched > LONGEST { Err(LineTooLong) } else { Ok(()) }
    }

    /// The next line, without its end; empty lines are passed over.
    pub(super) fn next_line(&mut self) -> Option<Bytes> {
        loop {
            let unsearched = &self.buffer[self.searched..];
            let Some(length) = unsearched.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                return None;
            };
            let line = self.buffer.split_to(self.searched + length + 1).freeze();
            self.searched = 0;
            let line = line.slice(..line.len() - 1);
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Some(line);
            }
        }
    }

    /// Whether a line has begun and not ended.
    pub(super) fn is_within_line(&self) -> bool {
        !self.buffer.iter().all(u8::is_ascii_whitespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_unfinished_line_is_not_given_out() {
        let mut lines = Lines::default();
        lines.push(b"{\"a\":1}\n{\"b\"").expect("short");
        assert_eq!(lines.next_line().as_deref(), Some(&b"{\"a\":1}"[..]));
        assert_eq!(lines.next_line(), None);
        assert!(lines.is_within_line());
        lines.push(b":2}\r\n").expect("short");
        assert_eq!(lines.next_line().as_deref(), Some(&b"{\"b\":2}\r"[..]));
        assert!(!lines.is_within_line());
    }

    #[test]
    fn a_line_of_many_mebibytes_is_read() {
        let mut lines = Lines::default();
        let chunk = vec![b'x'; 1 << 20];
        for _ in 0..20 {
            lines.push(&chunk).expect("below the limit");
            assert_eq!(lines.next_line(), None);
        }
        lines.push(b"\n").expect("below the limit");
        assert_eq!(lines.next_line().map(|line| line.len()), Some(20 << 20));
    }

    #[test]
    fn endless_bytes_without_a_line_end_are_refused() {
        let mut lines = Lines::default();
        let chunk = vec![b'x'; 8 << 20];
        let refused = (0..20).any(|_| {
            let refused = lines.push(&chunk).is_err();
            assert_eq!(lines.next_line(), None);
            refused
        });
        assert!(refused);
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_bytes_arrive(
            texts in proptest::collection::vec("[a-z]{1,9}", 0..9),
            size in 1usize..7,
        ) {
            let all: String = texts.iter().flat_map(|text| [text.as_str(), "\n"]).collect();
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for piece in all.as_bytes().chunks(size) {
                lines.push(piece).expect("short");
                while let Some(line) = lines.next_line() {
                    found.push(String::from_utf8(line.to_vec()).expect("ASCII"));
                }
            }
            prop_assert_eq!(found, texts);
        }
    }
}
