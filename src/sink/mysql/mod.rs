//! The `mysql` sink: rows in a table of MySQL or MariaDB.
//!
//! A batch is one statement, which is stored as a whole or not at all. Where the table has the column
//! `record_id`, a record that is delivered again is stored once.

mod dsn;
mod eventer;
mod failure;
mod row;
mod table;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::tz::TimeZone;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::dsn::Dsn;
use self::table::{Table, TableName};
use super::http::Redaction;
use super::options::{self, now, wrong};
use super::registry::Kind;
use super::{Batch, Delivery, Outcome, Sink, SinkContext, SinkError, transcript};
use crate::event::Record;
use crate::setting::{ByteSize, Secret, Span};

pub(super) const KIND: Kind = Kind {
    name: "mysql",
    about: "Rows in a table of MySQL or MariaDB",
    aliases: &[],
    eventer_name: "MySQLSink",
    batch: Batch {
        max_records: Some(500),
        // Well below the smallest `max_allowed_packet` in use, 4 MB.
        max_bytes: Some(ByteSize::mib(1)),
        max_wait: Some(Span::from_secs(1)),
    },
    options: options::describe::<Options>,
    build: |map, context| Ok(Box::new(MySql::new(options::parse(map)?, context)?)),
    redact: options::redact::<Options>,
    from_uri: eventer::translate,
};

/// `options` of a sink of kind `mysql`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    /// Where the database is: `user:password@tcp(HOST:PORT)/DATABASE?tls=true`.
    dsn: Secret,
    /// The table, perhaps with its database in front.
    #[serde(default = "kube_event")]
    table: String,
    /// File with PEM certificates that are trusted beside the usual ones; with it TLS is on.
    #[serde(default)]
    ca: Option<PathBuf>,
}

struct MySql {
    options: Options,
    cluster: Arc<str>,
    table_name: TableName,
    zone: TimeZone,
    session: Option<Session>,
}

/// A connection, and what the table is like.
struct Session {
    connection: Conn,
    table: Table,
}

impl MySql {
    fn new(options: Options, context: &SinkContext) -> Result<Self, SinkError> {
        if let Some(dsn) = now("dsn", &options.dsn)? {
            Dsn::parse(&dsn).map_err(|reason| wrong("dsn", reason))?;
        }
        if options.table.trim().is_empty() {
            return Err(wrong("table", "write the name of a table"));
        }
        let table_name = TableName::parse(&options.table);
        let (cluster, zone) = (Arc::clone(&context.cluster), TimeZone::system());
        Ok(Self { options, cluster, table_name, zone, session: None })
    }

    async fn store(&mut self, batch: &[Record]) -> Result<(), Outcome> {
        let hold = |cause: String| Outcome::Hold { cause: format!("dsn: {cause}") };
        let dsn = self.options.dsn.reveal().map_err(|error| hold(error.to_string()))?;
        let dsn = Dsn::parse(&dsn).map_err(hold)?;
        let mut redaction = Redaction::default();
        redaction.hide(dsn.password().unwrap_or_default());
        let stored = self.try_store(batch, &dsn).await;
        stored.map_err(|error| {
            if failure::ends_connection(&error) {
                self.session = None;
            }
            failure::outcome(&error, &redaction)
        })
    }

    async fn try_store(&mut self, batch: &[Record], dsn: &Dsn) -> Result<(), Error> {
        // Taken out, so that a delivery that is given up in the middle leaves no half-used connection.
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.connect(dsn).await?,
        };
        let table = &session.table;
        let statement = row::insert(&self.table_name.quoted(), batch.len(), table.has_identity());
        let values = batch
            .iter()
            .flat_map(|record| row::values(record, &self.cluster, table, &self.zone))
            .collect();
        let stored = session.connection.exec_drop(statement, Params::Positional(values)).await;
        transcript::note(|| answer(&session.connection, &stored));
        self.session = Some(session);
        stored
    }

    async fn connect(&self, dsn: &Dsn) -> Result<Session, Error> {
        let mut connection = Conn::new(dsn.opts(self.options.ca.as_deref())).await?;
        let table = Table::ensure(&mut connection, &self.table_name, dsn.database()).await?;
        if !table.has_identity() {
            tracing::warn!(
                table = self.options.table,
                "the table has no column record_id: a record that is delivered again is stored again"
            );
        }
        Ok(Session { connection, table })
    }
}

#[async_trait]
impl Sink for MySql {
    async fn deliver(&mut self, batch: &[Record]) -> Delivery {
        if batch.is_empty() {
            return Delivery::Each(Vec::new());
        }
        Delivery::Whole(
            self.store(batch).await.map_or_else(|outcome| outcome, |()| Outcome::Accepted),
        )
    }
}

/// What the server has said of a statement.
fn answer(connection: &Conn, stored: &Result<(), Error>) -> String {
    let rows = connection.affected_rows();
    match stored {
        Ok(()) => format!("OK, {rows} rows affected {}", connection.info()).trim_end().to_owned(),
        Err(_) => "an error".to_owned(),
    }
}

fn kube_event() -> String {
    "kube_event".to_owned()
}
