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
    // Up to the task that was due, and as late as a timer may be.
    expect(agenda.nowMs()).toBeLessThan(1061);
  });

  it("has a time that never goes back, whenever it is asked and whatever is set after the process stood still", async () => {
    const action = fc.record({
      stallMs: fc.oneof(fc.nat(60), fc.nat(5000)),
      dueMs: fc.integer({ min: -100, max: 300 }),
      blockMs: fc.oneof(fc.constant(0), fc.nat(3000)),
      waitMs: fc.nat(400),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 40 }), async (actions) => {
        const clock = manualClock();
        // What runs may block the process as well: the clock goes on while it does.
        let blockedMs = 0;
        const agenda = new Agenda({
          monotonicMs: () => clock.monotonicMs() + blockedMs,
          setTimer: (delayMs, callback) => clock.setTimer(delayMs, callback),
        });
        let latestMs = 0;
        let ran = 0;
        const look = (): void => {
          expect(agenda.nowMs()).toBeGreaterThanOrEqual(latestMs);
          latestMs = agenda.nowMs();
        };
        const beat = new Task(() => agenda.set(beat, agenda.nowMs() + 100));
        agenda.set(beat, 100);
        for (const { stallMs, dueMs, blockMs, waitMs } of actions) {
          const task = new Task(() => {
            ran++;
            look();
            blockedMs += blockMs;
            look();
          });
          const read = (): void => {
            look();
            agenda.set(task, agenda.nowMs() + dueMs);
            look();
          };
          const beforeMs = agenda.nowMs();
          ran = 0;
          await clock.stall(stallMs, { read });
          look();
          // Up to the earliest task it cannot be told whether it stood still, nor for as long as a timer may be late or a task may take.
          expect(agenda.nowMs() - beforeMs).toBeLessThan(151 + 50 * ran);
          await clock.advance(waitMs);
          look();
        }
      }),
      {
        examples: [
          // 357.001 - 307 was less than the 50.001 that was told before.
          [
            [
              { stallMs: 0, dueMs: 0, blockMs: 0, waitMs: 0 },
              { stallMs: 307, dueMs: 0, blockMs: 0, waitMs: 0 },
            ],
          ],
        ],
      },
    );
  });

  it("lets what came while the process stood still be read before what is due is done, once", async () => {
    const clock = manualClock();
    const agenda = new Agenda(clock);
    const done: string[] = [];
    agenda.set(new Task(() => done.push("late")), 100);
    await clock.stall(5000);
    done.push("read");
    await clock.advance(1);
    expect(done).toEqual(["read", "late"]);
    agenda.set(new Task(() => done.push("slow")), agenda.nowMs() + 100);
    // A process that is slow at every turn does what is due all the same.
    await clock.stall(5000);
    await clock.stall(5000);
    expect(done).toEqual(["read", "late", "slow"]);
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
