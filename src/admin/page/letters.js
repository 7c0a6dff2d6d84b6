// Dead letters: what was refused, by whom, and in which words.

import { ask, part } from "./api.js";
import { change, tell } from "./changes.js";
import { ago, button, count, element } from "./dom.js";

/** So many of each sink are shown. */
const SHOWN = 50;
let known = "";

/** Asks for the letters of all sinks when their numbers have changed. */
export async function show(place, sinks, refresh) {
  const numbers = sinks.filter((sink) => sink.deadLetters > 0);
  const seen = JSON.stringify(numbers.map(({ name, deadLetters }) => [name, deadLetters]));
  if (seen === known) return;
  known = seen;
  if (!numbers.length) {
    place.replaceChildren(element("p", { class: "quiet" }, "none"));
    return;
  }
  const again = () => { known = ""; refresh(); };
  try {
    const tables = numbers.map(async ({ name, deadLetters }) => {
      const page = await ask(`dead-letters/${part(name)}?limit=${SHOWN}`);
      return table(name, deadLetters, page.letters, again);
    });
    place.replaceChildren(...await Promise.all(tables));
  } catch (error) {
    known = "";
    tell(error.message);
  }
}

function table(sink, total, letters, again) {
  const act = (text, action, body, all = null) => button(text, async () => {
    const path = `dead-letters/${part(sink)}/${action}`;
    // A dry run counts a portion; what is meant is all of them.
    let done = await change(path, "POST", body, all);
    if (!done) return;
    // What is more than a portion follows without another question.
    try {
      while (done.next && !done.stopped) {
        done = await ask(path, { method: "POST", body: { ...body, after: done.next, asOf: done.asOf } });
      }
      if (done.stopped) tell(done.stopped);
    } catch (error) {
      tell(error.message);
    }
    again();
  });
  const rows = letters.map((letter) => {
    const cell = (label, ...children) => element("td", { "data-label": label }, ...children);
    return element("tr", {},
      cell("refused", ago(letter.lastAt)),
      cell("event", `${letter.reason} ${letter.kind} ${letter.namespace}/${letter.name}`),
      cell("answer", element("span", { class: "mono" }, letter.reply)),
      cell("attempts", String(letter.attempts)),
      cell("", element("div", { class: "actions" },
        act("Retry", "retry", { ids: [letter.id] }),
        act("Discard", "discard", { ids: [letter.id] }))));
  });
  const headings = ["refused", "event", "the sink's answer", "attempts", ""];
  return element("div", { class: "letters" },
    element("div", { class: "controls" },
      element("h3", {}, `${sink}: ${count(total)}`),
      act("Retry all", "retry", { all: true }, `all ${count(total)} letters are handed to the sink again`)),
    element("table", {},
      element("thead", {}, element("tr", {}, ...headings.map((text) => element("th", {}, text)))),
      element("tbody", {}, ...rows)));
}
