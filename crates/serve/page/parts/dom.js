// The document: what every part of the page reads in it, writes into it, and makes for it.

import { count, linesOf } from "./format.js";

export const $ = (selector) => document.querySelector(selector);
export const input = $("#text");
export const chosen = (name) => $(`input[name="${name}"]:checked`)?.value;
export const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** An element with properties, data-free, and children (nodes or strings). */
export function el(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

/** Sets a text only where it differs: a live region is read out again whenever it is written. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Says a sentence to screen readers, once. */
export const speak = (text) => write($("#status"), text);

/** What is on show is of an older text. CSS waits before it dims anything, so that quick answers do not flicker. */
export function setBusy(busy, ...ids) {
  for (const id of ids.length ? ids : ["#emotions", "#words", "#lines"]) $(id).setAttribute("aria-busy", String(busy));
}

/** How long the text is, and how much of it was read. */
export function showCount(result) {
  const text = input.value;
  const parts = text ? [count([...text].length, "character")] : [];
  if (chosen("mode") === "lines") parts.push(count(linesOf(text).length, "line"));
  else if (result) parts.push(count(result.tokens, "token"));
  if (result?.truncated) parts.push("too long: only its beginning was read");
  $("#count").textContent = parts.join(" · ");
}
