// Changes: what one would do is shown first, and done only then.

import { ask } from "./api.js";
import { element } from "./dom.js";

const dialog = document.getElementById("confirm");

/** Shows what would happen, or `effect` instead, asks, and does it. Returns what was done, or null. */
export async function change(path, method, body, effect = null) {
  const joint = path.includes("?") ? "&" : "?";
  try {
    const intended = await ask(`${path}${joint}dryRun=true`, { method, body });
    if (!(await agreed(effect ? { ...intended, effect } : intended))) return null;
    return await ask(path, { method, body });
  } catch (error) {
    tell(error.message);
    return null;
  }
}

function agreed({ action, subject, before, after, effect }) {
  document.getElementById("confirm-title").textContent = `${action} ${subject}`;
  const rows = [["before", before], ["after", after], ["effect", effect]].filter(([, text]) => text);
  document.getElementById("confirm-change").replaceChildren(
    ...rows.flatMap(([name, text]) => [element("dt", { class: "quiet" }, name), element("dd", {}, text)]),
  );
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true });
  });
}

let hiding;

/** Shows a line above everything for a while. */
export function tell(text) {
  const place = document.getElementById("trouble");
  place.textContent = text;
  place.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => { place.hidden = true; }, 15000);
}
