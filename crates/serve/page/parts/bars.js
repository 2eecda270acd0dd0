// A bar for each label: its score, its threshold, and which of them was chosen.

import { $, calm, el } from "./dom.js";
import { isOver, percent } from "./format.js";
import { showWords } from "./words.js";

export let shown; // {text, taxonomy, scores, explanation?}: what the bars and words are of
let pinned; // the label that was chosen
const bars = new Map(); // label -> parts of its row

export function showBars(result) {
  shown = result;
  const over = result.scores.filter(isOver);
  const below = result.scores.filter((entry) => !isOver(entry));
  const marked = result.scores.some((entry) => entry.threshold !== undefined);
  const why = marked ? "below their thresholds" : "less probable";
  $("#others span").textContent = over.length ? `${below.length} more, ${why}` : `${below.length}, ${why}`;
  $("#bars .key").hidden = !marked;
  $("#others").hidden = below.length === 0;
  $("#bars").hidden = false;
  arrange(over, below);
  choose();
}

export function hideBars() {
  shown = undefined;
  $("#bars").hidden = true;
}

/** No label is the chosen one any more. */
export function unpin() {
  pinned = undefined;
}

/** Puts every label's row into its place, keeping rows, focus and, where motion is welcome, continuity. */
function arrange(over, below) {
  const focused = document.activeElement;
  const known = new Set(shown.scores.map((entry) => entry.label));
  for (const [label, bar] of bars) if (!known.has(label)) { bar.row.remove(); bars.delete(label); }
  const before = new Map([...bars].map(([label, bar]) => [label, bar.row.getBoundingClientRect().top]));
  for (const [list, entries] of [[$("#over"), over], [$("#below"), below]]) {
    entries.forEach((entry, place) => {
      const bar = bars.get(entry.label) ?? makeBar(entry.label);
      fillBar(bar, entry);
      if (list.children[place] !== bar.row) list.insertBefore(bar.row, list.children[place] ?? null);
    });
  }
  if (focused !== document.activeElement) focused.focus({ preventScroll: true });
  if (calm.matches) return;
  for (const [label, top] of before) {
    const { row } = bars.get(label);
    const moved = top - row.getBoundingClientRect().top;
    if (top && moved && row.offsetParent)
      row.animate([{ transform: `translateY(${moved}px)` }, { transform: "none" }], { duration: 220, easing: "ease-out" });
  }
}

function makeBar(label) {
  const radio = el("input", { type: "radio", name: "label", value: label });
  radio.setAttribute("aria-describedby", "says");
  const [fill, mark] = [el("span", { className: "fill" }), el("span", { className: "mark" })];
  const track = el("span", { className: "track" }, fill, mark);
  track.setAttribute("aria-hidden", "true");
  const [score, note] = [el("span", { className: "score" }), el("span", { className: "unseen" })];
  const name = el("span", { className: "name", dir: "auto" }, label);
  const row = el("li", {}, el("label", {}, radio, name, track, score, note));
  const bar = { row, radio, fill, mark, score, note };
  row.dataset.label = label;
  bars.set(label, bar);
  return bar;
}

function fillBar({ row, mark, score, note }, entry) {
  row.classList.toggle("over", isOver(entry));
  row.style.setProperty("--score", entry.score);
  score.textContent = percent(entry.score);
  mark.hidden = entry.threshold === undefined;
  if (mark.hidden) { // of a model that gives exactly one label
    row.title = `${entry.label}: ${entry.score.toFixed(4)}`;
    note.textContent = isOver(entry) ? ", the most probable" : "";
    return;
  }
  row.title = `${entry.label}: ${entry.score.toFixed(4)}, threshold ${entry.threshold.toFixed(4)}`;
  row.style.setProperty("--threshold", entry.threshold);
  note.textContent = `, ${isOver(entry) ? "over" : "below"} its threshold of ${percent(entry.threshold)}`;
}

/** The label whose words are shown: the one pointed at, else the chosen one, else the first over its threshold. */
function choose(pointedAt) {
  if (!shown) return;
  const visible = pinned !== undefined && bars.has(pinned) && (bars.get(pinned).row.matches(".over") || $("#others").open);
  const label = pointedAt ?? (visible ? pinned : (shown.scores.find(isOver) ?? shown.scores[0])?.label);
  if (label === undefined) return;
  for (const [name, bar] of bars) {
    bar.row.classList.toggle("current", name === label);
    if (!pointedAt) bar.radio.checked = name === label;
  }
  if (shown.explanation) showWords(shown, label);
}

const barList = $("#bars");
barList.addEventListener("change", (event) => { pinned = event.target.value; choose(); });
barList.addEventListener("pointerover", (event) => {
  if (event.pointerType !== "touch") choose(event.target.closest("li")?.dataset.label);
});
barList.addEventListener("pointerleave", () => choose());
$("#others").addEventListener("toggle", () => choose());
