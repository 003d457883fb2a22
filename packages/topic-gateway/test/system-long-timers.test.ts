import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { systemRuntime } from "../src/system.js";

/** The longest that Node's own timers take: they fire at once when they are given more, and so do the faked ones. */
const LONGEST_MS = 2 ** 31 - 1;

describe("a timer of the machine's clock", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it.each([LONGEST_MS, LONGEST_MS + 1, 2 * LONGEST_MS, 2 * LONGEST_MS + 7])(
    "calls back once after %d ms and not before",
    (delayMs) => {
      let calls = 0;
      systemRuntime.clock.setTimer(delayMs, () => calls++);
      vi.advanceTimersByTime(delayMs - 1);
      expect(calls).toBe(0);
      vi.advanceTimersByTime(1);
      expect(calls).toBe(1);
      expect(vi.getTimerCount()).toBe(0);
    },
  );

  it("never calls back when it is set to Infinity, and can be taken back", () => {
    let calls = 0;
    const cancel = systemRuntime.clock.setTimer(Number.POSITIVE_INFINITY, () => calls++);
    vi.advanceTimersByTime(10 * LONGEST_MS);
    expect(calls).toBe(0);
    cancel();
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each([0, 1, 2])("is taken back after %d of the longest delays", (steps) => {
    let calls = 0;
    const cancel = systemRuntime.clock.setTimer(2.5 * LONGEST_MS, () => calls++);
    vi.advanceTimersByTime(steps * LONGEST_MS);
    cancel();
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(3 * LONGEST_MS);
    expect(calls).toBe(0);
  });
});
