//! The `mongo` sink: a document for each event, in a collection of `MongoDB`.
//!
//! Invariants:
//! 1. A document's `_id` is the identity of its record, so that a write whose answer was lost is simply made again.
//! 2. Accepted is only what a majority of the servers has in its journal, whatever the connection string says.
//! 3. The runner tries again, and nobody else: the driver's own second attempt is off, which a standalone
//!    server does not have anyway.

mod answer;
mod connection;
mod document;
mod eventer;
mod failure;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use mongodb::bson::RawArrayBuf;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::connection::{Connection, Target};
use super::options::{self, now, wrong};
use super::registry::Kind;
use super::{Batch, Delivery, Outcome, Sink, SinkContext, SinkError, transcript};
use crate::event::Record;
use crate::setting::{ByteSize, Secret, Span};

pub(super) const KIND: Kind = Kind {
    name: "mongo",
    about: "Documents in a collection of MongoDB",
    // What kube-eventer's README calls it.
    aliases: &["mongodb"],
    eventer_name: "Mongo Sink",
    batch: Batch {
        max_records: Some(1000),
        // A command may have 16 MiB, and a document is smaller than its event.
        max_bytes: Some(ByteSize::mib(2)),
        max_wait: Some(Span::from_secs(1)),
    },
    options: options::describe::<Options>,
    build: |map, context| Ok(Box::new(Mongo::new(options::parse(map)?, context)?)),
    redact: options::redact::<Options>,
    from_uri: eventer::translate,
};

/// `options` of a sink of kind `mongo`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    /// The connection string: `mongodb://USER:PASSWORD@HOST:PORT/?authSource=admin`.
    uri: Secret,
    /// Where the collection is.
    #[serde(default = "k8s")]
    database: String,
    /// Where the documents go to; the server makes it with the first of them.
    #[serde(default = "event")]
    collection: String,
    /// File with the PEM certificates that are trusted; with it TLS is on.
    #[serde(default)]
    ca: Option<PathBuf>,
}

struct Mongo {
    options: Options,
    cluster: Arc<str>,
    connection: Option<Connection>,
}

impl Mongo {
    fn new(options: Options, context: &SinkContext) -> Result<Self, SinkError> {
        if let Some(uri) = now("uri", &options.uri)? {
            connection::check(&uri).map_err(|reason| wrong("uri", reason))?;
        }
        check_database(&options.database)?;
        check_collection(&options.collection)?;
        let cluster = Arc::clone(&context.cluster);
        Ok(Self { options, cluster, connection: None })
    }

    /// The connection for what is configured as of now: credentials and certificates are renewed.
    async fn connection(&mut self) -> Result<&Connection, Outcome> {
        let target = Target::read(&self.options.uri, self.options.ca.as_deref())?;
        match self.connection.take() {
            Some(connection) if connection.leads_to(&target) => {
                Ok(self.connection.insert(connection))
            }
            _ => Ok(self.connection.insert(Connection::new(target).await?)),
        }
    }

    async fn store(&mut self, batch: &[Record]) -> Result<Delivery, Outcome> {
        let mut documents = RawArrayBuf::new();
        for record in batch {
            documents.push(document::of(record, &self.cluster));
        }
        let command = document::insert(&self.options.collection, documents);
        let database = self.options.database.clone();
        let connection = self.connection().await?;
        let answered = connection.database(&database).run_raw_command(command).await;
        let redaction = connection.redaction();
        match answered {
            Ok(reply) => {
                transcript::note(|| redaction.explain(&reply.to_string()));
                Ok(answer::delivery(&reply, batch.len(), redaction))
            }
            Err(error) => Err(failure::outcome(&error, redaction)),
        }
    }
}

#[async_trait]
impl Sink for Mongo {
    async fn deliver(&mut self, batch: &[Record]) -> Delivery {
        if batch.is_empty() {
            return Delivery::Each(Vec::new());
        }
        self.store(batch).await.unwrap_or_else(Delivery::Whole)
    }
}

/// Bytes that a name of a database has at most (mongodb.com, "`MongoDB` Limits and Thresholds").
const DATABASE_LIMIT: usize = 63;

fn check_database(name: &str) -> Result<(), SinkError> {
    let refused = |c: char| matches!(c, '/' | '\\' | '.' | ' ' | '"' | '$' | '\0');
    if name.is_empty() || name.len() > DATABASE_LIMIT || name.contains(refused) {
        return Err(wrong(
            "database",
            "a name has 1 to 63 bytes, and none of / \\ . \" $ and no space in it",
        ));
    }
    Ok(())
}

fn check_collection(name: &str) -> Result<(), SinkError> {
    if name.is_empty() || name.starts_with("system.") || name.contains(['$', '\0']) {
        return Err(wrong(
            "collection",
            "a name is not empty, does not begin with `system.`, and has no $ in it",
        ));
    }
    Ok(())
}

fn k8s() -> String {
    "k8s".to_owned()
}

fn event() -> String {
    "event".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::registry;
    use crate::sink::testing::context;
    use serde_json::{Value, json};

    fn build(options: Value) -> Result<Mongo, SinkError> {
        let Value::Object(options) = options else { panic!("an object") };
        Mongo::new(options::parse(&options)?, &context())
    }

    #[test]
    fn the_defaults_are_those_of_kube_eventer() {
        let sink = build(json!({"uri": "mongodb://h/"})).expect("a sink");
        assert_eq!((sink.options.database, sink.options.collection), (k8s(), event()));
        assert_eq!(registry::find("mongodb").expect("an alias").name, "mongo");
    }

    #[test]
    fn an_option_that_cannot_be_meant_is_named() {
        for (options, expected) in [
            (json!({}), "option uri: it is required"),
            (json!({"uri": "h:27017"}), "option uri: "),
            (json!({"uri": "mongodb://h/", "database": "a.b"}), "option database: "),
            (json!({"uri": "mongodb://h/", "collection": ""}), "option collection: "),
            (json!({"uri": "mongodb://h/", "collection": "system.users"}), "option collection: "),
        ] {
            let error = build(options).err().expect(expected).to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_now_holds() {
        let folder = tempfile::tempdir().expect("a folder");
        let secret = folder.path().join("uri");
        let options = json!({"uri": {"file": secret}, "ca": folder.path().join("ca.pem")});
        let mut sink = build(options).expect("a file may come later");
        let record = crate::sink::testing::record("7", "{}");
        for part in ["uri: cannot read", "ca: cannot read", "ca: there is no PEM certificate"] {
            let delivery = sink.deliver(std::slice::from_ref(&record)).await;
            let Delivery::Whole(Outcome::Hold { cause }) = delivery else { panic!("{delivery:?}") };
            assert!(cause.starts_with(part), "{cause}");
            if secret.exists() {
                std::fs::write(folder.path().join("ca.pem"), "no certificate").expect("written");
            }
            std::fs::write(&secret, "mongodb://u:hunter2@127.0.0.1:1/").expect("written");
        }
    }
}
