// The page: looks at the relay every two seconds and shows what it sees.

import { ask, token } from "./api.js";
import { ago, badge, bytes, count, duration, element, facts, seconds } from "./dom.js";
import * as events from "./events.js";
import * as letters from "./letters.js";
import * as sinks from "./sinks.js";

const INTERVAL = 2000;
const at = (id) => document.getElementById(id);

function showStreams(streams) {
  at("streams").replaceChildren(...streams.map((stream) => {
    const gaps = stream.gaps.length;
    const tone = stream.live ? (gaps ? "warning" : "good") : "bad";
    return element("article", { class: `card ${tone}` },
      element("div", { class: "title" }, element("h3", {}, stream.stream), badge(tone, stream.live ? "live" : stream.phase)),
      facts([
        ["records", count(stream.records)],
        ["newest", ago(stream.lastRecordAt)],
        ["complete until", ago(stream.completeUntil)],
        ["at", stream.frontier],
        ["gaps", gaps ? `${gaps}, the last ended ${ago(stream.gaps.at(-1).toTime)}: ${stream.gaps.at(-1).cause}` : null],
      ]),
      stream.reason ? element("p", { class: "cause" }, stream.reason) : null);
  }));
}

function showLog(log) {
  const tone = log.full ? "bad" : log.damagedSegments ? "warning" : "good";
  const share = `${bytes(log.bytes)} of ${bytes(log.maxBytes)}`;
  at("log").replaceChildren(element("article", { class: `card ${tone}` },
    element("meter", { min: 0, max: log.maxBytes || 1, high: 0.8 * log.maxBytes, value: log.bytes, "aria-label": share }),
    facts([
      ["on disk", share],
      ["records", count(log.records)],
      ["segments", count(log.segments)],
      ["damaged", log.damagedSegments ? `${count(log.damagedSegments)} segments moved aside` : null],
      ["full", log.full ? `intake waits (${log.fullReason})` : null],
      ["directory", log.directory],
    ])));
}

/** Only when there is something to be done about it. */
function showConfiguration(file) {
  const { refusal = null, needsRestart = [] } = file ?? {};
  const tone = refusal ? "bad" : "warning";
  at("configuration-section").hidden = !refusal && !needsRestart.length;
  if (!file) return;
  at("configuration").replaceChildren(element("article", { class: `card ${tone}` },
    element("div", { class: "title" }, element("h3", {}, file.path), badge(tone, refusal ? "not taken over" : "needs a restart")),
    facts([
      ["taken over", ago(file.takenOverAt)],
      ["refused since", refusal ? ago(refusal.since) : null],
      ["needs a restart", needsRestart.length ? needsRestart.join(", ") : null],
    ]),
    refusal ? element("p", { class: "cause" }, refusal.reason) : null));
}

/** What somebody should look at, as `kube-event-relay status` has it: what is stuck, and what else is worth a look. */
function problems(status) {
  const bad = [
    ...(status.configuration?.refusal ? ["configuration"] : []),
    ...status.streams.filter((stream) => !stream.live).map((stream) => `stream ${stream.stream}`),
    ...status.sinks.filter((sink) => sinks.toneOf(sink) === "bad" || sink.state === "retrying").map((sink) => `sink ${sink.name}`),
    ...(status.log.full ? ["log full"] : []),
  ];
  const warning = [
    ...(status.configuration?.needsRestart?.length ? ["configuration needs a restart"] : []),
    ...(status.log.damagedSegments ? ["damaged segments"] : []),
    ...status.streams.filter((stream) => stream.gaps.length).map((stream) => `gaps of ${stream.stream}`),
    ...status.sinks.filter((sink) => sink.state === "paused").map((sink) => `${sink.name} is paused`),
    ...status.sinks.filter((sink) => sink.lost > 0).map((sink) => `losses of ${sink.name}`),
    ...status.sinks.filter((sink) => sink.deadLetters > 0).map((sink) => `dead letters of ${sink.name}`),
    ...status.removed.map((sink) => `${sink.name} is not configured any more`),
  ];
  return { bad, warning };
}

function showSummary(status) {
  const { bad, warning } = problems(status);
  const troubles = bad.length ? bad : warning;
  const summary = at("summary");
  summary.className = `badge ${bad.length ? "bad" : warning.length ? "warning" : "good"}`;
  summary.textContent = troubles.length ? `look at: ${troubles.join(", ")}` : "all is well";
  const age = status.startedAt ? `, up ${duration(seconds(status.startedAt))}` : "";
  at("identity").textContent = `cluster ${status.cluster}, version ${status.version}${age}`;
  document.title = troubles.length ? `(${troubles.length}) kube-event-relay` : "kube-event-relay";
}

async function refresh() {
  let status;
  try {
    status = await ask("status");
  } catch (error) {
    const summary = at("summary");
    summary.className = "badge bad";
    summary.textContent = `the relay does not answer: ${error.message}`;
    return;
  }
  showSummary(status);
  showConfiguration(status.configuration);
  showLog(status.log);
  showStreams(status.streams);
  sinks.remember(status.sinks);
  sinks.show(at("sinks"), status.sinks, refresh);
  await letters.show(at("letters"), status.sinks, refresh);
}

async function keepLooking() {
  for (;;) {
    if (!document.hidden) await refresh();
    await new Promise((done) => setTimeout(done, INTERVAL));
  }
}

at("token").value = token.get();
at("token").addEventListener("change", () => token.set(at("token").value));
at("access").addEventListener("submit", (event) => event.preventDefault());
events.prepare(at("tail"), at("tail-stop"), at("events"));
keepLooking();
