import { performance } from "node:perf_hooks";
import type { Clock } from "./clock.js";

// The only module of this package that touches real time and real chance.

/**
 * The process's clock. A timer calls back behind the I/O that is there when it fires: Node runs timers first, and after a stall of the
 * process nobody should be given up whose answer waits in a socket.
 */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  setTimer(delayMs, callback) {
    let immediate: NodeJS.Immediate | undefined;
    const timer = setTimeout(() => {
      immediate = setImmediate(callback);
    }, delayMs);
    return () => {
      clearTimeout(timer);
      clearImmediate(immediate);
    };
  },
};

/** A number from 0 (inclusive) to 1 (exclusive). */
export const systemRandom: () => number = Math.random;
