/** The real clock and the real random numbers: the defaults, and the only file of this package that touches them. */
import { randomBytes } from "node:crypto";
import type { Clock, Random, Runtime } from "./protocol/runtime.js";

const systemClock: Clock = {
  wallMs: () => performance.timeOrigin + performance.now(),
  monotonicMs: () => performance.now(),
  setTimer(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

const systemRandom: Random = {
  number: () => Math.random(),
  bytes: (count) => randomBytes(count),
};

export const systemRuntime: Runtime = { clock: systemClock, random: systemRandom };
