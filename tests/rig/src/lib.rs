//! The test rig: real servers for the relay to run against, proxies that disturb
//! the way between them, and an oracle for what arrives.
//!
//! # Guide
//!
//! * [`Cluster`]: a real etcd and a real API server, alone for one test. Its
//!   [`Client`] makes events, namespaces and service accounts. It can forget
//!   history (compaction), go back in time (snapshot and restore), stop and start.
//! * [`Receiver`]: a webhook that records requests and misbehaves on demand.
//! * [`Proxy`] and [`HttpProxy`]: between relay and API server; the one disturbs
//!   connections, the other lists and watches.
//! * [`Browser`]: a real Chromium, for the web page.
//! * [`InfluxDb`]: a real InfluxDB 1.x, from `influxdb.sh`.
//! * [`Kafka`]: a real Apache Kafka, from `kafka/build.sh`.
//! * [`Relay`]: the relay's program itself.
//! * [`SearchServer`]: a real `OpenSearch` or Elasticsearch.
//! * [`Volume`]: a file system that loses its power, is full, or grows.
//! * [`MariaDb`]: a database to write to.
//! * [`MongoDb`]: a real `MongoDB`, from `mongodb.sh`.
//! * [`FailingCalls`]: makes a system call of a program fail.
//! * [`Terminal`]: a program as somebody sees it who sits at a terminal.
//! * [`kubectl`], [`helm`], [`promtool`], [`hadolint`], [`actionlint`], [`buildah`]: the
//!   programs of those who install the relay.
//! * [`Conservation`]: nothing lost, nothing invented, nothing out of order.
//!
//! The servers are built from source by `build.sh`, once; the first build takes
//! minutes. `KUBEBUILDER_ASSETS` names a folder with ready ones instead.
//!
//! # Invariant
//!
//! Nothing is left behind: ports, processes and folders belong to the value that
//! made them and go with it, also when the test is killed (the folders then stay,
//! in the system's temporary folder). Nothing waits by sleeping for a fixed time.
//! Everything fails by panicking, since a rig that does not work proves nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]

mod access;
mod apiserver;
mod apply;
mod binaries;
mod browser;
mod client;
mod cluster;
mod conservation;
mod credentials;
mod etcd;
mod events;
mod failing_calls;
mod http_proxy;
mod influxdb;
mod journal;
mod kafka;
mod kubeconfig;
mod mariadb;
mod mongodb;
mod port;
mod process;
mod proxy;
mod receiver;
mod relay;
mod search;
mod server;
mod serving;
mod stream;
mod terminal;
mod tools;
mod volume;

pub use self::mongodb::{MongoDb, MongoTopology};
pub use browser::{Browser, Theme};
pub use client::{Answer as ApiAnswer, Client};
pub use cluster::{Cluster, ClusterBuilder};
pub use conservation::{Conservation, Verdict, Version};
pub use events::{CreatedEvent, EventSpec};
pub use failing_calls::{Calls, FailingCalls, Failure};
pub use http_proxy::{Disturbance, HttpProxy, Kind, Seen};
pub use influxdb::InfluxDb;
pub use journal::Journal;
pub use kafka::{Kafka, KafkaListener};
pub use kubeconfig::Kubeconfig;
pub use mariadb::MariaDb;
pub use port::ReservedPort;
pub use process::{Line, Stream};
pub use proxy::{Proxy, Traffic};
pub use receiver::{Answer, Behaviour, Outcome, Received, Receiver};
pub use relay::{Relay, RelayBuilder};
pub use search::{SearchProduct, SearchServer};
pub use terminal::Terminal;
pub use tools::{actionlint, buildah, hadolint, helm, kubectl, promtool};
pub use volume::Volume;
