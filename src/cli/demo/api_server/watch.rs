//! Watches: lines of JSON, one per change.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{self, Stream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::history::{Expired, Verb};
use super::store::EventStore;

/// Changes that are written in one piece.
const CHANGES_AT_ONCE: usize = 500;

/// A kube-apiserver ends watches without a timeout after a random time of at least this.
const DEFAULT_TIMEOUT: u64 = 1_800;

/// What to watch.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) store: EventStore,
    /// One namespace, or all of them.
    pub(super) namespace: Option<String>,
    /// Changes after this version; `None`: everything that exists as ADDED, then changes.
    pub(super) after: Option<u64>,
    /// Seconds until it ends.
    pub(super) timeout: Option<u64>,
    /// Ends it at once.
    pub(super) stop: CancellationToken,
}

/// A watch that has been opened.
struct Open {
    watch: Watch,
    /// `None` until the existing objects have been sent.
    after: Option<u64>,
    news: watch::Receiver<u64>,
    end: Instant,
    ended: bool,
}

/// The lines of a watch. It ends without an error: at its timeout, when it is stopped, and after
/// the ERROR item that says its version is too old.
pub(super) fn stream(watch: Watch) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    let timeout = Duration::from_secs(watch.timeout.unwrap_or(DEFAULT_TIMEOUT));
    let open = Open {
        after: watch.after,
        news: watch.store.subscribe(),
        end: Instant::now() + timeout,
        ended: false,
        watch,
    };
    stream::unfold(open, |mut open| async move { open.next().await.map(|lines| (Ok(lines), open)) })
}

impl Open {
    async fn next(&mut self) -> Option<Bytes> {
        while !self.ended && !self.watch.stop.is_cancelled() && Instant::now() < self.end {
            // Seen before looking, so that what happens in between wakes the wait below.
            self.news.mark_unchanged();
            match self.look() {
                Ok(lines) if lines.is_empty() => {}
                Ok(lines) => return Some(lines),
                Err(expired) => {
                    self.ended = true;
                    return Some(error_line(expired));
                }
            }
            tokio::select! {
                changed = self.news.changed() => changed.ok()?,
                () = tokio::time::sleep_until(self.end) => return None,
                () = self.watch.stop.cancelled() => return None,
            }
        }
        None
    }

    /// What has happened since the last look.
    fn look(&mut self) -> Result<Bytes, Expired> {
        let history = self.watch.store.history();
        let namespace = self.watch.namespace.as_deref();
        let mut lines = BytesMut::new();
        let Some(mut after) = self.after else {
            let latest = history.latest();
            for body in history.list(latest, namespace, None, usize::MAX)?.bodies {
                write_line(&mut lines, Verb::Added, &body);
            }
            self.after = Some(latest);
            return Ok(lines.freeze());
        };
        loop {
            let changes = history.changes_after(after, CHANGES_AT_ONCE)?;
            let Some(last) = changes.last() else { break };
            after = last.version;
            for change in changes {
                if namespace.is_none_or(|namespace| namespace == change.key.0) {
                    write_line(&mut lines, change.verb, &change.body);
                }
            }
            if !lines.is_empty() {
                break;
            }
        }
        self.after = Some(after);
        Ok(lines.freeze())
    }
}

/// Objects of a watch carry their type, unlike those of a list.
fn write_line(lines: &mut BytesMut, verb: Verb, body: &[u8]) {
    let head = match verb {
        Verb::Added => &br#"{"type":"ADDED","object":{"kind":"Event","apiVersion":"v1","#[..],
        Verb::Modified => &br#"{"type":"MODIFIED","object":{"kind":"Event","apiVersion":"v1","#[..],
        Verb::Deleted => &br#"{"type":"DELETED","object":{"kind":"Event","apiVersion":"v1","#[..],
    };
    lines.put(head);
    // A stored object begins with a brace and is never empty: it has metadata.
    lines.put(&body[1..]);
    lines.put(&b"}\n"[..]);
}

fn error_line(expired: Expired) -> Bytes {
    let status = Failure::from(expired).status();
    format!("{{\"type\":\"ERROR\",\"object\":{status}}}\n").into()
}
