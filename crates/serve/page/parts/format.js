// Texts and numbers, without the document.

export const percent = (score) => (score > 0 && score < 0.005 ? "<1%" : `${Math.round(score * 100)}%`);
export function signed(drop, digits = 1) {
  const size = Math.abs(drop).toFixed(digits);
  return `${Number(size) === 0 ? "" : drop < 0 ? "−" : "+"}${size}`; // what rounds to nothing has no sign
}
export const count = (n, thing) => `${n.toLocaleString("en")} ${thing}${n === 1 ? "" : "s"}`;
export const isOver = (entry) => entry.holds ?? entry.score >= entry.threshold;
export const listOf = (names) => new Intl.ListFormat("en-GB").format(names);

/** Half a surrogate pair is no text: JSON readers refuse it. U+FFFD is one code point too. */
export const wellFormed = (text) => text.replace(/\p{Surrogate}/gu, "\uFFFD");

/** The lines that hold something, with their numbers. */
export const linesOf = (text) => text.split("\n").map((line, i) => ({ row: i + 1, text: line })).filter((line) => line.text.trim());
