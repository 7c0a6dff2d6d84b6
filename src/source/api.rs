//! Requests to the API server, as raw HTTP: status, headers and body bytes are seen as they are.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Collected, Limited};
use kube::client::Body;

use super::SourceError;
use super::access_error::describe;
use super::connect::Connect;
use super::failure::{Failure, Refusal};
use super::parse::{self, ListPage};
use crate::event::{ResourceVersion, StreamId};

/// Events on a page of a list.
const PAGE_SIZE: u32 = 500;
/// Time for a probe and for small objects.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a page: the API server's own limit for a request.
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// Time until a watch is accepted.
const WATCH_START_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that are read of an error page.
const LONGEST_REFUSAL: usize = 64 << 10;

/// The API server, as one user of it sees it.
#[derive(Clone)]
pub(super) struct Api {
    connect: Arc<dyn Connect>,
    client: kube::Client,
}

impl Api {
    /// Connects for the first time.
    pub(super) async fn new(connect: Arc<dyn Connect>) -> Result<Self, SourceError> {
        let client = connect.connect().await?;
        Ok(Self { connect, client })
    }

    /// Takes new connections and newly read credentials from now on. Keeps what it has when that
    /// fails: a kubeconfig may be replaced at this very moment.
    pub(super) async fn renew(&mut self) {
        match tokio::time::timeout(PROBE_TIMEOUT, self.connect.connect()).await {
            Ok(Ok(client)) => self.client = client,
            Ok(Err(error)) => {
                tracing::warn!(%error, "credentials could not be read anew; keeping the old ones");
            }
            Err(_) => tracing::warn!("reading credentials took too long; keeping the old ones"),
        }
    }

    /// LIST with limit 1 and without resourceVersion: the newest version, by a quorum read.
    pub(super) async fn probe(self, path: String) -> Result<ListPage, Failure> {
        let body = self.get(&format!("{path}?limit=1"), PROBE_TIMEOUT).await?;
        parse::page(&body)
    }

    /// LIST one page.
    pub(super) async fn page(
        self,
        path: String,
        token: Option<String>,
    ) -> Result<ListPage, Failure> {
        let mut address = format!("{path}?limit={PAGE_SIZE}");
        if let Some(token) = token {
            address.push_str("&continue=");
            address.push_str(&percent_encoded(&token));
        }
        let body = self.get(&address, PAGE_TIMEOUT).await?;
        parse::page(&body)
    }

    /// WATCH changes after a version.
    pub(super) async fn watch(
        self,
        path: String,
        from: ResourceVersion,
        timeout: Duration,
    ) -> Result<Body, Failure> {
        let seconds = timeout.as_secs();
        let address = format!(
            "{path}?watch=1&allowWatchBookmarks=true&resourceVersion={from}&timeoutSeconds={seconds}"
        );
        let response = within(WATCH_START_TIMEOUT, self.send(&address)).await?;
        Ok(response.into_body())
    }

    /// GET an object.
    pub(super) async fn get(&self, address: &str, timeout: Duration) -> Result<Bytes, Failure> {
        within(timeout, async {
            let response = self.send(address).await?;
            let body = response.into_body().collect().await;
            Ok(body.map_err(|error| Failure::Network(describe(&error)))?.to_bytes())
        })
        .await
    }

    async fn send(&self, address: &str) -> Result<Response<Body>, Failure> {
        let request = Request::get(address)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("kube-event-relay/", env!("CARGO_PKG_VERSION")))
            .body(Body::empty())
            .map_err(|error| Failure::Unusable(error.to_string()))?;
        let response =
            self.client.send(request).await.map_err(|error| Failure::Network(describe(&error)))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(Failure::Answer(refusal(response).await))
    }
}

/// Path of the events of a stream.
pub(super) fn events_path(stream: &StreamId) -> String {
    match stream.namespace() {
        None => "/api/v1/events".to_owned(),
        Some(namespace) => format!("/api/v1/namespaces/{namespace}/events"),
    }
}

/// A part of a path or query, with everything escaped that has a meaning there.
pub(super) fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

async fn within<T>(
    timeout: Duration,
    request: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(timeout, request).await.unwrap_or_else(|_| {
        Err(Failure::Network(format!("no answer within {} s", timeout.as_secs())))
    })
}

async fn refusal(response: Response<Body>) -> Refusal {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    let body = Limited::new(response.into_body(), LONGEST_REFUSAL).collect().await;
    // A body that cannot be had does not change what the status says.
    let body = body.map(Collected::to_bytes).unwrap_or_default();
    let said = parse::status(&body).unwrap_or_else(|| Refusal {
        reason: status.canonical_reason().unwrap_or_default().to_owned(),
        message: parse::quote(&body),
        ..Refusal::default()
    });
    let code = code(status, said.code);
    Refusal { code, retry_after: retry_after.or(said.retry_after), ..said }
}

/// The status of the response counts, except that some proxies answer 200 or 500 with a `Status`
/// that says 410.
fn code(status: StatusCode, said: u16) -> u16 {
    if said == StatusCode::GONE.as_u16() { said } else { status.as_u16() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_escaped() {
        assert_eq!(percent_encoded("aZ09-_.~"), "aZ09-_.~");
        assert_eq!(percent_encoded("a+b/c=&é"), "a%2Bb%2Fc%3D%26%C3%A9");
    }

    #[test]
    fn a_stream_of_one_namespace_reads_that_namespace() {
        let shop = StreamId::of_namespace("shop").expect("a namespace");
        assert_eq!(events_path(&shop), "/api/v1/namespaces/shop/events");
        assert_eq!(events_path(&StreamId::all_namespaces()), "/api/v1/events");
    }
}
