//! The command line's side of the admin interface.

mod letters;
mod records;

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;

use super::server::{DryRun, Failure, Seek};
use crate::cursor::AuditEntry;
use crate::event::{ResourceVersion, StreamId};
use crate::relay::{
    Change, CursorStatus, FoundRecord, ReplayRequest, ReplayStatus, Replayed, Status, Target,
    Verification,
};
use crate::sink::Trial;

/// Where a relay on this machine listens unless it was told otherwise.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8084";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A status of a relay with a busy disk takes a second at most.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Reading the whole log takes a minute per few GiB, and the answer comes at its end. A relay that is gone is
/// noticed much sooner.
const VERIFY_TIMEOUT: Duration = Duration::from_hours(24);
/// A sink is halted for a change, and a delivery under way ends before; it may take its whole time-out.
const CHANGE_TIMEOUT: Duration = Duration::from_mins(10);
/// How often a silent connection is probed: a relay that died with its machine says nothing.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Talks to a running relay.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    server: Url,
    token: Option<Token>,
}

/// The token of changes; never shown.
#[derive(Clone)]
struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("<token>")
    }
}

/// Why a running relay could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is not one. What was written is not repeated: it may hold a password.
    #[error("--server is not the address of a relay: {0}; write {DEFAULT_SERVER}, for example")]
    Address(String),
    /// Nothing listens there.
    #[error(
        "no relay answers at {server}; is it running? use --data-dir DIR to read a stopped relay's directory"
    )]
    NotRunning {
        /// Scheme, host and port.
        server: String,
    },
    /// The connection broke, or the answer took too long.
    #[error("asking the relay at {server} failed: {cause}; try again, and look at its log")]
    Broken {
        /// Scheme, host and port.
        server: String,
        /// What happened.
        cause: String,
    },
    /// The token cannot be read.
    #[error("cannot read the token file {path}: {cause}; check --token-file")]
    Token {
        /// Its path.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The relay says no.
    #[error("{0}")]
    Refused(String),
    /// Something answers, but not a relay of this version.
    #[error("what answers at {server} is not a relay of this version: {cause}; check --server")]
    NotARelay {
        /// Scheme, host and port.
        server: String,
        /// What is odd about the answer.
        cause: String,
    },
}

impl Client {
    /// A client for `server`, such as [`DEFAULT_SERVER`]. Does not connect.
    pub fn new(server: &str) -> Result<Self, ClientError> {
        let url = Url::parse(server).map_err(|error| ClientError::Address(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            let reason = "it needs http:// or https:// and a host".to_owned();
            return Err(ClientError::Address(reason));
        }
        // Fails when a provider is there already, which is just as good.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(KEEPALIVE)
            .redirect(reqwest::redirect::Policy::none());
        if is_this_machine(&url) {
            // A proxy cannot reach this machine's own addresses.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| ClientError::Address(chain(&error)))?;
        Ok(Self { http, server: url, token: None })
    }

    /// The same client with the token that changes need.
    #[must_use]
    pub fn with_token(mut self, token: Option<String>) -> Self {
        self.token = token.map(Token);
        self
    }

    /// Everything there is to see.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get(&["status"]).await
    }

    /// The cursors of all sinks.
    pub async fn cursors(&self) -> Result<Vec<CursorStatus>, ClientError> {
        self.get(&["cursors"]).await
    }

    /// The cursors of one sink.
    pub async fn cursors_of(&self, sink: &str) -> Result<Vec<CursorStatus>, ClientError> {
        self.get(&["cursors", sink]).await
    }

    /// Reads the whole log; takes its time.
    pub async fn verify(&self) -> Result<Verification, ClientError> {
        self.get_within(VERIFY_TIMEOUT, &["log", "verify"]).await
    }

    /// The record of the log with this resourceVersion.
    pub async fn record(&self, version: &ResourceVersion) -> Result<FoundRecord, ClientError> {
        self.get(&["log", "record", version.as_str()]).await
    }

    /// What operators have changed, oldest first.
    pub async fn audit(&self) -> Result<Vec<AuditEntry>, ClientError> {
        self.get(&["audit"]).await
    }

    /// Sends one event marked as a test through a sink.
    pub async fn test_sink(&self, sink: &str) -> Result<Trial, ClientError> {
        self.ask(self.request(Method::POST, CHANGE_TIMEOUT, &["sinks", sink, "test"])).await
    }

    /// Has the configuration file read again.
    pub async fn reload(&self, dry_run: bool) -> Result<Change, ClientError> {
        self.change(Method::POST, &["config", "reload"], dry_run).await
    }

    /// Stops deliveries to a sink.
    pub async fn pause(&self, sink: &str, dry_run: bool) -> Result<Change, ClientError> {
        self.change(Method::POST, &["sinks", sink, "pause"], dry_run).await
    }

    /// Lets a sink go on.
    pub async fn resume(&self, sink: &str, dry_run: bool) -> Result<Change, ClientError> {
        self.change(Method::POST, &["sinks", sink, "resume"], dry_run).await
    }

    /// Forgets a sink that is not configured any more.
    pub async fn forget(&self, sink: &str, dry_run: bool) -> Result<Change, ClientError> {
        self.change(Method::DELETE, &["cursors", sink], dry_run).await
    }

    /// Moves the cursors of a sink.
    pub async fn seek(
        &self,
        sink: &str,
        stream: Option<StreamId>,
        to: Target,
        dry_run: bool,
    ) -> Result<Change, ClientError> {
        let request = self.request(Method::POST, CHANGE_TIMEOUT, &["cursors", sink, "seek"]);
        self.ask(request.query(&DryRun { dry_run }).json(&Seek { to, stream })).await
    }

    /// All replays that are kept, oldest first.
    pub async fn replays(&self) -> Result<Vec<ReplayStatus>, ClientError> {
        self.get(&["replays"]).await
    }

    /// Sends a range of the log to a sink again.
    pub async fn replay(
        &self,
        request: &ReplayRequest,
        dry_run: bool,
    ) -> Result<Replayed, ClientError> {
        let post = self.request(Method::POST, CHANGE_TIMEOUT, &["replays"]);
        self.ask(post.query(&DryRun { dry_run }).json(request)).await
    }

    /// Ends a replay.
    pub async fn cancel_replay(&self, number: u64, dry_run: bool) -> Result<Change, ClientError> {
        self.change(Method::DELETE, &["replays", &number.to_string()], dry_run).await
    }

    async fn change(
        &self,
        method: Method,
        path: &[&str],
        dry_run: bool,
    ) -> Result<Change, ClientError> {
        self.ask(self.request(method, CHANGE_TIMEOUT, path).query(&DryRun { dry_run })).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ClientError> {
        self.get_within(TIMEOUT, path).await
    }

    async fn get_within<T: DeserializeOwned>(
        &self,
        timeout: Duration,
        path: &[&str],
    ) -> Result<T, ClientError> {
        self.ask(self.request(Method::GET, timeout, path)).await
    }

    fn request(&self, method: Method, timeout: Duration, path: &[&str]) -> RequestBuilder {
        let mut url = self.server.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        let request = self.http.request(method, url).timeout(timeout);
        match &self.token {
            Some(Token(token)) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let code = answer.status();
        let body = answer.bytes().await.map_err(|error| self.unreachable(&error))?;
        self.read(code, &body)
    }

    fn read<T: DeserializeOwned>(&self, code: StatusCode, body: &[u8]) -> Result<T, ClientError> {
        let not_a_relay = |cause| ClientError::NotARelay { server: self.name(), cause };
        if code.is_success() {
            return serde_json::from_slice(body).map_err(|error| not_a_relay(error.to_string()));
        }
        match serde_json::from_slice::<Failure>(body) {
            Ok(failure) => Err(ClientError::Refused(failure.error)),
            Err(_) => Err(not_a_relay(format!("it answered {code}"))),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        if error.is_connect() {
            return ClientError::NotRunning { server: self.name() };
        }
        ClientError::Broken { server: self.name(), cause: chain(error) }
    }

    /// The address without anything that may be secret.
    fn name(&self) -> String {
        self.server.origin().ascii_serialization()
    }
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The innermost cause says what happened; the outer ones repeat the URL.
fn chain(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::super::server::fixture::{FixedRelay, admin, record, status, verification};
    use super::super::{AdminConfig, serve};
    use super::*;
    use crate::telemetry::Metrics;
    use std::sync::Arc;
    use tokio_util::sync::CancellationToken;

    /// A relay and a client for it; the relay stops when the guard is dropped.
    async fn relay() -> (Client, tokio_util::sync::DropGuard) {
        let listen = ([127, 0, 0, 1], 0).into();
        let listener = AdminConfig { listen }.bind().await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let relay = FixedRelay { status: status(), ready: Ok(()), alive: Ok(()), busy: false };
        tokio::spawn(serve(listener, relay, admin(Arc::new(Metrics::new())), stop.clone()));
        (Client::new(&format!("http://{address}/")).expect("an address"), stop.drop_guard())
    }

    #[tokio::test]
    async fn reads_what_the_server_serves() {
        let (client, _relay) = relay().await;
        assert_eq!(client.status().await.expect("a status"), status());
        assert_eq!(client.cursors().await.expect("cursors"), status().sinks[0].cursors);
        let cursors = client.cursors_of("on/call").await.expect("cursors");
        assert_eq!(cursors, status().sinks[0].cursors);
        assert_eq!(client.verify().await.expect("a verification"), verification());
        let version = record().resource_version;
        assert_eq!(client.record(&version).await.expect("a record"), record());
    }

    #[tokio::test]
    async fn repeats_what_the_relay_refuses() {
        let (client, _relay) = relay().await;
        let error = client.cursors_of("pager").await.expect_err("unknown");
        assert_eq!(error.to_string(), "there is no sink \"pager\"; there are: on/call");
    }

    #[tokio::test]
    async fn says_so_when_nothing_listens() {
        let listen = ([127, 0, 0, 1], 0).into();
        let listener = AdminConfig { listen }.bind().await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let server = format!("http://operator:secret@{address}/?token=secret");
        let error = Client::new(&server).expect("an address").status().await.expect_err("refused");
        assert_eq!(
            error.to_string(),
            format!(
                "no relay answers at http://{address}; is it running? use --data-dir DIR to read a \
                 stopped relay's directory"
            )
        );
    }

    #[test]
    fn other_servers_are_not_mistaken_for_a_relay() {
        let client = Client::new(DEFAULT_SERVER).expect("an address");
        let read = |code, body: &str| client.read::<Status>(code, body.as_bytes());
        for (code, body) in [(StatusCode::OK, "<html>"), (StatusCode::NOT_FOUND, "404 page")] {
            let error = read(code, body).expect_err("not a relay");
            assert!(matches!(error, ClientError::NotARelay { .. }), "{error}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_not_repeated() {
        for server in ["127.0.0.1:8084", "secret:8084", "ftp://secret@host", "http://"] {
            let error = Client::new(server).expect_err("not an address").to_string();
            assert!(error.starts_with("--server"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn knows_the_addresses_of_this_machine() {
        let this = |server| is_this_machine(&Url::parse(server).expect("a URL"));
        assert!(
            this("http://127.0.0.1:8084") && this("http://[::1]:1") && this("http://localhost")
        );
        assert!(!this("http://relay.monitoring:8084") && !this("http://10.0.0.1"));
    }
}
