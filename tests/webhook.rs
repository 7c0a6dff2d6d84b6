//! What the `webhook` sink sends, and what it makes of every answer.

#![allow(clippy::expect_used)]

mod fakes;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use fakes::http::{Answer, Service};
use fakes::records::{record, records};
use kube_event_relay::setting::EventerUri;
use kube_event_relay::sink::registry;
use kube_event_relay::sink::{Delivery, Outcome, Sink, SinkContext, http_client};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

fn build(options: &Value) -> Box<dyn Sink> {
    let http = http_client().expect("CA certificates of the system");
    let context = SinkContext { cluster: "test".into(), http, config_maps: None };
    let kind = registry::find("webhook").expect("a kind");
    (kind.build)(options.as_object().expect("an object"), &context).expect("a sink")
}

/// The sink that kube-eventer's arguments stand for.
fn from_uri(uri: &str) -> Box<dyn Sink> {
    let uri = EventerUri::parse(uri, &|_| None).expect("a valid URI");
    let (config, warnings) = registry::translate(&uri).expect("a valid sink");
    assert!(warnings.is_empty(), "{warnings:?}");
    build(&Value::Object(config.options))
}

async fn one(sink: &mut dyn Sink) -> Outcome {
    match sink.deliver(&records(1)).await {
        Delivery::Each(outcomes) => outcomes.into_iter().next().expect("one outcome"),
        Delivery::Whole(outcome) | Delivery::Part { outcome, .. } => outcome,
    }
}

#[tokio::test]
async fn every_status_has_its_outcome() {
    let service = Service::start().await;
    for format in ["event", "array"] {
        let url = format!("http://{}/", service.address());
        let mut sink = build(&json!({"url": url, "format": format}));
        for status in [200, 201, 202, 204, 299] {
            service.answer(Answer::Status(status, Vec::new()));
            assert_eq!(one(sink.as_mut()).await, Outcome::Accepted, "{status}");
        }
        for status in [400, 409, 413, 415, 422] {
            service.answer(Answer::Status(status, Vec::new()));
            let outcome = one(sink.as_mut()).await;
            assert!(matches!(outcome, Outcome::Rejected { .. }), "{status}: {outcome:?}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504] {
            service.answer(Answer::Status(status, Vec::new()));
            let outcome = one(sink.as_mut()).await;
            assert!(matches!(outcome, Outcome::Retry { after: None, .. }), "{status}: {outcome:?}");
        }
        for status in [401, 403, 404, 405, 407, 410, 501, 505] {
            service.answer(Answer::Status(status, Vec::new()));
            let outcome = one(sink.as_mut()).await;
            assert!(matches!(outcome, Outcome::Hold { .. }), "{status}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_redirect_is_a_hold_and_is_not_followed() {
    let elsewhere = Service::start().await;
    let service = Service::start().await;
    let target = format!("http://{}/", elsewhere.address());
    let mut sink = build(&json!({"url": format!("http://{}/", service.address())}));
    for status in [301, 302, 303, 307, 308] {
        service.answer(Answer::Status(status, vec![("location", target.clone())]));
        let outcome = one(sink.as_mut()).await;
        assert!(
            matches!(&outcome, Outcome::Hold { cause } if cause.contains("redirect")),
            "{outcome:?}"
        );
    }
    assert!(elsewhere.received().is_empty());
}

#[tokio::test]
async fn a_service_says_how_long_to_wait() {
    let service = Service::start().await;
    let mut sink = build(&json!({"url": format!("http://{}/", service.address())}));
    let date = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(100))
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string();
    for (value, shortest, longest) in
        [("7", 7, 7), ("0", 1, 1), ("86400", 900, 900), (date.as_str(), 90, 100)]
    {
        service.answer(Answer::Status(429, vec![("retry-after", value.to_owned())]));
        let Outcome::Retry { after: Some(after), .. } = one(sink.as_mut()).await else {
            panic!("a wait for {value}")
        };
        let (shortest, longest) = (Duration::from_secs(shortest), Duration::from_secs(longest));
        assert!((shortest..=longest).contains(&after), "{value}: {after:?}");
    }
}

#[tokio::test]
async fn a_conflict_can_mean_that_the_service_has_it() {
    let service = Service::start().await;
    service.answer(Answer::Status(409, Vec::new()));
    let url = format!("http://{}/", service.address());
    let mut sink = build(&json!({"url": url, "conflict": "accepted"}));
    assert_eq!(one(sink.as_mut()).await, Outcome::Accepted);
}

#[tokio::test]
async fn records_behind_one_that_has_to_wait_are_not_sent() {
    let service = Service::start().await;
    service.answer(Answer::StatusWhen("message 2", 503));
    let mut sink = build(&json!({"url": format!("http://{}/", service.address())}));
    let Delivery::Each(outcomes) = sink.deliver(&records(4)).await else { panic!("one each") };
    assert_eq!(outcomes[0], Outcome::Accepted);
    assert!(matches!(outcomes[1], Outcome::Retry { .. }));
    assert_eq!((&outcomes[2], &outcomes[3]), (&outcomes[1], &outcomes[1]));
    assert_eq!(service.received().len(), 2);
}

#[tokio::test]
async fn the_default_of_kube_eventer_is_valid_json_with_the_whole_message() {
    let service = Service::start().await;
    let uri = format!("webhook:http://{}/hook?key=k%2B1&level=Normal", service.address());
    let mut sink = from_uri(&uri);
    let message = "say \"hi\"\n\tC:\\dir \u{1} 🎉 مرحبا";
    sink.deliver(&[record(1, message)]).await;
    let request = service.received().remove(0);
    assert_eq!(
        (request.method.as_str(), request.uri.to_string().as_str()),
        ("GET", "/hook?key=k%2B1")
    );
    assert_eq!(request.headers["content-type"], "application/json");
    let text = String::from_utf8(request.body).expect("UTF-8");
    assert!(
        text.starts_with("\n{\n\t\"EventType\": \"Warning\",\n\t\"EventKind\": \"Pod\",\n"),
        "{text}"
    );
    let body: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(body["EventMessage"], message);
    assert_eq!(body["EventReason"], "BackOff");
    assert!(body["EventTime"].as_str().expect("text").starts_with("2024-0"), "{body}");
}

#[tokio::test]
async fn an_event_is_sent_as_the_api_server_sent_it() {
    let service = Service::start().await;
    let mut sink = build(&json!({"url": format!("http://{}/", service.address())}));
    let records = records(1);
    sink.deliver(&records).await;
    let request = service.received().remove(0);
    assert_eq!(request.method.as_str(), "POST");
    assert_eq!(request.body, records[0].body);
    let id = records[0].id("test");
    assert_eq!(request.headers["idempotency-key"], format!("\"{id}\""));
    assert_eq!(request.headers["x-request-id"], id.to_string());
}

#[tokio::test]
async fn formats_for_batches_take_many_records_per_request() {
    let service = Service::start().await;
    let url = format!("http://{}/", service.address());
    for (format, content_type) in [
        ("array", "application/json"),
        ("ndjson", "application/x-ndjson"),
        ("cloudevents-batch", "application/cloudevents-batch+json; charset=UTF-8"),
    ] {
        let mut sink = build(&json!({"url": url, "format": format}));
        assert!(sink.batch().and_then(|batch| batch.max_records).is_some_and(|most| most > 1));
        assert_eq!(sink.deliver(&records(3)).await, Delivery::Whole(Outcome::Accepted));
        let request = service.received().pop().expect("a request");
        assert_eq!(request.headers["content-type"], content_type);
    }
    assert_eq!(service.received().len(), 3);
}

#[tokio::test]
async fn a_header_from_a_file_is_read_for_every_delivery() {
    let service = Service::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("token");
    let mut sink = build(&json!({
        "url": format!("http://{}/", service.address()),
        "headers": {"X-Token": {"file": file}},
    }));
    let outcome = one(sink.as_mut()).await;
    assert!(matches!(&outcome, Outcome::Hold { cause } if cause.contains("token")), "{outcome:?}");
    for token in ["first", "second"] {
        std::fs::write(&file, format!("{token}\n")).expect("a file");
        assert_eq!(one(sink.as_mut()).await, Outcome::Accepted);
        let request = service.received().pop().expect("a request");
        assert_eq!(request.headers["x-token"], token);
    }
}

/// Answers one HTTPS request with 200, with the certificate of the fixtures.
fn answer_over_tls(listener: &TcpListener) -> std::io::Result<()> {
    let read = |name| concat_path(name);
    let chain = CertificateDer::pem_file_iter(read("server.pem"))
        .expect("certificates")
        .collect::<Result<Vec<_>, _>>()
        .expect("certificates");
    let key = PrivateKeyDer::from_pem_file(read("server.key")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .expect("a configuration");
    let connection = rustls::ServerConnection::new(Arc::new(config)).expect("a connection");
    let mut stream = rustls::StreamOwned::new(connection, listener.accept()?.0);
    let mut front = [0; 1024];
    let _request = stream.read(&mut front)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
    stream.flush()
}

fn concat_path(name: &str) -> String {
    format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test]
async fn only_a_certificate_that_is_trusted_is_talked_to() {
    for (trusted, authority) in [(true, Some(concat_path("ca.pem"))), (false, None)] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let server = std::thread::spawn(move || answer_over_tls(&listener));
        let mut sink =
            build(&json!({"url": format!("https://localhost:{port}/"), "ca": authority}));
        let outcome = one(sink.as_mut()).await;
        if trusted {
            assert_eq!(outcome, Outcome::Accepted);
        } else {
            assert!(
                matches!(&outcome, Outcome::Retry { cause, .. } if cause.contains("certificate")),
                "{outcome:?}"
            );
        }
        assert_eq!(server.join().expect("it ends").is_ok(), trusted);
    }
}
