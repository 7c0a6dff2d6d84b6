//! HTTP as sinks use it: one client, one exchange, one table of what a status means.
//!
//! Invariants: a redirect is never followed, because it would turn a POST into a GET and lose the
//! event; no cause or reason contains a URL or a secret; a reply is read up to a bound only.

mod redaction;
mod reply;
mod retry_after;

pub(super) use redaction::Redaction;
pub(super) use reply::{Conflict, Reply, exchange, exchange_unheard, exchange_up_to};

use std::path::Path;
use std::time::Duration;

use reqwest::{Certificate, Client};
use rustls::crypto::CryptoProvider;

use super::SinkError;
use super::options::wrong;

/// Sinks that cannot be reached are tried again, so there is no point in a long wait.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Finds dead peers behind load balancers that forget idle connections after a minute or more.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// The HTTP client cannot be built.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot build the HTTP client: {0}; are CA certificates installed, or does SSL_CERT_FILE name \
     a file with some?"
)]
pub struct HttpClientError(String);

/// The one client of all sinks: TLS with the system's CA certificates (`SSL_CERT_FILE`,
/// `SSL_CERT_DIR`), proxies from the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`), gzip,
/// no redirects. It has no timeout for a whole exchange; the runner has.
pub fn http_client() -> Result<reqwest::Client, HttpClientError> {
    client_builder().build().map_err(|error| HttpClientError(cause_of(error)))
}

/// What every client is built from.
fn client_builder() -> reqwest::ClientBuilder {
    if CryptoProvider::get_default().is_none() {
        // Losing the race against another thread leaves the same provider installed.
        let _installed = rustls::crypto::ring::default_provider().install_default();
    }
    reqwest::Client::builder()
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(KEEPALIVE)
        .redirect(reqwest::redirect::Policy::none())
}

/// A client that also trusts the PEM certificates in the file, or any certificate at all, as the options `ca`
/// and `insecure` say.
pub(super) fn client_with_ca(ca: Option<&Path>, insecure: bool) -> Result<Client, SinkError> {
    let builder = client_builder().tls_danger_accept_invalid_certs(insecure);
    let Some(path) = ca else {
        return builder.build().map_err(|error| wrong("insecure", cause_of(error)));
    };
    let refused = |reason: String| wrong("ca", format!("{}: {reason}", path.display()));
    let pem = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
    let certificates =
        Certificate::from_pem_bundle(&pem).map_err(|error| refused(cause_of(error)))?;
    if certificates.is_empty() {
        return Err(refused("there is no PEM certificate in it".to_owned()));
    }
    let built = builder.tls_certs_merge(certificates).build();
    built.map_err(|error| refused(cause_of(error)))
}

/// The error with everything that led to it, without the URL.
pub(super) fn cause_of(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_can_be_built_twice() {
        http_client().expect("CA certificates of the system");
        http_client().expect("the provider stays installed");
    }

    #[tokio::test]
    async fn a_cause_says_what_happened_and_not_where() {
        let client = http_client().expect("a client");
        // Nobody listens on port 0.
        let error = client.get("http://127.0.0.1:0/s3cret").send().await.expect_err("refused");
        let cause = cause_of(error);
        assert!(!cause.contains("s3cret") && !cause.contains("127.0.0.1"), "{cause}");
        assert!(cause.contains("connect"), "{cause}");
    }
}
