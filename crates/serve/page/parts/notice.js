// The one place where trouble is told, and where a key is asked for.

import { $, input, write } from "./dom.js";
import { count } from "./format.js";
import { askNow, notBefore, server, useKey } from "./server.js";

const box = $("#notice");
const [alert, form, wait] = box.children;
let timer;

export function show(refusal) {
  box.hidden = false;
  write(alert.children[0], refusal.title);
  write(alert.children[1], refusal.advice);
  form.hidden = refusal.status !== 401;
  const tick = () => {
    const left = Math.ceil((notBefore - Date.now()) / 1000);
    wait.hidden = left <= 0 || refusal.patience(0) === undefined || refusal.status === 401;
    if (wait.hidden) clearInterval(timer);
    else wait.children[0].textContent = `Trying again in ${count(left, "second")}.`;
  };
  clearInterval(timer);
  timer = setInterval(tick, 250);
  tick();
}

export function hide() {
  clearInterval(timer);
  box.hidden = true;
}

server.addEventListener("refused", ({ detail }) => show(detail));
server.addEventListener("answered", hide);

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const typed = $("#key").value.replace(/[^!-~]/g, ""); // without what copying added, and no header can carry
  $("#key").value = "";
  useKey(typed);
  input.focus();
});
wait.querySelector("button").addEventListener("click", askNow);
