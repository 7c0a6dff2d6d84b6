//! A body that is forwarded line by line until it is disturbed.

use crate::http_proxy::Disturbance;
use crate::serving::{Reply, aborted};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use std::io;
use std::pin::Pin;
use tokio::sync::watch;

/// Bytes from the server.
type Source = Pin<Box<dyn Stream<Item = Option<Bytes>> + Send>>;

/// Forwards `body`; `changes` tell of further disturbances while it runs.
pub(crate) fn disturbed(
    body: reqwest::Body,
    disturbance: Disturbance,
    changes: Option<watch::Receiver<Disturbance>>,
) -> Reply {
    let source = body.into_data_stream().map(Result::ok);
    let forwarding = Forwarding {
        source: Box::pin(source),
        pending: BytesMut::new(),
        disturbance,
        changes,
        lines: 0,
        ended: false,
    };
    let frames = stream::unfold(forwarding, |mut forwarding| async move {
        let next = forwarding.next().await?;
        Some((next.map(Frame::data), forwarding))
    });
    StreamBody::new(frames).boxed_unsync()
}

struct Forwarding {
    source: Source,
    /// Bytes received and not forwarded: those after the last line let through.
    pending: BytesMut,
    disturbance: Disturbance,
    changes: Option<watch::Receiver<Disturbance>>,
    /// Whole lines forwarded under the present disturbance.
    lines: usize,
    ended: bool,
}

impl Forwarding {
    /// The next bytes to forward, an error to break the connection, or the end.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if self.ended {
                // Hyper writes out what it was given before only when it has to wait.
                tokio::task::yield_now().await;
                return matches!(self.disturbance, Disturbance::CutAfterLines(_))
                    .then(|| Err(aborted()));
            }
            if let Some(bytes) = self.release().await {
                return Some(Ok(bytes));
            }
            if self.ended {
                continue;
            }
            tokio::select! {
                biased;
                changed = changed(&mut self.changes) => {
                    self.disturbance = changed;
                    self.lines = 0;
                    self.ended = self.disturbance == Disturbance::Empty;
                }
                received = self.source.next() => match received {
                    Some(Some(bytes)) => self.pending.extend_from_slice(&bytes),
                    Some(None) => return Some(Err(aborted())),
                    None => return self.rest(),
                }
            }
        }
    }

    /// What of the pending bytes may be forwarded now.
    async fn release(&mut self) -> Option<Bytes> {
        match self.disturbance {
            Disturbance::CutAfterLines(limit) => {
                let released = self.release_lines(limit);
                if released.is_none() && self.lines == limit && self.pending.len() > 1 {
                    self.ended = true;
                    // Half of what is there is never the end of the line.
                    let half = self.pending.len().min(self.line_length()) / 2;
                    return Some(self.pending.split_to(half.max(1)).freeze());
                }
                released
            }
            Disturbance::StallAfterLines(limit) => {
                if let Some(released) = self.release_lines(limit) {
                    return Some(released);
                }
                if self.lines == limit {
                    std::future::pending::<()>().await;
                }
                None
            }
            _ if self.pending.is_empty() => None,
            _ => Some(self.pending.split().freeze()),
        }
    }

    /// Whole lines, at most up to the limit.
    fn release_lines(&mut self, limit: usize) -> Option<Bytes> {
        let allowed = limit - self.lines;
        let ends = self.pending.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let (lines, end) = ends.map(|(index, _)| index + 1).take(allowed).enumerate().last()?;
        self.lines += lines + 1;
        Some(self.pending.split_to(end).freeze())
    }

    fn line_length(&self) -> usize {
        let end = self.pending.iter().position(|byte| *byte == b'\n');
        end.unwrap_or(self.pending.len())
    }

    /// The server ended: what is pending goes out, such as a list without a line end.
    fn rest(&mut self) -> Option<io::Result<Bytes>> {
        self.ended = true;
        self.disturbance = Disturbance::Pass;
        (!self.pending.is_empty()).then(|| Ok(self.pending.split().freeze()))
    }
}

/// The next disturbance; never, when there are none to come.
async fn changed(changes: &mut Option<watch::Receiver<Disturbance>>) -> Disturbance {
    if let Some(changes) = changes
        && changes.changed().await.is_ok()
    {
        return changes.borrow_and_update().clone();
    }
    std::future::pending().await
}
