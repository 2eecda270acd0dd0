// The page of `tinymood serve`: a text on one side, its emotions on the other.
//
// Plain DOM, no framework, no network but this server. All that comes from a text or from the server
// reaches the document through `textContent`, so that nothing in it is ever markup. Parts, in order:
// helpers, asking the server, one text, many lines, taking results away, history, start.

// Helpers ---------------------------------------------------------------------------------------------

const $ = (selector) => document.querySelector(selector);
const input = $("#text");

/** An element with properties, data-free, and children (nodes or strings). */
function el(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

const chosen = (name) => $(`input[name="${name}"]:checked`)?.value;
const percent = (score) => (score > 0 && score < 0.005 ? "<1%" : `${Math.round(score * 100)}%`);
const signed = (drop, digits = 1) => `${drop < 0 ? "−" : "+"}${Math.abs(drop).toFixed(digits)}`;
const count = (n, thing) => `${n.toLocaleString("en")} ${thing}${n === 1 ? "" : "s"}`;
const isOver = (entry) => entry.score >= entry.threshold;
const listOf = (names) => new Intl.ListFormat("en-GB").format(names);
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** Sets a text only where it differs: a live region is read out again whenever it is written. */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Half a surrogate pair is no text: JSON readers refuse it. U+FFFD is one code point too. */
const wellFormed = (text) => text.replace(/\p{Surrogate}/gu, "\uFFFD");

/** Resolves after `milliseconds`, or when `early` is dispatched on `gate`; rejects when aborted. */
const gate = new EventTarget();
function pause(milliseconds, signal, early) {
  return new Promise((resolve, reject) => {
    const end = (settle) => () => {
      clearTimeout(timer);
      gate.removeEventListener(early, done);
      signal.removeEventListener("abort", stop);
      settle(signal.reason);
    };
    const done = end(resolve);
    const stop = end(reject);
    const timer = milliseconds === Infinity ? undefined : setTimeout(done, milliseconds);
    if (early) gate.addEventListener(early, done);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop);
  });
}

/** localStorage and sessionStorage may be switched off, full, or forbidden: then nothing is kept. */
const stored = (kind) => ({
  get: (key) => { try { return window[kind].getItem(key); } catch { return null; } },
  set: (key, value) => { try { window[kind].setItem(key, value); return true; } catch { return false; } },
  remove: (key) => { try { window[kind].removeItem(key); } catch { /* nothing was kept */ } },
});
const device = stored("localStorage");
const tab = stored("sessionStorage");

// Asking the server -----------------------------------------------------------------------------------

const KEY = "tinymood.key";
let key = tab.get(KEY);
let locked = false; // a key is needed and not yet given: asking again would only be refused again
let notBefore = 0; // the server said Retry-After: no question leaves before this time

/** What the server, or the lack of one, said instead of an answer. `status` 0: nothing answered. */
class Refusal extends Error {
  constructor(status, body, retryAfter) {
    super(body?.error ?? "");
    this.status = status;
    this.limit = body?.limit;
    this.retryAfter = retryAfter;
  }

  /** Milliseconds until it is worth asking again; undefined where asking again cannot help. */
  patience(attempt) {
    if (this.status === 401) return Infinity;
    if (![0, 408, 429, 502, 503, 504].includes(this.status)) return undefined;
    return 1000 * (this.retryAfter ?? Math.min(15, 2 ** attempt));
  }

  get title() {
    if (this.limit === "max_characters") return "This text is too long.";
    const titles = {
      0: "The server does not answer.",
      401: key ? "That key was not accepted." : "This server asks for an API key.",
      408: "The text took too long to arrive.",
      413: "This is too much at once.",
      422: "The server cannot read this.",
      429: "The server is busy.",
      503: "The server is starting or stopping.",
    };
    return titles[this.status] ?? `The server could not answer (${this.status}).`;
  }

  get advice() {
    if (this.limit === "max_characters" && info?.max_characters)
      return `The server reads texts of up to ${count(info.max_characters, "character")}.`;
    if (this.status === 0) return "It may have been stopped, or the connection is lost. Your text is still here.";
    if (this.status === 401) return "Whoever runs the server has one.";
    if (this.status === 413) return `A shorter text will do. It said: ${this.message}`;
    if (this.status === 429) return "Your text waits its turn.";
    return this.message && `It said: ${this.message}`;
  }
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
  throw new Refusal(response.status, answer, Number.isFinite(seconds) ? Math.min(Math.max(seconds, 1), 600) : undefined);
}

/** Asks until there is an answer, a refusal that waiting cannot mend, or `signal` aborts. */
async function ask(path, body, signal) {
  for (let attempt = 0; ; attempt += 1) {
    if (locked) await pause(Infinity, signal, "key");
    if (notBefore > Date.now()) await pause(notBefore - Date.now(), signal, "now");
    try {
      const answer = await askOnce(path, body, signal);
      notice.hide();
      return answer;
    } catch (refusal) {
      const wait = refusal instanceof Refusal ? refusal.patience(attempt) : undefined;
      if (wait === undefined) throw refusal;
      locked = refusal.status === 401;
      if (!locked) notBefore = Date.now() + wait;
      notice.show(refusal);
    }
  }
}

const emotions = (body, signal) => ask("v1/emotions", body, signal);

/** The one place where trouble is told. */
const notice = {
  box: $("#notice"),
  timer: undefined,

  show(refusal) {
    const [alert, form, wait] = this.box.children;
    this.box.hidden = false;
    write(alert.children[0], refusal.title);
    write(alert.children[1], refusal.advice);
    form.hidden = refusal.status !== 401;
    const tick = () => {
      const left = Math.ceil((notBefore - Date.now()) / 1000);
      wait.hidden = left <= 0 || refusal.patience(0) === undefined || refusal.status === 401;
      if (wait.hidden) clearInterval(this.timer);
      else wait.children[0].textContent = `Trying again in ${count(left, "second")}.`;
    };
    clearInterval(this.timer);
    this.timer = setInterval(tick, 250);
    tick();
  },

  hide() {
    clearInterval(this.timer);
    this.box.hidden = true;
  },
};

$("#notice form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = $("#key").value.replace(/[^!-~]/g, ""); // what copying added, and no header can carry
  $("#key").value = "";
  tab.set(KEY, key);
  locked = false;
  gate.dispatchEvent(new Event("key"));
  input.focus();
});
$("#notice .wait button").addEventListener("click", () => {
  notBefore = 0;
  gate.dispatchEvent(new Event("now"));
});

let info;
/** /info, asked for once. A server that has none still answers texts. */
async function serverInfo(signal) {
  try {
    info ??= await ask("info", undefined, signal);
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    info = {};
  }
  return info;
}

// One text --------------------------------------------------------------------------------------------

const TYPING_PAUSE = 150; // ms without a key before a text is read
const REST = 450; // and before the words behind it are asked for, which costs up to 30 passes
const SETTLED = 1200; // and before it is spoken and kept

let shown; // {text, taxonomy, scores, explanation?}: what the bars and words are of
let pinned; // the label that was chosen
const bars = new Map(); // label -> parts of its row

async function readOne(signal) {
  const text = wellFormed(input.value);
  if (!text.trim()) return showNothing();
  const body = { texts: [text], taxonomy: chosen("taxonomy"), all_scores: true };
  const answer = await emotions(body, signal);
  showEmotions({ text, taxonomy: body.taxonomy, ...answer.results[0] });
  setBusy(false, "#emotions");
  await pause(REST, signal);
  const explained = await emotions({ ...body, explain: true }, signal);
  showEmotions({ text, taxonomy: body.taxonomy, ...explained.results[0] });
  setBusy(false);
  await pause(SETTLED, signal);
  const over = shown.scores.filter(isOver);
  speak(over.length ? listOf(over.map((entry) => `${entry.label} ${percent(entry.score)}`)) : $("#verdict").textContent);
  past.keep({ text, mode: "one", taxonomy: body.taxonomy, says: over.map((entry) => entry.label) });
}

function showNothing(verdict = "They show up here while you type.") {
  shown = undefined;
  for (const id of ["#bars", "#words", "#take"]) $(id).hidden = true;
  $("#verdict").textContent = verdict;
  $("#about").hidden = Boolean(input.value.trim());
  $("#verdict").classList.remove("said");
}

function showEmotions(result) {
  shown = result;
  const over = result.scores.filter(isOver);
  const below = result.scores.filter((entry) => !isOver(entry));
  const verdict = $("#verdict");
  $("#about").hidden = true;
  verdict.classList.add("said");
  verdict.replaceChildren(...(over.length
    ? [listOf(over.map((entry) => entry.label))]
    : ["No label reaches its threshold. ", el("small", {}, `Nearest: ${nearest(below)}.`)]));
  $("#others span").textContent = over.length ? `${below.length} more, below their thresholds` : `${below.length}, below their thresholds`;
  $("#others").hidden = below.length === 0;
  $("#bars").hidden = false;
  $("#take").hidden = false;
  arrange(over, below);
  choose();
  showCount(result);
}

function nearest(below) {
  const [best] = below.toSorted((a, b) => b.score / b.threshold - a.score / a.threshold);
  return best ? `${best.label}, ${percent(best.score)} of the ${percent(best.threshold)} it needs` : "none";
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

function fillBar({ row, score, note }, entry) {
  row.classList.toggle("over", isOver(entry));
  row.title = `${entry.label}: ${entry.score.toFixed(4)}, threshold ${entry.threshold.toFixed(4)}`;
  row.style.setProperty("--score", entry.score);
  row.style.setProperty("--threshold", entry.threshold);
  score.textContent = percent(entry.score);
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
  if (shown.explanation) showWords(label);
}

const barList = $("#bars");
barList.addEventListener("change", (event) => { pinned = event.target.value; choose(); });
barList.addEventListener("pointerover", (event) => {
  if (event.pointerType !== "touch") choose(event.target.closest("li")?.dataset.label);
});
barList.addEventListener("pointerleave", () => choose());
$("#others").addEventListener("toggle", () => choose());

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

function showWords(label) {
  const { text, explanation } = shown;
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
  $("#words").hidden = false;
}

function showCount(result) {
  const text = input.value;
  const parts = text ? [count([...text].length, "character")] : [];
  if (chosen("mode") === "lines") parts.push(count(linesOf(text).length, "line"));
  else if (result) parts.push(count(result.tokens, "token"));
  if (result?.truncated) parts.push("too long: only its beginning was read");
  $("#count").textContent = parts.join(" · ");
}

// Many lines ------------------------------------------------------------------------------------------

const PAGE_OF_ROWS = 200;
const CHUNK_CHARACTERS = 200_000; // a body of bytes is limited too
const MOST_ANSWERS = 50_000;
const answers = new Map(); // taxonomy and text -> {labels} or {error}: a line is asked about once
let rows = []; // {row, text, taxonomy}
let order = { by: "row", sign: 1 };
let only; // show only lines with this label
let limit = PAGE_OF_ROWS;

const linesOf = (text) => text.split("\n").map((line, i) => ({ row: i + 1, text: line })).filter((line) => line.text.trim());
const answerOf = ({ taxonomy, text }) => answers.get(`${taxonomy}\n${text}`);
const labelsOf = (line) => (answerOf(line)?.labels ?? []).filter(isOver);

async function readLines(signal) {
  const taxonomy = chosen("taxonomy");
  rows = linesOf(wellFormed(input.value)).map((line) => ({ ...line, taxonomy }));
  limit = PAGE_OF_ROWS;
  if (answers.size > MOST_ANSWERS) answers.clear();
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
  setBusy(false);
  await pause(SETTLED, signal);
  speak(`${count(rows.length, "line")} read. ${tally().slice(0, 3).map(([label, n]) => `${label} ${n}`).join(", ")}`);
  past.keep({ text: input.value, mode: "lines", taxonomy, says: tally().slice(0, 3).map(([label]) => label) });
}

/** Asks about `texts`. A chunk that is refused is halved, so that one bad line costs no other its answer. */
async function readChunk(texts, taxonomy, signal) {
  try {
    const { results } = await emotions({ texts, taxonomy, at_least_one: true }, signal);
    texts.forEach((text, i) => answers.set(`${taxonomy}\n${text}`, results[i]));
  } catch (refusal) {
    if (!(refusal instanceof Refusal) || (refusal.status !== 413 && !(refusal.status === 422 && refusal.limit))) throw refusal;
    if (texts.length === 1) return void answers.set(`${taxonomy}\n${texts[0]}`, { error: `${refusal.title} ${refusal.advice}` });
    const middle = texts.length >> 1;
    await readChunk(texts.slice(0, middle), taxonomy, signal);
    await readChunk(texts.slice(middle), taxonomy, signal);
  }
}

function showProgress(done, all) {
  const running = done !== undefined && all > 0;
  $("#progress").hidden = !running;
  if (!running) return;
  Object.assign($("#progress progress"), { max: all, value: done });
  $("#progress span").textContent = `${done.toLocaleString("en")} of ${count(all, "line")}`;
}

/** How many lines hold each label, most first; lines without any under "none". */
function tally() {
  const counts = new Map();
  for (const line of rows) {
    if (!answerOf(line)?.labels) continue;
    const labels = labelsOf(line).map((entry) => entry.label);
    for (const label of labels.length ? labels : ["none"]) counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]);
}

const sortKeys = {
  row: (line) => line.row,
  text: (line) => line.text,
  label: (line) => labelsOf(line)[0]?.label ?? "\uFFFF",
  score: (line) => answerOf(line)?.labels?.[0]?.score ?? -1,
};
const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b));

function showRows() {
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

// Taking results away ---------------------------------------------------------------------------------

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
function openLink() {
  const parts = new URLSearchParams(location.hash.slice(1));
  if (!parts.has("text")) return false;
  open(Object.fromEntries(parts));
  return true;
}

/** Puts a text into the page, with its mode and taxonomy where they are known ones. */
function open({ text, mode, taxonomy }) {
  for (const [name, value] of [["mode", mode], ["taxonomy", taxonomy]])
    for (const radio of document.getElementsByName(name)) if (radio.value === value && !radio.disabled) radio.checked = true;
  input.value = text;
  past.turnPage();
  changed(0);
}

// History, on this device only ------------------------------------------------------------------------

const past = {
  KEY: "tinymood.history",
  OFF: "tinymood.history.off",
  MOST: 30,
  LONGEST: 20_000,
  on: device.get("tinymood.history.off") === null,
  works: device.set("tinymood.probe", "1"),
  page: {}, // the text being written; its entry is replaced as it grows

  read() {
    try {
      const entries = JSON.parse(device.get(this.KEY) ?? "[]");
      return entries.filter((entry) => typeof entry?.text === "string" && Array.isArray(entry.says));
    } catch {
      return [];
    }
  },

  write(entries) {
    while (!device.set(this.KEY, JSON.stringify(entries)) && entries.length) entries.pop();
    this.show();
  },

  keep(entry) {
    if (!this.on || !this.works || entry.text.length > this.LONGEST) return;
    const others = this.read().filter((other) => other.text !== entry.text && other.text !== this.page.text);
    this.page = { text: entry.text };
    this.write([entry, ...others].slice(0, this.MOST));
  },

  /** What is written from now on is a text of its own. */
  turnPage() {
    this.page = {};
  },

  clear() {
    device.remove(this.KEY);
    this.turnPage();
    this.show();
  },

  show() {
    const entries = this.on && this.works ? this.read() : [];
    $("#history summary span").textContent = entries.length ? String(entries.length) : "";
    $("#history ol").replaceChildren(...entries.map((entry) => {
      const more = entry.mode === "lines" ? `${count(linesOf(entry.text).length, "line")}: ` : "";
      const button = el("button", { type: "button" }, el("span", { className: "what", dir: "auto" }, more + entry.text.slice(0, 200)),
        el("span", { className: "quiet" }, entry.says.join(", ") || "none"));
      button.addEventListener("click", () => { open(entry); input.focus(); });
      return el("li", {}, button);
    }));
    $("#storage").textContent = !this.works ? "This browser keeps nothing for this page, so there is no history."
      : !this.on ? "Off. Nothing is kept."
      : entries.length ? "Kept in this browser only; no server has it." : "Texts that you pause on are listed here, in this browser only.";
    $("#keep").checked = this.on && this.works;
    $("#keep").disabled = !this.works;
    $("#forget").hidden = entries.length === 0;
  },
};
device.remove("tinymood.probe");

$("#forget").addEventListener("click", () => { past.clear(); $("#keep").focus(); });
$("#keep").addEventListener("change", ({ target }) => {
  past.on = target.checked;
  if (target.checked) device.remove(past.OFF);
  else device.set(past.OFF, "1");
  past.clear();
});

// Start -----------------------------------------------------------------------------------------------

let turn = new AbortController();

/** Something that the answer depends on has changed: what is under way is stale. */
async function changed(wait = TYPING_PAUSE) {
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
    await (mode === "lines" ? readLines(signal) : readOne(signal));
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Refusal)) throw error;
    notice.show(error);
    showNothing("There is no answer for this text.");
  }
  if (!signal.aborted) setBusy(false);
}

/** What is on show is of an older text. CSS waits before it dims anything, so that quick answers do not flicker. */
function setBusy(busy, ...ids) {
  for (const id of ids.length ? ids : ["#emotions", "#words", "#lines"]) $(id).setAttribute("aria-busy", String(busy));
}

/** Says a sentence to screen readers, once. */
const speak = (text) => write($("#status"), text);

const EXAMPLES = [
  "Thank you so much, you made my whole week!",
  "I can’t believe they cancelled it again. Unreal.",
  "Not what I hoped for, but I love the idea",
  "Why would anyone be scared of spiders?",
  "I’m so sorry for your loss 💔",
];
const LINES = [...EXAMPLES, "wow, that’s wonderful news ❤️", "The table is by the window.", "I hate waiting"].join("\n");

for (const text of EXAMPLES) {
  const button = el("button", { type: "button" }, text);
  button.addEventListener("click", () => { open({ text, mode: "one" }); input.focus(); });
  $("#examples ul").append(el("li", {}, button));
}
const several = el("button", { type: "button" }, "Several lines at once");
several.addEventListener("click", () => { open({ text: LINES, mode: "lines" }); input.focus(); });
$("#examples ul").append(el("li", {}, several));

input.addEventListener("input", () => {
  // The address holds what was shared; it must not outlive the text.
  if (location.hash) window.history.replaceState(null, "", location.pathname + location.search);
  changed();
});
for (const radio of document.querySelectorAll('input[name="mode"], input[name="taxonomy"]')) {
  radio.addEventListener("change", () => {
    if (radio.name === "taxonomy") pinned = only = undefined;
    changed(0);
  });
}
$("#clear").addEventListener("click", () => { open({ text: "" }); input.focus(); });
$("#many button").addEventListener("click", () => { open({ text: input.value, mode: "lines" }); input.focus(); });
window.addEventListener("hashchange", openLink);

past.show();
if (!openLink()) changed(0); // a reload may have kept the text
serverInfo(new AbortController().signal).then((about) => {
  if (about.model_id) $("#model").textContent = `Model ${about.model_id}${about.version ? `, tinymood ${about.version}` : ""}.`;
  const [original, ...coarser] = document.getElementsByName("taxonomy");
  for (const radio of coarser) {
    radio.disabled = about.taxonomies?.includes(radio.value) === false;
    radio.parentElement.hidden = radio.disabled;
  }
  $("#taxonomies").hidden = coarser.every((radio) => radio.disabled);
  if (coarser.some((radio) => radio.disabled && radio.checked)) { // a link asked for it
    original.checked = true;
    changed(0);
  }
});
