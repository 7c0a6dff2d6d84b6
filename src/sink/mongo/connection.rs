//! Connections to the servers of a connection string.
//!
//! Invariants: no message shows a credential of it; there are few connections; how long anything may take fits
//! into the 30 s that the runner waits, unless the connection string asks for less.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mongodb::options::{ClientOptions, ConnectionString, Tls, TlsOptions};
use mongodb::{Client, Database};
use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::failure;
use crate::setting::Secret;
use crate::sink::Outcome;
use crate::sink::http::Redaction;

/// Connections to one server. A sink has a few deliveries in flight at most.
const POOL: u32 = 4;

/// How long a server is looked for. An election takes longer, but what went wrong is to be seen soon, and the runner
/// tries again.
const SELECTION_LIMIT: Duration = Duration::from_secs(5);

/// How often a server is asked how it is. After an answer such as a wrong credential the driver waits for the next
/// time before it sends anything again, which has to be sooner than it gives up looking for a server.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// How long connecting to a server may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Options of a connection string that are secrets, in lower case.
const SECRET_OPTIONS: [&str; 3] =
    ["authmechanismproperties", "proxypassword", "tlscertificatekeyfilepassword"];

const NOTATION: &str = "write it as mongodb://USER:PASSWORD@HOST:PORT/?authSource=admin";

/// Where documents go to and whom to trust, as of now.
#[derive(PartialEq, Eq)]
pub(super) struct Target {
    uri: String,
    /// A file with certificates, and what is in it.
    ca: Option<(PathBuf, Vec<u8>)>,
}

/// A client of the driver, which connects when it is needed.
pub(super) struct Connection {
    target: Target,
    client: Client,
    redaction: Redaction,
}

impl Target {
    /// Reads secret and file anew, because credentials and certificates are replaced.
    pub(super) fn read(uri: &Secret, ca: Option<&Path>) -> Result<Self, Outcome> {
        let uri = uri.reveal().map_err(|error| hold("uri", &error.to_string()))?;
        let ca = ca.map(|path| certificates(path).map(|pem| (path.to_owned(), pem))).transpose()?;
        Ok(Self { uri, ca })
    }
}

impl Connection {
    /// Prepares connections; does not connect, but may ask for a DNS record.
    pub(super) async fn new(target: Target) -> Result<Self, Outcome> {
        check(&target.uri).map_err(|reason| hold("uri", &reason))?;
        let redaction = redaction(&target.uri);
        let client = client(&target).await;
        let client = client.map_err(|error| failure::outcome(&error, &redaction))?;
        Ok(Self { target, client, redaction })
    }

    pub(super) fn leads_to(&self, target: &Target) -> bool {
        self.target == *target
    }

    pub(super) fn database(&self, name: &str) -> Database {
        self.client.database(name)
    }

    pub(super) fn redaction(&self) -> &Redaction {
        &self.redaction
    }
}

async fn client(target: &Target) -> mongodb::error::Result<Client> {
    let mut options = ClientOptions::parse(&target.uri).await?;
    options.app_name.get_or_insert_with(|| env!("CARGO_PKG_NAME").to_owned());
    options.retry_writes = Some(false);
    options.max_pool_size =
        Some(options.max_pool_size.filter(|size| *size > 0).map_or(POOL, |size| size.min(POOL)));
    options.min_pool_size = None;
    options.connect_timeout = Some(at_most(options.connect_timeout, CONNECT_LIMIT));
    options.heartbeat_freq = Some(at_most(options.heartbeat_freq, HEARTBEAT));
    let selection = at_most(options.server_selection_timeout, SELECTION_LIMIT);
    options.server_selection_timeout = Some(selection);
    if let Some((path, _)) = &target.ca {
        let mut tls = match options.tls {
            Some(Tls::Enabled(tls)) => tls,
            _ => TlsOptions::default(),
        };
        tls.ca_file_path = Some(path.clone());
        options.tls = Some(Tls::Enabled(tls));
    }
    Client::with_options(options)
}

/// Zero stands for no limit in a connection string.
fn at_most(wanted: Option<Duration>, limit: Duration) -> Duration {
    wanted.filter(|wanted| !wanted.is_zero()).map_or(limit, |wanted| wanted.min(limit))
}

fn certificates(path: &Path) -> Result<Vec<u8>, Outcome> {
    let pem = std::fs::read(path)
        .map_err(|error| hold("ca", &format!("cannot read {}: {error}", path.display())))?;
    if CertificateDer::pem_slice_iter(&pem).flatten().next().is_none() {
        return Err(hold("ca", &format!("there is no PEM certificate in {}", path.display())));
    }
    Ok(pem)
}

fn hold(option: &str, cause: &str) -> Outcome {
    Outcome::Hold { cause: format!("{option}: {cause}") }
}

/// Whether the driver can read it. The error says what is wrong, and shows no credential.
pub(super) fn check(uri: &str) -> Result<(), String> {
    if ConnectionString::parse(uri).is_ok() {
        return Ok(());
    }
    // The driver's words may quote any part of it, so it is asked again without the credential.
    let Some((scheme, rest)) = uri.split_once("://") else { return Err(NOTATION.to_owned()) };
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    match ConnectionString::parse(format!("{scheme}://{place}")) {
        Ok(_) => Err("user and password: write every character of them but letters and digits as \
                      %XX, such as %40 for an @"
            .to_owned()),
        Err(error) => {
            Err(format!("{}; {NOTATION}", redaction(uri).explain(&error.kind.to_string())))
        }
    }
}

/// Hides what only the relay and the server are to know.
fn redaction(uri: &str) -> Redaction {
    let mut redaction = Redaction::default();
    let mut hide = |secret: &str| {
        redaction.hide(secret);
        redaction.hide(&percent_decode_str(secret).decode_utf8_lossy());
    };
    hide(uri);
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    if let Some((credential, _)) = rest.rsplit_once('@') {
        hide(credential);
        hide(credential.split_once(':').map_or("", |(_, password)| password));
    }
    let options = rest.rsplit_once('?').map_or("", |(_, options)| options);
    for (name, value) in options.split('&').filter_map(|pair| pair.split_once('=')) {
        if SECRET_OPTIONS.contains(&name.to_ascii_lowercase().as_str()) {
            hide(value);
            value.split([',', ':']).for_each(&mut hide);
        }
    }
    redaction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_shows_a_credential() {
        for (uri, expected) in [
            ("mongodb://root:hunter/two@h/", "user and password"),
            ("mongodb://root:hunter?two@h/", "user and password"),
            ("mongodb://root:hunter%two@h/", "user and password"),
            ("mongodb://root:hunter2:two@h:27017/?tls=maybe", "must be a boolean"),
            ("mongodb://root:hunter2@h:x/", "write it as"),
            (
                "mongodb://root:hunter2@h/?AuthMechanismProperties=AWS_SESSION_TOKEN-hunter2",
                "write it as",
            ),
            ("mongodb://h/?hunter=two", "is an invalid option"),
            ("root:hunter2@h", "write it as"),
            ("mysql://root:hunter2@h", "unsupported connection string scheme"),
            ("", "write it as"),
        ] {
            let error = check(uri).expect_err(uri);
            assert!(error.contains(expected), "{uri}: {error}");
            assert!(!error.contains("hunter2") && !error.contains("two@"), "{error}");
        }
        for uri in [
            "mongodb://u:p%40ss@h1,h2:27018/?authSource=admin&replicaSet=rs0",
            "mongodb+srv://u:p@cluster0.example.net/?retryWrites=true&w=majority&appName=Cluster0",
        ] {
            assert_eq!(check(uri), Ok(()));
        }
    }

    #[test]
    fn what_the_server_says_is_shown_without_the_password() {
        let redaction =
            redaction("mongodb://root:hunt%40er2@h/?tlsCertificateKeyFilePassword=k3yword");
        let shown = redaction.explain("hunt@er2, hunt%40er2, k3yword, root:hunt%40er2 at h");
        assert_eq!(shown, "<secret>, <secret>, <secret>, <secret> at h");
    }

    #[tokio::test]
    async fn limits_hold_whatever_the_connection_string_says() {
        let wide = "mongodb://h/?maxPoolSize=500&minPoolSize=9&serverSelectionTimeoutMS=0&connectTimeoutMS=99000&\
                    retryWrites=true&w=0";
        let options = ClientOptions::parse(wide).await.expect("valid");
        assert_eq!(at_most(options.server_selection_timeout, SELECTION_LIMIT), SELECTION_LIMIT);
        assert_eq!(at_most(options.connect_timeout, CONNECT_LIMIT), CONNECT_LIMIT);
        assert!(HEARTBEAT < SELECTION_LIMIT);
        let short = Duration::from_millis(200);
        assert_eq!(at_most(Some(short), CONNECT_LIMIT), short);
        let target = Target { uri: wide.to_owned(), ca: None };
        assert!(client(&target).await.is_ok());
    }
}
