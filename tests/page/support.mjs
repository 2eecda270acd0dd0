// What the flows share: waiting for a state instead of a time, and reading the page as a person would.

import { readFile } from "node:fs/promises";

/** Retries `check` until it stops throwing; the last error is the one that is told. */
export async function eventually(check, milliseconds = 8000) {
  const end = Date.now() + milliseconds;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  }
}

/** Labels over their thresholds, as shown, with their scores. */
export const overBars = (page) => page.locator("#over li").evaluateAll((rows) => rows.map((row) =>
  ({ label: row.querySelector(".name").textContent, score: row.querySelector(".score").textContent })));

/** Types a text as a whole and waits for its words. */
export async function read(page, text) {
  await page.fill("#text", text);
  await page.waitForFunction((wanted) => document.querySelector("#reading").textContent === wanted
    && !document.querySelector("#words").hidden && document.querySelector("#words").getAttribute("aria-busy") === "false", text);
}

/** Tinted words: [text, "for" | "against", number]. */
export const tints = (page) => page.locator("#reading :is(.for, .against)").evaluateAll((nodes) =>
  nodes.map((node) => [node.textContent, node.className, Number(node.title.split(": ").at(-1).replace("−", "-"))]));

/** Cells of the table's rows, in the order shown. */
export const tableRows = (page) => page.locator("#table tbody tr").evaluateAll((rows) =>
  rows.map((row) => [...row.children].map((cell) => cell.textContent)));

export async function readLines(page, lines) {
  await page.check('input[name="mode"][value="lines"]', { force: true });
  await page.locator("#text").evaluate((text, value) => { // filling in a thousand lines takes Chromium's editor seconds
    text.value = value;
    text.dispatchEvent(new Event("input", { bubbles: true }));
  }, lines.join("\n"));
  await page.waitForFunction(() => document.querySelector("#lines").getAttribute("aria-busy") === "false"
    && document.querySelectorAll("#table tbody tr").length > 0);
}

/** Presses a button that saves a file and gives its bytes as text. */
export async function saved(page, button) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
  return { name: download.suggestedFilename(), content: await readFile(await download.path(), "utf8") };
}

/** RFC 4180, strictly: what does not fit throws. */
export function parseCsv(content) {
  const rows = [[]];
  let at = content.startsWith("\uFEFF") ? 1 : 0;
  const field = /("((?:[^"]|"")*)"|[^",\r\n]*)(,|\r\n)/y;
  while (at < content.length) {
    field.lastIndex = at;
    const match = field.exec(content);
    if (!match) throw new Error(`no CSV at ${JSON.stringify(content.slice(at, at + 40))}`);
    rows.at(-1).push(match[2] === undefined ? match[1] : match[2].replaceAll('""', '"'));
    at = field.lastIndex;
    if (match[3] === "\r\n" && at < content.length) rows.push([]);
  }
  return rows;
}

/** The API's own answer, to compare the page with. */
export async function answer(url, body) {
  const response = await fetch(`${url}/v1/emotions`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  return (await response.json()).results;
}

export const percent = (score) => (score > 0 && score < 0.005 ? "<1%" : `${Math.round(score * 100)}%`);
