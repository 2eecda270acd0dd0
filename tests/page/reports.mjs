// Reports, opened as files: `tinymood report` promises pages that need no network, for light, dark, phone and paper.

import assert from "node:assert/strict";
import { join } from "node:path";
import { check } from "./access.mjs";

const PAPER = 688; // px of CSS: A4's width without the margins of 14 mm
const settings = {
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  phone: { viewport: { width: 390, height: 844 } },
  "small phone": { viewport: { width: 280, height: 640 } },
  "phone, dark": { viewport: { width: 390, height: 844 }, colorScheme: "dark" },
  paper: { viewport: { width: PAPER, height: 1000 }, media: "print" },
  "paper, dark": { viewport: { width: PAPER, height: 1000 }, colorScheme: "dark", media: "print" },
  "high contrast": { contrast: "more", forcedColors: "active" },
};

/** Texts of plots that are cut off at a side, and words that are broken in heads of tables. */
const cut = (page) => page.evaluate(() => {
  const found = [];
  for (const plot of document.querySelectorAll("svg.plot")) {
    const frame = plot.getBoundingClientRect();
    for (const text of plot.querySelectorAll("text")) {
      const { left, right } = text.getBoundingClientRect();
      if (left < frame.left - 1 || right > frame.right + 1) found.push(`${text.textContent} in ${plot.ariaLabel}`);
    }
  }
  for (const head of document.querySelectorAll("thead th")) {
    const text = head.firstChild;
    for (const { 0: word, index } of (text?.data ?? "").matchAll(/[\p{L}\p{N}]+/gu)) {
      const range = document.createRange();
      range.setStart(text, index);
      range.setEnd(text, index + word.length);
      if (new Set([...range.getClientRects()].map((rect) => rect.top)).size > 1) found.push(`${word} is broken`);
    }
  }
  return found;
});

/**
 * What paper would part from what it belongs to: headings, captions and keys from what comes next, the first row of a
 * table from its second. Pages of `height` px are stood for by columns, which break by the same rules; `offset` px
 * above all of it move the breaks.
 */
const parted = (page, height, offset) => page.evaluate(([width, height, offset]) => {
  document.querySelector("header").style.paddingTop = `${offset}px`;
  Object.assign(document.body.style, { width: `${width}px`, columnWidth: `${width}px`, columnGap: "0", columnFill: "auto", height: `${height}px` });
  const pageOf = (node) => Math.floor((node.getClientRects()[0].left + 1) / width);
  const parts = [...document.querySelectorAll("main :is(h2, h3, caption, .key, svg.plot, tbody tr)")].filter((node) => node.getClientRects().length);
  const found = [];
  parts.forEach((node, i) => {
    const isRow = node.matches("tbody tr:first-child:not(:only-child)");
    if (!isRow && !node.matches("h2, h3, caption, .key")) return;
    const next = isRow ? node.nextElementSibling : parts.slice(i + 1).find((later) => later.matches("svg.plot, tr"));
    if (next && pageOf(next) !== pageOf(node)) found.push(`${node.textContent.slice(0, 60)} (page ${pageOf(node)}, what follows: ${pageOf(next)})`);
  });
  return found;
}, [PAPER, height, offset]);

/** Flows of one report; with `shots`, a folder, each leaves a picture there. */
export const flowsOf = (name, shots) => Object.fromEntries(Object.entries(settings).map(([setting, { media, ...rest }]) => [
  `${name}, ${setting}`,
  {
    settings: { ...rest, reducedMotion: "reduce" },
    run: async ({ open, axe }) => {
      const page = await open();
      if (media) await page.emulateMedia({ media });
      if (shots) await page.screenshot({ path: join(shots, `${name}-${setting.replaceAll(/\W+/g, "-")}.png`), fullPage: true });
      await page.evaluate(() => { for (const details of document.querySelectorAll("details")) details.open = true; });
      await check(page, axe, setting);
      assert.deepEqual(await cut(page), []);
      if (setting !== "paper") return;
      for (const height of [950, 1017]) // Letter, A4
        for (const offset of [0, 250, 500, 750]) assert.deepEqual(await parted(page, height, offset), [], `${height} px, after ${offset}`);
    },
  },
]));
