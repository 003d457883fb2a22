import { describe, expect, it } from "vitest";
import { randomRun } from "./scheduler-random-run.js";

// What holds after each step is in `scheduler-oracle.ts`, what may happen in `scheduler-random-run.ts`.
describe("the scheduler, driven at random", () => {
  // 8 tests of 50 runs with 300 steps and their ends each: 120,000 steps and more.
  for (let part = 0; part < 8; part++) {
    it(`keeps every promise after each of 15,000 steps, ends every call and can be replayed (seeds ${part * 50 + 1} to ${part * 50 + 50})`, () => {
      let steps = 0;
      for (let seed = part * 50 + 1; seed <= part * 50 + 50; seed++) {
        try {
          const oracle = randomRun(seed, 300);
          oracle.expectReplay();
          steps += oracle.events.length;
        } catch (error) {
          throw new Error(`Seed ${seed}: ${error instanceof Error ? error.message : error}`, {
            cause: error,
          });
        }
      }
      expect(steps).toBeGreaterThan(10_000);
    }, 60_000);
  }
});
