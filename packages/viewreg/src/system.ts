import { performance } from "node:perf_hooks";
import type { Clock } from "./clock.js";

// The only module of this package that touches real time and real chance.

/** The process's clock. Its timers never keep the process alive. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  setTimer(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** A number from 0 (inclusive) to 1 (exclusive). */
export const systemRandom: () => number = Math.random;
