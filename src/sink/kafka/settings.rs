//! What librdkafka is told.
//!
//! Source: librdkafka, CONFIGURATION.md. Invariant: two equal [`Settings`] make the same connections, the contents
//! of files and secrets included.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::options::Options;
use crate::setting::Secret;
use crate::sink::Outcome;
use crate::sink::http::Redaction;

/// Settings of every producer, and why.
const FIXED: [(&str, &str); 16] = [
    ("client.id", "kube-event-relay"),
    // Accepted is what all in-sync replicas have, once, in order.
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // The relay decides how long it tries. What expired here could not be told from what arrived.
    ("message.timeout.ms", "0"),
    // What there is to send is handed over at once: there is nothing to wait for.
    ("linger.ms", "1"),
    // Below what topics allow, by far: what is larger goes alone, and is refused alone.
    ("batch.size", "262144"),
    // The brokers decide what is too large. No event comes near it.
    ("message.max.bytes", "33554432"),
    // What is handed over waits there: it has to be bounded.
    ("queue.buffering.max.messages", "10000"),
    ("queue.buffering.max.kbytes", "65536"),
    // That of the Java client: the same key is in the same partition whoever writes it.
    ("partitioner", "murmur2_random"),
    // Brokers that come back are noticed within a second.
    ("reconnect.backoff.max.ms", "1000"),
    ("socket.keepalive.enable", "true"),
    ("socket.connection.setup.timeout.ms", "10000"),
    // Nobody has asked for figures about the client.
    ("enable.metrics.push", "false"),
    // An idle connection that a broker closes is no event.
    ("log.connection.close", "false"),
    ("allow.auto.create.topics", "true"),
];

/// How a producer is connected.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pairs: Vec<(&'static str, String)>,
    /// What the files named in them contained.
    files: Vec<Vec<u8>>,
    secrets: Vec<String>,
}

impl Settings {
    /// Those of now: secrets and files are read anew, because credentials rotate.
    pub(super) fn read(options: &Options) -> Result<Self, Outcome> {
        let mut settings = Self { pairs: Vec::new(), files: Vec::new(), secrets: Vec::new() };
        settings.set("bootstrap.servers", options.brokers.each().join(","));
        settings.set("compression.type", options.compression.name().to_owned());
        let protocol = match (options.uses_tls(), options.username.is_some()) {
            (false, false) => "plaintext",
            (true, false) => "ssl",
            (false, true) => "sasl_plaintext",
            (true, true) => "sasl_ssl",
        };
        settings.set("security.protocol", protocol.to_owned());
        if let (Some(username), Some(password)) = (&options.username, &options.password) {
            settings.set("sasl.mechanism", options.mechanism.name().to_owned());
            settings.set("sasl.username", reveal("username", username)?);
            settings.set_secret("sasl.password", reveal("password", password)?);
        }
        if options.uses_tls() {
            settings.tls(options)?;
        }
        Ok(settings)
    }

    fn tls(&mut self, options: &Options) -> Result<(), Outcome> {
        match &options.ca {
            Some(ca) => self.file("ca", "ssl.ca.location", ca)?,
            // librdkafka looks for that of the system.
            None => self.set("ssl.ca.location", "probe".to_owned()),
        }
        if let (Some(certificate), Some(key)) = (&options.certificate, &options.key) {
            self.file("certificate", "ssl.certificate.location", certificate)?;
            self.file("key", "ssl.key.location", key)?;
        }
        if let Some(password) = &options.key_password {
            self.set_secret("ssl.key.password", reveal("keyPassword", password)?);
        }
        if options.insecure {
            self.set("enable.ssl.certificate.verification", "false".to_owned());
        }
        Ok(())
    }

    fn set(&mut self, name: &'static str, value: String) {
        self.pairs.push((name, value));
    }

    fn set_secret(&mut self, name: &'static str, value: String) {
        self.secrets.push(value.clone());
        self.set(name, value);
    }

    fn file(&mut self, option: &str, name: &'static str, path: &Path) -> Result<(), Outcome> {
        let contents = fs::read(path).map_err(|error| Outcome::Hold {
            cause: format!("{option}: cannot read {}: {error}", path.display()),
        })?;
        self.files.push(contents);
        self.set(name, path.display().to_string());
        Ok(())
    }

    /// All that librdkafka is told. `topic_wait` is how long a topic may be unknown before that is an error.
    pub(super) fn client_config(&self, topic_wait: Duration) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Info);
        config.set("topic.metadata.propagation.max.ms", topic_wait.as_millis().to_string());
        for (name, value) in FIXED {
            config.set(name, value);
        }
        for (name, value) in &self.pairs {
            config.set(*name, value);
        }
        config
    }

    /// Hides the secrets among them.
    pub(super) fn redaction(&self) -> Redaction {
        let mut redaction = Redaction::default();
        self.secrets.iter().for_each(|secret| redaction.hide(secret));
        redaction
    }
}

fn reveal(option: &str, secret: &Secret) -> Result<String, Outcome> {
    secret.reveal().map_err(|error| Outcome::Hold { cause: format!("{option}: {error}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn settings(mut options: Value) -> Result<Settings, Outcome> {
        options["brokers"] = "a:1,b:2".into();
        Settings::read(&serde_json::from_value(options).expect("options"))
    }

    fn protocol(options: Value) -> String {
        let config = settings(options).expect("settings").client_config(Duration::ZERO);
        config.get("security.protocol").expect("a protocol").to_owned()
    }

    #[test]
    fn the_protocol_follows_from_what_is_given() {
        assert_eq!(protocol(json!({})), "plaintext");
        assert_eq!(protocol(json!({"tls": true})), "ssl");
        assert_eq!(protocol(json!({"username": "u", "password": "p"})), "sasl_plaintext");
        assert_eq!(protocol(json!({"username": "u", "password": "p", "tls": true})), "sasl_ssl");
    }

    #[test]
    fn a_changed_file_makes_other_settings() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        let options = json!({"ca": path});
        let Err(Outcome::Hold { cause }) = settings(options.clone()) else { panic!("no file") };
        assert!(cause.starts_with("ca: cannot read "), "{cause}");
        fs::write(&path, "one").expect("a file");
        let first = settings(options.clone()).expect("settings");
        assert!(first == settings(options.clone()).expect("settings"));
        fs::write(&path, "two").expect("a file");
        assert!(first != settings(options).expect("settings"));
    }

    #[test]
    fn what_librdkafka_is_told_makes_a_producer() {
        let options = json!({"username": "u", "password": "s3cret-word", "mechanism": "SCRAM-SHA-256",
            "compression": "zstd", "tls": true, "insecure": true});
        let settings = settings(options).expect("settings");
        let config = settings.client_config(Duration::from_secs(30));
        let producer: Result<rdkafka::producer::BaseProducer, _> = config.create();
        assert!(producer.is_ok(), "{:?}", producer.err());
        assert_eq!(settings.redaction().explain("with s3cret-word"), "with <secret>");
    }
}
