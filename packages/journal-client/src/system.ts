/** The real clock and real chance: the defaults, and the only file of this package that touches them. */
import { randomBytes } from "node:crypto";
import { performance } from "node:perf_hooks";
import type { Clock, Random } from "./clock.js";

/** The longest delay that Node's timers take; a longer one would fire at once. */
const longestDelayMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer(delayMs, callback) {
    if (delayMs > longestDelayMs) return inSteps(delayMs, callback);
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

/** In steps that a timer takes; Infinity is never. */
function inSteps(delayMs: number, callback: () => void): () => void {
  let cancel = systemClock.setTimer(longestDelayMs, () => {
    cancel = systemClock.setTimer(delayMs - longestDelayMs, callback);
  });
  return () => cancel();
}

export const systemRandom: Random = {
  number: () => Math.random(),
  bytes: (count) => randomBytes(count),
};
