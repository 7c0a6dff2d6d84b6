//! For each kind of sink a service that quotes what it was sent, and every option of the kind that is secret.
//!
//! A new kind gets a line in [`SUBJECTS`]; one with a real server a function like [`mysql`]. One without secrets or without a target has neither.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod quotation;
mod service;
mod tls;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rig::{Kafka, KafkaListener, MariaDb, MongoDb, MongoTopology};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use self::service::Parrot;
pub(crate) use self::service::{GIVEN, Mood};
use crate::fakes::mariadb;

/// A sink with its target.
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) options: Value,
    /// The word in each of its secrets.
    pub(crate) secrets: Vec<String>,
    target: Target,
}

enum Target {
    None,
    Parrot(Parrot),
    MariaDb(Arc<Mutex<MariaDb>>, String),
    /// It refuses whoever comes.
    Kafka {
        _server: Kafka,
    },
    MongoDb {
        _server: MongoDb,
    },
}

impl Subject {
    /// What its target does from now on.
    pub(crate) async fn be(&self, mood: Mood) {
        match &self.target {
            Target::None | Target::Kafka { .. } | Target::MongoDb { .. } => {}
            Target::Parrot(parrot) => parrot.be(mood),
            Target::MariaDb(server, password) => {
                // A sink that was held would not ask again for a minute.
                let is_right = matches!(mood, Mood::Fails | Mood::Accepts);
                let known = if is_right { password } else { "another" };
                let known = known.replace('\\', "\\\\");
                let statement = format!("ALTER USER secretive IDENTIFIED BY '{known}'");
                mariadb::run(&*server.lock().await, &statement).await;
            }
        }
    }

    /// Whether its target takes anything, as told: some refuse whoever comes.
    pub(crate) fn can_accept(&self) -> bool {
        !matches!(self.kind, "kafka" | "mongo")
    }

    /// Whether its target has quoted all that it quotes in this mood.
    pub(crate) fn has_quoted_all(&self, mood: Mood) -> bool {
        match &self.target {
            Target::Parrot(parrot) => parrot.has_quoted_all(mood),
            _ => true,
        }
    }
}

/// A secret with this word in it: whoever encodes it changes what is around the word.
fn secret(word: &str) -> String {
    format!(r#"a"b\{word}/+=&<%7"#)
}

/// The same inside a URL.
fn in_url(word: &str) -> String {
    utf8_percent_encode(&secret(word), NON_ALPHANUMERIC).to_string()
}

/// Makes the options of a sink for a target at this address.
type Options = fn(&str) -> Value;

/// What the names of sinks end in that speak HTTP/2 and TLS with their targets.
const TLS: &str = "-tls";

/// Name, kind, words of secrets, options.
const SUBJECTS: &[(&str, &str, &[&str], Options)] = &[
    ("log", "log", &[], |_| json!({})),
    (
        "webhook",
        "webhook",
        &["Q7hookUser", "Q7hookPath", "Q7hookQuery", "Q7hookBearer", "Q7hookHeader", "Q7hookHmac"],
        |at| {
            json!({
                "url": format!(
                    "http://relay:{}@{at}/{}?access_token={}",
                    in_url("Q7hookUser"), in_url("Q7hookPath"), in_url("Q7hookQuery")
                ),
                "headers": {"X-Api-Key": secret("Q7hookHeader"), "X-Token": format!("Bearer {}", secret("Q7hookBearer"))},
                "hmacSecret": secret("Q7hookHmac"),
            })
        },
    ),
    ("webhook-tls", "webhook", &["Q7tlsPath", "Q7tlsHeader"], |at| {
        json!({
            "url": format!("https://{at}/{}", in_url("Q7tlsPath")),
            "headers": {"Authorization": secret("Q7tlsHeader")}, "ca": tls::authority(),
        })
    }),
    (
        "dingtalk",
        "dingtalk",
        &["Q7dingToken", "Q7dingSign"],
        |at| json!({"url": robot(at, "Q7dingToken"), "sign": secret("Q7dingSign")}),
    ),
    ("wechat", "wechat", &["Q7wechatPath", "Q7wechatSecret"], |at| {
        json!({
            "url": format!("http://{at}/{}", in_url("Q7wechatPath")), "corpId": "ww1", "agentId": 7,
            "corpSecret": secret("Q7wechatSecret"),
        })
    }),
    ("wecom-robot", "wecom-robot", &["Q7wecomKey"], |at| json!({"url": robot(at, "Q7wecomKey")})),
    (
        "feishu",
        "feishu",
        &["Q7feishuToken", "Q7feishuSign"],
        |at| json!({"url": robot(at, "Q7feishuToken"), "sign": secret("Q7feishuSign")}),
    ),
    (
        "slack",
        "slack",
        &["Q7slackHook"],
        |at| json!({"url": format!("http://{at}/services/T0/B0/{}", in_url("Q7slackHook"))}),
    ),
    ("teams", "teams", &["Q7teamsSig"], |at| json!({"url": robot(at, "Q7teamsSig")})),
    ("elasticsearch", "elasticsearch", &["Q7elasticUser", "Q7elasticPassword"], |at| {
        json!({
            "nodes": [format!("http://{at}")],
            "username": secret("Q7elasticUser"), "password": secret("Q7elasticPassword"),
        })
    }),
    (
        "elasticsearch-url",
        "elasticsearch",
        &["Q7elasticNode"],
        |at| json!({"nodes": [with_password(at, "Q7elasticNode")]}),
    ),
    (
        "elasticsearch-key",
        "elasticsearch",
        &["Q7elasticKey"],
        |at| json!({"nodes": [format!("http://{at}")], "apiKey": format!("id:{}", secret("Q7elasticKey"))}),
    ),
    (
        "elasticsearch-token",
        "elasticsearch",
        &["Q7elasticToken"],
        |at| json!({"nodes": [format!("http://{at}")], "bearerToken": secret("Q7elasticToken")}),
    ),
    ("elasticsearch-aws", "elasticsearch", &["Q7awsId", "Q7awsSecret", "Q7awsToken"], |at| {
        json!({
            "nodes": [format!("http://{at}")],
            "sigv4": {
                "region": "eu-central-1", "accessKeyId": secret("Q7awsId"),
                "secretAccessKey": secret("Q7awsSecret"), "sessionToken": secret("Q7awsToken"),
            },
        })
    }),
    ("elasticsearch-role", "elasticsearch", &[], |at| {
        json!({
            "nodes": [format!("http://{at}")],
            "sigv4": {
                "region": "eu-central-1", "roleArn": "arn:aws:iam::1:role/relay",
                "webIdentityTokenFile": identity_token(), "sts": format!("http://{at}"),
            },
        })
    }),
    ("influxdb", "influxdb", &["Q7influxPath", "Q7influxPassword"], |at| {
        json!({
            "url": format!("http://{at}/{}", in_url("Q7influxPath")), "database": "events",
            "user": "relay", "password": secret("Q7influxPassword"),
        })
    }),
    ("influxdb-token", "influxdb", &["Q7influxToken"], |at| {
        json!({
            "url": format!("http://{at}"), "api": "v2", "bucket": "events", "org": "ops",
            "token": secret("Q7influxToken"),
        })
    }),
    ("honeycomb", "honeycomb", &["Q7honeyKey", "Q7honeyPath"], |at| {
        json!({
            "url": format!("http://{at}/{}", in_url("Q7honeyPath")), "writeKey": secret("Q7honeyKey"),
        })
    }),
    ("sls", "sls", &["Q7slsId", "Q7slsSecret", "Q7slsEndpoint"], |at| {
        json!({
            "project": "proj", "logStore": "events", "region": "cn-hangzhou",
            "endpoint": with_password(at, "Q7slsEndpoint"),
            "accessKeyId": secret("Q7slsId"), "accessKeySecret": secret("Q7slsSecret"),
        })
    }),
    ("sls-role", "sls", &[], |at| {
        json!({
            "project": "proj", "logStore": "events", "region": "cn-hangzhou",
            "endpoint": format!("http://{at}"), "sts": format!("http://{at}"),
            "rrsa": {"roleArn": "acs:ram::1:role/relay", "oidcProviderArn": "acs:ram::1:oidc-provider/c1",
                "oidcTokenFile": identity_token()},
        })
    }),
    ("riemann", "riemann", &[], |at| json!({"address": at})),
    ("eventbridge", "eventbridge", &["Q7busId", "Q7busSecret", "Q7busEndpoint"], |at| {
        json!({
            "clusterId": "c1", "region": "cn-hangzhou", "account": "42",
            "endpoint": with_password(at, "Q7busEndpoint"), "tokenConfig": "/nonexistent",
            "accessKeyId": secret("Q7busId"), "accessKeySecret": secret("Q7busSecret"),
        })
    }),
];

/// Word of the password in the database.
const PASSWORD: &str = "Q7mysqlPassword";

/// What the names of sinks end in whose target also gives keys for the token of a service account.
const ROLE: &str = "-role";

/// The token of a service account: what kubelet writes into its file is secret, and in no option.
const IDENTITY_TOKEN: &str = include_str!("../fixtures/identity-token");

fn identity_token() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/identity-token")
}

fn with_password(at: &str, word: &str) -> String {
    format!("http://relay:{}@{at}/", in_url(word))
}

fn robot(at: &str, word: &str) -> String {
    format!("http://{at}/robot/send?access_token={}", in_url(word))
}

/// A subject of every kind, and of those with several ways to be known one for each way.
pub(crate) async fn all() -> Vec<Subject> {
    let [kafka, kafka_key] = kafka().await;
    let mut subjects = vec![mysql().await, mongo().await, kafka, kafka_key];
    for (name, kind, words, options) in SUBJECTS {
        let secrets: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut quoted: Vec<_> = words.iter().map(|word| secret(word)).collect();
        if name.ends_with(ROLE) {
            quoted.push(IDENTITY_TOKEN.trim().to_owned());
        }
        let parrot = Parrot::start(kind, &quoted, name.ends_with(TLS)).await;
        let options = options(&parrot.address().to_string());
        let target = if *kind == "log" { Target::None } else { Target::Parrot(parrot) };
        subjects.push(Subject { name: (*name).to_owned(), kind, options, secrets, target });
    }
    subjects
}

/// The real one never quotes a password; what its client logs is looked at all the same.
async fn mysql() -> Subject {
    let server = MariaDb::start().await;
    let password = secret(PASSWORD);
    mariadb::run(&server, "CREATE USER secretive IDENTIFIED BY 'another'").await;
    mariadb::run(&server, "GRANT ALL ON relay.* TO secretive").await;
    let dsn = format!("secretive:{password}@tcp({})/relay", server.address());
    let target = Target::MariaDb(Arc::new(Mutex::new(server)), password);
    Subject {
        name: "mysql".to_owned(),
        kind: "mysql",
        options: json!({"dsn": dsn}),
        secrets: vec![PASSWORD.to_owned()],
        target,
    }
}

/// The real one refuses a password that it does not know.
async fn mongo() -> Subject {
    let server = MongoDb::start(MongoTopology::Standalone).await;
    let uri = server.uri("secretive", &in_url("Q7mongoPassword"));
    Subject {
        name: "mongo".to_owned(),
        kind: "mongo",
        options: json!({"uri": uri}),
        secrets: vec!["Q7mongoPassword".to_owned()],
        target: Target::MongoDb { _server: server },
    }
}

/// The real one refuses a password that it does not know; a key that is not there cannot be shown to anybody.
async fn kafka() -> [Subject; 2] {
    let server = Kafka::start().await;
    let brokers = server.address(KafkaListener::Sasl);
    let password = json!({
        "brokers": brokers, "username": secret("Q7kafkaUser"),
        "password": secret("Q7kafkaPassword"), "mechanism": "SCRAM-SHA-256",
    });
    let key = json!({
        "brokers": brokers, "certificate": "/nonexistent", "key": "/nonexistent",
        "keyPassword": secret("Q7kafkaKey"),
    });
    let subject = |name: &str, options, words: &[&str], target| Subject {
        name: name.to_owned(),
        kind: "kafka",
        options,
        secrets: words.iter().map(|word| (*word).to_owned()).collect(),
        target,
    };
    [
        subject(
            "kafka",
            password,
            &["Q7kafkaUser", "Q7kafkaPassword"],
            Target::Kafka { _server: server },
        ),
        subject("kafka-key", key, &["Q7kafkaKey"], Target::None),
    ]
}
