import { describe, expect, it } from "vitest";
import { randomRun } from "./scheduler-random-run.js";

// What holds after each step is in `scheduler-oracle.ts`, what may happen in `scheduler-random-run.ts`.
describe("the scheduler, driven at random", () => {
  // 8 tests of 50 runs with about 300 steps and their ends each: more than 100,000 steps.
  for (let part = 0; part < 8; part++) {
    it(`keeps every promise after each of 12,500 steps and more, ends every call and can be replayed, untraced too (seeds ${part * 50 + 1} to ${part * 50 + 50})`, () => {
      let steps = 0;
      let moved = 0;
      let hedgesToSuspects = 0;
      for (let seed = part * 50 + 1; seed <= part * 50 + 50; seed++) {
        try {
          const oracle = randomRun(seed, 360);
          oracle.expectReplay();
          if (seed % 5 === 0) oracle.expectSameUntraced();
          steps += oracle.events.length;
          moved += oracle.moved;
          hedgesToSuspects += oracle.hedgesToSuspects;
        } catch (error) {
          throw new Error(`Seed ${seed}: ${error instanceof Error ? error.message : error}`, {
            cause: error,
          });
        }
      }
      // The moments at which there was nothing to do are not counted.
      expect(steps).toBeGreaterThan(12_500);
      // What is rare has happened, too.
      expect(moved).toBeGreaterThan(10);
      expect(hedgesToSuspects).toBeGreaterThan(10);
    }, 60_000);
  }
});
