// Flows that hold for any server and any model: what is shown is what the API says.

import assert from "node:assert/strict";
import { answer, eventually, overBars, parseCsv, percent, read, readLines, saved, tableRows, tints } from "./support.mjs";

const TEXT = "Thank you so much, I love it!";
const LINES = ["Thank you so much!", "", "I hate waiting, \"really\"", "  wow, that’s wonderful ❤️", "=SUM(A1:A2)", "Thank you so much!"];
const over = (result) => result.labels.filter((entry) => entry.score >= entry.threshold);
/** The label that a page begins with. */
const first = (result) => (result.scores.find((entry) => entry.score >= entry.threshold) ?? result.scores[0]).label;
const shownAs = (result) => over(result).map((entry) => ({ label: entry.label, score: percent(entry.score) }));

export const flows = {
  "typing shows every label over its threshold, and the others folded": async ({ open, url }) => {
    const page = await open();
    await page.locator("#text").pressSequentially(TEXT, { delay: 5 });
    const [wanted] = await answer(url, { texts: [TEXT], all_scores: true });
    await eventually(async () => assert.deepEqual(await overBars(page), shownAs(wanted)));
    assert.equal(await page.locator("#below li").first().isVisible(), false, "others are folded");
    await page.click("#others summary");
    assert.equal(await page.locator("#over li, #below li").count(), wanted.scores.length);
    assert.equal(await page.locator("#below li").first().isVisible(), true);
    const [highest] = wanted.scores;
    const bar = await page.locator(`[data-label="${highest.label}"]`).evaluate((row) => {
      const [track, fill, mark] = [".track", ".fill", ".mark"].map((part) => row.querySelector(part).getBoundingClientRect());
      return { fill: fill.width / track.width, mark: (mark.left + 1 - track.left) / track.width };
    });
    await eventually(async () => {
      const width = await page.locator(`[data-label="${highest.label}"] .fill`).evaluate((fill) => fill.offsetWidth / fill.parentElement.offsetWidth);
      assert.ok(Math.abs(width - highest.score) < 0.02, `bar of ${width} for ${highest.score}`);
    });
    assert.ok(Math.abs(bar.mark - highest.threshold) < 0.02, `mark at ${bar.mark} for ${highest.threshold}`);
  },

  "words are tinted by their share in the label pointed at, with numbers": async ({ open, url }) => {
    const page = await open();
    await read(page, TEXT);
    const [wanted] = await answer(url, { texts: [TEXT], all_scores: true, explain: true });
    const expected = (label) => {
      const drops = wanted.explanation.labels[label];
      const most = Math.max(1, ...drops.map(Math.abs));
      return wanted.explanation.words.map((word, i) => [word.text, drops[i] < 0 ? "against" : "for", drops[i]])
        .filter(([, , drop]) => Math.abs(drop) / most >= 0.05).map(([word, side, drop]) => [word, side, Number(drop.toFixed(2))]);
    };
    const best = first(wanted);
    const last = wanted.scores.at(-1).label;
    assert.deepEqual(await tints(page), expected(best));
    assert.equal(await page.textContent("#words-title em"), best);
    await page.click("#others summary");
    await page.hover(`[data-label="${last}"] label`);
    assert.equal(await page.textContent("#words-title em"), last);
    assert.deepEqual(await tints(page), expected(last));
    await page.mouse.move(5, 5);
    assert.equal(await page.textContent("#words-title em"), best, "the pointer only lends");
    await page.click(`[data-label="${last}"] label`);
    await page.mouse.move(5, 5);
    assert.equal(await page.textContent("#words-title em"), last, "a click stays");
    await page.click("#words summary");
    assert.equal(await page.locator("#words tbody tr").count(), wanted.explanation.words.length);
  },

  "taxonomies": async ({ open, url }) => {
    const page = await open();
    await read(page, TEXT);
    for (const taxonomy of ["ekman", "sentiment", "original"]) {
      await page.check(`input[value="${taxonomy}"]`, { force: true });
      const [wanted] = await answer(url, { texts: [TEXT], all_scores: true, taxonomy });
      await eventually(async () => assert.deepEqual(await overBars(page), shownAs(wanted)));
      await eventually(async () => assert.equal(await page.textContent("#words-title em"), first(wanted)));
      assert.equal(await page.locator("#over li, #below li").count(), wanted.scores.length);
    }
  },

  "many lines: a row each, sorted, filtered, and taken away as CSV and JSON": async ({ open, url }) => {
    const page = await open();
    await readLines(page, LINES);
    const kept = LINES.map((text, i) => ({ text, row: i + 1 })).filter((line) => line.text.trim());
    const results = await answer(url, { texts: kept.map((line) => line.text) });
    const cells = await tableRows(page);
    assert.deepEqual(cells.map((row) => [Number(row[0]), row[1]]), kept.map((line) => [line.row, line.text]));
    results.forEach((result, i) => {
      for (const { label, score } of result.labels) assert.ok(cells[i][2].includes(`${label} ${percent(score)}`), `${label} in row ${i}`);
      if (!result.labels.length) assert.match(cells[i][2], /none/);
    });

    await page.click('#table button[value="text"]');
    const sorted = (await tableRows(page)).map((row) => row[1]);
    assert.deepEqual(sorted, [...sorted].sort((a, b) => a.localeCompare(b)));
    assert.equal(await page.getAttribute("#table th:nth-child(2)", "aria-sort"), "ascending");
    await page.click('#table button[value="text"]');
    assert.equal(await page.getAttribute("#table th:nth-child(2)", "aria-sort"), "descending");
    await page.click('#table button[value="score"]');
    const scores = (await tableRows(page)).map((row) => Number.parseInt(row[3].replace("<", ""), 10));
    assert.deepEqual(scores, [...scores].sort((a, b) => b - a));

    const { label } = results[0].labels[0];
    await page.click(`#tally button[value="${label}"]`);
    assert.equal((await tableRows(page)).length, results.filter((result) => result.labels.some((e) => e.label === label)).length);
    await page.click(`#tally button[value="${label}"]`);
    assert.equal((await tableRows(page)).length, kept.length);

    const file = await saved(page, "#csv");
    assert.equal(file.name, "emotions.csv");
    const [head, ...body] = parseCsv(file.content);
    assert.deepEqual(head, ["row", "text", "labels", "scores", "error"]);
    assert.deepEqual(body, kept.map((line, i) => [
      String(line.row), line.text.startsWith("=") ? `'${line.text}` : line.text,
      results[i].labels.map((e) => e.label).join(","), results[i].labels.map((e) => e.score).join(","), "",
    ]));
    const json = JSON.parse((await saved(page, "#json")).content);
    assert.deepEqual(json.results, kept.map((line, i) => ({
      row: line.row, text: line.text, labels: results[i].labels.map(({ label, score }) => ({ label, score })),
    })));
  },

  "a link holds text, mode and taxonomy, and never reaches the server": async ({ open, url, mock }) => {
    const page = await open();
    const text = "50% & more? #1 + “quotes”\nשלום 👩‍👩‍👧 thank you";
    await page.check('input[value="ekman"]', { force: true });
    await read(page, text);
    await page.click("#share");
    await eventually(async () => assert.match(await page.textContent("#took"), /^Link copied/));
    const link = await page.evaluate(() => navigator.clipboard.readText());
    assert.ok(link.startsWith(`${url}/#`), link);
    assert.equal(link, page.url());

    const other = await open({ at: `/${new URL(link).hash}` });
    assert.equal(await other.inputValue("#text"), text);
    assert.equal(await other.isChecked('input[value="ekman"]'), true);
    await eventually(async () => assert.deepEqual(await overBars(other), await overBars(page)));
    await other.locator("#text").press("End");
    await other.locator("#text").pressSequentially("!");
    assert.equal(new URL(other.url()).hash, "", "an edited text is no longer the link's");
    await other.evaluate(() => { location.hash = "text=thanks&mode=lines&taxonomy=nonsense"; });
    await eventually(async () => assert.equal(await other.inputValue("#text"), "thanks"));
    assert.equal(await other.isChecked('input[value="lines"]'), true);
    assert.equal(await other.isChecked('input[value="ekman"]'), true, "what a link does not know stays");
    if (mock) assert.ok(mock.urls.every((path) => !/thank|text=/.test(path)), "texts are in bodies only");
  },

  "right to left, emoji and combining marks keep their characters whole": async ({ open }) => {
    const page = await open();
    for (const text of ["תודה רבה! thank you", "thank 👩‍👩‍👧 you ❤️ so 🏳️‍🌈 much 👍🏽", "cafe\u0301 thank Ångström नमस्ते 谢谢", "𝓉𝒽𝒶𝓃𝓀 you\n\n  thank"]) {
      await read(page, text);
      assert.equal(await page.textContent("#reading"), text);
      const cut = await page.locator("#reading").evaluate((reading) => {
        const clusters = (string) => [...new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(string)].length;
        const whole = clusters(reading.textContent);
        return [...reading.childNodes].reduce((sum, node) => sum + clusters(node.textContent), 0) - whole;
      });
      assert.equal(cut, 0, `a character was cut in ${text}`);
    }
    await read(page, "תודה רבה! thank you");
    const place = (selector) => page.locator(selector).evaluate((node) => getComputedStyle(node).direction);
    assert.deepEqual([await place("#text"), await place("#reading")], ["rtl", "rtl"]);
  },

  "texts are never markup": async ({ open }) => {
    const page = await open();
    const evil = `thank <img src=x onerror="window.pwned=1"><script>window.pwned=2</script> "><svg onload=window.pwned=3> &lt;b&gt;`;
    await read(page, evil);
    assert.equal(await page.textContent("#reading"), evil);
    await readLines(page, [evil, `</td></table>${evil}`]);
    assert.equal((await tableRows(page))[0][1], evil);
    const linked = await open({ at: `/#${new URLSearchParams({ text: evil, mode: `"><img src=x>`, taxonomy: evil })}` });
    await eventually(async () => assert.equal(await linked.textContent("#reading"), evil));
    for (const each of [page, linked]) {
      assert.equal(await each.evaluate(() => window.pwned), undefined);
      assert.equal(await each.locator("main img, main svg, main script").count(), 0);
    }
  },

  "the keyboard alone does it all": async ({ open }) => {
    const page = await open();
    const press = (...keys) => keys.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve());
    const focus = () => page.evaluate(() => {
      const node = document.activeElement;
      const visible = node.closest("label, li")?.querySelector(".track, span") ?? node;
      const ring = [node, visible, node.closest(".paper")].some((each) => each && getComputedStyle(each).outlineStyle !== "none");
      return { id: node.id || node.value || node.textContent.trim().slice(0, 40), ring };
    });
    const tabTo = async (id, key = "Tab") => {
      for (let i = 0; i < 20; i += 1) {
        const at = await focus();
        assert.ok(at.ring, `focus is visible on ${at.id}`);
        if (at.id.startsWith(id)) return;
        await press(key);
      }
      assert.fail(`${id} cannot be reached`);
    };
    assert.equal((await focus()).id, "text", "typing needs no click");
    await page.keyboard.type(TEXT);
    await page.waitForFunction(() => !document.querySelector("#words").hidden);
    const [top] = await overBars(page);
    await tabTo(top.label);
    await press("Tab");
    await tabTo("All labels");
    await press("Enter");
    assert.equal(await page.getAttribute("#others", "open"), "");
    await tabTo(top.label, "Shift+Tab");
    const labels = await page.locator("#bars li").evaluateAll((rows) => rows.map((row) => row.dataset.label));
    await press("ArrowDown");
    assert.equal(await page.textContent("#words-title em"), labels[1], "an arrow moves to the next label and tints");
    await press("ArrowUp", "ArrowUp");
    assert.equal(await page.textContent("#words-title em"), labels.at(-1), "and round");
    await tabTo("original", "Shift+Tab");
    await press("ArrowRight");
    assert.equal(await page.isChecked('input[value="ekman"]'), true);
    await press("Shift+Tab", "ArrowRight");
    assert.equal(await page.isChecked('input[value="lines"]'), true);
    await eventually(async () => assert.equal((await tableRows(page)).length, 1));
    await tabTo("score");
    await press("Space");
    assert.equal(await page.getAttribute("#table th:nth-child(4)", "aria-sort"), "descending");
    await tabTo("share");
    await press("Enter");
    await eventually(async () => assert.match(await page.textContent("#took"), /Link/));
    await tabTo("History");
    await press("Enter");
    await tabTo("keep");
  },

  "examples, and clearing": async ({ open }) => {
    const page = await open();
    const example = page.locator("#examples button").first();
    const text = await example.textContent();
    await example.click();
    assert.equal(await page.inputValue("#text"), text);
    await page.waitForFunction(() => !document.querySelector("#words").hidden);
    assert.equal(await page.isVisible("#examples"), false);
    await page.click("#clear");
    assert.equal(await page.inputValue("#text"), "");
    for (const part of ["#words", "#bars", "#take", "#clear"]) assert.equal(await page.isVisible(part), false, part);
    assert.equal(await page.isVisible("#examples"), true);
    await page.click("text=Several lines at once");
    await eventually(async () => assert.ok((await tableRows(page)).length > 5));
  },
};
