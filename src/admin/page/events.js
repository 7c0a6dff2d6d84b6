// The live tail: events as they are written to the log.

import { follow } from "./api.js";
import { tell } from "./changes.js";
import { element } from "./dom.js";

/** So many lines are kept. */
const KEPT = 200;
let running = null;

export function prepare(form, stop, list) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    start(new FormData(form), stop, list);
  });
  stop.addEventListener("click", () => running?.abort());
}

async function start(filter, stop, list) {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  stop.disabled = false;
  list.replaceChildren();
  const query = new URLSearchParams({ follow: "true" });
  for (const [name, value] of filter) if (value.trim()) query.set(name, value.trim());
  try {
    await follow(`log/records?${query}`, (record) => add(list, record), mine.signal);
  } catch (error) {
    if (!mine.signal.aborted) tell(error.message);
  }
  if (running === mine) {
    running = null;
    stop.disabled = true;
  }
}

function add(list, record) {
  const event = record.event ?? {};
  const object = event.involvedObject ?? {};
  const time = new Date(record.receivedAt).toLocaleTimeString();
  list.prepend(element("li", {},
    element("time", { class: "quiet", dateTime: record.receivedAt }, time),
    element("span", { class: event.type ?? "" }, event.type ?? ""),
    element("span", {}, `${event.reason ?? ""} ${object.kind ?? ""} ${object.namespace ?? ""}/${object.name ?? ""}`),
    element("span", {}, event.message ?? event.note ?? "")));
  while (list.childElementCount > KEPT) list.lastElementChild.remove();
}
