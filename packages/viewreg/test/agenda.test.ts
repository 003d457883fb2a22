import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Agenda, Task } from "../src/registry/agenda.js";
import { Pacer } from "../src/registry/pacer.js";
import { manualClock } from "../src/testing.js";

describe("an agenda", () => {
  it("runs each task at its time, in order, with one timer, whatever is set, moved and taken off", async () => {
    const action = fc.record({
      task: fc.nat(19),
      dueMs: fc.oneof(fc.nat(1000), fc.constant(Number.POSITIVE_INFINITY)),
      by: fc.boolean(),
      waitMs: fc.nat(30),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 80 }), async (actions) => {
        const clock = manualClock();
        const agenda = new Agenda(clock);
        const due = new Map<number, number>();
        const tasks = Array.from(
          { length: 20 },
          (_, index) =>
            new Task(() => {
              // Rounded: a timer is at most a thousandth late.
              expect(Math.abs(clock.monotonicMs() - (due.get(index) ?? Number.NaN))).toBeLessThan(0.01);
              due.delete(index);
            }),
        );
        for (const { task, dueMs, by, waitMs } of actions) {
          const atMs = clock.monotonicMs() + dueMs;
          if (by && atMs !== Number.POSITIVE_INFINITY) {
            agenda.setBy(tasks[task]!, atMs);
            due.set(task, Math.min(atMs, due.get(task) ?? Number.POSITIVE_INFINITY));
          } else {
            agenda.set(tasks[task]!, atMs);
            if (atMs === Number.POSITIVE_INFINITY) due.delete(task);
            else due.set(task, atMs);
          }
          expect(clock.timers).toBeLessThanOrEqual(1);
          await clock.advance(waitMs);
        }
        await clock.advance(2000);
        expect(due.size).toBe(0);
        expect(clock.timers).toBe(0);
      }),
    );
  });

  it("has a time of its own that leaves out when the process stood still", async () => {
    const clock = manualClock();
    const agenda = new Agenda(clock);
    const task = new Task(() => agenda.set(task, agenda.nowMs() + 10));
    agenda.set(task, 10);
    await clock.advance(1000);
    expect(agenda.nowMs()).toBeCloseTo(1000);
    await clock.stall(5000);
    expect(clock.monotonicMs()).toBeCloseTo(6000);
    expect(agenda.nowMs()).toBeLessThan(1020);
  });

  it("can wait for longer than a timer can", async () => {
    const clock = manualClock();
    let longest = 0;
    const agenda = new Agenda({
      monotonicMs: () => clock.monotonicMs(),
      setTimer(delayMs, callback) {
        longest = Math.max(longest, delayMs);
        return clock.setTimer(delayMs, callback);
      },
    });
    let ran = 0;
    agenda.set(new Task(() => void ran++), 5_000_000_000);
    await clock.advance(4_999_999_999);
    expect(ran).toBe(0);
    await clock.advance(2);
    expect(ran).toBe(1);
    expect(longest).toBeLessThan(2 ** 31);
  });
});

describe("a pacer", () => {
  it("starts all, in order, evenly, and never more in any second than it may and a burst of 20 ms", async () => {
    const clock = manualClock();
    const starts: { readonly item: number; readonly atMs: number }[] = [];
    const pacer = new Pacer<number>(new Agenda(clock), {
      perSecond: 500,
      start(item) {
        starts.push({ item, atMs: clock.monotonicMs() });
        return true;
      },
    });
    for (let item = 0; item < 2000; item++) {
      pacer.push(item);
      if (item % 100 === 0) await clock.advance(item % 300);
    }
    await clock.advance(10_000);
    expect(starts.map(({ item }) => item)).toEqual(Array.from({ length: 2000 }, (_, index) => index));
    for (const [index, { atMs }] of starts.entries()) {
      const later = starts[index + 510];
      if (later !== undefined) expect(later.atMs - atMs).toBeGreaterThan(999);
    }
  });

  it("does not count those that need not start any more", async () => {
    const clock = manualClock();
    let asked = 0;
    const pacer = new Pacer<boolean>(new Agenda(clock), {
      perSecond: 10,
      start(real) {
        asked++;
        return real;
      },
    });
    for (let item = 0; item < 1000; item++) pacer.push(item % 100 === 0);
    await clock.advance(1000);
    expect(asked).toBe(1000);
  });
});
