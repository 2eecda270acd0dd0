// Many lines: each a text of its own, asked about in chunks.

import { $, chosen, input } from "./dom.js";
import { count, wellFormed } from "./format.js";
import { showNothing } from "./one.js";
import { Refusal } from "./refusal.js";
import { answerOf, remember, rows, setRows, tally } from "./rows.js";
import { emotions, serverInfo } from "./server.js";
import { rewind, showRows } from "./table.js";

const CHUNK_CHARACTERS = 200_000; // a body of bytes is limited too

/** Fills the table with the lines of the text. Returns what to say and to keep of them. */
export async function readLines(signal) {
  const taxonomy = chosen("taxonomy");
  setRows(wellFormed(input.value), taxonomy);
  rewind();
  if (!rows.length) return showNothing();
  const { max_texts = 32 } = await serverInfo(signal);
  const missing = [...new Set(rows.filter((line) => !answerOf(line)).map((line) => line.text))];
  showRows();
  for (let done = 0; done < missing.length; ) {
    showProgress(done, missing.length);
    let size = 0;
    let characters = 0;
    do characters += missing[done + size++].length;
    while (size < max_texts && done + size < missing.length && characters + missing[done + size].length < CHUNK_CHARACTERS);
    await readChunk(missing.slice(done, (done += size)), taxonomy, signal);
    showRows();
  }
  showProgress();
  const most = tally().slice(0, 3);
  const spoken = `${count(rows.length, "line")} read. ${most.map(([label, n]) => `${label} ${n}`).join(", ")}`;
  return { spoken, entry: { text: input.value, mode: "lines", taxonomy, says: most.map(([label]) => label) } };
}

/** Asks about `texts`. A chunk that is refused is halved, so that one bad line costs no other its answer. */
async function readChunk(texts, taxonomy, signal) {
  try {
    const { results } = await emotions({ texts, taxonomy, at_least_one: true }, signal);
    texts.forEach((text, i) => remember(taxonomy, text, results[i]));
  } catch (refusal) {
    if (!(refusal instanceof Refusal) || (refusal.status !== 413 && !(refusal.status === 422 && refusal.limit))) throw refusal;
    if (texts.length === 1) return void remember(taxonomy, texts[0], { error: `${refusal.title} ${refusal.advice}` });
    const middle = texts.length >> 1;
    await readChunk(texts.slice(0, middle), taxonomy, signal);
    await readChunk(texts.slice(middle), taxonomy, signal);
  }
}

export function showProgress(done, all) {
  const running = done !== undefined && all > 0;
  $("#progress").hidden = !running;
  if (!running) return;
  Object.assign($("#progress progress"), { max: all, value: done });
  $("#progress span").textContent = `${done.toLocaleString("en")} of ${count(all, "line")}`;
}
