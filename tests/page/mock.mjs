// A double of `tinymood serve` for the page's tests: the same wire format, answers out of a small
// lexicon, and faults on demand. Not a model: a label's logit is the sum of its words' weights, so that
// what a test expects can be worked out by hand.
//
//   node tests/page/mock.mjs [PORT]      serves the page at http://127.0.0.1:PORT (default 8600)

import { createServer } from "node:http";
import { readFile, readdir } from "node:fs/promises";
import { extname } from "node:path";

const PAGE = new URL("../../crates/serve/page/", import.meta.url);
const TYPES = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript" };
const FILES = new Set(await readdir(PAGE, { recursive: true }));
// As the server has it: a page that breaks it fails here too.
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const POSITIVE = "admiration amusement approval caring desire excitement gratitude joy love optimism pride relief".split(" ");
const NEGATIVE =
  "anger annoyance disappointment disapproval disgust embarrassment fear grief nervousness remorse sadness".split(" ");
const AMBIGUOUS = "confusion curiosity realization surprise".split(" ");
export const LABELS = [...POSITIVE, ...NEGATIVE, ...AMBIGUOUS].sort().concat("neutral");
const GROUPS = {
  ekman: {
    anger: ["anger", "annoyance", "disapproval"], disgust: ["disgust"], fear: ["fear", "nervousness"], joy: POSITIVE,
    sadness: ["sadness", "disappointment", "embarrassment", "grief", "remorse"], surprise: AMBIGUOUS, neutral: ["neutral"],
  },
  sentiment: { positive: POSITIVE, negative: NEGATIVE, ambiguous: AMBIGUOUS, neutral: ["neutral"] },
};
const LEXICON = {
  thank: { gratitude: 7 }, thanks: { gratitude: 7 }, much: { gratitude: 0.5 }, love: { love: 6, joy: 2.5 }, happy: { joy: 6 },
  wonderful: { admiration: 5, joy: 3 }, proud: { pride: 6, admiration: 4 }, sorry: { remorse: 6, sadness: 3 }, hate: { anger: 6 },
  scared: { fear: 7 }, why: { curiosity: 3.4 }, "?": { curiosity: 1.6 }, wow: { surprise: 6 }, not: { love: -4, joy: -5, disapproval: 3 },
  "❤": { love: 5 }, תודה: { gratitude: 7 }, table: { neutral: 6 }, the: { neutral: 2 },
};
const BIAS = -4;

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const threshold = (label) => 0.27 + 0.05 * (label.length % 5);

/** Words and punctuation with offsets in code points, as the server counts them. */
export function words(text) {
  const found = [];
  for (const { 0: word, index } of text.matchAll(/[\p{L}\p{M}\p{N}]+|[^\s]/gu)) {
    const start = [...text.slice(0, index)].length;
    found.push({ start, end: start + [...word].length, text: word });
  }
  return found;
}

/** What the server answers for one text. */
export function emotions(text, { taxonomy = "original", all_scores, explain, at_least_one, extraLabels = [] }) {
  const found = words(text).slice(0, 126);
  const weight = (word, label) => LEXICON[word.text.toLowerCase()]?.[label] ?? 0;
  const logit = (label) => found.reduce((sum, word) => sum + weight(word, label), BIAS);
  const labels = [...LABELS, ...extraLabels];
  const best = (members) => members.reduce((a, b) => (logit(b) > logit(a) ? b : a));
  const groups = taxonomy === "original" ? labels.map((label) => [label, label])
    : Object.entries(GROUPS[taxonomy]).map(([group, members]) => [group, best(members)]);
  const scores = groups
    .map(([label, member]) => ({ label, member, score: sigmoid(logit(member)), threshold: threshold(member) }))
    .sort((a, b) => b.score - a.score);
  const over = scores.filter((s) => s.score >= s.threshold);
  const plain = (list) => list.map(({ label, score, threshold }) => ({ label, score, threshold }));
  const given = at_least_one && !over.length ? scores.slice(0, 1) : over;
  const result = { labels: plain(given), tokens: found.length + 2, truncated: words(text).length > 126 };
  if (all_scores) result.scores = plain(scores);
  if (explain) {
    const wanted = all_scores ? scores : over;
    result.explanation = {
      words: found,
      labels: Object.fromEntries(wanted.map((s) => [s.label, found.map((word) => weight(word, s.member))])),
    };
  }
  return result;
}

/**
 * Starts a server. The returned `faults` may be set at any time: `hold(body)` gives a promise to wait for,
 * `respond(body, path)` gives `{status, json, headers}` or nothing, `key` makes the API ask for it,
 * `extraLabels` adds labels, `info` overrides fields of /info, `prefix` is what a proxy has put before all
 * paths. `requests` holds the bodies received, `urls` what was asked for.
 */
export async function startMock(port = 0) {
  const faults = {};
  const requests = [];
  const urls = [];
  const info = () => ({
    model_id: "mock", model_sha: "0".repeat(64), model_dtype: "float32", version: "0.1.0", labels: LABELS,
    taxonomies: ["original", "ekman", "sentiment"], max_input_length: 128, max_texts: 256, max_characters: 100_000, ...faults.info,
  });
  const server = createServer(async (request, response) => {
    urls.push(request.url);
    const { prefix = "" } = faults;
    const path = request.url.slice(prefix.length).split("?")[0];
    const send = (status, body, type = "application/json", headers = {}) => {
      response.writeHead(status, { "content-type": `${type}; charset=utf-8`, "content-security-policy": POLICY, ...headers });
      response.end(body);
    };
    const refuse = (status, error, error_type, extra = {}, headers = {}) =>
      send(status, JSON.stringify({ error, error_type, request_id: "m-1", ...extra }), undefined, headers);
    if (!request.url.startsWith(prefix)) return refuse(404, `${request.url} is not under ${prefix}`, "not_found");
    const file = path === "/" ? "index.html" : path.slice(1);
    if (TYPES[extname(file)] && FILES.has(file)) return send(200, await readFile(new URL(file, PAGE)), TYPES[extname(file)]);
    if (path === "/health") return send(200, "{}");
    if (faults.key && request.headers.authorization !== `Bearer ${faults.key}`)
      return refuse(401, "this server asks for an API key: Authorization: Bearer KEY", "unauthorized");
    if (path === "/info") return send(200, JSON.stringify(info()));
    if (path !== "/v1/emotions") return refuse(404, `no ${path} here`, "not_found");

    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString());
    requests.push(body);
    await faults.hold?.(body);
    const fault = faults.respond?.(body);
    if (fault) return send(fault.status, JSON.stringify(fault.json ?? {}), "application/json", fault.headers);

    const texts = [body.texts].flat();
    const { max_texts, max_characters } = info();
    if (texts.length > max_texts)
      return refuse(422, `texts holds ${texts.length} texts, the limit is ${max_texts} (--max-texts)`, "validation", { limit: "max_texts" });
    if (texts.some((text) => [...text].length > max_characters))
      return refuse(422, `a text is longer than ${max_characters} characters`, "validation", { limit: "max_characters" });
    const results = texts.map((text) => emotions(text, { ...body, extraLabels: faults.extraLabels }));
    send(200, JSON.stringify({ model: "mock", taxonomy: body.taxonomy ?? "original", results }));
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  const stop = () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); });
  return { url: `http://127.0.0.1:${server.address().port}`, port: server.address().port, faults, requests, urls, stop };
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const { url } = await startMock(Number(process.argv[2] ?? 8600));
  console.log(`mock of tinymood serve: ${url}`);
}
