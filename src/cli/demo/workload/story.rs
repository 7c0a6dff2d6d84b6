//! What happens in a cluster: short stories, each told by several events.

use super::cluster::{self, Application, Pod};
use super::event::{Draft, Reporter, Subject};
use super::random::Random;

type Story = fn(&mut Random) -> Vec<Draft>;

/// Stories and how often each is told, in percent.
const STORIES: [(usize, Story); 9] = [
    (34, rollout),
    (16, job),
    (12, crash_loop),
    (10, unhealthy),
    (8, no_room),
    (6, image_cannot_be_pulled),
    (6, volume_cannot_be_mounted),
    (4, disk_pressure),
    (4, out_of_memory),
];

/// The events of a story chosen at random.
pub(super) fn any(random: &mut Random) -> Vec<Draft> {
    let total = STORIES.iter().map(|(weight, _)| weight).sum();
    let mut choice = random.below(total);
    for (weight, story) in STORIES {
        if choice < weight {
            return story(random);
        }
        choice -= weight;
    }
    rollout(random)
}

fn normal(subject: &Subject, reporter: &Reporter, reason: &'static str, message: String) -> Draft {
    Draft {
        subject: subject.clone(),
        event_type: "Normal",
        reason,
        message,
        reporter: reporter.clone(),
        repeats: 0,
    }
}

fn warning(subject: &Subject, reporter: &Reporter, reason: &'static str, message: String) -> Draft {
    Draft { event_type: "Warning", ..normal(subject, reporter, reason, message) }
}

fn repeated(draft: Draft, repeats: usize) -> Draft {
    Draft { repeats: u32::try_from(repeats).unwrap_or(u32::MAX), ..draft }
}

fn kubelet(pod: &Pod) -> Reporter {
    Reporter::Kubelet(pod.node.clone())
}

/// A new version is rolled out: a burst of events of every pod.
fn rollout(random: &mut Random) -> Vec<Draft> {
    let application = cluster::any_application(random);
    let kind = ("Deployment", "apps/v1");
    let deployment =
        cluster::object(random, kind, application.namespace, application.name.to_owned());
    let replica_set = cluster::replica_set(random, application);
    let replicas = 2 + random.below(4);
    let scaled = format!("Scaled up replica set {} from 0 to {replicas}", replica_set.name);
    let reporter = Reporter::Controller("deployment-controller");
    let mut drafts = vec![normal(&deployment, &reporter, "ScalingReplicaSet", scaled)];
    for _ in 0..replicas {
        let pod = cluster::pod(random, &replica_set, application);
        let created = format!("Created pod: {}", pod.subject.name);
        let reporter = Reporter::Controller("replicaset-controller");
        drafts.push(normal(&replica_set, &reporter, "SuccessfulCreate", created));
        drafts.extend(start(random, &pod, application));
    }
    drafts
}

/// A pod is scheduled and its container starts.
fn start(random: &mut Random, pod: &Pod, application: Application) -> Vec<Draft> {
    let (container, kubelet) = (pod.container(), kubelet(pod));
    let name = &pod.subject;
    let assigned =
        format!("Successfully assigned {}/{} to {}", name.namespace, name.name, pod.node);
    let image = application.image;
    let pulled = format!(
        "Successfully pulled image \"{image}\" in {}ms ({0}ms including waiting). Image size: {} bytes.",
        300 + random.below(5_000),
        20_000_000 + random.below(200_000_000),
    );
    vec![
        normal(name, &Reporter::Scheduler, "Scheduled", assigned),
        normal(&container, &kubelet, "Pulling", format!("Pulling image \"{image}\"")),
        normal(&container, &kubelet, "Pulled", pulled),
        normal(&container, &kubelet, "Created", format!("Created container: {}", pod.container)),
        normal(&container, &kubelet, "Started", format!("Started container {}", pod.container)),
    ]
}

/// A job runs to its end, or fails.
fn job(random: &mut Random) -> Vec<Draft> {
    let application = cluster::any_job(random);
    let name = format!("{}-{}", application.name, 29_400_000 + random.below(100_000));
    let job = cluster::object(random, ("Job", "batch/v1"), application.namespace, name);
    let pod = cluster::pod(random, &job, application);
    let reporter = Reporter::Controller("job-controller");
    let created = format!("Created pod: {}", pod.subject.name);
    let mut drafts = vec![normal(&job, &reporter, "SuccessfulCreate", created)];
    drafts.extend(start(random, &pod, application));
    drafts.push(if random.below(5) == 0 {
        let message = "Job has reached the specified backoff limit".to_owned();
        warning(&job, &reporter, "BackoffLimitExceeded", message)
    } else {
        normal(&job, &reporter, "Completed", "Job completed".to_owned())
    });
    drafts
}

/// A container exits over and over.
fn crash_loop(random: &mut Random) -> Vec<Draft> {
    let (pod, _) = cluster::any_pod(random);
    let message = format!(
        "Back-off restarting failed container {} in pod {}_{}({})",
        pod.container, pod.subject.name, pod.subject.namespace, pod.subject.uid
    );
    let draft = warning(&pod.container(), &kubelet(&pod), "BackOff", message);
    vec![repeated(draft, 5 + random.below(40))]
}

/// A probe fails for a while; then the container is restarted.
fn unhealthy(random: &mut Random) -> Vec<Draft> {
    let (pod, _) = cluster::any_pod(random);
    let probe = random.pick(&["Readiness", "Liveness"]);
    let message = format!(
        "{probe} probe failed: Get \"http://10.42.{}.{}:8080/healthz\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
        random.below(6),
        2 + random.below(250),
    );
    let (container, kubelet) = (pod.container(), kubelet(&pod));
    let failing = warning(&container, &kubelet, "Unhealthy", message);
    let mut drafts = vec![repeated(failing, 2 + random.below(12))];
    if probe == "Liveness" {
        let name = pod.container;
        let message = format!("Container {name} failed liveness probe, will be restarted");
        drafts.push(normal(&container, &kubelet, "Killing", message));
    }
    drafts
}

/// A pod does not fit on any node.
fn no_room(random: &mut Random) -> Vec<Draft> {
    let (pod, _) = cluster::any_pod(random);
    let resource = random.pick(&["cpu", "memory"]);
    let message = format!(
        "0/7 nodes are available: 1 node(s) had untolerated taint {{node-role.kubernetes.io/control-plane: }}, 6 Insufficient {resource}. preemption: 0/7 nodes are available: 1 Preemption is not helpful for scheduling, 6 No preemption victims found for incoming pod."
    );
    let draft = warning(&pod.subject, &Reporter::Scheduler, "FailedScheduling", message);
    vec![repeated(draft, 1 + random.below(8))]
}

/// An image does not exist.
fn image_cannot_be_pulled(random: &mut Random) -> Vec<Draft> {
    let (pod, application) = cluster::any_pod(random);
    let image = format!("{}-rc{}", application.image, 1 + random.below(9));
    let (container, kubelet) = (pod.container(), kubelet(&pod));
    let failed = |message| warning(&container, &kubelet, "Failed", message);
    vec![
        normal(&container, &kubelet, "Pulling", format!("Pulling image \"{image}\"")),
        failed(format!(
            "Failed to pull image \"{image}\": rpc error: code = NotFound desc = failed to pull and unpack image \"{image}\": not found"
        )),
        failed("Error: ErrImagePull".to_owned()),
        repeated(
            normal(&container, &kubelet, "BackOff", format!("Back-off pulling image \"{image}\"")),
            5 + random.below(20),
        ),
        repeated(failed("Error: ImagePullBackOff".to_owned()), 5 + random.below(20)),
    ]
}

/// A secret a pod needs is missing.
fn volume_cannot_be_mounted(random: &mut Random) -> Vec<Draft> {
    let (pod, application) = cluster::any_pod(random);
    let name = application.name;
    let message = format!(
        "MountVolume.SetUp failed for volume \"{name}-tls\" : secret \"{name}-tls\" not found"
    );
    let draft = warning(&pod.subject, &kubelet(&pod), "FailedMount", message);
    vec![repeated(draft, 3 + random.below(10))]
}

/// A node runs out of disk and throws pods off.
fn disk_pressure(random: &mut Random) -> Vec<Draft> {
    let name = cluster::any_node(random);
    let (node, kubelet) = (cluster::node(&name), Reporter::Kubelet(name.clone()));
    let status = format!("Node {name} status is now: NodeHasDiskPressure");
    let reclaim = "Attempting to reclaim ephemeral-storage".to_owned();
    let mut drafts = vec![
        normal(&node, &kubelet, "NodeHasDiskPressure", status),
        repeated(warning(&node, &kubelet, "EvictionThresholdMet", reclaim), 3),
    ];
    for _ in 0..2 + random.below(3) {
        let (pod, _) = cluster::any_pod(random);
        let message = format!(
            "The node was low on resource: ephemeral-storage. Threshold quantity: 10737418240, available: {}Ki.",
            1_000_000 + random.below(9_000_000),
        );
        drafts.push(warning(&pod.subject, &kubelet, "Evicted", message));
        let stopping = format!("Stopping container {}", pod.container);
        drafts.push(normal(&pod.container(), &kubelet, "Killing", stopping));
    }
    let status = format!("Node {name} status is now: NodeHasNoDiskPressure");
    drafts.push(normal(&node, &kubelet, "NodeHasNoDiskPressure", status));
    drafts
}

/// The kernel kills a process.
fn out_of_memory(random: &mut Random) -> Vec<Draft> {
    let name = cluster::any_node(random);
    let (node, monitor) = (cluster::node(&name), Reporter::KernelMonitor(name));
    let message = format!(
        "Memory cgroup out of memory: Killed process {} (java) total-vm:{}kB, anon-rss:{}kB, file-rss:0kB, shmem-rss:0kB, UID:1000 pgtables:9876kB oom_score_adj:969",
        1_000 + random.below(4_000_000),
        4_000_000 + random.below(9_000_000),
        1_000_000 + random.below(3_000_000),
    );
    vec![warning(&node, &monitor, "OOMKilling", message)]
}
