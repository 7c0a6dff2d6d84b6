//! The `influxdb` sink: a point for each event, in `InfluxDB` 1.x, 2.x or 3.x.
//!
//! Invariant: a record is one point, however often it is sent (see `point`), so that a write whose answer was
//! lost is simply made again. What answers mean stands in `answer`.

mod answer;
mod eventer;
mod line;
mod options;
mod point;

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Url};

use self::answer::Answer;
use self::options::{Api, Options};
use super::http::{Redaction, cause_of, client_with_ca, exchange};
use super::prepared::delivery_of;
use super::registry::Kind;
use super::{Batch, Delivery, Outcome, Sink, SinkContext, SinkError};
use crate::event::Record;
use crate::setting::{ByteSize, Secret, Span};

pub(super) const KIND: Kind = Kind {
    name: "influxdb",
    about: "Points in InfluxDB 1.x, 2.x or 3.x",
    aliases: &[],
    eventer_name: "InfluxDB Sink",
    // kube-eventer's number of points, and a body far below the 25 MB that 1.x takes.
    batch: Batch {
        max_records: Some(1000),
        max_bytes: Some(ByteSize::mib(1)),
        max_wait: Some(Span::from_secs(1)),
    },
    options: super::options::describe::<Options>,
    build: |map, context| Ok(Box::new(InfluxDb::new(super::options::parse(map)?, context)?)),
    redact: super::options::redact::<Options>,
    from_uri: eventer::translate,
};

/// A write, one after the database was created, and one after the retention policy was.
const WRITES: usize = 3;

struct InfluxDb {
    options: Options,
    cluster: Arc<str>,
    client: Client,
}

/// Where requests go, with secrets as of now.
struct Server {
    base: Url,
    authorization: Option<HeaderValue>,
    redaction: Redaction,
}

impl InfluxDb {
    fn new(options: Options, context: &SinkContext) -> Result<Self, SinkError> {
        options.check()?;
        let client = match (&options.ca, options.insecure) {
            (None, false) => context.http.clone(),
            (ca, insecure) => client_with_ca(ca.as_deref(), insecure)?,
        };
        let cluster =
            options.cluster_name.as_deref().map_or_else(|| Arc::clone(&context.cluster), Arc::from);
        Ok(Self { options, cluster, client })
    }

    fn server(&self) -> Result<Server, Outcome> {
        let mut redaction = Redaction::default();
        let base = self.options.url.reveal("url", &mut redaction)?;
        let authorization = self.authorization(&mut redaction)?;
        Ok(Server { base, authorization, redaction })
    }

    /// The value of the header that says who we are.
    fn authorization(&self, redaction: &mut Redaction) -> Result<Option<HeaderValue>, Outcome> {
        let Options { api, user, password, token, .. } = &self.options;
        let text =
            match (api, user, token) {
                (Api::V1, Some(user), _) => {
                    let password = reveal("password", password.as_ref(), redaction)?;
                    let pair = format!("{user}:{}", password.unwrap_or_default());
                    Some(format!("Basic {}", STANDARD.encode(pair)))
                }
                (Api::V2, _, token) => reveal("token", token.as_ref(), redaction)?
                    .map(|token| format!("Token {token}")),
                (Api::V3, _, token) => reveal("token", token.as_ref(), redaction)?
                    .map(|token| format!("Bearer {token}")),
                (Api::V1, None, _) => None,
            };
        let Some(text) = text else { return Ok(None) };
        redaction.hide(&text);
        let mut value = HeaderValue::from_str(&text).map_err(|_| Outcome::Hold {
            cause: "token: it contains a control character".to_owned(),
        })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// Writes so many points, and creates what is missing for it.
    async fn write(&self, server: &Server, body: &str, points: usize) -> Result<Delivery, Outcome> {
        let url = self.options.write_url(&server.base);
        let mut missing = String::new();
        for _ in 0..WRITES {
            let reply = self.post(server, url.clone(), body.to_owned()).await?;
            missing = match answer::read(&reply, self.options.api, points, &server.redaction) {
                Answer::Delivery(delivery) => return Ok(delivery),
                Answer::NoDatabase(said) => {
                    self.create(server, &self.database_statement(), &said).await?;
                    said
                }
                Answer::NoPolicy(said) => {
                    self.create(server, &self.policy_statement(), &said).await?;
                    said
                }
            };
        }
        Err(Outcome::Hold { cause: format!("{missing}; creating it did not help") })
    }

    async fn create(&self, server: &Server, statement: &str, said: &str) -> Result<(), Outcome> {
        if !self.options.creates_database() {
            let cause = format!("{said}; create it, or set `createDatabase: true`");
            return Err(Outcome::Hold { cause });
        }
        let url = options::query_url(&server.base, statement);
        let reply = self.post(server, url, String::new()).await?;
        answer::statement(&reply, &server.redaction).map_err(|outcome| match outcome {
            Outcome::Hold { cause } => {
                Outcome::Hold { cause: format!("{said}; to {statement} is refused: {cause}") }
            }
            other => other,
        })?;
        tracing::info!(database = self.options.database(), "created what was missing: {statement}");
        Ok(())
    }

    /// kube-eventer's, with its retention policy when there is one.
    fn database_statement(&self) -> String {
        let policy = self.options.retention_policy.as_deref();
        let policy = policy.map(|policy| format!(" WITH NAME {}", quoted(policy)));
        let database = quoted(self.options.database());
        format!("CREATE DATABASE {database}{}", policy.unwrap_or_default())
    }

    /// kube-eventer's.
    fn policy_statement(&self) -> String {
        let policy = quoted(self.options.retention_policy.as_deref().unwrap_or_default());
        let database = quoted(self.options.database());
        format!("CREATE RETENTION POLICY {policy} ON {database} DURATION 0d REPLICATION 1 DEFAULT")
    }

    async fn post(
        &self,
        server: &Server,
        url: Url,
        body: String,
    ) -> Result<super::http::Reply, Outcome> {
        let mut request =
            self.client.post(url).header(CONTENT_TYPE, "text/plain; charset=utf-8").body(body);
        if let Some(value) = &server.authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        let request = request.build().map_err(|error| Outcome::Hold { cause: cause_of(error) })?;
        exchange(&self.client, request, &server.redaction).await
    }
}

#[async_trait]
impl Sink for InfluxDb {
    async fn deliver(&mut self, batch: &[Record]) -> Delivery {
        let line = |record| point::line(record, self.options.points, &self.cluster);
        let lines: Vec<_> = batch.iter().map(line).collect();
        let written: Vec<_> = lines.iter().filter_map(|line| line.as_ref().ok()).collect();
        if written.is_empty() {
            return Delivery::Each(lines.into_iter().filter_map(Result::err).collect());
        }
        let body = written.iter().fold(String::new(), |body, line| body + line + "\n");
        let delivery = match self.server() {
            Ok(server) => self.write(&server, &body, written.len()).await,
            Err(outcome) => Err(outcome),
        };
        delivery_of(delivery.unwrap_or_else(Delivery::Whole), lines)
    }
}

fn reveal(
    option: &str,
    secret: Option<&Secret>,
    redaction: &mut Redaction,
) -> Result<Option<String>, Outcome> {
    let secret = secret.map(Secret::reveal).transpose();
    let secret = secret.map_err(|error| Outcome::Hold { cause: format!("{option}: {error}") })?;
    redaction.hide(secret.as_deref().unwrap_or_default());
    Ok(secret)
}

/// A name in `InfluxQL`.
fn quoted(name: &str) -> String {
    let escaped = name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::{context, record};
    use serde_json::json;

    fn sink(mut options: serde_json::Value) -> InfluxDb {
        options["url"] = "http://127.0.0.1:1/".into();
        let options = serde_json::from_value(options).expect("options");
        InfluxDb::new(options, &context()).expect("a sink")
    }

    #[test]
    fn statements_are_those_of_kube_eventer() {
        let eventer = sink(json!({"retentionPolicy": "default"}));
        assert_eq!(eventer.database_statement(), r#"CREATE DATABASE "k8s" WITH NAME "default""#);
        assert_eq!(
            eventer.policy_statement(),
            r#"CREATE RETENTION POLICY "default" ON "k8s" DURATION 0d REPLICATION 1 DEFAULT"#
        );
        let odd = sink(json!({"database": "a\"b\\"}));
        assert_eq!(odd.database_statement(), r#"CREATE DATABASE "a\"b\\""#);
    }

    #[test]
    fn each_api_is_told_who_we_are() {
        let shown = |options| {
            let value = sink(options).authorization(&mut Redaction::default());
            value.expect("no hold").map(|value| value.to_str().expect("text").to_owned())
        };
        assert_eq!(shown(json!({})), None);
        let basic = shown(json!({"user": "root", "password": "root"}));
        assert_eq!(basic.as_deref(), Some("Basic cm9vdDpyb290"));
        let token = shown(json!({"api": "v2", "bucket": "b", "token": "t"}));
        assert_eq!(token.as_deref(), Some("Token t"));
        let bearer = shown(json!({"api": "v3", "token": "t"}));
        assert_eq!(bearer.as_deref(), Some("Bearer t"));
    }

    #[tokio::test]
    async fn a_record_that_is_no_event_is_refused_alone() {
        let mut sink = sink(json!({}));
        let bad = [record("7", "{")];
        let Delivery::Each(outcomes) = sink.deliver(&bad).await else { panic!("one each") };
        assert!(matches!(outcomes[0], Outcome::Rejected { .. }));
        let mixed = [record("7", "{"), record("8", "{}")];
        let Delivery::Part { records, .. } = sink.deliver(&mixed).await else { panic!("a part") };
        assert_eq!(records, [1]);
    }
}
