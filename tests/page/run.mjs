// Drives the server's page, and reports, in headless Chromium.
//
//   node tests/page/run.mjs [--only WORD] [--shots FOLDER]
//
// Flows against the mock always run; SERVER_URL=http://127.0.0.1:PORT repeats those that hold for any model
// against a real server, and REPORTS=FILE,FILE,... checks pages that `tinymood report` wrote. CHROMIUM names the
// browser (default /usr/bin/chromium). Packages are taken from target/page-tests, where the first run installs them. Exit status: 0 passed, 1 failed, 3 not possible here.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, copyFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { basename, dirname, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { startMock } from "./mock.mjs";
import { flows as ofMock } from "./mock-flows.mjs";
import { flows as ofAnyServer } from "./flows.mjs";
import { flows as ofAccess } from "./access.mjs";
import { flowsOf as ofReport } from "./reports.mjs";
import { takeShots } from "./shots.mjs";

const { values: options } = parseArgs({ options: { only: { type: "string" }, shots: { type: "string" } } });
const here = new URL("./", import.meta.url);
const modules = new URL("../../target/page-tests/", import.meta.url);
const chromium = process.env.CHROMIUM ?? "/usr/bin/chromium";
const impossible = (why) => { console.log(`skipped: ${why}`); process.exit(3); };

if (!existsSync(chromium)) impossible(`no Chromium at ${chromium}`);
mkdirSync(modules, { recursive: true });
for (const name of ["package.json", "package-lock.json"]) copyFileSync(new URL(name, here), new URL(name, modules));
if (!existsSync(new URL("node_modules/axe-core/axe.min.js", modules))) {
  try {
    execFileSync("npm", ["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: modules, stdio: "inherit" });
  } catch {
    impossible("npm could not install playwright-core and axe-core here");
  }
}
const require = createRequire(new URL("package.json", modules));
const playwright = require("playwright-core");
const axe = fileURLToPath(new URL("node_modules/axe-core/axe.min.js", modules));

const quiet = ["gpu", "quic", "background-networking", "component-update", "sync"].map((name) => `--disable-${name}`);
const browser = await playwright.chromium.launch({ executablePath: chromium, args: ["--no-sandbox", "--no-first-run", ...quiet] });

/** A fresh context and page. What the page itself does wrong (exceptions, CSP, requests of a file) fails every flow. */
async function openPage(url, { init, at = "", ...settings } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, acceptDownloads: true, ...settings });
  context.setDefaultTimeout(8000);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  if (init) await context.addInitScript(init);
  const page = await context.newPage();
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(`exception: ${error.message}`));
  page.on("console", (message) => { if (/Content Security Policy|Refused to/i.test(message.text())) wrong.push(message.text()); });
  if (url.startsWith("file:")) // a file asks for nothing but itself
    page.on("request", (request) => { if (request.url() !== url) wrong.push(`request: ${request.url()}`); });
  await page.goto(url + at);
  return { page, context, wrong };
}

let passed = 0;
const failed = [];
async function runFlow(name, flow, url, mock) {
  if (options.only && !name.includes(options.only)) return;
  const { settings = {}, run } = typeof flow === "function" ? { run: flow } : flow;
  const [opened, begun] = [[], performance.now()];
  const open = async (more = {}) => { opened.push(await openPage(url, { ...settings, ...more })); return opened.at(-1).page; };
  try {
    await run({ open, url, mock, axe });
    const wrong = opened.flatMap((each) => each.wrong);
    if (wrong.length) throw new Error(wrong.join("\n"));
    passed += 1;
    console.log(`ok    ${name} (${((performance.now() - begun) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed.push(name);
    const told = String(error.stack ?? error);
    const short = told.length > 1500 ? `${told.slice(0, 1000)}\n…\n${told.slice(-400)}` : told;
    console.log(`FAIL  ${name}\n${short.replace(/^/gm, "      ")}`);
  } finally {
    for (const { context } of opened) await context.close();
  }
}

for (const [name, flow] of Object.entries({ ...ofAnyServer, ...ofAccess, ...ofMock })) {
  const mock = await startMock(); // one for each flow, so that no fault of one reaches the next
  await runFlow(`mock: ${name}`, flow, mock.url, mock);
  await mock.stop();
}
const real = process.env.SERVER_URL?.replace(/\/$/, "");
if (real) for (const [name, flow] of Object.entries({ ...ofAnyServer, ...ofAccess })) await runFlow(`real: ${name}`, flow, real);

if (options.shots) mkdirSync(options.shots, { recursive: true });
const reports = [];
for (const file of process.env.REPORTS?.split(",").filter(Boolean) ?? []) {
  const name = `report ${basename(dirname(resolve(file)))}-${basename(file, ".html")}`.replaceAll(/\W+/g, "-");
  for (const [flow, checks] of Object.entries(ofReport(name, options.shots))) reports.push([flow, checks, pathToFileURL(file).href]);
}
// They share nothing and only compute: as many at a time as there are cores.
await Promise.all(Array.from({ length: availableParallelism() }, async () => {
  for (let report; (report = reports.shift());) await runFlow(...report);
}));

if (options.shots) {
  const mock = await startMock();
  await takeShots(openPage, real ?? mock.url, options.shots);
  await mock.stop();
}
await browser.close();
console.log(`${passed} passed, ${failed.length} failed${real ? "" : "; no SERVER_URL, so only against the mock"}`);
process.exit(failed.length ? 1 : 0);
