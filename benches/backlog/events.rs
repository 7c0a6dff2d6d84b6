//! Numbered events of about 1.3 kB, each different, and which of them a sink wants.

use std::io::Write;

/// The version of the first event.
pub(crate) const FIRST: u64 = 1_001;

/// One event in so many is a warning.
const WARNING_EVERY: u64 = 20;
/// Namespaces, in turn.
const NAMESPACES: u64 = 100;

/// Which events a sink wants: those whose version leaves this rest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    every: u64,
    rest: u64,
}

impl Wanted {
    pub(crate) const ALL: Self = Self { every: 1, rest: 0 };
    pub(crate) const WARNINGS: Self = Self { every: WARNING_EVERY, rest: 0 };

    pub(crate) fn namespace(number: u64) -> Self {
        Self { every: NAMESPACES, rest: number }
    }

    /// The sink's `match`, in YAML's flow form.
    pub(crate) fn to_match(self) -> String {
        match self.every {
            NAMESPACES => format!("{{namespaces: [team-{}]}}", self.rest),
            WARNING_EVERY => "{type: Warning}".to_owned(),
            _ => "{}".to_owned(),
        }
    }

    /// The first wanted version above `version`.
    pub(crate) fn after(self, version: u64) -> u64 {
        let next = version + 1;
        next + (self.every + self.rest - next % self.every) % self.every
    }

    /// How many of the first `count` events are wanted.
    pub(crate) fn among(self, count: u64) -> u64 {
        let through = |version: u64| (version + self.every - self.rest) / self.every;
        through(FIRST - 1 + count) - through(FIRST - 1)
    }
}

/// Reasons with what the kubelet and the scheduler say along with them.
const STORIES: [(&str, &str); 8] = [
    ("Scheduled", "Successfully assigned the pod to its node after all predicates were met"),
    ("Pulling", "Pulling image registry.example/shop/checkout for the container"),
    ("Pulled", "Successfully pulled image registry.example/shop/checkout within the time limit"),
    ("Created", "Created container: checkout, from the image that was pulled before"),
    ("Started", "Started container checkout; its probes begin after the initial delay"),
    ("Killing", "Stopping container checkout: the pod was evicted to make room for another"),
    (
        "Unhealthy",
        "Readiness probe failed: HTTP probe failed with statuscode: 503, tried again soon",
    ),
    ("FailedScheduling", "0/40 nodes are available: 12 Insufficient cpu, 28 node(s) had taints"),
];

/// Writes the event with this version.
pub(crate) fn write_event(json: &mut Vec<u8>, version: u64) {
    let mut random = Random(version);
    let (pod, owner) = (random.next() % 5_000, random.next() % 300);
    let (one, two) = (random.next(), random.next());
    let (minute, second) = (version / 6_000 % 60, version / 100 % 60);
    let kind = if version.is_multiple_of(WARNING_EVERY) { "Warning" } else { "Normal" };
    let index = usize::try_from(random.next() % 8).unwrap_or(0);
    let (reason, text) = STORIES[index];
    let (namespace, node, count) = (version % NAMESPACES, random.next() % 40, random.next() % 30);
    // Writing to a vector cannot fail.
    let _written = write!(
        json,
        r#"{{"kind":"Event","apiVersion":"v1","metadata":{{"name":"checkout-{owner:06x}-{pod:05x}.18{version:014x}","namespace":"team-{namespace}","uid":"{one:016x}-{version:016x}","resourceVersion":"{version}","creationTimestamp":"2026-11-22T17:{minute:02}:{second:02}Z"}},"involvedObject":{{"kind":"Pod","namespace":"team-{namespace}","name":"checkout-{owner:06x}-{pod:05x}","uid":"{two:016x}-{owner:016x}","apiVersion":"v1","resourceVersion":"{}","fieldPath":"spec.containers{{checkout}}"}},"reason":"{reason}","message":"{text} (pod checkout-{owner:06x}-{pod:05x}_team-{namespace}, container id containerd://"#,
        version / 2,
    );
    for _ in 0..4 {
        let _written = write!(json, "{:016x}", random.next());
    }
    json.extend_from_slice(b")");
    for step in 0..6 {
        let (_, text) = STORIES[usize::try_from(random.next() % 8).unwrap_or(0)];
        let took = random.next() % 10_000;
        let _written = write!(json, "; step {step} after {took} ms: {}", &text[..40]);
    }
    let _written = write!(
        json,
        r#"","source":{{"component":"kubelet","host":"node-{node}.eu-central.example"}},"firstTimestamp":"2026-11-22T17:{minute:02}:{second:02}Z","lastTimestamp":"2026-11-22T17:{minute:02}:{second:02}Z","count":{count},"type":"{kind}","eventTime":null,"reportingComponent":"kubelet","reportingInstance":"node-{node}.eu-central.example"}}"#
    );
}

/// `SplitMix64`: the same numbers for the same version.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
