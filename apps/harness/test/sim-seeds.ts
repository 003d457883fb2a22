import { describe, expect, it } from "vitest";
import { formatViolation } from "../src/checker/index.js";
import { simulate } from "../src/sim/simulate.js";

/** Seeds of one test, so that a slow machine shows which ones it was at. */
const SEEDS_PER_TEST = 10;

/**
 * Runs seeds of the simulation, each a history of its own. `SIM_SEED=17` runs that one alone, and `SIM_SEEDS=1-1000` others than usual;
 * `node apps/harness/dist/sim/run.js --seed 17 --trace` shows all that happens in one.
 */
export function testSeeds(first: number, count: number): void {
  const { SIM_SEED, SIM_SEEDS } = process.env;
  const [from, to] = (SIM_SEED ?? SIM_SEEDS ?? `${first}-${first + count - 1}`).split("-").map(Number);
  const seeds: number[] = [];
  for (let seed = from ?? first; seed <= (to ?? from ?? first); seed++) seeds.push(seed);

  describe("the topic system under a simulated clock, network and disk", () => {
    for (let at = 0; at < seeds.length; at += SEEDS_PER_TEST) {
      const some = seeds.slice(at, at + SEEDS_PER_TEST);
      it(`keeps its promises with the seeds ${some[0]} to ${some.at(-1)}`, { timeout: 120_000 }, async () => {
        const acknowledged: number[] = [];
        for (const seed of some) {
          const { violations, counts } = await simulate({ seed }).catch((cause: unknown) => {
            throw new Error(`seed ${seed} could not be simulated`, { cause });
          });
          const found = violations.map(formatViolation);
          expect(
            found,
            `seed ${seed}; to see it again: SIM_SEED=${seed}, or run.js --seed ${seed} --trace`,
          ).toEqual([]);
          expect(counts.delivered, `seed ${seed} delivered something`).toBeGreaterThan(0);
          acknowledged.push(counts.acknowledged);
        }
        // A system that acknowledges nothing would keep its promises, too.
        const mean = acknowledged.reduce((sum, one) => sum + one, 0) / acknowledged.length;
        expect(mean).toBeGreaterThan(30);
      });
    }
  });
}
