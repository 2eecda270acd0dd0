// Asking the server, as often as it takes. Knows nothing of the document: `server` tells what happens.

import { pause } from "./pause.js";
import { Refusal } from "./refusal.js";
import { tab } from "./storage.js";

const KEY = "tinymood.key";

let key = tab.get(KEY);
export let locked = false; // a key is needed and not yet given: asking again would only be refused again
export let notBefore = 0; // the server said Retry-After: no question leaves before this time
export let info; // /info, once it is known

/** "refused", with the refusal as `detail`, when a question has to wait; "answered" when one got through. */
export const server = new EventTarget();
const gate = new EventTarget(); // "key" and "now" end a wait early

export function useKey(given) {
  key = given;
  tab.set(KEY, key);
  locked = false;
  gate.dispatchEvent(new Event("key"));
}

export function askNow() {
  notBefore = 0;
  gate.dispatchEvent(new Event("now"));
}

async function askOnce(path, body, signal) {
  const headers = { ...(body && { "content-type": "application/json" }), ...(key && { authorization: `Bearer ${key}` }) };
  let response;
  let answer;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
    answer = await response.json();
  } catch {
    signal.throwIfAborted();
    if (!response || response.ok) throw new Refusal(0);
  }
  if (response.ok) return answer;
  const seconds = Number.parseFloat(response.headers.get("retry-after"));
  const retryAfter = Number.isFinite(seconds) ? Math.min(Math.max(seconds, 1), 600) : undefined;
  throw new Refusal(response.status, answer, { retryAfter, withKey: Boolean(key), maxCharacters: info?.max_characters });
}

/** Asks until there is an answer, a refusal that waiting cannot mend, or `signal` aborts. */
async function ask(path, body, signal) {
  for (let attempt = 0; ; attempt += 1) {
    if (locked) await pause(Infinity, signal, gate, "key");
    if (notBefore > Date.now()) await pause(notBefore - Date.now(), signal, gate, "now");
    try {
      const answer = await askOnce(path, body, signal);
      server.dispatchEvent(new Event("answered"));
      return answer;
    } catch (refusal) {
      const wait = refusal instanceof Refusal ? refusal.patience(attempt) : undefined;
      if (wait === undefined) throw refusal;
      locked = refusal.status === 401;
      if (!locked) notBefore = Date.now() + wait;
      server.dispatchEvent(new CustomEvent("refused", { detail: refusal }));
    }
  }
}

/** Entries without a threshold are of a model that gives exactly one label: those among `labels` hold. */
export async function emotions(body, signal) {
  const answer = await ask("v1/emotions", body, signal);
  for (const { labels, scores = [] } of answer.results) {
    const held = new Set(labels.map((entry) => entry.label));
    for (const entry of [...labels, ...scores]) {
      if (entry.threshold === undefined) Object.defineProperty(entry, "holds", { value: held.has(entry.label) });
    }
  }
  return answer;
}

/** /info, asked for once. A server that has none still answers texts. */
export async function serverInfo(signal) {
  try {
    info ??= await ask("info", undefined, signal);
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    info = {};
  }
  return info;
}
