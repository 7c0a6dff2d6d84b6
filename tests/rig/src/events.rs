//! Kubernetes events made by tests.
//!
//! Invariant: what was created is returned with its uid and resourceVersion as the
//! API server gave them, which is what [`crate::Conservation`] is fed with.

use crate::client::Client;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// An event to be created.
#[derive(Debug, Clone)]
pub struct EventSpec {
    /// The event's name.
    pub name: String,
    /// Why it happened, in one word.
    pub reason: String,
    /// What happened.
    pub message: String,
    /// `Normal` or `Warning`.
    pub kind: String,
    /// How often it happened.
    pub count: u32,
    /// Kind of the object it is about.
    pub object_kind: String,
    /// Name of the object it is about.
    pub object_name: String,
    /// Who reports it.
    pub component: String,
    /// Further fields, merged over the event at the top level.
    pub extra: Value,
}

impl EventSpec {
    /// An unremarkable event with this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            reason: "Tested".into(),
            message: format!("event {name}"),
            kind: "Normal".into(),
            count: 1,
            object_kind: "Pod".into(),
            object_name: "pod".into(),
            component: "rig".into(),
            extra: json!({}),
        }
    }

    fn body(&self, namespace: &str) -> Value {
        let now = seconds(Timestamp::now());
        let mut body = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": self.name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": self.object_kind,
                "namespace": namespace,
                "name": self.object_name,
            },
            "reason": self.reason,
            "message": self.message,
            "type": self.kind,
            "count": self.count,
            "source": {"component": self.component},
            "firstTimestamp": now,
            "lastTimestamp": now,
        });
        for (field, value) in self.extra.as_object().expect("extra is an object") {
            body[field] = value.clone();
        }
        body
    }
}

/// An event as the API server stored it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedEvent {
    /// Its uid.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its resourceVersion.
    pub resource_version: u64,
}

impl CreatedEvent {
    fn from_object(object: &Value) -> Self {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_str().expect("metadata").to_owned();
        Self {
            uid: text("uid"),
            namespace: text("namespace"),
            name: text("name"),
            resource_version: text("resourceVersion").parse().expect("a number"),
        }
    }
}

impl Client {
    /// Creates an event.
    pub async fn create_event(&self, namespace: &str, event: &EventSpec) -> CreatedEvent {
        let created = self.post(&events_path(namespace), &event.body(namespace)).await;
        CreatedEvent::from_object(&created)
    }

    /// Like [`Client::create_event`], but `None` when that fails or takes too long:
    /// whether there is such an event then, only a list can tell.
    pub async fn try_create_event(
        &self,
        namespace: &str,
        event: &EventSpec,
        patience: Duration,
    ) -> Option<CreatedEvent> {
        let request = self.request(Method::POST, &events_path(namespace)).timeout(patience);
        let answer = request.json(&event.body(namespace)).send().await.ok()?;
        let created = answer.error_for_status().ok()?.json().await.ok()?;
        Some(CreatedEvent::from_object(&created))
    }

    /// Creates `count` events with names of their own, `concurrency` at a time, in
    /// no particular order; returns them ordered by resourceVersion.
    pub async fn create_events(
        &self,
        namespace: &str,
        count: usize,
        concurrency: usize,
    ) -> Vec<CreatedEvent> {
        static BATCH: AtomicUsize = AtomicUsize::new(0);
        let batch = BATCH.fetch_add(1, Ordering::Relaxed);
        let spec = move |index: usize| EventSpec::new(&format!("batch-{batch}-{index:06}"));
        self.create_events_with(namespace, count, concurrency, spec).await
    }

    /// Like [`Client::create_events`], with the events that `spec` makes of
    /// 0, 1, … `count` - 1.
    pub async fn create_events_with(
        &self,
        namespace: &str,
        count: usize,
        concurrency: usize,
        spec: impl Fn(usize) -> EventSpec + Send + Sync + 'static,
    ) -> Vec<CreatedEvent> {
        let next = Arc::new(AtomicUsize::new(0));
        let spec = Arc::new(spec);
        let workers = (0..concurrency).map(|_| {
            let (client, namespace) = (self.clone(), namespace.to_owned());
            let (next, spec) = (Arc::clone(&next), Arc::clone(&spec));
            tokio::spawn(async move {
                let mut created = Vec::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return created;
                    }
                    created.push(client.create_event(&namespace, &spec(index)).await);
                }
            })
        });
        let created = futures::future::try_join_all(workers).await.expect("create events");
        let mut created: Vec<CreatedEvent> = created.into_iter().flatten().collect();
        created.sort_by_key(|event| event.resource_version);
        created
    }

    /// Lets the event have happened once more, as recorders do: counts it up and
    /// sets its last time. Returns it with its new resourceVersion.
    pub async fn bump_event(&self, event: &CreatedEvent) -> CreatedEvent {
        let path = event_path(event);
        let count = self.get(&path).await["count"].as_u64().unwrap_or_default();
        let change = json!({"count": count + 1, "lastTimestamp": seconds(Timestamp::now())});
        CreatedEvent::from_object(&self.patch(&path, &change).await)
    }

    /// Deletes the event.
    pub async fn delete_event(&self, event: &CreatedEvent) {
        self.delete(&event_path(event)).await;
    }

    /// All events of a namespace, as the API server shows them.
    pub async fn list_events(&self, namespace: &str) -> Vec<Value> {
        let mut list = self.get(&events_path(namespace)).await;
        match list["items"].take() {
            Value::Array(items) => items,
            other => panic!("a list without items: {other}"),
        }
    }

    /// All events of all namespaces, whoever created them.
    pub async fn existing_events(&self) -> Vec<CreatedEvent> {
        let list = self.get("/api/v1/events").await;
        let items = list["items"].as_array().expect("a list");
        items.iter().map(CreatedEvent::from_object).collect()
    }
}

fn events_path(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/events")
}

fn event_path(event: &CreatedEvent) -> String {
    format!("{}/{}", events_path(&event.namespace), event.name)
}

/// Kubernetes' `Time` has whole seconds.
fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
