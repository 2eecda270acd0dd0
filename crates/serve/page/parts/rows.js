// The lines of a text and what is known about each. A line is asked about once for each taxonomy.

import { isOver, linesOf } from "./format.js";

const MOST_ANSWERS = 50_000;

const answers = new Map(); // taxonomy and text -> {labels} or {error}
export let rows = []; // {row, text, taxonomy}

export function setRows(text, taxonomy) {
  rows = linesOf(text).map((line) => ({ ...line, taxonomy }));
  if (answers.size > MOST_ANSWERS) answers.clear();
}

export const remember = (taxonomy, text, answer) => answers.set(`${taxonomy}\n${text}`, answer);
export const answerOf = ({ taxonomy, text }) => answers.get(`${taxonomy}\n${text}`);
export const labelsOf = (line) => (answerOf(line)?.labels ?? []).filter(isOver);

/** How many lines hold each label, most first; lines without any under "none". */
export function tally() {
  const counts = new Map();
  for (const line of rows) {
    if (!answerOf(line)?.labels) continue;
    const labels = labelsOf(line).map((entry) => entry.label);
    for (const label of labels.length ? labels : ["none"]) counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]);
}
