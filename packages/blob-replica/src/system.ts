/** The real clock, chance and platform: the defaults, and the only file of this package that touches them. */
import { randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { performance } from "node:perf_hooks";
import type { Clock, Random } from "./clock.js";
import { type ProcessIdentity, processIdentity } from "./stores/process-identity.js";

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

/** This process, as seen by others on the machine. */
export function systemProcess(): ProcessIdentity {
  return processIdentity({
    pid: process.pid,
    hostName: hostname(),
    proc(path) {
      try {
        return path.includes("/ns/") ? readlinkSync(path) : readFileSync(path, "utf8");
      } catch {
        return undefined;
      }
    },
    runs(pid) {
      try {
        process.kill(pid, 0);
        return true;
      } catch (error) {
        return !(error instanceof Error && "code" in error && error.code === "ESRCH");
      }
    },
  });
}

/** Whether malloc may be that of glibc. */
export const mayBeGlibc: boolean = process.platform === "linux";

/** Whether O_DSYNC is known to do what `fdatasync` does. */
export const hasDurableWrites: boolean = process.platform === "linux";
