//! The HTTP server.

mod answer;
mod authorize;
mod changes;
mod document;
mod extract;
mod letters;
mod page;
mod reads;
mod records;
mod replays;
mod routes;

#[cfg(test)]
pub(super) mod fixture;

pub(super) use answer::Failure;
pub(super) use changes::{DryRun, Seek};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{AdminToken, Operations, Reloads};
use crate::telemetry::Metrics;

/// How long requests in progress may take once the relay stops.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the admin interface is made of beside the relay.
#[derive(Clone)]
pub struct Admin {
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// Who may change the relay.
    pub token: AdminToken,
    /// Who reads the configuration file.
    pub reloads: Reloads,
}

/// What every request handler needs.
struct Context<O> {
    relay: O,
    admin: Admin,
}

/// Serves until `stop`, and then lets requests in progress finish for five seconds.
///
/// Logs one line `admin listening` with the field `address`.
pub async fn serve(
    listener: TcpListener,
    relay: impl Operations,
    admin: Admin,
    stop: CancellationToken,
) {
    match listener.local_addr() {
        Ok(address) => tracing::info!(%address, "admin listening"),
        Err(error) => tracing::warn!(%error, "admin listening, but its address is unknown"),
    }
    let routes = routes::all(Arc::new(Context { relay, admin }));
    let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
    let server =
        axum::serve(listener, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        finished = server => {
            if let Err(error) = finished {
                tracing::error!(%error, "the admin server stopped");
            }
        }
        () = overdue => tracing::debug!("admin requests still in progress are dropped"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::AdminConfig;
    use super::fixture::{FixedRelay, admin, record, status, verification};
    use super::*;
    use crate::relay::{FoundRecord, Verification};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    struct Server {
        address: SocketAddr,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
        task: tokio::task::JoinHandle<()>,
    }

    async fn start(relay: FixedRelay) -> Server {
        let listen = ([127, 0, 0, 1], 0).into();
        let listener = AdminConfig { listen }.bind().await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (metrics, stop) = (Arc::new(Metrics::new()), CancellationToken::new());
        let task = tokio::spawn(serve(listener, relay, admin(Arc::clone(&metrics)), stop.clone()));
        Server { address, metrics, stop, task }
    }

    impl Server {
        /// The answer as it is on the wire: head and body.
        async fn ask(&self, method: &str, path: &str) -> (String, String) {
            let mut stream = TcpStream::connect(self.address).await.expect("a connection");
            let request =
                format!("{method} {path} HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("written");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("read");
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
            (head.to_owned(), body.to_owned())
        }

        async fn get(&self, path: &str) -> (u16, String) {
            let (head, body) = self.ask("GET", path).await;
            let code = head.split(' ').nth(1).expect("a status code");
            (code.parse().expect("a number"), body)
        }
    }

    fn healthy() -> FixedRelay {
        let mut status = status();
        status.streams[0].complete_until = Some(jiff::Timestamp::now());
        FixedRelay { status, ready: Ok(()), alive: Ok(()), busy: false }
    }

    #[tokio::test]
    async fn a_healthy_relay_says_ok() {
        let server = start(healthy()).await;
        for path in ["/healthz", "/healtz", "/readyz"] {
            assert_eq!(server.get(path).await, (200, "ok".to_owned()), "{path}");
        }
        let (code, body) = server.get("/readyz?verbose").await;
        assert_eq!((code, body.lines().last()), (200, Some("ready")), "{body}");
    }

    #[tokio::test]
    async fn a_relay_that_is_stuck_says_why() {
        let reason = "stream all-namespaces: connection refused".to_owned();
        let ready = Err(reason.clone());
        let server = start(FixedRelay { status: status(), ready, ..healthy() }).await;
        assert_eq!(server.get("/healthz").await.0, 200, "the process lives");
        let (code, body) = server.get("/healtz").await;
        assert_eq!(code, 500);
        assert!(body.starts_with("error: No event batch within 3m0s"), "{body}");
        assert_eq!(server.get("/readyz").await, (503, reason.clone() + "\n"));
        let (code, body) = server.get("/readyz?verbose").await;
        assert_eq!((code, body.lines().last()), (503, Some(reason.as_str())));
    }

    #[tokio::test]
    async fn a_relay_that_does_not_turn_fails_the_check_of_kube_eventer() {
        let alive = Err("housekeeping has not come around for 61 s".to_owned());
        let server = start(FixedRelay { alive, ..healthy() }).await;
        let (code, body) = server.get("/healtz").await;
        assert_eq!(
            (code, body.as_str()),
            (500, "error: housekeeping has not come around for 61 s\n")
        );
    }

    #[tokio::test]
    async fn metrics_are_in_the_text_format() {
        let server = start(healthy()).await;
        server.metrics.sink("oncall").delivered.inc();
        let (head, body) = server.ask("GET", "/metrics").await;
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert!(body.contains("kube_event_relay_sink_delivered_total{sink=\"oncall\"} 1\n"));
    }

    #[tokio::test]
    async fn refusals_are_json() {
        let server = start(healthy()).await;
        let cases = [
            ("GET", "/api/v2", "404", "there is nothing at /api/v2"),
            ("POST", "/api/v1/cursors", "405", "/api/v1/cursors does not take POST"),
            ("GET", "/api/v1/cursors/x", "404", "there is no sink \"x\"; there are: on/call"),
        ];
        for (method, path, code, error) in cases {
            let (head, body) = server.ask(method, path).await;
            assert!(head.starts_with(&format!("HTTP/1.1 {code} ")), "{head}");
            let failure: Failure = serde_json::from_str(&body).expect("JSON");
            assert_eq!(failure.error, error);
        }
    }

    #[tokio::test]
    async fn one_at_a_time_looks_for_damage() {
        let (code, body) = start(healthy()).await.get("/api/v1/log/verify").await;
        assert_eq!(code, 200);
        assert_eq!(serde_json::from_str::<Verification>(&body).expect("JSON"), verification());
        let server = start(FixedRelay { busy: true, ..healthy() }).await;
        let (code, body) = server.get("/api/v1/log/verify").await;
        assert_eq!(code, 409);
        assert!(body.contains("wait for that, and ask again"), "{body}");
    }

    #[tokio::test]
    async fn a_record_is_found_by_its_version() {
        let server = start(healthy()).await;
        let (code, body) = server.get("/api/v1/log/record/42").await;
        assert_eq!(code, 200);
        assert_eq!(serde_json::from_str::<FoundRecord>(&body).expect("JSON"), record());
        let cases = [
            ("43", 404, "the log has no record with resourceVersion 43: it is empty"),
            ("042", 400, "\"042\" is not a resourceVersion; write digits, such as 4711"),
        ];
        for (version, expected, error) in cases {
            let (code, body) = server.get(&format!("/api/v1/log/record/{version}")).await;
            let failure: Failure = serde_json::from_str(&body).expect("JSON");
            assert_eq!((code, failure.error.as_str()), (expected, error));
        }
    }

    #[tokio::test]
    async fn stops_although_a_connection_is_idle() {
        let server = start(healthy()).await;
        let mut idle = TcpStream::connect(server.address).await.expect("a connection");
        idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: r\r\n\r\n").await.expect("written");
        assert_eq!(idle.read_u8().await.expect("an answer"), b'H');
        server.stop.cancel();
        tokio::time::timeout(PATIENCE, server.task).await.expect("in time").expect("no panic");
    }
}
