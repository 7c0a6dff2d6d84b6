// What the page asks of the relay, and how: the documented API and nothing else.

const PREFIX = "api/v1/";

/** The token, which lives as long as this tab. */
export const token = {
  get: () => sessionStorage.getItem("token") ?? "",
  set: (value) => sessionStorage.setItem("token", value.trim()),
};

/** What the relay answers, as JSON. An error carries the relay's own words. */
export async function ask(path, { method = "GET", body, signal } = {}) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (method !== "GET" && token.get()) headers.authorization = `Bearer ${token.get()}`;
  const answer = await fetch(PREFIX + path, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
  });
  const text = await answer.text();
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(`the relay answered ${answer.status} without JSON`);
  }
  if (!answer.ok) throw new Error(value.error ?? `the relay answered ${answer.status}`);
  return value;
}

/** Calls `each` for every line of JSON that the relay sends, until it or `signal` ends. */
export async function follow(path, each, signal) {
  const answer = await fetch(PREFIX + path, { signal });
  if (!answer.ok) throw new Error((await answer.json()).error);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.trim()) each(JSON.parse(line));
  }
}

/** A part of a path, whatever is in it. */
export const part = encodeURIComponent;
