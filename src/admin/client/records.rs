//! The records of the log, line by line over HTTP.

use std::time::Duration;

use futures::StreamExt;
use reqwest::{Method, Response};

use super::{Client, ClientError, VERIFY_TIMEOUT, chain};
use crate::relay::{CountQuery, LogStat, RecordCounts, RecordLine, RecordQuery};

/// Whoever follows the log does so until the relay ends, or is interrupted.
const FOLLOW_TIMEOUT: Duration = Duration::from_hours(24 * 365);

impl Client {
    /// What the log holds.
    pub async fn log_stat(&self) -> Result<LogStat, ClientError> {
        self.get(&["log", "stat"]).await
    }

    /// Counts records; takes its time.
    pub async fn count_records(&self, query: &CountQuery) -> Result<RecordCounts, ClientError> {
        let request = self.request(Method::GET, VERIFY_TIMEOUT, &["log", "counts"]);
        self.ask(request.query(query)).await
    }

    /// Shows the records that a query is about, as long as `show` wants more.
    pub async fn records(
        &self,
        query: &RecordQuery,
        mut show: impl FnMut(RecordLine) -> bool,
    ) -> Result<(), ClientError> {
        let timeout = if query.follow { FOLLOW_TIMEOUT } else { VERIFY_TIMEOUT };
        let request = self.request(Method::GET, timeout, &["log", "records"]).query(query);
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        if !answer.status().is_success() {
            let code = answer.status();
            let body = answer.bytes().await.map_err(|error| self.unreachable(&error))?;
            return self.read::<()>(code, &body);
        }
        self.each_line(answer, |line| {
            let line = serde_json::from_slice(line).map_err(|error| ClientError::NotARelay {
                server: self.name(),
                cause: error.to_string(),
            })?;
            Ok(show(line))
        })
        .await
    }

    async fn each_line(
        &self,
        answer: Response,
        mut show: impl FnMut(&[u8]) -> Result<bool, ClientError>,
    ) -> Result<(), ClientError> {
        let mut body = answer.bytes_stream();
        let mut rest: Vec<u8> = Vec::new();
        while let Some(bytes) = body.next().await {
            let bytes = bytes.map_err(|error| ClientError::Broken {
                server: self.name(),
                cause: chain(&error),
            })?;
            rest.extend_from_slice(&bytes);
            let mut begin = 0;
            while let Some(length) = rest[begin..].iter().position(|byte| *byte == b'\n') {
                if !show(&rest[begin..begin + length])? {
                    return Ok(());
                }
                begin += length + 1;
            }
            rest.drain(..begin);
        }
        Ok(())
    }
}
