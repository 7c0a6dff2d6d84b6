//! The objects of an imaginary cluster: an online shop on six nodes.

use super::event::Subject;
use super::random::Random;

/// A part of the shop that runs as a deployment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Application {
    pub(super) namespace: &'static str,
    pub(super) name: &'static str,
    pub(super) image: &'static str,
}

const APPLICATIONS: [Application; 10] = [
    application("shop", "storefront", "registry.example.com/shop/storefront:4.18.2"),
    application("shop", "cart", "registry.example.com/shop/cart:2.7.0"),
    application("shop", "search", "registry.example.com/shop/search:1.33.1"),
    application("payments", "checkout", "registry.example.com/payments/checkout:9.2.4"),
    application("payments", "ledger", "registry.example.com/payments/ledger:3.0.1"),
    application("logistics", "parcel-tracker", "registry.example.com/logistics/tracker:0.14.9"),
    application("data", "recommender", "registry.example.com/data/recommender:2026.1.3"),
    application("data", "feature-store", "registry.example.com/data/features:5.5.0"),
    application("kube-system", "coredns", "registry.k8s.io/coredns/coredns:v1.12.1"),
    application("monitoring", "grafana", "docker.io/grafana/grafana:12.3.0"),
];

const JOBS: [(&str, &str); 4] = [
    ("data", "nightly-export"),
    ("payments", "settlement"),
    ("logistics", "route-planning"),
    ("shop", "sitemap"),
];

const NODES: [&str; 6] = [
    "worker-a-1.eu-west.example.com",
    "worker-a-2.eu-west.example.com",
    "worker-b-1.eu-west.example.com",
    "worker-b-2.eu-west.example.com",
    "worker-c-1.eu-west.example.com",
    "worker-c-2.eu-west.example.com",
];

const fn application(
    namespace: &'static str,
    name: &'static str,
    image: &'static str,
) -> Application {
    Application { namespace, name, image }
}

/// A pod and where it is.
#[derive(Debug, Clone)]
pub(super) struct Pod {
    pub(super) subject: Subject,
    pub(super) node: String,
    pub(super) container: &'static str,
}

impl Pod {
    /// The pod as the kubelet names it when it speaks of its container.
    pub(super) fn container(&self) -> Subject {
        let field_path = Some(format!("spec.containers{{{}}}", self.container));
        Subject { field_path, ..self.subject.clone() }
    }
}

pub(super) fn any_application(random: &mut Random) -> Application {
    APPLICATIONS[random.below(APPLICATIONS.len())]
}

pub(super) fn any_job(random: &mut Random) -> Application {
    let (namespace, name) = JOBS[random.below(JOBS.len())];
    application(namespace, name, "registry.example.com/batch/runner:1.9.3")
}

pub(super) fn any_node(random: &mut Random) -> String {
    random.pick(&NODES).to_owned()
}

/// A node's kubelet puts the node's name where a uid belongs.
pub(super) fn node(name: &str) -> Subject {
    Subject {
        kind: "Node",
        api_version: "v1",
        namespace: String::new(),
        name: name.to_owned(),
        uid: name.to_owned(),
        field_path: None,
    }
}

/// An object with a uid of its own.
pub(super) fn object(
    random: &mut Random,
    (kind, api_version): (&'static str, &'static str),
    namespace: &str,
    name: String,
) -> Subject {
    Subject {
        kind,
        api_version,
        namespace: namespace.to_owned(),
        name,
        uid: random.uuid(),
        field_path: None,
    }
}

/// A pod of `owner` (a replica set or a job) on some node.
pub(super) fn pod(random: &mut Random, owner: &Subject, application: Application) -> Pod {
    let name = format!("{}-{}", owner.name, random.suffix(5));
    Pod {
        subject: object(random, ("Pod", "v1"), application.namespace, name),
        node: any_node(random),
        container: application.name,
    }
}

/// A replica set of the application's deployment.
pub(super) fn replica_set(random: &mut Random, application: Application) -> Subject {
    let name = format!("{}-{}", application.name, random.suffix(10));
    object(random, ("ReplicaSet", "apps/v1"), application.namespace, name)
}

/// A pod that has been running for a while.
pub(super) fn any_pod(random: &mut Random) -> (Pod, Application) {
    let application = any_application(random);
    let owner = replica_set(random, application);
    (pod(random, &owner, application), application)
}
