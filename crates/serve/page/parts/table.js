// The table of lines: sorted by a column, filtered by a label, a page of rows at a time.

import { $, el } from "./dom.js";
import { count, percent } from "./format.js";
import { answerOf, labelsOf, rows, tally } from "./rows.js";

const PAGE_OF_ROWS = 200;

let order = { by: "row", sign: 1 };
let only; // show only lines with this label
let limit = PAGE_OF_ROWS;

/** Back to the first rows. */
export function rewind() {
  limit = PAGE_OF_ROWS;
}

/** All lines again, whatever their labels. */
export function unfilter() {
  only = undefined;
}

const sortKeys = {
  row: (line) => line.row,
  text: (line) => line.text,
  label: (line) => labelsOf(line)[0]?.label ?? "\uFFFF",
  score: (line) => answerOf(line)?.labels?.[0]?.score ?? -1,
};
const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b));

export function showRows() {
  const counts = tally();
  if (only !== undefined && !counts.some(([label]) => label === only)) only = undefined;
  const keep = document.activeElement?.closest("#tally") && document.activeElement.value;
  $("#tally").replaceChildren(...counts.map(([label, n]) => {
    const button = el("button", { type: "button", value: label }, el("span", { dir: "auto" }, label), " ", el("b", {}, String(n)));
    button.setAttribute("aria-pressed", String(label === only));
    return button;
  }));
  if (keep) [...$("#tally").children].find((button) => button.value === keep)?.focus();

  const fits = (line) => only === undefined || (only === "none" ? !labelsOf(line).length : labelsOf(line).some((e) => e.label === only));
  const by = sortKeys[order.by];
  const sorted = rows.filter(fits).sort((a, b) => order.sign * compare(by(a), by(b)) || a.row - b.row);
  $("#table tbody").replaceChildren(...sorted.slice(0, limit).map(makeRow));
  for (const head of document.querySelectorAll("#table th")) {
    if (head.firstElementChild.value === order.by) head.setAttribute("aria-sort", order.sign > 0 ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  }
  const hidden = sorted.length - limit;
  $("#more").hidden = hidden <= 0;
  $("#more").textContent = `Show ${Math.min(hidden, PAGE_OF_ROWS)} more of ${count(hidden, "line")}`;
  $("#lines").hidden = false;
  $("#take").hidden = false;
}

function makeRow(line) {
  const answer = answerOf(line);
  const cell = el("td", { className: "labels" });
  if (answer?.error) cell.append(el("span", { className: "error" }, `Not read: ${answer.error}`));
  else if (answer) {
    const over = labelsOf(line);
    const best = answer.labels[0];
    cell.append(...over.map((entry) => el("span", { className: "chip" }, el("span", { dir: "auto" }, entry.label), ` ${percent(entry.score)}`)));
    if (!over.length) cell.append(el("span", { className: "quiet" }, best ? `none; nearest ${best.label} ${percent(best.score)}` : "none"));
    if (answer.truncated) cell.append(el("span", { className: "quiet" }, " (only its beginning was read)"));
  } else cell.append(el("span", { className: "quiet" }, "…"));
  const score = answer?.labels?.[0]?.score;
  const last = el("td", { className: "score" }, score === undefined ? "" : percent(score));
  last.style.setProperty("--score", score ?? 0);
  return el("tr", {}, el("td", { className: "number" }, String(line.row)), el("td", { className: "text", dir: "auto" }, line.text), cell, last);
}

$("#table thead").addEventListener("click", ({ target }) => {
  const by = target.closest("button")?.value;
  if (!by) return;
  order = { by, sign: order.by === by ? -order.sign : by === "score" ? -1 : 1 };
  showRows();
});
$("#tally").addEventListener("click", ({ target }) => {
  const label = target.closest("button")?.value;
  if (label === undefined) return;
  only = only === label ? undefined : label;
  limit = PAGE_OF_ROWS;
  showRows();
});
$("#more").addEventListener("click", () => { limit += PAGE_OF_ROWS; showRows(); });
