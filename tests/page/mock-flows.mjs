// Flows that need a server which misbehaves on demand, or a clock that stands still.

import assert from "node:assert/strict";
import { eventually, overBars, parseCsv, read, readLines, saved, tableRows, tints } from "./support.mjs";

const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
/** A promise and what fulfils it. */
function held() {
  const hold = {};
  hold.promise = new Promise((resolve) => { hold.release = resolve; });
  return hold;
}
const refusing = (status, error, headers, extra) => () => ({ status, headers, json: { error, error_type: "x", request_id: "r", ...extra } });

/** A page whose timers only run when told to. */
async function openStill(open) {
  const page = await open();
  await page.waitForFunction(() => document.querySelector("#model").textContent !== "");
  await page.clock.install();
  await page.clock.pauseAt(Date.now() + 1000);
  return page;
}

export const flows = {
  "the numbers of a known text": async ({ open }) => {
    const page = await open();
    await read(page, "Thank you so much, not love");
    assert.deepEqual(await overBars(page), [{ label: "gratitude", score: "97%" }]);
    assert.deepEqual(await tints(page), [["Thank", "for", 7], ["much", "for", 0.5]]);
    await page.click("#others summary");
    await page.click('[data-label="love"] label');
    assert.deepEqual(await tints(page), [["not", "against", -4], ["love", "for", 6]]);
    assert.equal(await page.textContent("#says"), "Carried by love +6.0. Against it: not −4.0.");
    const under = await page.locator("#reading [data-drop]").evaluateAll((nodes) => nodes.map((node) => node.dataset.drop));
    assert.deepEqual(under, ["−4.0", "+6.0"]);
    const styles = await page.locator("#reading :is(.for, .against)").evaluateAll((nodes) => nodes.map((n) => getComputedStyle(n).textDecorationStyle));
    assert.deepEqual(styles, ["dotted", "solid"], "for and against differ not by colour alone");
    assert.match(await page.locator('[data-label="gratitude"]').innerText(), /gratitude/);
    assert.match(await page.locator('[data-label="gratitude"] label').textContent(), /97%, over its threshold of 47%$/);
    assert.match(await page.locator('[data-label="anger"] label').textContent(), /2%, below its threshold of 27%$/);
  },

  "no label over its threshold is an answer": async ({ open }) => {
    const page = await open();
    await read(page, "Why not?");
    await page.fill("#text", "spiders walk");
    await eventually(async () => assert.equal(await page.textContent("#verdict"),
      "No label reaches its threshold. Nearest: admiration, 2% of the 27% it needs."));
    assert.equal(await page.locator("#over li").count(), 0);
  },

  "a high score below its threshold does not come before a lower one over it": async ({ open, mock }) => {
    mock.faults.respond = () => ({ status: 200, json: { model: "m", taxonomy: "original", results: [{
      labels: [], tokens: 4, truncated: false,
      scores: [{ label: "neutral", score: 0.4, threshold: 0.5 }, { label: "grief", score: 0.1, threshold: 0.02 }],
      explanation: { labels: { neutral: [1], grief: [2] }, words: [{ start: 0, end: 3, text: "sad" }] },
    }] } });
    const page = await open();
    await read(page, "sad");
    assert.equal(await page.textContent("#verdict"), "grief");
    assert.equal(await page.textContent("#words-title em"), "grief");
    assert.equal(await page.isChecked('[value="grief"]'), true, "so that Tab finds the group");
  },

  "words as a model counts them: parts of one character are joined, nonsense offsets left out": async ({ open, mock }) => {
    const page = await open();
    const text = "a👍🏽b";
    mock.faults.respond = () => ({ status: 200, json: { model: "m", taxonomy: "original", results: [{
      labels: [], tokens: 4, truncated: true, scores: [{ label: "joy", score: 0.9, threshold: 0.5 }],
      explanation: { labels: { joy: [1, 2, -3, 4] }, words: [
        { start: 0, end: 1, text: "a" }, { start: 1, end: 2, text: "👍" }, { start: 2, end: 3, text: "🏽" }, { start: 3, end: 99, text: "b" }] },
    }] } });
    await read(page, text);
    assert.deepEqual(await tints(page), [["a", "for", 1], ["👍🏽", "against", -3]]);
    assert.match(await page.textContent("#count"), /only its beginning was read/);
  },

  "a share that rounds to nothing has no sign": async ({ open, mock }) => {
    mock.faults.respond = () => ({ status: 200, json: { model: "m", taxonomy: "original", results: [{
      labels: [], tokens: 4, truncated: false, scores: [{ label: "joy", score: 0.9, threshold: 0.5 }],
      explanation: { labels: { joy: [-0.004, 0, 2, -0.006] }, words: [0, 2, 4, 6].map((start) => ({ start, end: start + 1, text: "x" })) },
    }] } });
    const page = await open();
    await read(page, "a b c d");
    assert.deepEqual(await page.locator("#words tbody td:last-child").allTextContents(), ["0.00", "0.00", "+2.00", "−0.01"]);
  },

  "words that cannot be told cost the emotions nothing": async ({ open, mock }) => {
    const page = await open();
    const error = "the request needs 930 tokens to be computed, the limit is 300 (--max-queue-tokens)";
    const refuse = refusing(422, error, {}, { error_type: "validation", limit: "max_queue_tokens" });
    mock.faults.respond = (body) => (body.explain ? refuse() : undefined);
    await page.fill("#text", "thank you");
    await eventually(async () => assert.match(await page.textContent("#says"), /cannot be told.*930 tokens.*--max-queue-tokens/));
    assert.deepEqual(await overBars(page), [{ label: "gratitude", score: "95%" }]);
    assert.equal(await page.textContent("#verdict"), "gratitude");
    assert.equal(await page.textContent("#reading"), "thank you", "print shows the text there");
    assert.deepEqual([await page.isVisible("#notice"), await page.isVisible("#words details"), await page.isVisible("#take")], [false, false, true]);
    await page.hover('[data-label="gratitude"] label');
    assert.match(await page.textContent("#says"), /cannot be told/);
    await eventually(async () => assert.equal(await page.textContent("#status"), "gratitude 95%"));
    mock.faults.respond = undefined;
    await read(page, "thank you so much");
    assert.match(await page.textContent("#says"), /^Carried by/);
    assert.equal(await page.isVisible("#words details"), true);
  },

  "a word of any length wraps": async ({ open, mock }) => {
    const word = "a".repeat(400);
    mock.faults.respond = () => ({ status: 200, json: { model: "m", taxonomy: "original", results: [{
      labels: [], tokens: 4, truncated: false, scores: [{ label: "joy", score: 0.9, threshold: 0.5 }],
      explanation: { labels: { joy: [4] }, words: [{ start: 0, end: 400, text: word }] },
    }] } });
    for (const width of [360, 768, 1400]) {
      const page = await open({ viewport: { width, height: 800 } });
      await read(page, word);
      const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
      assert.ok(inner <= outer, `${inner} px wide in a window of ${outer}`);
    }
  },

  "a label stands on one line, its check mark beside it": async ({ open, mock }) => {
    const scores = ["disappointment", "embarrassment", "gratitude"].map((label) => ({ label, score: 0.9, threshold: 0.5 }));
    mock.faults.respond = () => ({ status: 200, json: { model: "m", taxonomy: "original", results: [{
      labels: scores, tokens: 4, truncated: false, scores,
      explanation: { labels: { disappointment: [1], embarrassment: [1], gratitude: [1] }, words: [{ start: 0, end: 2, text: "oh" }] },
    }] } });
    for (const width of [320, 360, 768, 900, 1400]) {
      const page = await open({ viewport: { width, height: 800 } });
      await read(page, "oh");
      const heights = await page.locator("#over .name").evaluateAll((names) => names.map((name) => name.getBoundingClientRect().height));
      assert.deepEqual(heights, Array(3).fill(heights[2]), `at ${width} px`);
      const tracks = await page.locator("#over .track").evaluateAll((nodes) => nodes.map((node) => node.getBoundingClientRect().width));
      assert.ok(Math.min(...tracks) > 80, `bars of ${tracks} px at ${width} px`);
    }
    // One that no column holds breaks, and stays right of its mark.
    scores[0].label = "unpronounceable".repeat(4);
    mock.faults.extraLabels = [];
    const page = await open({ viewport: { width: 360, height: 800 } });
    await read(page, "oh");
    const lefts = await page.locator("#over .name").first().evaluate((name) => {
      const range = document.createRange();
      range.selectNodeContents(name);
      return [...range.getClientRects()].map((rect) => rect.left);
    });
    assert.ok(lefts.length > 1);
    assert.equal(new Set(lefts).size, 1, `lines begin at ${lefts}`);
  },

  "typing asks once it pauses, explaining once it rests": async ({ open, mock }) => {
    const page = await openStill(open);
    await page.keyboard.type("thank you");
    await page.clock.runFor(149);
    assert.equal(mock.requests.length, 0, "still typing");
    await page.clock.runFor(2);
    await eventually(async () => assert.equal((await overBars(page)).length, 1));
    assert.deepEqual(mock.requests.map((body) => Boolean(body.explain)), [false]);
    await page.clock.runFor(440);
    assert.equal(mock.requests.length, 1, "not at rest yet");
    await page.clock.runFor(20);
    await eventually(() => assert.deepEqual(mock.requests.map((body) => Boolean(body.explain)), [false, true]));
    await eventually(async () => assert.equal(await page.isVisible("#reading"), true));
    assert.equal(await page.textContent("#status"), "", "nothing is spoken before the text has settled");
    await page.clock.runFor(1300);
    await eventually(async () => assert.equal(await page.textContent("#status"), "gratitude 95%"));
  },

  "an answer that comes late is not shown": async ({ open, mock }) => {
    const page = await open();
    const late = held();
    mock.faults.hold = (body) => body.texts[0] === "I hate it" && late.promise;
    await page.fill("#text", "I hate it");
    await eventually(() => assert.equal(mock.requests.length, 1));
    await read(page, "thank you");
    late.release();
    await wait(300); // for it to do what harm it could
    assert.deepEqual(await overBars(page), [{ label: "gratitude", score: "95%" }]);
    assert.equal(await page.textContent("#reading"), "thank you");
  },

  "emptying the text forgets the answer that is under way": async ({ open, mock }) => {
    const page = await open();
    const late = held();
    mock.faults.hold = () => late.promise;
    await page.fill("#text", "thank you");
    await eventually(() => assert.equal(mock.requests.length, 1));
    await page.fill("#text", "");
    late.release();
    await wait(300);
    assert.equal(await page.isVisible("#bars"), false);
  },

  "a quick answer does not flicker: bars stay, and lose their colour late": async ({ open }) => {
    const page = await open();
    await read(page, "thank you");
    await page.evaluate(() => {
      window.seen = [];
      window.bar = document.querySelector('#over [data-label="gratitude"]');
      const watch = () => {
        const { ariaBusy } = document.querySelector("#emotions");
        const { transitionDelay } = getComputedStyle(document.querySelector("#emotions"));
        const bar = document.querySelector('#over [data-label="gratitude"]');
        window.seen.push(`busy ${ariaBusy}: after ${transitionDelay}, ${bar === window.bar ? "the same bar" : "another bar"}`);
        requestAnimationFrame(watch);
      };
      watch();
    });
    await page.keyboard.press("End");
    await page.keyboard.type("! Thanks so much", { delay: 20 });
    await page.waitForFunction(() => document.querySelector("#reading").textContent.endsWith("much"));
    const seen = await page.evaluate(() => [...new Set(window.seen)].sort());
    assert.deepEqual(seen, ["busy false: after 0s, the same bar", "busy true: after 0.5s, the same bar"]);
  },

  "lines go in chunks of max_texts, each text once, and a bad line costs no other its answer": async ({ open, mock }) => {
    mock.faults.info = { max_texts: 4, max_characters: 40 };
    const page = await open();
    const lines = [...Array.from({ length: 9 }, (_, i) => `thank you ${i}`), "x".repeat(41), "thank you 3"];
    await readLines(page, lines);
    assert.ok(mock.requests.every((body) => body.texts.length <= 4));
    const rows = await tableRows(page);
    assert.equal(rows.length, 11);
    rows.forEach((row, i) => assert.match(row[2], i === 9 ? /Not read: This text is too long. The server reads texts of up to 40 characters/ : /gratitude 95%/));
    const answered = mock.requests.length;
    await page.focus("#text");
    await page.keyboard.press("Control+End");
    await page.keyboard.type("\nwow");
    await eventually(async () => assert.equal((await tableRows(page)).length, 12));
    await eventually(() => assert.deepEqual(mock.requests.slice(answered).map((body) => body.texts), [["wow"]], "known lines are not asked again"));
    const [, ...csv] = parseCsv((await saved(page, "#csv")).content);
    assert.match(csv[9][4], /up to 40 characters/);
  },

  "a thousand lines": async ({ open, mock }) => {
    const page = await open();
    await readLines(page, Array.from({ length: 1000 }, (_, i) => `thank you ${i}`));
    assert.deepEqual(mock.requests.map((body) => body.texts.length), [256, 256, 256, 232]);
    assert.equal((await tableRows(page)).length, 200);
    await page.click("#more");
    assert.equal((await tableRows(page)).length, 400);
    assert.equal(await page.isVisible("#progress"), false);
    assert.equal(parseCsv((await saved(page, "#csv")).content).length, 1001);
  },

  "several lines pasted: reading each on its own is offered": async ({ open }) => {
    const page = await open();
    await page.fill("#text", "thank you\nI hate it\nwow");
    assert.match(await page.textContent("#many"), /3 lines/);
    await page.click("#many button");
    await eventually(async () => assert.equal((await tableRows(page)).length, 3));
    assert.equal(await page.isVisible("#many"), false);
  },

  "CSV keeps what CSV may break, and runs in no spreadsheet": async ({ open }) => {
    const page = await open();
    const lines = ['a "quoted", text', "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "plain", ";", " padded "];
    await readLines(page, lines);
    const { content } = await saved(page, "#csv");
    assert.deepEqual(parseCsv(content).slice(1).map((row) => row[1]), lines.map((line) => (/^[=+\-@\t]/.test(line) ? `'${line}` : line)));
    assert.ok(content.startsWith("\uFEFFrow,text,"), "spreadsheets see UTF-8");
    assert.match(await page.textContent("#took"), /apostrophe/);
  },

  "one text taken away": async ({ open }) => {
    const page = await open();
    await read(page, "thank you,\n\"friend\"");
    assert.deepEqual(parseCsv((await saved(page, "#csv")).content)[1].slice(0, 3), ["1", "thank you,\n\"friend\"", "gratitude"]);
    const [row] = JSON.parse((await saved(page, "#json")).content).results;
    assert.equal(row.scores.length, 28);
    assert.equal(row.explanation.words.length, 6);
  },

  "history: one entry for a text that grows, found again, cleared, switched off": async ({ open }) => {
    const page = await open();
    const kept = () => page.locator("#history li .what").allTextContents();
    await read(page, "thank you");
    await eventually(async () => assert.deepEqual(await kept(), ["thank you"]));
    await page.focus("#text");
    await page.keyboard.press("End");
    await page.keyboard.type(" so much");
    await eventually(async () => assert.deepEqual(await kept(), ["thank you so much"]));
    await page.click("#clear");
    await page.fill("#text", "I hate it");
    await eventually(async () => assert.deepEqual(await kept(), ["I hate it", "thank you so much"]));
    await page.reload();
    assert.deepEqual(await kept(), ["I hate it", "thank you so much"]);
    // What is put over a text is another one; what is put into it is not.
    await read(page, "wow");
    await eventually(async () => assert.deepEqual(await kept(), ["wow", "I hate it", "thank you so much"]));
    for (const [text, left] of [["spiders walk", ["wow"]], ["spiders, they walk", ["wow"]], ["walk", ["spiders, they walk", "wow"]]]) {
      await read(page, text);
      await eventually(async () => assert.deepEqual(await kept(), [text, ...left, "I hate it", "thank you so much"]));
    }
    await page.click("#history summary");
    await page.click("#history li:last-child button");
    assert.equal(await page.inputValue("#text"), "thank you so much");
    await page.click("#forget");
    assert.deepEqual(await kept(), []);
    await page.uncheck("#keep");
    await page.reload();
    assert.equal(await page.isChecked("#keep"), false);
    await read(page, "wow");
    await eventually(async () => assert.equal(await page.textContent("#status"), "surprise 88%"));
    assert.deepEqual(await kept(), []);
    assert.deepEqual(await page.evaluate(() => Object.keys(localStorage)), ["tinymood.history.off"]);
  },

  "without storage the page works and says so": {
    settings: { init: () => {
      for (const name of ["localStorage", "sessionStorage"])
        Object.defineProperty(window, name, { get() { throw new DOMException("denied", "SecurityError"); } });
    } },
    run: async ({ open, mock }) => {
      const page = await open();
      mock.faults.key = "secret";
      await page.fill("#text", "thank you");
      await page.fill("#key", "secret");
      await page.keyboard.press("Enter");
      await eventually(async () => assert.equal((await overBars(page)).length, 1));
      assert.match(await page.textContent("#storage"), /keeps nothing/);
      assert.equal(await page.isDisabled("#keep"), true);
    },
  },

  "storage that holds nonsense": {
    settings: { init: () => { localStorage.setItem("tinymood.history", '[1, null, {"text": 5}, {"text": "<img src=x onerror=pwned=1>", "says": ["<b>"]}]'); } },
    run: async ({ open }) => {
      const page = await open();
      assert.deepEqual(await page.locator("#history li .what").allTextContents(), ["<img src=x onerror=pwned=1>"]);
      await read(page, "thank you");
      assert.equal(await page.evaluate(() => window.pwned), undefined);
    },
  },

  "taxonomies that a model lacks are not offered": async ({ open, mock }) => {
    mock.faults.info = { taxonomies: ["original", "sentiment"] };
    const page = await open({ at: "/#text=thank+you&taxonomy=ekman" });
    await eventually(async () => assert.equal(await page.isVisible('label:has([value="ekman"])'), false));
    assert.equal(await page.isVisible('label:has([value="sentiment"])'), true);
    assert.equal(await page.isChecked('[value="original"]'), true);
    await eventually(async () => assert.deepEqual(await overBars(page), [{ label: "gratitude", score: "95%" }]));
    mock.faults.info = { taxonomies: ["original"] };
    await page.reload();
    await eventually(async () => assert.equal(await page.isVisible("#taxonomies"), false));
  },

  "labels and errors are never markup": async ({ open, mock }) => {
    const evil = `<img src=x onerror="window.pwned=1">`;
    mock.faults.extraLabels = [evil];
    mock.faults.info = { model_id: evil };
    const page = await open();
    await read(page, "thank you");
    await page.click("#others summary");
    await page.locator("#below li").filter({ hasText: evil }).locator("label").click();
    assert.equal(await page.textContent("#words-title em"), evil);
    assert.ok((await page.textContent("#model")).includes(evil));
    mock.faults.respond = refusing(422, evil);
    await page.fill("#text", "other");
    await eventually(async () => assert.ok((await page.textContent("#notice")).includes(evil)));
    assert.equal(await page.evaluate(() => window.pwned), undefined);
    assert.equal(await page.locator("img").count(), 0);
  },

  "401: asks for the key, keeps it in the tab, says when it is wrong": async ({ open, mock }) => {
    mock.faults.key = "secret";
    const page = await open();
    await page.waitForSelector("#key:visible");
    assert.match(await page.textContent("#notice [role=alert]"), /asks for an API key/);
    await page.fill("#text", "thank you");
    await page.fill("#text", "");
    assert.equal(await page.isVisible("#key"), true, "an empty text does not take the question away");
    await page.fill("#text", "thank you");
    assert.equal(mock.requests.length, 0, "no text leaves before there is a key");
    await page.fill("#key", "wrong");
    await page.click("#notice form button");
    await eventually(async () => assert.match(await page.textContent("#notice [role=alert]"), /not accepted/));
    await page.fill("#key", " secret\u200B ");
    await page.keyboard.press("Enter");
    await eventually(async () => assert.equal((await overBars(page)).length, 1));
    assert.equal(await page.isVisible("#notice"), false);
    assert.equal(await page.evaluate(() => sessionStorage.getItem("tinymood.key")), "secret");
    assert.ok(!(await page.evaluate(() => JSON.stringify(localStorage))).includes("secret"));
    await page.reload();
    await read(page, "thank you");
  },

  "429: waits as long as the server asks, then goes on by itself": async ({ open, mock }) => {
    const page = await openStill(open);
    mock.faults.respond = refusing(429, "queue full", { "retry-after": "7" });
    await page.keyboard.type("thank you");
    await page.clock.runFor(200);
    await eventually(async () => assert.equal(await page.isVisible("#notice"), true));
    mock.faults.respond = undefined;
    assert.match(await page.textContent("#notice [role=alert]"), /busy/);
    assert.match(await page.textContent("#notice .wait"), /Trying again in 7 seconds/);
    await page.keyboard.type("!");
    await page.clock.runFor(6000);
    assert.equal(mock.requests.length, 1, "typing on does not break the promise to wait");
    assert.match(await page.textContent("#notice .wait"), /Trying again in 1 second\./);
    await page.clock.runFor(1100);
    await eventually(async () => assert.equal((await overBars(page)).length, 1));
    assert.equal(mock.requests.at(-1).texts[0], "thank you!");
    assert.equal(await page.isVisible("#notice"), false);
  },

  "413 and 422: says what to do, asks no more, and shows no old answer": async ({ open, mock }) => {
    const page = await open();
    await read(page, "thank you");
    for (const [status, words] of [[413, /too much at once.*shorter.*2 MiB/is], [422, /cannot read this.*longer than 2 MiB/is], [400, /could not answer \(400\)/]]) {
      mock.faults.respond = refusing(status, "longer than 2 MiB");
      const before = mock.requests.length;
      await page.fill("#text", `thank you ${status}`);
      await eventually(async () => assert.match(await page.textContent("#notice"), words));
      assert.equal(await page.isVisible("#bars"), false);
      assert.equal(await page.isVisible("#notice .wait"), false);
      assert.equal(mock.requests.length, before + 1);
    }
    mock.faults.respond = undefined;
    await read(page, "thank you again");
    assert.equal(await page.isVisible("#notice"), false);
  },

  "an answer that takes too long is not a server that starts or stops": async ({ open, mock }) => {
    const page = await open();
    mock.faults.respond = refusing(503, "the answer took longer than 0.05 s (--request-timeout)", { "retry-after": "30" }, { error_type: "timeout" });
    await page.fill("#text", "thank you");
    await eventually(async () => assert.match(await page.textContent("#notice [role=alert]"), /takes too long.*--request-timeout/));
    mock.faults.respond = refusing(503, "the server is shutting down", { "retry-after": "30" }, { error_type: "unhealthy" });
    await page.click("#notice .wait button");
    await eventually(async () => assert.match(await page.textContent("#notice [role=alert]"), /starting or stopping/));
  },

  "a server that is gone: the text stays, and the page goes on when it is back": async ({ open }) => {
    const page = await open();
    await read(page, "thank you");
    await page.route("**/v1/emotions", (route) => route.abort());
    await page.fill("#text", "wow");
    await eventually(async () => assert.match(await page.textContent("#notice"), /does not answer/));
    assert.equal(await page.inputValue("#text"), "wow");
    assert.equal(await page.getAttribute("#emotions", "aria-busy"), "true", "what is shown is marked as old");
    await page.unroute("**/v1/emotions");
    await page.click("#notice .wait button").catch(() => {}); // it may have come back by itself
    await eventually(async () => assert.deepEqual(await overBars(page), [{ label: "surprise", score: "88%" }]));
    assert.equal(await page.isVisible("#notice"), false);
  },

  "an answer that is no JSON counts as none": async ({ open }) => {
    const page = await open();
    await page.route("**/v1/emotions", (route) => route.fulfill({ status: 200, body: "<html>" }));
    await page.fill("#text", "wow");
    await eventually(async () => assert.match(await page.textContent("#notice"), /does not answer/));
    await page.unroute("**/v1/emotions");
    await eventually(async () => assert.equal((await overBars(page)).length, 1));
  },

  "half a surrogate pair is sent as a whole character": async ({ open, mock }) => {
    const page = await open();
    await page.evaluate(() => {
      const text = document.querySelector("#text");
      text.value = "thank \uD83D you";
      text.dispatchEvent(new Event("input"));
    });
    await eventually(async () => assert.equal((await overBars(page)).length, 1));
    assert.equal(mock.requests[0].texts[0], "thank \uFFFD you");
  },

  "under a prefix, behind a proxy": async ({ open, mock }) => {
    mock.faults.prefix = "/some/where";
    const page = await open({ at: "/some/where/" });
    await read(page, "thank you");
    await eventually(async () => assert.equal(await page.textContent("#model"), "Model mock, tinymood 0.1.0."));
    assert.ok(mock.urls.every((path) => path.startsWith("/some/where/")), mock.urls.join(" "));
  },

  "print shows text and bars, not the controls": async ({ open }) => {
    const page = await open();
    await read(page, "thank you");
    await page.emulateMedia({ media: "print" });
    for (const part of ["#take", "#history", ".choices"]) assert.equal(await page.isVisible(part), false, part);
    for (const part of ["#over", "#reading"]) assert.equal(await page.isVisible(part), true, part);
  },
};
