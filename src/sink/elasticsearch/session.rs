//! Requests to the nodes: where they go and what proves who sends them.
//!
//! Invariant: secrets are read anew for every delivery, because they rotate, and none of them comes back
//! in an outcome.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, Request, Url};

use crate::setting::Secret;
use crate::sink::Outcome;
use crate::sink::aws::Signing;
use crate::sink::http::{Redaction, cause_of};

use super::options::Options;

/// Taken by every version, other than the types that name a version.
pub(super) const NDJSON: &str = "application/x-ndjson";
pub(super) const JSON: &str = "application/json";

/// The nodes and the credential, as of now.
pub(super) struct Session {
    client: Client,
    nodes: Vec<Url>,
    authorization: Option<HeaderValue>,
    signing: Option<Signing>,
    /// Takes the secrets out of what a server says.
    pub(super) redaction: Redaction,
}

/// A request to whichever node answers.
pub(super) struct Question<'a> {
    pub(super) method: Method,
    /// Segments of its path.
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
}

impl<'a> Question<'a> {
    /// A question without a body.
    pub(super) fn get(path: &'a [&'a str]) -> Self {
        Self { method: Method::GET, path, query: &[], content_type: JSON, body: Bytes::new() }
    }

    /// A `PUT` of JSON.
    pub(super) fn put(path: &'a [&'a str], query: &'a [(&'a str, &'a str)], body: Bytes) -> Self {
        Self { method: Method::PUT, path, query, content_type: JSON, body }
    }
}

impl Session {
    /// Reads the secrets. What cannot be had is a hold.
    pub(super) fn open(
        options: &Options,
        client: &Client,
        signing: Option<Signing>,
    ) -> Result<Self, Outcome> {
        let mut redaction = Redaction::default();
        if let Some(signing) = &signing {
            signing.keys().hide(&mut redaction);
        }
        let nodes = options.nodes.iter().map(|node| node.reveal("nodes", &mut redaction));
        let nodes = nodes.collect::<Result<_, _>>()?;
        let authorization = authorization(options, &mut redaction)?;
        Ok(Self { client: client.clone(), nodes, authorization, signing, redaction })
    }

    /// How many nodes there are.
    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The request for the node with this number.
    pub(super) fn request(&self, node: usize, question: &Question) -> Result<Request, Outcome> {
        let mut url = self.nodes[node % self.nodes.len()].clone();
        if let Ok(mut path) = url.path_segments_mut() {
            // A node behind a proxy may have a path of its own.
            path.pop_if_empty().extend(question.path);
        }
        if !question.query.is_empty() {
            url.query_pairs_mut().extend_pairs(question.query);
        }
        let mut request = self.client.request(question.method.clone(), url);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if !question.body.is_empty() {
            request = request
                .header(CONTENT_TYPE, HeaderValue::from_static(question.content_type))
                .body(question.body.clone());
        }
        let hold = |error| Outcome::Hold { cause: cause_of(error) };
        let mut request = request.build().map_err(hold)?;
        if let Some(signing) = &self.signing {
            signing.sign(&mut request, &question.body)?;
        }
        Ok(request)
    }
}

/// The value of `Authorization`, if the options have a credential.
fn authorization(
    options: &Options,
    redaction: &mut Redaction,
) -> Result<Option<HeaderValue>, Outcome> {
    let mut reveal = |option: &str, secret: &Secret| {
        let secret = secret
            .reveal()
            .map_err(|error| Outcome::Hold { cause: format!("{option}: {error}") })?;
        redaction.hide(&secret);
        Ok(secret)
    };
    let value = if let (Some(name), Some(password)) = (&options.username, &options.password) {
        let (name, password) = (reveal("username", name)?, reveal("password", password)?);
        format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
    } else if let Some(key) = &options.api_key {
        let key = reveal("apiKey", key)?;
        redaction.hide(key.rsplit(':').next().unwrap_or_default());
        // Base64 has no colon, and `id:api_key` always has one.
        let key = if key.contains(':') { STANDARD.encode(key) } else { key };
        format!("ApiKey {key}")
    } else if let Some(token) = &options.bearer_token {
        format!("Bearer {}", reveal("bearerToken", token)?)
    } else {
        return Ok(None);
    };
    redaction.hide(&value);
    let mut value = HeaderValue::from_str(&value).map_err(|_| Outcome::Hold {
        cause: "the credential contains a control character".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::context;
    use serde_json::{Value, json};

    fn request(options: Value) -> Request {
        let options: Options = serde_json::from_value(options).expect("options");
        let Ok(session) = Session::open(&options, &context().http, None) else {
            panic!("a session")
        };
        let question = Question {
            method: Method::POST,
            path: &["_bulk"],
            query: &[("a", "b")],
            content_type: NDJSON,
            body: Bytes::from_static(b"x\n"),
        };
        session.request(3, &question).expect("a request")
    }

    #[test]
    fn every_credential_has_its_header() {
        for (credential, expected) in [
            (json!({"username": "u", "password": "p"}), Some("Basic dTpw")),
            (json!({"apiKey": "id:key"}), Some("ApiKey aWQ6a2V5")),
            (json!({"apiKey": "aWQ6a2V5"}), Some("ApiKey aWQ6a2V5")),
            (json!({"bearerToken": "t0"}), Some("Bearer t0")),
            (json!({}), None),
        ] {
            let mut options = credential.clone();
            options["nodes"] = json!(["http://h:9200"]);
            let request = request(options);
            let header = request.headers().get("authorization");
            assert_eq!(header.map(HeaderValue::as_bytes), expected.map(str::as_bytes));
            assert!(header.is_none_or(HeaderValue::is_sensitive), "{credential}");
        }
    }

    #[test]
    fn a_node_may_have_a_path_and_a_credential_in_its_url() {
        let nodes = json!(["http://a/", "https://u:p@b/es/"]);
        let request = request(json!({"nodes": nodes}));
        assert_eq!(request.url().as_str(), "https://b/es/_bulk?a=b");
        assert_eq!(request.headers()["authorization"], "Basic dTpw");
        assert_eq!(request.headers()["content-type"], NDJSON);
    }

    #[test]
    fn a_secret_that_is_missing_is_a_hold_that_names_its_place() {
        let options = json!({"nodes": ["http://h"], "apiKey": {"file": "/no/such/file"}});
        let options: Options = serde_json::from_value(options).expect("options");
        let Err(Outcome::Hold { cause }) = Session::open(&options, &context().http, None) else {
            panic!("a hold")
        };
        assert!(cause.starts_with("apiKey: ") && cause.contains("/no/such/file"), "{cause}");
    }
}
