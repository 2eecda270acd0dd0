// The page of `tinymood serve`: a text on one side, its emotions on the other.
//
// Plain DOM, no framework, no network but this server. All that comes from a text or from the server
// reaches the document through `textContent`, so that nothing in it is ever markup. This file puts the
// page's controls to work; each part uses only those beside and below it:
//
//   take                          files and links
//   reading                       from a change of the text to its answer
//   one, lines                    the two ways of reading
//   bars, words, rows, table      what they show
//   history, notice               what is kept, what went wrong
//   server, refusal               asking
//   dom, format, pause, storage   helpers

import { unpin } from "./parts/bars.js";
import { $, el, input } from "./parts/dom.js";
import * as past from "./parts/history.js";
import { changed, open } from "./parts/reading.js";
import { serverInfo } from "./parts/server.js";
import { unfilter } from "./parts/table.js";
import { openLink } from "./parts/take.js";

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
    if (radio.name === "taxonomy") { // whose labels are others
      unpin();
      unfilter();
    }
    changed(0);
  });
}
$("#clear").addEventListener("click", () => { open({ text: "" }); input.focus(); });
$("#many button").addEventListener("click", () => { open({ text: input.value, mode: "lines" }); input.focus(); });
window.addEventListener("hashchange", openLink);

past.start((entry) => { open(entry); input.focus(); });
if (!openLink()) changed(0); // a reload may have kept the text
serverInfo(new AbortController().signal).then((about) => {
  if (about.model_id) $("#model").textContent = `Model ${about.model_id}${about.version ? `, tinymood ${about.version}` : ""}.`;
  if (about.problem_type === "single_label_classification") {
    $("#about").textContent = "Exactly one label holds. Point at one to see which words carry it, and which speak against it.";
  }
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
