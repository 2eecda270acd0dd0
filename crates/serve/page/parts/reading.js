// One reading after another: whatever the answer depends on begins a new one and ends the one under way.

import { $, chosen, input, setBusy, showCount, speak } from "./dom.js";
import { linesOf } from "./format.js";
import * as past from "./history.js";
import { readLines, showProgress } from "./lines.js";
import * as notice from "./notice.js";
import { readOne, showNothing } from "./one.js";
import { pause } from "./pause.js";
import { Refusal } from "./refusal.js";
import { locked } from "./server.js";

const TYPING_PAUSE = 150; // ms without a key before a text is read
const SETTLED = 1200; // and after it was, before it is spoken and kept

let turn = new AbortController();

/** Something that the answer depends on has changed: what is under way is stale. */
export async function changed(wait = TYPING_PAUSE) {
  turn.abort();
  turn = new AbortController();
  const { signal } = turn;
  const mode = chosen("mode");
  document.body.dataset.mode = mode;
  $("#emotions").hidden = mode === "lines";
  $("#words").hidden ||= mode === "lines";
  $("#lines").hidden ||= mode === "one";
  input.placeholder = mode === "lines" ? "One text a line…" : "Type or paste a text…";
  $("#clear").hidden = !input.value;
  $("#examples").hidden = Boolean(input.value);
  const lines = linesOf(input.value).length;
  $("#many").hidden = mode === "lines" || lines < 3;
  $("#many span").textContent = `${lines} lines.`;
  $("#took").textContent = "";
  showCount();
  showProgress();
  if (!input.value.trim()) {
    past.turnPage();
    if (!locked) notice.hide();
    $("#lines").hidden = true;
    setBusy(false);
    return showNothing();
  }
  setBusy(true);
  try {
    await pause(wait, signal);
    const done = await (mode === "lines" ? readLines(signal) : readOne(signal));
    setBusy(false);
    if (!done) return;
    await pause(SETTLED, signal);
    speak(done.spoken);
    past.keep(done.entry);
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Refusal)) throw error;
    notice.show(error);
    showNothing("There is no answer for this text.");
    setBusy(false);
  }
}

/** Puts a text into the page, with its mode and taxonomy where they are known ones. */
export function open({ text, mode, taxonomy }) {
  for (const [name, value] of [["mode", mode], ["taxonomy", taxonomy]])
    for (const radio of document.getElementsByName(name)) if (radio.value === value && !radio.disabled) radio.checked = true;
  input.value = text;
  past.turnPage();
  changed(0);
}
