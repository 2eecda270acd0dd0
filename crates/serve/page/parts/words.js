// The words behind a label: tinted in the text, told in a sentence, listed with their numbers.

import { $, el } from "./dom.js";
import { signed } from "./format.js";

/**
 * Words as ranges of whole characters: a model may split what readers see as one (an emoji of several
 * code points, a letter with its accent), and half of it cannot be tinted. Of such parts the strongest counts.
 */
function wordRanges(points, words, drops) {
  const first = new Uint32Array(points.length);
  const last = new Uint32Array(points.length);
  let at = 0;
  for (const { segment } of new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(points.join(""))) {
    const length = [...segment].length;
    first.fill(at, at, at + length);
    last.fill(at + length, at, at + length);
    at += length;
  }
  const ranges = [];
  words.forEach(({ start, end }, i) => {
    if (!(start >= 0 && start < end && end <= points.length)) return;
    const range = { start: first[start], end: last[end - 1], drop: drops[i] ?? 0 };
    const previous = ranges.at(-1);
    if (!previous || range.start >= previous.end) ranges.push(range);
    else {
      previous.end = Math.max(previous.end, range.end);
      if (Math.abs(range.drop) > Math.abs(previous.drop)) previous.drop = range.drop;
    }
  });
  return ranges;
}

const FAINT = 0.05; // of the strongest word's share: less is neither tinted nor told

export function showWords({ text, explanation }, label) {
  const points = Array.from(text);
  const ranges = wordRanges(points, explanation.words, explanation.labels[label] ?? []);
  const most = Math.max(1, ...ranges.map((range) => Math.abs(range.drop))); // less than 1 in all stays pale
  const word = (range) => points.slice(range.start, range.end).join("");

  const pieces = [];
  let at = 0;
  for (const range of ranges) {
    pieces.push(points.slice(at, range.start).join(""));
    const share = Math.abs(range.drop) / most;
    const node = el("span", { title: `${word(range)}: ${signed(range.drop, 2)}` }, word(range));
    if (share >= FAINT) node.className = range.drop < 0 ? "against" : "for";
    if (share >= 3 * FAINT) node.dataset.drop = signed(range.drop); // CSS writes it under the word
    node.style.setProperty("--share", share.toFixed(3));
    node.style.setProperty("--short", Math.max(0, 3 - (range.end - range.start)));
    pieces.push(node);
    at = range.end;
  }
  pieces.push(points.slice(at).join(""));
  $("#reading").replaceChildren(...pieces);
  $("#words-title em").textContent = label;

  const strongest = (sign) => ranges.filter((range) => range.drop * sign >= FAINT * most)
    .toSorted((a, b) => sign * (b.drop - a.drop)).slice(0, 3).flatMap((range, i) => [
      i ? ", " : "", el("bdi", { className: sign > 0 ? "for" : "against" }, word(range)), ` ${signed(range.drop)}`]);
  const [carriers, opponents] = [strongest(1), strongest(-1)];
  $("#says").replaceChildren(
    ...(carriers.length ? ["Carried by ", ...carriers, ". "] : ["No single word carries it. "]),
    ...(opponents.length ? ["Against it: ", ...opponents, "."] : []));
  $("#words tbody").replaceChildren(...ranges.map((range) =>
    el("tr", {}, el("td", {}, el("bdi", {}, word(range))), el("td", {}, signed(range.drop, 2)))));
  $("#words details").hidden = false;
  $("#words").hidden = false;
}

/** The emotions are known, what carries them is not. */
export function showNoWords(text, refusal) {
  $("#words-title em").textContent = "them";
  $("#reading").textContent = text;
  $("#says").textContent = `They cannot be told for this text. ${refusal.said}`.trim();
  $("#words details").hidden = true;
  $("#words").hidden = false;
}
