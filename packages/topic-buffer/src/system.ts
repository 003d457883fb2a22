/** The real clock and the real random numbers: the default runtime, and the only file of this package that touches them. */
import { randomBytes } from "node:crypto";
import type { Runtime } from "@x/topic-gateway/protocol";

export const systemRuntime: Runtime = {
  clock: {
    wallMs: () => performance.timeOrigin + performance.now(),
    monotonicMs: () => performance.now(),
    setTimer(delayMs, callback) {
      const timer = setTimeout(callback, delayMs);
      timer.unref();
      return () => clearTimeout(timer);
    },
  },
  random: { number: () => Math.random(), bytes: (count) => randomBytes(count) },
};
