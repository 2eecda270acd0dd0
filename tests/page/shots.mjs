// Pictures of the page, for eyes: `node tests/page/run.mjs --shots FOLDER --only pictures`.

import { join } from "node:path";
import { read, readLines } from "./support.mjs";

const TEXT = "Thank you so much for the cake, I love it! Not what I hoped for, but wow, that’s wonderful.";
const LINES = [
  "Thank you so much, you made my whole week!", "I can’t believe they cancelled it again. Unreal.", "Not what I hoped for, but I love the idea",
  "Why would anyone be scared of spiders?", "I’m so sorry for your loss 💔", "wow, that’s wonderful news ❤️", "The table is by the window.",
  "תודה רבה!", "I hate waiting. It is the third time this month that the train is late and nobody says why, or when the next one leaves.",
];
const one = (page) => read(page, TEXT);
const lines = (page) => readLines(page, LINES);
const phone = { viewport: { width: 375, height: 760 }, deviceScaleFactor: 2 };
const dark = { colorScheme: "dark" };

const shots = {
  empty: [{}, async () => {}],
  wide: [{}, one],
  unfolded: [{}, async (page) => { await one(page); await page.click("#others > summary"); await page.click("#words summary"); }],
  dark: [dark, one],
  phone: [phone, one],
  "phone-dark": [{ ...phone, ...dark }, one],
  narrow: [{ viewport: { width: 320, height: 640 } }, one],
  ekman: [{}, async (page) => { await page.check('input[value="ekman"]', { force: true }); await one(page); }],
  none: [{}, (page) => read(page, "Spiders walk.")],
  lines: [{}, lines],
  "lines-dark": [dark, lines],
  "lines-phone": [phone, lines],
  rtl: [{}, (page) => read(page, "תודה רבה! אני אוהב את זה ❤️ 👩‍👩‍👧 thank you so much")],
  contrast: [{ forcedColors: "active" }, one],
  gone: [{}, async (page) => {
    await one(page);
    await page.route("**/v1/emotions", (route) => route.abort());
    await page.fill("#text", `${TEXT} More`);
    await page.waitForTimeout(900);
  }],
  key: [{}, async (page) => {
    await page.route("**/v1/emotions", (route) => route.fulfill({ status: 401, json: {} }));
    await page.fill("#text", TEXT);
    await page.waitForSelector("#key:visible");
  }],
  history: [{}, async (page) => {
    for (const text of ["I hate waiting, why?", "wow", TEXT]) { await read(page, text); await page.waitForTimeout(1400); await page.click("#clear"); }
    await read(page, "thank you");
    await page.click("#history summary");
    await page.click("#share");
  }],
  print: [{}, async (page) => { await one(page); await page.emulateMedia({ media: "print" }); }],
};

export async function takeShots(open, url, folder) {
  for (const [name, [settings, prepare]] of Object.entries(shots)) {
    const { page, context } = await open(url, { reducedMotion: "reduce", ...settings });
    await prepare(page);
    await page.waitForTimeout(300);
    await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
    await context.close();
  }
}
