// Taking results away: files, and a link that holds the text.

import { shown } from "./bars.js";
import { $, chosen, el, input, speak } from "./dom.js";
import { isOver, wellFormed } from "./format.js";
import { open } from "./reading.js";
import { answerOf, labelsOf, rows } from "./rows.js";
import { info } from "./server.js";

/** Rows as `tinymood predict` writes them. */
function resultRows() {
  const plain = (entries) => entries.map(({ label, score }) => ({ label, score }));
  if (chosen("mode") === "lines") {
    return rows.filter(answerOf).map((line) => {
      const { error } = answerOf(line);
      return { row: line.row, text: line.text, labels: plain(labelsOf(line)), ...(error && { error }) };
    });
  }
  return shown ? [{ row: 1, text: shown.text, labels: plain(shown.scores.filter(isOver)), scores: shown.scores, explanation: shown.explanation }] : [];
}

/** A field of CSV. Spreadsheets run what begins like a formula, so an apostrophe goes before it. */
function csvField(value) {
  const safe = typeof value === "string" && /^[=+\-@\t\r\n]/.test(value) ? `'${value}` : String(value);
  return /["\n\r,;\t]|^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function csv() {
  const lines = resultRows().map(({ row, text, labels, error = "" }) =>
    [row, text, labels.map((e) => e.label).join(","), labels.map((e) => e.score).join(","), error]);
  // The mark at the beginning tells spreadsheets that this is UTF-8.
  return `\uFEFF${[["row", "text", "labels", "scores", "error"], ...lines].map((line) => line.map(csvField).join(",")).join("\r\n")}\r\n`;
}

function download(name, type, content) {
  const link = el("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function took(text) {
  $("#took").textContent = text;
  speak(text);
}

$("#csv").addEventListener("click", () => {
  download("emotions.csv", "text/csv", csv());
  took("CSV saved. Cells that a spreadsheet would run as a formula begin with an apostrophe; JSON has them as they are.");
});
$("#json").addEventListener("click", () => {
  const body = { model: info?.model_id, taxonomy: chosen("taxonomy"), results: resultRows() };
  download("emotions.json", "application/json", `${JSON.stringify(body, null, 2)}\n`);
  took("JSON saved.");
});
$("#share").addEventListener("click", async () => {
  const parts = new URLSearchParams({ mode: chosen("mode"), taxonomy: chosen("taxonomy"), text: wellFormed(input.value) });
  const link = `${location.origin}${location.pathname}#${parts}`;
  if (link.length > 30_000) return took("This is too long for a link. CSV and JSON have no such limit.");
  window.history.replaceState(null, "", link);
  const copied = await navigator.clipboard?.writeText(link).then(() => true, () => false);
  took(`${copied ? "Link copied." : "The link is in the address bar."} It holds the text after a #, which browsers never send to a server.`);
});

/** Opens what a link holds. Returns whether it held a text. */
export function openLink() {
  const parts = new URLSearchParams(location.hash.slice(1));
  if (!parts.has("text")) return false;
  open(Object.fromEntries(parts));
  return true;
}
