// Waiting.

/** Resolves after `milliseconds`, or when the event `early` reaches `gate`; rejects when `signal` is aborted. */
export function pause(milliseconds, signal, gate, early) {
  return new Promise((resolve, reject) => {
    const end = (settle) => () => {
      clearTimeout(timer);
      gate?.removeEventListener(early, done);
      signal.removeEventListener("abort", stop);
      settle(signal.reason);
    };
    const done = end(resolve);
    const stop = end(reject);
    const timer = milliseconds === Infinity ? undefined : setTimeout(done, milliseconds);
    gate?.addEventListener(early, done);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop);
  });
}
