//! Services that a relay delivers to, each behind a proxy that can take it away: what all of them have in common.

#![allow(clippy::expect_used)] // each test fails where an expectation is not met

mod alibaba_cloud;
mod honeycomb;
mod mysql;
mod riemann;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use kube_event_relay::sink::registry;
use rig::{Conservation, CreatedEvent, MariaDb, Proxy, Traffic, Verdict};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::fakes::service::Answered;

/// The secret that a service knows, unless it is told another one.
pub(crate) const SECRET: &str = "s3cret-of-june";

/// A record that a service has taken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Arrival {
    /// What tells it from others; the same in every copy.
    pub(crate) identity: String,
    /// What the event says.
    pub(crate) message: String,
}

/// A service, as strict as the real one, or a real one.
#[async_trait]
pub(crate) trait Service: Send + Sync {
    /// The kind of its sink.
    fn kind(&self) -> &'static str;
    /// Where it listens.
    async fn address(&self) -> SocketAddr;
    /// Options of a sink that finds it at `address`, with the credential in a file.
    fn options(&self, address: SocketAddr, credential: &Path) -> Value;
    /// What is in that file.
    fn credential(&self, _address: SocketAddr, secret: &str) -> String {
        secret.to_owned()
    }
    /// What it has taken, in order; what it took twice is there twice.
    async fn arrivals(&self) -> Vec<Arrival>;
    /// Whether it recognises what it has already.
    fn knows_copies(&self) -> bool {
        false
    }
    /// The service itself is killed, where it is a real one.
    async fn kill(&self) {}
    /// It starts again with what it had.
    async fn start_again(&self) {}
    /// It refuses events that say [`POISON`]. Returns its words.
    async fn refuse_poison(&self) -> &'static str;
    /// The only secret it knows from now on; false when it knows none.
    async fn know(&self, secret: &str) -> bool;
    /// What an operator is told about a secret that it does not know.
    fn remedy(&self) -> &'static str {
        ""
    }
    /// Its limit is used up. Returns its words; `None` when it has no limit.
    async fn exceed(&self) -> Option<&'static str> {
        None
    }
    /// Its limit begins anew.
    async fn allow(&self) {}
    /// Every request that was answered; empty where that cannot be told.
    fn answered(&self) -> Vec<Answered> {
        Vec::new()
    }
}

/// What a service refuses.
pub(crate) const POISON: &str = "this one is poison";

/// How many seconds a service that has said so wants to be left alone.
pub(crate) const WAIT: u64 = 3;

/// A service behind a proxy.
pub(crate) struct Target {
    pub(crate) service: Box<dyn Service>,
    proxy: Proxy,
    credential: PathBuf,
}

impl Target {
    async fn new(service: impl Service + 'static, folder: &Path) -> Self {
        let proxy = Proxy::start(&format!("tcp://{}", service.address().await));
        let credential = folder.join(format!("{}.secret", service.kind()));
        let target = Self { service: Box::new(service), proxy, credential };
        target.configure(SECRET);
        target
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.service.kind()
    }

    /// What the sink takes for the secret from now on.
    pub(crate) fn configure(&self, secret: &str) {
        let text = self.service.credential(self.proxy.address(), secret);
        std::fs::write(&self.credential, text).expect("written");
    }

    /// The options of a sink for it.
    pub(crate) fn options(&self) -> Value {
        self.service.options(self.proxy.address(), &self.credential)
    }

    /// A sink for it in the words of a configuration, named after its kind, with at most so many records at once
    /// and never more than the service takes. JSON is YAML, too.
    pub(crate) fn sink(&self, max_records: usize) -> String {
        let most = registry::find(self.kind()).expect("a kind").batch.max_records;
        let batch = json!({"maxRecords": most.map(|most| most.min(max_records)), "maxWait": "0s"});
        let retry = json!({"initial": "50ms", "max": "500ms", "timeout": "30s"});
        let (kind, options) = (self.kind(), self.options());
        json!({"name": kind, "kind": kind, "options": options, "batch": batch, "retry": retry})
            .to_string()
    }

    /// Its port is closed, and its connections break.
    pub(crate) async fn go_down(&self) {
        self.service.kill().await;
        self.proxy.switch(Traffic::Refuse).await;
    }

    /// It is there again, on the same port.
    pub(crate) async fn come_back(&self) {
        self.service.start_again().await;
        self.proxy.switch(Traffic::Pass).await;
    }

    /// It acts on what comes, and nobody learns of it.
    pub(crate) async fn keep_answers(&self) {
        self.proxy.switch(Traffic::Unanswered).await;
    }

    /// What is on its way no more comes to an end; later requests are answered.
    pub(crate) async fn answer_again(&self) {
        self.proxy.switch(Traffic::Refuse).await;
        self.proxy.switch(Traffic::Pass).await;
    }

    /// All of these events have arrived in order, as copies of one another where they came again.
    pub(crate) async fn check(&self, created: &[CreatedEvent]) -> Verdict {
        let message = |event: &CreatedEvent| format!("event {}", event.name);
        let known: HashMap<_, _> = created.iter().map(|event| (message(event), event)).collect();
        let arrivals = self.service.arrivals().await;
        let mut oracle = Conservation::new();
        oracle.created(created);
        let mut identities: HashMap<&str, &str> = HashMap::new();
        for Arrival { identity, message } in &arrivals {
            let event = known.get(message).unwrap_or_else(|| panic!("nobody created {message}"));
            oracle.received(&event.uid, event.resource_version);
            let first = identities.entry(message).or_insert(identity);
            assert_eq!(first, identity, "{}: a copy is recognised", self.kind());
        }
        let distinct: HashSet<_> = identities.values().collect();
        assert_eq!(distinct.len(), identities.len(), "{}: records are told apart", self.kind());
        let verdict = oracle.check();
        assert!(verdict.holds(), "{}: {verdict}", self.kind());
        if self.service.knows_copies() {
            assert_eq!(verdict.duplicates, 0, "{}: {verdict}", self.kind());
        }
        verdict
    }
}

/// One target of each kind. `name` is that of their own database in `mariadb`; their files are in `folder`.
pub(crate) async fn all(mariadb: Arc<Mutex<MariaDb>>, name: &str, folder: &Path) -> Vec<Target> {
    let mut targets = fakes(folder).await;
    targets.push(Target::new(mysql::MySql::start(mariadb, name).await, folder).await);
    targets
}

/// The targets that are no real services.
pub(crate) async fn fakes(folder: &Path) -> Vec<Target> {
    vec![
        Target::new(honeycomb::start().await, folder).await,
        Target::new(alibaba_cloud::sls().await, folder).await,
        Target::new(alibaba_cloud::event_bridge().await, folder).await,
        Target::new(riemann::start().await, folder).await,
    ]
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
