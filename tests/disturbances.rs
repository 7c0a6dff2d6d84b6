//! Whatever happens on the way to the API server, the stream comes back by itself: nothing is
//! missing, readiness says what is wrong meanwhile, and the API server is not stormed.
//!
//! Events are created all the time. What was measured is printed as a table.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod harness;

use std::sync::Arc;
use std::time::Duration;

use harness::PATIENCE;
use harness::continuous::{Observed, Writer};
use rig::{Answer, Cluster, Disturbance, HttpProxy, Kind, Proxy, Seen, Traffic};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const PER_SECOND: u32 = 10;

/// Over how long requests are counted, to see that they are few.
const WINDOW: Duration = Duration::from_secs(12);

/// What one disturbance did.
struct Row {
    disturbance: &'static str,
    /// From its beginning until the relay said that it was not ready for that reason.
    noticed: Option<Duration>,
    /// From its end until the relay said that it was ready.
    ready: Duration,
    /// From its end until a new event had arrived.
    arrived: Duration,
    /// Lists and watches the relay asked for meanwhile, and over how long.
    requests: Option<(usize, usize, Duration)>,
}

impl Row {
    fn print_all(rows: &[Self]) {
        println!("disturbance                      not ready  ready again  new event  requests");
        for row in rows {
            let noticed = row.noticed.map_or_else(|| "-".into(), seconds);
            let requests = row.requests.map_or_else(String::new, |(lists, watches, window)| {
                format!("{lists} lists, {watches} watches in {}", seconds(window))
            });
            println!(
                "{:31} {noticed:>10} {:>12} {:>10}  {requests}",
                row.disturbance,
                seconds(row.ready),
                seconds(row.arrived)
            );
        }
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// A relay that reads through a proxy of HTTP.
struct Http {
    cluster: Arc<Cluster>,
    proxy: HttpProxy,
    observed: Observed,
}

impl Http {
    async fn start(cluster: &Arc<Cluster>, name: &str) -> Self {
        let folder = cluster.folder().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let proxy = HttpProxy::start(cluster.client());
        let kubeconfig = folder.join("kubeconfig");
        proxy.write_kubeconfig(&kubeconfig);
        let observed = Observed::start(&folder, &kubeconfig);
        observed.ready().await;
        Self { cluster: cluster.clone(), proxy, observed }
    }

    fn disturb(&self, list: Disturbance, watch: Disturbance) {
        self.proxy.disturb(Kind::List, list);
        self.proxy.disturb(Kind::Watch, watch);
    }

    /// Ends the running watch, and lets the relay ask in vain until it is disturbed otherwise: an
    /// answer to new requests does nothing to a watch that runs.
    async fn interrupt(&self) {
        self.disturb(refusal(502, "BadGateway", None), Disturbance::CutAfterLines(0));
        self.observed.unready("502").await;
    }

    fn seen_since(&self, begin: Instant) -> Vec<Seen> {
        let mut seen = self.proxy.seen();
        seen.retain(|seen| seen.arrived >= begin.into_std());
        seen
    }

    /// Ends the disturbance that began then, and waits until all is well.
    async fn recover(
        &self,
        disturbance: &'static str,
        begin: Instant,
        noticed: Option<Duration>,
    ) -> Row {
        let seen = self.seen_since(begin);
        let count = |kind| seen.iter().filter(|seen| seen.kind == kind).count();
        let requests = Some((count(Kind::List), count(Kind::Watch), begin.elapsed()));
        self.disturb(Disturbance::Pass, Disturbance::Pass);
        let end = Instant::now();
        self.observed.ready().await;
        let ready = end.elapsed();
        self.observed.passes(self.cluster.client(), &event_name(disturbance)).await;
        Row { disturbance, noticed, ready, arrived: end.elapsed(), requests }
    }

    /// The whole of a disturbance that the relay notices, for at least the window.
    async fn disturbed(
        &self,
        disturbance: &'static str,
        list: Disturbance,
        watch: Disturbance,
        reason: &str,
    ) -> Row {
        let begin = Instant::now();
        self.disturb(list, watch);
        let (noticed, _) = self.observed.unready(reason).await;
        // Nothing to wait for: that little happens shows only over a time.
        sleep(WINDOW.saturating_sub(begin.elapsed())).await;
        self.recover(disturbance, begin, Some(noticed)).await
    }

    /// Lists so far; the first is that of the start.
    async fn relists(&self) -> u64 {
        let status = self.observed.relay.get_json("/api/v1/status").await;
        status["streams"][0]["relists"].as_u64().expect("a number")
    }

    async fn has_all(self) {
        self.observed.has_all(self.cluster.client()).await;
    }
}

/// A name for an event: lower case.
fn event_name(disturbance: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    disturbance.chars().map(letter).collect()
}

/// What a request to wait or a failure of the API server looks like.
fn refusal(code: u16, reason: &str, retry_after: Option<u32>) -> Disturbance {
    let body = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": "disturbed",
    });
    let answer = Answer::status(code).header("content-type", "application/json");
    let answer = answer.body(body.to_string());
    Disturbance::Answer(match retry_after {
        Some(seconds) => answer.header("retry-after", &seconds.to_string()),
        None => answer,
    })
}

/// Requests of a kind in the row.
fn requests(row: &Row) -> (usize, usize) {
    let (lists, watches, _) = row.requests.expect("counted");
    (lists, watches)
}

/// An API server, or a proxy, that closes every watch at once with 200 and no bytes: the relay
/// lists, ever more rarely.
async fn closed_at_once(cluster: Arc<Cluster>) -> Vec<Row> {
    let http = Http::start(&cluster, "empty").await;
    let reason = "closed the watch without an item";
    let (list, watch) = (Disturbance::Pass, Disturbance::Empty);
    let row = http.disturbed("200 and no bytes", list, watch, reason).await;
    let (lists, watches) = requests(&row);
    assert!(http.relists().await >= 2, "only a list finds out whether something is missing");
    assert!(watches <= 12 && lists <= 60, "{lists} pages and {watches} watches are a storm");
    http.has_all().await;
    vec![row]
}

/// A proxy that breaks each watch in the middle of its fourth line. There is progress each time, so
/// the waits stay short; but there are waits.
async fn cut_within_a_line(cluster: Arc<Cluster>) -> Vec<Row> {
    let http = Http::start(&cluster, "cut").await;
    let (list, watch) = (Disturbance::Pass, Disturbance::CutAfterLines(3));
    let row = http.disturbed("cut within a line", list, watch, "the watch was cut").await;
    let (probes, watches) = requests(&row);
    assert!(watches >= 3, "{watches} watches: it waits too long");
    assert!(probes <= 60 && watches <= 60, "{probes} probes and {watches} watches are a storm");
    http.has_all().await;
    vec![row]
}

/// A proxy whose connections stay open and which never answers anything again.
async fn silent(cluster: Arc<Cluster>) -> Vec<Row> {
    let http = Http::start(&cluster, "silent").await;
    let begin = Instant::now();
    http.disturb(Disturbance::StallAfterLines(0), Disturbance::StallAfterLines(0));
    let (noticed, _) = http.observed.unready("no answer within 10 s").await;
    let row = http.recover("silent HTTP proxy", begin, Some(noticed)).await;
    let (probes, watches) = requests(&row);
    assert!(probes <= 4 && watches == 0, "{probes} probes and {watches} watches are a storm");
    http.has_all().await;
    vec![row]
}

/// A server that has forgotten every version, also the one it has just listed.
async fn gone(cluster: Arc<Cluster>) -> Vec<Row> {
    let http = Http::start(&cluster, "gone").await;
    http.interrupt().await;
    let watch = refusal(410, "Expired", None);
    let reason = "the API server has forgotten the version";
    let row = http.disturbed("410 to every watch", Disturbance::Pass, watch, reason).await;
    let (lists, watches) = requests(&row);
    assert!(http.relists().await >= 2, "410 is answered by a list");
    assert!(watches <= 12 && lists <= 60, "{lists} pages and {watches} watches are a storm");
    http.has_all().await;
    vec![row]
}

/// An overloaded API server is asked when it says, and not before.
async fn asked_to_wait(cluster: Arc<Cluster>) -> Vec<Row> {
    const RETRY_AFTER: u32 = 5;
    const ANSWERS: usize = 3;
    let http = Http::start(&cluster, "throttled").await;
    let mut rows = Vec::new();
    for (disturbance, code) in [("429 with Retry-After: 5", 429), ("503 with Retry-After: 5", 503)]
    {
        http.interrupt().await;
        let begin = Instant::now();
        let answer = refusal(code, "Overloaded", Some(RETRY_AFTER));
        http.disturb(answer.clone(), answer);
        let (noticed, _) = http.observed.unready(&code.to_string()).await;
        let since = |seen: &&Seen| seen.arrived >= begin.into_std();
        let enough = |seen: &[Seen]| seen.iter().filter(since).count() >= ANSWERS;
        http.proxy.wait_for(PATIENCE, enough).await;
        let seen = http.seen_since(begin);
        let told = Duration::from_secs(RETRY_AFTER.into());
        for two in seen.windows(2) {
            let between = two[1].arrived - two[0].arrived;
            assert!(between >= told, "{code}: asked again after {between:?}");
            // A 503 counts as a failure as well, and failures are waited for ever longer.
            assert!(code == 503 || between < told * 2, "asked again only after {between:?}");
        }
        let lists = seen.iter().filter(|seen| seen.target.contains("limit=500")).count();
        assert_eq!(lists, 0, "a request to wait is no reason to list everything");
        rows.push(http.recover(disturbance, begin, Some(noticed)).await);
    }
    http.has_all().await;
    rows
}

/// Failures of the API server are waited for; credentials it does not accept are read anew at once.
async fn failing(cluster: Arc<Cluster>) -> Vec<Row> {
    let http = Http::start(&cluster, "failing").await;
    let mut rows = Vec::new();
    for (disturbance, code) in [("500 to everything", 500), ("504 to everything", 504)] {
        http.interrupt().await;
        let (list, watch) = (refusal(code, "Trouble", None), refusal(code, "Trouble", None));
        let row = http.disturbed(disturbance, list, watch, &code.to_string()).await;
        let (lists, watches) = requests(&row);
        assert!(lists + watches <= 12, "{lists} lists and {watches} watches are a storm");
        rows.push(row);
    }
    http.interrupt().await;
    let begin = Instant::now();
    http.proxy.disturb_once(Kind::List, refusal(401, "Unauthorized", None));
    rows.push(http.recover("401 once", begin, None).await);
    let seen = http.seen_since(begin);
    let between = seen[1].arrived - seen[0].arrived;
    assert!(between < Duration::from_secs(5), "asked again only after {between:?}");
    http.has_all().await;
    rows
}

/// A relay that reads through a proxy of TCP.
async fn through(cluster: &Arc<Cluster>, name: &str) -> (Proxy, Observed) {
    let proxy = Proxy::start(cluster.url());
    let kubeconfig = cluster.write_kubeconfig(&proxy.url(), cluster.admin_token());
    let observed = Observed::start(&cluster.folder().join(name), &kubeconfig);
    observed.ready().await;
    (proxy, observed)
}

/// Lets everything through again, and waits until all is well.
async fn passes_again(
    cluster: &Cluster,
    (proxy, observed): &(Proxy, Observed),
    disturbance: &'static str,
    noticed: Option<Duration>,
) -> Row {
    proxy.switch(Traffic::Pass).await;
    let end = Instant::now();
    observed.ready().await;
    let ready = end.elapsed();
    observed.passes(cluster.client(), &event_name(disturbance)).await;
    Row { disturbance, noticed, ready, arrived: end.elapsed(), requests: None }
}

/// Connections whose other end has vanished without a word.
async fn half_open(cluster: Arc<Cluster>) -> Vec<Row> {
    let way = through(&cluster, "half-open").await;
    let before = way.0.connections();
    way.0.switch(Traffic::HalfOpen).await;
    let (noticed, _) = way.1.unready("no answer within 10 s").await;
    assert!(way.0.connections() > before, "dead connections are not used again");
    let row = passes_again(&cluster, &way, "half-open connection", Some(noticed)).await;
    way.1.has_all(cluster.client()).await;
    vec![row]
}

/// The same, but only connections that were there already are dead, as when a load balancer forgets
/// them: probes get through, and only the silence of the watch gives it away.
async fn forgotten(cluster: Arc<Cluster>) -> Vec<Row> {
    let way = through(&cluster, "forgotten").await;
    way.0.switch(Traffic::HalfOpen).await;
    // Nothing to wait for: the connections notice the switch at once, and nobody else does.
    sleep(Duration::from_secs(1)).await;
    let row = passes_again(&cluster, &way, "forgotten connection", None).await;
    assert!(row.arrived > Duration::from_secs(5), "the connection was not dead");
    way.1.has_all(cluster.client()).await;
    vec![row]
}

/// A port that refuses connections, and connections that break after some kilobytes, wherever in an
/// item that is.
async fn broken_connections(cluster: Arc<Cluster>) -> Vec<Row> {
    let way = through(&cluster, "broken").await;
    way.0.switch(Traffic::Refuse).await;
    let (noticed, _) = way.1.unready("cannot be reached").await;
    sleep(WINDOW).await;
    let refused = passes_again(&cluster, &way, "connection refused", Some(noticed)).await;
    let before = way.0.connections();
    way.0.switch(Traffic::CutAfter(16_000)).await;
    let (noticed, _) = way.1.unready("the watch was cut").await;
    sleep(WINDOW).await;
    let connections = way.0.connections() - before;
    assert!(connections <= 120, "{connections} connections are a storm");
    let cut = passes_again(&cluster, &way, "cut after 16 kB", Some(noticed)).await;
    way.1.has_all(cluster.client()).await;
    vec![refused, cut]
}

/// Every disturbance of the way, each before a relay of its own, all at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn the_stream_comes_back_after_every_disturbance_of_the_way() {
    let cluster = Arc::new(Cluster::start().await);
    let writer = Writer::start(cluster.client(), PER_SECOND);
    let mut cases = JoinSet::new();
    cases.spawn(half_open(cluster.clone()));
    cases.spawn(forgotten(cluster.clone()));
    cases.spawn(silent(cluster.clone()));
    cases.spawn(closed_at_once(cluster.clone()));
    cases.spawn(cut_within_a_line(cluster.clone()));
    cases.spawn(gone(cluster.clone()));
    cases.spawn(asked_to_wait(cluster.clone()));
    cases.spawn(failing(cluster.clone()));
    cases.spawn(broken_connections(cluster.clone()));
    let (mut rows, mut failed) = (Vec::new(), 0);
    while let Some(case) = cases.join_next().await {
        match case {
            Ok(done) => rows.extend(done),
            Err(_told_above) => failed += 1,
        }
    }
    Row::print_all(&rows);
    assert_eq!(failed, 0, "cases that failed; what they say is above");
    drop(writer);
}

/// The servers themselves: killed and started again at once, and away for a while.
#[tokio::test(flavor = "multi_thread")]
async fn the_stream_comes_back_after_the_servers_have_been_down() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    let rules = serde_json::json!([
        {"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]},
    ]);
    // As an installation does, whose rights a server that has just started does not know yet.
    let token = client.least_privilege_token("relay", &rules).await;
    let kubeconfig = cluster.write_kubeconfig(cluster.url(), &token);
    let observed = Observed::start(&cluster.folder().join("servers"), &kubeconfig);
    observed.ready().await;
    let writer = Writer::start(client, PER_SECOND);
    let mut rows = Vec::new();
    for away in [Duration::ZERO, Duration::from_secs(8)] {
        let begin = Instant::now();
        cluster.stop_apiserver().await;
        let (noticed, _) = observed.unready("").await;
        sleep(away.saturating_sub(begin.elapsed())).await;
        cluster.start_apiserver().await;
        let name = if away.is_zero() { "API server restarted" } else { "API server away for 8 s" };
        rows.push(back(&observed, &cluster, name, Some(noticed)).await);
    }
    for away in [Duration::ZERO, Duration::from_secs(8)] {
        cluster.stop_etcd().await;
        sleep(away).await;
        cluster.start_etcd().await;
        let name = if away.is_zero() { "etcd restarted" } else { "etcd away for 8 s" };
        rows.push(back(&observed, &cluster, name, None).await);
    }
    Row::print_all(&rows);
    observed.has_all(client).await;
    drop(writer);
}

/// Waits until all is well, from when the servers say that they are ready.
async fn back(
    observed: &Observed,
    cluster: &Cluster,
    disturbance: &'static str,
    noticed: Option<Duration>,
) -> Row {
    let end = Instant::now();
    observed.ready().await;
    let ready = end.elapsed();
    observed.passes(cluster.client(), &event_name(disturbance)).await;
    Row { disturbance, noticed, ready, arrived: end.elapsed(), requests: None }
}
