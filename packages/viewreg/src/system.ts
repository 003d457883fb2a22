import { performance } from "node:perf_hooks";
import type { Clock } from "./clock.js";

// The only module of this package that touches real time and real chance.

/** The longest delay that Node's timers take; a longer one would fire at once. */
const longestDelayMs = 2 ** 31 - 1;

/** The process's clock. Its timers never keep the process alive. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  setTimer(delayMs, callback) {
    if (delayMs > longestDelayMs) return inSteps(delayMs, callback);
    const timer = setTimeout(callback, delayMs);
    timer.unref();
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

/** A number from 0 (inclusive) to 1 (exclusive). */
export const systemRandom: () => number = Math.random;
