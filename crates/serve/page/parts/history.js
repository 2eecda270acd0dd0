// History, on this device only.

import { $, el } from "./dom.js";
import { count, linesOf } from "./format.js";
import { device } from "./storage.js";

const KEY = "tinymood.history";
const OFF = "tinymood.history.off";
const MOST = 30;
const LONGEST = 20_000;
const PROBE = "tinymood.probe";

let on = device.get(OFF) === null;
const works = device.set(PROBE, "1");
device.remove(PROBE);
let current; // the text being written; its entry is replaced as it grows
let open; // what a click on an entry does

/** Lists what is kept. `opens` is called with the entry that is clicked. */
export function start(opens) {
  open = opens;
  show();
}

export function keep(entry) {
  if (!on || !works || entry.text.length > LONGEST) return;
  const earlier = current !== undefined && grew(current, entry.text) ? current : entry.text;
  const others = read().filter((other) => other.text !== entry.text && other.text !== earlier);
  current = entry.text;
  save([entry, ...others].slice(0, MOST));
}

/** Whether `text` is `before` with something put into it. One pasted over another is not. */
function grew(before, text) {
  let same = 0;
  while (same < before.length && before[same] === text[same]) same += 1;
  return text.length >= before.length && text.endsWith(before.slice(same));
}

/** What is written from now on is a text of its own. */
export function turnPage() {
  current = undefined;
}

function read() {
  try {
    const entries = JSON.parse(device.get(KEY) ?? "[]");
    return entries.filter((entry) => typeof entry?.text === "string" && Array.isArray(entry.says));
  } catch {
    return [];
  }
}

function save(entries) {
  while (!device.set(KEY, JSON.stringify(entries)) && entries.length) entries.pop();
  show();
}

function clear() {
  device.remove(KEY);
  turnPage();
  show();
}

function show() {
  const entries = on && works ? read() : [];
  $("#history summary span").textContent = entries.length ? String(entries.length) : "";
  $("#history ol").replaceChildren(...entries.map(makeEntry));
  $("#storage").textContent = !works ? "This browser keeps nothing for this page, so there is no history."
    : !on ? "Off. Nothing is kept."
    : entries.length ? "Kept in this browser only; no server has it." : "Texts that you pause on are listed here, in this browser only.";
  $("#keep").checked = on && works;
  $("#keep").disabled = !works;
  $("#forget").hidden = entries.length === 0;
}

function makeEntry(entry) {
  const more = entry.mode === "lines" ? `${count(linesOf(entry.text).length, "line")}: ` : "";
  const button = el("button", { type: "button" }, el("span", { className: "what", dir: "auto" }, more + entry.text.slice(0, 200)),
    el("span", { className: "quiet" }, entry.says.join(", ") || "none"));
  button.addEventListener("click", () => open(entry));
  return el("li", {}, button);
}

$("#forget").addEventListener("click", () => { clear(); $("#keep").focus(); });
$("#keep").addEventListener("change", ({ target }) => {
  on = target.checked;
  if (on) device.remove(OFF);
  else device.set(OFF, "1");
  clear();
});
