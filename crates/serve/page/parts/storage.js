// What the browser keeps: on this device, and for as long as this tab is open.

/** localStorage and sessionStorage may be switched off, full, or forbidden: then nothing is kept. */
const stored = (kind) => ({
  get: (key) => { try { return window[kind].getItem(key); } catch { return null; } },
  set: (key, value) => { try { window[kind].setItem(key, value); return true; } catch { return false; } },
  remove: (key) => { try { window[kind].removeItem(key); } catch { /* nothing was kept */ } },
});
export const device = stored("localStorage");
export const tab = stored("sessionStorage");
