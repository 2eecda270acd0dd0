// Accessibility: axe without violations in every state and setting, and nothing that scrolls sideways.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { read, readLines } from "./support.mjs";

const TEXT = "Thank you so much, I love it! Not what I hoped for, but wow, supercalifragilisticexpialidocious-and-longer-still.";

const settings = {
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  phone: { viewport: { width: 375, height: 700 }, hasTouch: true, isMobile: true },
  "narrow and dark": { viewport: { width: 320, height: 640 }, colorScheme: "dark" },
  "high contrast": { contrast: "more", forcedColors: "active" },
};

/** Fails where axe finds something, or where the page is wider than its window. */
export async function check(page, axe, state) {
  await page.evaluate(readFileSync(axe, "utf8")); // a script element would be against the page's own policy
  await page.waitForFunction(() => document.getAnimations().every((animation) => animation.playState === "finished"));
  const { violations, passes } = await page.evaluate(() => window.axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  }));
  assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((node) => `${node.target} ${node.failureSummary}`).join("; ")}`), [], state);
  assert.ok(passes.length > 15, "axe looked at something");
  const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(inner <= outer, `${state}: ${inner} px wide in a window of ${outer}`);
}

export const flows = Object.fromEntries(Object.entries(settings).map(([name, setting]) => [
  `accessible: ${name}`,
  {
    settings: { ...setting, reducedMotion: "reduce" },
    run: async ({ open, axe, mock }) => {
      const page = await open();
      await check(page, axe, "empty");
      await read(page, TEXT);
      for (const summary of ["#others > summary", "#words summary", "#history summary"]) await page.click(summary);
      await check(page, axe, "one text, all unfolded");
      await page.fill("#text", "Spiders walk.");
      await page.waitForFunction(() => document.querySelector("#words").getAttribute("aria-busy") === "false");
      await check(page, axe, "another");
      await readLines(page, [TEXT, "thank you", "I hate it", "תודה רבה", "w".repeat(90)]);
      await page.click("#tally button");
      await check(page, axe, "lines");
      if (!mock) return;
      mock.faults.key = "secret";
      await page.check('input[value="one"]', { force: true });
      await page.waitForSelector("#key:visible");
      await check(page, axe, "asking for a key");
      mock.faults.key = undefined;
      mock.faults.respond = () => ({ status: 429, json: { error: "queue full" }, headers: { "retry-after": "60" } });
      await page.fill("#key", "other");
      await page.keyboard.press("Enter");
      await page.waitForSelector("#notice .wait:visible");
      await check(page, axe, "busy server");
    },
  },
]));
