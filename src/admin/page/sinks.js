// Sinks: how far each is, what keeps it, and what can be done about it.

import { ask, part } from "./api.js";
import { change, tell } from "./changes.js";
import { ago, badge, button, count, duration, element, facts, sparkline, until } from "./dom.js";

const TONES = {
  idle: "good", delivering: "good", throttled: "warning", retrying: "warning",
  paused: "warning", held: "bad", stopped: "bad",
};
const REPLAYS = [["15m", 900], ["1h", 3600], ["2h", 7200], ["6h", 21600], ["24h", 86400]];

/** Looks back five minutes at one look every two seconds. */
const HISTORY = 150;
const lags = new Map();

export const toneOf = (sink) => (sink.lost > 0 && TONES[sink.state] === "good" ? "warning" : TONES[sink.state] ?? "warning");

export function remember(sinks) {
  for (const { name, lagRecords } of sinks) {
    const known = lags.get(name) ?? [];
    lags.set(name, [...known, lagRecords].slice(-HISTORY));
  }
}

export function show(place, sinks, refresh) {
  // Whoever is choosing in a menu is not disturbed.
  if (place.contains(document.activeElement) && document.activeElement.tagName === "SELECT") return;
  const focused = document.activeElement?.dataset?.action;
  place.replaceChildren(...sinks.map((sink) => card(sink, refresh)));
  if (focused) place.querySelector(`[data-action="${CSS.escape(focused)}"]`)?.focus();
}

function card(sink, refresh) {
  const { failure } = sink;
  const lag = lags.get(sink.name) ?? [sink.lagRecords];
  const label = `records waiting: ${count(sink.lagRecords)} now, at most ${count(Math.max(...lag))} in the last minutes`;
  const tone = toneOf(sink);
  return element("article", { class: `card ${tone}`, "data-sink": sink.name },
    element("div", { class: "title" },
      element("h3", {}, sink.name), element("span", { class: "quiet" }, sink.kind),
      badge(tone, sink.state),
      sink.required ? null : element("span", { class: "quiet" }, "best effort")),
    sparkline(lag, label),
    facts([
      ["waiting", sink.lagRecords ? `${count(sink.lagRecords)} records, for ${duration(sink.lagSeconds)}` : "nothing"],
      ["delivered", `${count(sink.delivered)} since the start`],
      ["tried again", sink.retried ? count(sink.retried) : null],
      ["excluded", sink.filtered ? count(sink.filtered) : null],
      ["in groups", sink.grouped ? count(sink.grouped) : null],
      ["dead letters", sink.deadLetters ? count(sink.deadLetters) : null],
      ["lost", sink.lost ? count(sink.lost) : null],
      ["rate limit", sink.throttledUntil ? `opens ${until(sink.throttledUntil)}` : null],
      ["failing", failure ? `since ${ago(failure.since)}, ${count(failure.attempts)} ${failure.attempts === 1 ? "attempt" : "attempts"}` : null],
      ["next attempt", failure ? until(failure.nextAttemptAt) : null],
    ]),
    sink.pause ? element("p", { class: "quiet" }, `paused ${ago(sink.pause.since)} from ${sink.pause.by}`) : null,
    failure ? element("p", { class: "cause" }, failure.cause) : null,
    ...(sink.replays ?? []).map((replay) => replayed(replay, refresh)),
    actions(sink, refresh));
}

function replayed(replay, refresh) {
  const { number, state, done, total } = replay;
  const text = `replay ${number}: ${state}, ${count(done)} of ${count(total)}`;
  const ended = ["done", "cancelled"].includes(state);
  return element("div", {},
    element("p", { class: "quiet" }, text),
    element("progress", { max: Math.max(1, total), value: done, "aria-label": text }),
    ended ? null : button("Cancel replay", async () => {
      if (await change(`replays/${part(number)}`, "DELETE")) refresh();
    }));
}

function actions(sink, refresh) {
  const { name, state } = sink;
  const named = (text, action) => {
    const made = button(text, action);
    made.dataset.action = `${text} ${name}`;
    return made;
  };
  const act = (text, path) => named(text, async () => {
    if (await change(`sinks/${part(name)}/${path}`, "POST")) refresh();
  });
  const ages = element("select", { "aria-label": `Replay to ${name}` },
    element("option", { value: "" }, "Replay …"),
    ...REPLAYS.map(([text, value]) => element("option", { value }, `the last ${text}`)));
  ages.addEventListener("change", async () => {
    const from = { time: new Date(Date.now() - 1000 * Number(ages.value)).toISOString() };
    ages.value = "";
    ages.blur();
    if (await change("replays", "POST", { sink: name, from })) refresh();
  });
  return element("div", { class: "actions" },
    state === "paused" ? act("Resume", "resume") : act("Pause", "pause"),
    ["retrying", "held", "throttled"].includes(state) ? act("Try now", "resume") : null,
    named("Test", () => test(name)),
    ages);
}

async function test(name) {
  try {
    const { outcome, cause, answers } = await ask(`sinks/${part(name)}/test`, { method: "POST" });
    tell(`test of ${name}: ${[outcome, cause, ...answers].filter(Boolean).join("; ")}`);
  } catch (error) {
    tell(error.message);
  }
}
