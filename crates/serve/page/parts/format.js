// Texts and numbers, without the document.

export const percent = (score) => (score > 0 && score < 0.005 ? "<1%" : `${Math.round(score * 100)}%`);
export function signed(drop, digits = 1) {
  const size = Math.abs(drop).toFixed(digits);
  return `${Number(size) === 0 ? "" : drop < 0 ? "−" : "+"}${size}`; // what rounds to nothing has no sign
}
export const count = (n, thing) => `${n.toLocaleString("en")} ${thing}${n === 1 ? "" : "s"}`;
export const isOver = (entry) => entry.score >= entry.threshold;
export const listOf = (names) => new Intl.ListFormat("en-GB").format(names);

/** Half a surrogate pair is no text: JSON readers refuse it. U+FFFD is one code point too. */
export const wellFormed = (text) => text.replace(/\p{Surrogate}/gu, "\uFFFD");

/** Whether nothing of a text is seen: the server refuses what `is_empty_text` of the crate tinymood-text says so of. */
export const isEmpty = (text) => /^[\s\p{Cc}\p{Cf}\u034F\u115F\u1160\u17B4\u17B5\u180B-\u180F\u2800\u3164\uFE00-\uFE0F\uFFA0\uFFFD\u{E0100}-\u{E01EF}]*$/u.test(text);

/** The lines that hold something, with their numbers. */
export const linesOf = (text) => text.split("\n").map((line, i) => ({ row: i + 1, text: line })).filter((line) => !isEmpty(wellFormed(line.text)));
