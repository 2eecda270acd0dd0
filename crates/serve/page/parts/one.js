// One text: what it says, while it is typed.

import { hideBars, showBars } from "./bars.js";
import { $, chosen, el, input, setBusy, showCount } from "./dom.js";
import { isEmpty, isOver, listOf, percent, wellFormed } from "./format.js";
import { pause } from "./pause.js";
import { Refusal } from "./refusal.js";
import { emotions } from "./server.js";
import { showNoWords } from "./words.js";

const REST = 450; // ms before the words behind it are asked for, which costs up to 30 passes

/** Shows the emotions of the text, then the words behind them. Returns what to say and to keep of it. */
export async function readOne(signal) {
  const text = wellFormed(input.value);
  if (isEmpty(text)) return showNothing();
  const body = { texts: [text], taxonomy: chosen("taxonomy"), all_scores: true };
  const answer = await emotions(body, signal);
  showEmotions({ text, taxonomy: body.taxonomy, ...answer.results[0] });
  setBusy(false, "#emotions");
  await pause(REST, signal);
  const [result] = (await explained(body, signal) ?? answer).results;
  if (result.explanation) showEmotions({ text, taxonomy: body.taxonomy, ...result });
  const over = result.scores.filter(isOver);
  const spoken = over.length ? listOf(over.map((entry) => `${entry.label} ${percent(entry.score)}`)) : $("#verdict").textContent;
  return { spoken, entry: { text, mode: "one", taxonomy: body.taxonomy, says: over.map((entry) => entry.label) } };
}

/** The answer with words, or nothing: they cost many times what the text does, and may be over a limit that it is not. */
async function explained(body, signal) {
  try {
    return await emotions({ ...body, explain: true }, signal);
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    showNoWords(body.texts[0], refusal);
  }
}

export function showNothing(verdict = "They show up here while you type.") {
  hideBars();
  $("#words").hidden = true;
  $("#take").hidden = true;
  $("#verdict").textContent = verdict;
  $("#about").hidden = Boolean(input.value.trim());
  $("#verdict").classList.remove("said");
}

function showEmotions(result) {
  const over = result.scores.filter(isOver);
  const below = result.scores.filter((entry) => !isOver(entry));
  const verdict = $("#verdict");
  $("#about").hidden = true;
  verdict.classList.add("said");
  verdict.replaceChildren(...(over.length
    ? [listOf(over.map((entry) => entry.label))]
    : ["No label reaches its threshold. ", el("small", {}, `Nearest: ${nearest(below)}.`)]));
  $("#take").hidden = false;
  showBars(result);
  showCount(result);
}

function nearest(below) {
  const [best] = below.toSorted((a, b) => b.score / b.threshold - a.score / a.threshold);
  return best ? `${best.label}, ${percent(best.score)} of the ${percent(best.threshold)} it needs` : "none";
}
