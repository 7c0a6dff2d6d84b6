// Building the page. Text is only ever set as text: what services and events say is not trusted.

/** An element with properties and children; `class`, `data-…` and `aria-…` are attributes. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class" || key.includes("-")) made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** A list of names and values; those without a value are left out. */
export function facts(pairs) {
  const rows = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return element("dl", { class: "facts" }, ...rows.flatMap(([name, value]) => [
    element("dt", {}, name),
    element("dd", {}, String(value)),
  ]));
}

export const badge = (tone, text) => element("span", { class: `badge ${tone}` }, text);

export function button(text, action, disabled = false) {
  const made = element("button", { type: "button", disabled }, text);
  made.addEventListener("click", action);
  return made;
}

export const count = (value) => Number(value ?? 0).toLocaleString("en");

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(value) {
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit ? value.toFixed(1) : value} ${UNITS[unit]}`;
}

/** A duration in its two largest units. */
export function duration(seconds) {
  const sizes = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];
  let rest = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [unit, size] of sizes) {
    const whole = Math.floor(rest / size);
    rest -= whole * size;
    if (whole || (unit === "s" && !parts.length)) parts.push(`${whole}${unit}`);
  }
  return parts.slice(0, 2).join(" ");
}

export const seconds = (time, now = Date.now()) => (now - Date.parse(time)) / 1000;

export function ago(time) {
  return time ? `${duration(seconds(time))} ago` : null;
}

export function until(time) {
  if (!time) return null;
  const left = -seconds(time);
  return left > 0 ? `in ${duration(left)}` : "now";
}

const SVG = "http://www.w3.org/2000/svg";

/** A line of values, oldest first, with zero at the bottom. */
export function sparkline(values, label) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("class", "spark");
  drawing.setAttribute("viewBox", "0 0 100 30");
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", label);
  if (values.length === 1) values = [values[0], values[0]];
  const top = Math.max(1, ...values);
  const step = 100 / (values.length - 1);
  const points = values.map((value, index) => `${(index * step).toFixed(2)},${(29 - (28 * value) / top).toFixed(2)}`);
  const line = `M${points.join("L")}`;
  for (const [kind, path] of [["area", `${line}L100,30L0,30Z`], ["line", line]]) {
    const drawn = document.createElementNS(SVG, "path");
    drawn.setAttribute("class", kind);
    drawn.setAttribute("d", path);
    drawing.append(drawn);
  }
  return drawing;
}
