//! Events as the components of Kubernetes write them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::random::Random;

/// What an event is about.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) kind: &'static str,
    pub(super) api_version: &'static str,
    /// Empty for nodes.
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    /// The container, for what a kubelet says about one.
    pub(super) field_path: Option<String>,
}

/// Who says it.
#[derive(Debug, Clone)]
pub(super) enum Reporter {
    /// The kubelet of a node.
    Kubelet(String),
    /// The scheduler, which writes events of the newer form: a series instead of a count.
    Scheduler,
    /// A controller of the controller manager.
    Controller(&'static str),
    /// The node problem detector's kernel monitor on a node.
    KernelMonitor(String),
}

/// An event that is about to happen.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) subject: Subject,
    pub(super) event_type: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) reporter: Reporter,
    /// How often it will happen again.
    pub(super) repeats: u32,
}

/// An event that has happened, and may happen again.
#[derive(Debug, Clone)]
pub(super) struct Occurrence {
    draft: Draft,
    name: String,
    uid: String,
    count: u32,
    first: Timestamp,
}

impl Occurrence {
    pub(super) fn new(draft: Draft, random: &mut Random, now: Timestamp) -> Self {
        Self {
            name: format!("{}.{:016x}", draft.subject.name, random.next()),
            uid: random.uuid(),
            count: 0,
            first: now,
            draft,
        }
    }

    pub(super) fn will_repeat(&self) -> bool {
        self.count <= self.draft.repeats
    }

    /// It happens, for the first time or again: the object as its writer sends it.
    pub(super) fn happen(&mut self, now: Timestamp) -> Value {
        self.count += 1;
        let mut event = json!({
            "metadata": self.metadata(),
            "involvedObject": involved_object(&self.draft.subject),
            "reason": self.draft.reason,
            "message": self.draft.message,
        });
        self.add_source(&mut event, now);
        event["type"] = self.draft.event_type.into();
        event
    }

    fn metadata(&self) -> Value {
        json!({
            "name": self.name,
            "namespace": self.namespace(),
            "uid": self.uid,
            "resourceVersion": "",
            "creationTimestamp": seconds(self.first),
        })
    }

    /// Events about nodes are in `default`.
    fn namespace(&self) -> &str {
        match self.draft.subject.namespace.as_str() {
            "" => "default",
            namespace => namespace,
        }
    }

    /// Source, times and count: what tells the older from the newer form.
    fn add_source(&self, event: &mut Value, now: Timestamp) {
        let (component, host) = match &self.draft.reporter {
            Reporter::Scheduler => return self.add_series(event, now),
            Reporter::Kubelet(node) => ("kubelet", node.as_str()),
            Reporter::KernelMonitor(node) => ("kernel-monitor", node.as_str()),
            Reporter::Controller(name) => (*name, ""),
        };
        let source = if host.is_empty() {
            json!({"component": component})
        } else {
            json!({"component": component, "host": host})
        };
        event["source"] = source;
        event["firstTimestamp"] = seconds(self.first).into();
        event["lastTimestamp"] = seconds(now).into();
        event["count"] = self.count.into();
        event["eventTime"] = Value::Null;
        event["reportingComponent"] = component.into();
        event["reportingInstance"] = host.into();
    }

    fn add_series(&self, event: &mut Value, now: Timestamp) {
        event["source"] = json!({});
        event["firstTimestamp"] = Value::Null;
        event["lastTimestamp"] = Value::Null;
        event["eventTime"] = microseconds(self.first).into();
        if self.count > 1 {
            event["series"] = json!({"count": self.count, "lastObservedTime": microseconds(now)});
        }
        event["action"] = "Scheduling".into();
        event["reportingComponent"] = "default-scheduler".into();
        event["reportingInstance"] = "default-scheduler-control-plane-1".into();
    }
}

fn involved_object(subject: &Subject) -> Value {
    let mut object = json!({"kind": subject.kind});
    if !subject.namespace.is_empty() {
        object["namespace"] = subject.namespace.as_str().into();
    }
    object["name"] = subject.name.as_str().into();
    object["uid"] = subject.uid.as_str().into();
    object["apiVersion"] = subject.api_version.into();
    if let Some(path) = &subject.field_path {
        object["fieldPath"] = path.as_str().into();
    }
    object
}

fn seconds(time: Timestamp) -> String {
    format!("{time:.0}")
}

fn microseconds(time: Timestamp) -> String {
    format!("{time:.6}")
}
