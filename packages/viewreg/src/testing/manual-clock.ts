import type { Clock } from "../clock.js";

/** A clock that stands still until it is told to go on. */
export interface ManualClock extends Clock {
  /**
   * Lets so much time pass: calls what is due, each at its time, in order, and lets promises go on after each.
   * What only waits for other promises goes on; what waits for real I/O does not.
   */
  advance(ms: number): Promise<void>;
  /**
   * Lets so much time pass in which nothing can run, as when the process is stopped: timers go off late, all at once.
   * @param options `read` is what the process reads before its timers go off, as an answer that came meanwhile. Default: nothing.
   */
  stall(ms: number, options?: { readonly read?: () => void }): Promise<void>;
  /** How many timers are set. */
  readonly timers: number;
}

/** How many steps a chain of promises may take between two timers. */
const steps = 20;

export function manualClock(startMs = 0): ManualClock {
  let nowMs = startMs;
  let serial = 0;
  const timers = new Map<number, { readonly dueMs: number; readonly callback: () => void }>();

  const settle = async (): Promise<void> => {
    for (let step = 0; step < steps; step++) await Promise.resolve();
  };

  const fireUntil = async (endMs: number): Promise<void> => {
    for (;;) {
      let first: number | undefined;
      for (const [id, { dueMs }] of timers)
        if (dueMs <= endMs && (first === undefined || dueMs < timers.get(first)!.dueMs)) first = id;
      if (first === undefined) return;
      const timer = timers.get(first)!;
      timers.delete(first);
      nowMs = Math.max(nowMs, timer.dueMs);
      timer.callback();
      await settle();
    }
  };

  return {
    monotonicMs: () => nowMs,
    setTimer(delayMs, callback) {
      const id = serial++;
      timers.set(id, { dueMs: nowMs + Math.max(0, delayMs), callback });
      return () => void timers.delete(id);
    },
    async advance(ms) {
      const endMs = nowMs + ms;
      await settle();
      await fireUntil(endMs);
      nowMs = endMs;
    },
    async stall(ms, { read } = {}) {
      await settle();
      nowMs += ms;
      read?.();
      await settle();
      await fireUntil(nowMs);
    },
    get timers() {
      return timers.size;
    },
  };
}
