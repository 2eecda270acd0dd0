// What the server, or the lack of one, said instead of an answer: how long to wait, and what to tell.

import { count } from "./format.js";

export class Refusal extends Error {
  /** `status` 0: nothing answered. `withKey`: whether there is a key; `maxCharacters`: the server's limit, if known. */
  constructor(status, body, { retryAfter, withKey, maxCharacters } = {}) {
    super(body?.error ?? "");
    this.status = status;
    this.type = body?.error_type;
    this.limit = body?.limit;
    Object.assign(this, { retryAfter, withKey, maxCharacters });
  }

  /** Milliseconds until it is worth asking again; undefined where asking again cannot help. */
  patience(attempt) {
    if (this.status === 401) return Infinity;
    if (![0, 408, 429, 502, 503, 504].includes(this.status)) return undefined;
    return 1000 * (this.retryAfter ?? Math.min(15, 2 ** attempt));
  }

  get title() {
    if (this.limit === "max_characters") return "This text is too long.";
    if (this.status === 503 && this.type === "timeout") return "The answer takes too long.";
    const titles = {
      0: "The server does not answer.",
      401: this.withKey ? "That key was not accepted." : "This server asks for an API key.",
      408: "The text took too long to arrive.",
      413: "This is too much at once.",
      422: "The server cannot read this.",
      429: "The server is busy.",
      503: "The server is starting or stopping.",
    };
    return titles[this.status] ?? `The server could not answer (${this.status}).`;
  }

  /** The server's own words. */
  get said() {
    return this.message && `It said: ${this.message}`;
  }

  get advice() {
    if (this.limit === "max_characters" && this.maxCharacters)
      return `The server reads texts of up to ${count(this.maxCharacters, "character")}.`;
    if (this.status === 0) return "It may have been stopped, or the connection is lost. Your text is still here.";
    if (this.status === 401) return "Whoever runs the server has one.";
    if (this.status === 413) return `A shorter text will do. ${this.said}`;
    if (this.status === 429) return "Your text waits its turn.";
    return this.said;
  }
}
