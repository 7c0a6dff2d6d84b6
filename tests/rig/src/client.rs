//! A small client of the API server, for what tests do besides the relay.
//!
//! Invariant: the plain methods panic on any answer but success, so that a test
//! that goes wrong stops where it does; [`Client::send`] shows every answer.

use reqwest::{Certificate, Method, RequestBuilder, StatusCode};
use serde_json::Value;
use std::path::Path;

/// An answer of the API server.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body; `Null` when it is not JSON.
    pub body: Value,
}

/// A client of one server with one token.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Client {
    /// A client of the server at `url` that trusts the authority in this file.
    #[must_use]
    pub fn new(url: &str, authority: &Path, token: &str) -> Self {
        let authority = std::fs::read(authority).expect("read the authority's certificate");
        let authority = Certificate::from_pem(&authority).expect("a certificate");
        let http = client_builder().tls_certs_only([authority]).build().expect("an HTTP client");
        Self { http, url: url.to_owned(), token: token.to_owned() }
    }

    /// A request to a path such as `/api/v1/events?watch=1`, to be sent by the
    /// caller: for watches, whose answer is read as it comes.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    /// Sends a request and returns whatever is answered.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let content_type = if method == Method::PATCH {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let mut request = self.request(method, path);
        if let Some(body) = body {
            let body = serde_json::to_vec(body).expect("JSON");
            request = request.header("content-type", content_type).body(body);
        }
        let answer = request.send().await.unwrap_or_else(|problem| panic!("{path}: {problem:?}"));
        let status = answer.status();
        let body = answer.bytes().await.unwrap_or_else(|problem| panic!("{path}: {problem:?}"));
        Answer { status, body: serde_json::from_slice(&body).unwrap_or_default() }
    }

    async fn succeed(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let answer = self.send(method.clone(), path, body).await;
        assert!(answer.status.is_success(), "{method} {path}: {} {}", answer.status, answer.body);
        answer.body
    }

    /// Reads an object or a list.
    pub async fn get(&self, path: &str) -> Value {
        self.succeed(Method::GET, path, None).await
    }

    /// Creates an object.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        self.succeed(Method::POST, path, Some(body)).await
    }

    /// Replaces an object.
    pub async fn put(&self, path: &str, body: &Value) -> Value {
        self.succeed(Method::PUT, path, Some(body)).await
    }

    /// Changes an object by a JSON merge patch.
    pub async fn patch(&self, path: &str, body: &Value) -> Value {
        self.succeed(Method::PATCH, path, Some(body)).await
    }

    /// Deletes an object.
    pub async fn delete(&self, path: &str) -> Value {
        self.succeed(Method::DELETE, path, None).await
    }
}

/// A client for servers without TLS.
pub(crate) fn plain_http_client() -> reqwest::Client {
    client_builder().tls_certs_only([]).build().expect("an HTTP client")
}

/// What all HTTP clients of the rig have in common: HTTP/1.1, so that parallel
/// requests get connections of their own, and nothing changed on the way.
pub(crate) fn client_builder() -> reqwest::ClientBuilder {
    // Fails when another part of the test has installed one already, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().http1_only().no_proxy().no_gzip()
}
