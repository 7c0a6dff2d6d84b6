//! Reads an open watch.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use kube::client::Body;
use tokio::time::Instant;

use super::access_error::describe;
use super::lines::Lines;
use super::machine::Break;

/// An open watch. Cancelling [`WatchReader::read`] loses nothing.
pub(super) struct WatchReader {
    body: Body,
    lines: Lines,
    /// Since when there has been nothing to read.
    waiting_since: Option<Instant>,
}

/// What came.
#[derive(Debug)]
pub(super) enum Read {
    /// An item, after so long without one. There may be more: [`WatchReader::next_line`].
    Line(Bytes, Duration),
    /// The watch is over.
    End(Break),
}

impl WatchReader {
    /// Reads the body of an accepted watch.
    pub(super) fn new(body: Body) -> Self {
        Self { body, lines: Lines::default(), waiting_since: None }
    }

    /// Waits for an item, when [`WatchReader::next_line`] has none.
    pub(super) async fn read(&mut self) -> Read {
        self.waiting_since.get_or_insert_with(Instant::now);
        loop {
            if let Some(line) = self.lines.next_line() {
                let waited = self.waited();
                self.waiting_since = None;
                return Read::Line(line, waited);
            }
            let data = match self.body.frame().await {
                None if self.lines.is_within_line() => {
                    return Read::End(Break::Cut("it ended within an item".to_owned()));
                }
                None => return Read::End(Break::Closed),
                Some(Err(error)) => return Read::End(Break::Cut(describe(&error))),
                Some(Ok(frame)) => frame.into_data(),
            };
            // Trailers carry nothing.
            let Ok(data) = data else { continue };
            if let Err(error) = self.lines.push(&data) {
                return Read::End(Break::Unreadable(error.to_string()));
            }
        }
    }

    /// An item that has been received already.
    pub(super) fn next_line(&mut self) -> Option<Bytes> {
        self.lines.next_line()
    }

    /// How long there has been nothing to read.
    pub(super) fn waited(&self) -> Duration {
        self.waiting_since.map(|since| since.elapsed()).unwrap_or_default()
    }
}
