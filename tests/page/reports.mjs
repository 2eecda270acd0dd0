// Reports, opened as files: `tinymood report` promises pages that need no network, for light, dark, phone and paper.

import { join } from "node:path";
import { check } from "./access.mjs";

const PAPER = 688; // px of CSS: A4's width without the margins of 14 mm
const settings = {
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  phone: { viewport: { width: 390, height: 844 } },
  "phone, dark": { viewport: { width: 390, height: 844 }, colorScheme: "dark" },
  paper: { viewport: { width: PAPER, height: 1000 }, media: "print" },
  "paper, dark": { viewport: { width: PAPER, height: 1000 }, colorScheme: "dark", media: "print" },
  "high contrast": { contrast: "more", forcedColors: "active" },
};

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
    },
  },
]));
