//! The same over real connections: what `kube`, TCP and HTTP/1.1 make of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::world::{MemoryLog, Seen, World};
use crate::source::api::Api;
use crate::source::{Known, KubernetesConfig, Source, SourceConfig, Start};

/// Accepts connections and hands over each with the first line of its request.
async fn listen() -> (String, mpsc::UnboundedReceiver<(String, TcpStream)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    match connection.read_u8().await {
                        Ok(byte) => request.push(byte),
                        Err(_) => return,
                    }
                }
                let _gone =
                    sender.send((String::from_utf8_lossy(&request).into_owned(), connection));
            });
        }
    });
    (address, receiver)
}

async fn answer(connection: &mut TcpStream, status: &str, body: &str) {
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(text.as_bytes()).await.expect("sent");
}

async fn chunk(connection: &mut TcpStream, text: &str) {
    let text = format!("{:x}\r\n{text}\r\n", text.len());
    connection.write_all(text.as_bytes()).await.expect("sent");
}

fn line(version: u64) -> String {
    format!(
        "{{\"type\":\"ADDED\",\"object\":{{\"metadata\":{{\"name\":\"e\",\"uid\":\"u{version}\",\
         \"resourceVersion\":\"{version}\"}},\"involvedObject\":{{\"name\":\"pod-{version}\"}}}}}}\n"
    )
}

fn config(server: &str) -> SourceConfig {
    SourceConfig {
        kubernetes: KubernetesConfig {
            server: Some(server.to_owned()),
            ..KubernetesConfig::default()
        },
    }
}

const WATCH: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";

fn list(version: u64) -> String {
    format!(r#"{{"metadata":{{"resourceVersion":"{version}"}},"items":[]}}"#)
}

#[tokio::test]
async fn a_connection_that_is_cut_within_a_line_loses_nothing() {
    let (address, mut requests) = listen().await;
    let api = Api::new(Arc::new(config(&address).kubernetes)).await.expect("a client");
    let log = MemoryLog::new();
    let world = World::with_api(api, &log, Start::Now, Known::default());
    let server = tokio::spawn(async move {
        let mut watches = 0;
        let mut open = Vec::new();
        while let Some((request, mut connection)) = requests.recv().await {
            assert!(request.to_ascii_lowercase().contains("accept: application/json"), "{request}");
            if !request.contains("watch=1") {
                answer(&mut connection, "200 OK", &list(10 + 10 * watches)).await;
                continue;
            }
            watches += 1;
            connection.write_all(WATCH.as_bytes()).await.expect("sent");
            if watches == 1 {
                assert!(request.contains("resourceVersion=10&"), "{request}");
                let next = line(12);
                chunk(&mut connection, &line(11)).await;
                chunk(&mut connection, &next[..next.len() / 2]).await;
            } else {
                assert!(request.contains("resourceVersion=11&"), "{request}");
                // One item in several pieces, and several items in one.
                let (first, rest) = (line(12), format!("{}{}", line(13), line(14)));
                chunk(&mut connection, &first[..9]).await;
                chunk(&mut connection, &first[9..]).await;
                chunk(&mut connection, &rest).await;
                open.push(connection);
            }
        }
    });
    let seen = world.records(4).await;
    assert_eq!(log.names(), ["pod-11", "pod-12", "pod-13", "pod-14"]);
    assert_eq!((seen.relists.len(), seen.gaps.len()), (0, 0));
    world.stop().await.expect("stopped");
    server.abort();
}

#[tokio::test]
async fn nothing_is_retried_behind_the_back_of_the_machine() {
    let (address, mut requests) = listen().await;
    let source = Source::new(&config(&address)).await.expect("no API server is needed");
    let server = tokio::spawn(async move {
        let (_, mut connection) = requests.recv().await.expect("a request");
        answer(&mut connection, "429 Too Many Requests\r\nRetry-After: 1", "{}").await;
        drop(connection);
        let second = tokio::time::timeout(Duration::from_secs(2), requests.recv()).await;
        assert!(second.is_err(), "a second request was made");
    });
    let error = source.cluster_uid().await.expect_err("refused").to_string();
    assert!(error.contains("429"), "{error}");
    server.await.expect("one request");
}

#[tokio::test]
async fn other_objects_are_read_and_their_absence_is_named() {
    let (address, mut requests) = listen().await;
    let source = Source::new(&config(&address)).await.expect("no API server is needed");
    tokio::spawn(async move {
        while let Some((request, mut connection)) = requests.recv().await {
            let (status, body) = match request.split(' ').nth(1).unwrap_or_default() {
                "/api/v1/namespaces/kube-system" => ("403 Forbidden", "{}"),
                "/api/v1/namespaces/ops/configmaps/templates" => {
                    ("200 OK", r#"{"data":{"text":"hello"}}"#)
                }
                _ => ("404 Not Found", r#"{"kind":"Status","message":"not found","code":404}"#),
            };
            answer(&mut connection, status, body).await;
        }
    });
    assert_eq!(source.cluster_uid().await.expect("forbidden is no error"), None);
    let text = source.config_map_text("ops", "templates", "text").await;
    assert_eq!(text.expect("found"), "hello");
    let error = source.config_map_text("ops", "templates", "other").await.expect_err("no key");
    assert!(error.to_string().contains("\"other\""), "{error}");
    let error = source.config_map_text("ops", "missing", "x").await.expect_err("none");
    assert!(error.to_string().contains("ops/missing"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let (address, requests) = listen().await;
    drop(requests);
    let unused = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let nobody = format!("http://{}", unused.local_addr().expect("an address"));
    drop(unused);
    let source = Source::new(&config(&nobody)).await.expect("no API server is needed");
    let error = source.cluster_uid().await.expect_err("refused").to_string();
    assert!(error.contains("refused") && !error.contains('\n'), "{error}");
    let api = Api::new(Arc::new(config(&address).kubernetes)).await.expect("a client");
    let world = World::with_api(api, &MemoryLog::new(), Start::Now, Known::default());
    let seen = world.until(|seen| !seen.reason().is_empty()).await;
    assert!(!Seen::is_live(&seen), "{seen:?}");
    world.stop().await.expect("stopped");
}
