import { describe, expect, it } from "vitest";
import type { Violation } from "../src/checker/index.js";
import { type MutationName, mutations } from "../src/sim/mutations.js";
import { simulate } from "../src/sim/simulate.js";
import { testSeeds } from "./sim-seeds.js";

// The other half is in sim-more.test.ts, which runs at the same time on another core.
testSeeds(1, 90);

describe("a seed", () => {
  it("replays exactly: every event of a run is in the next one, at the same time", async () => {
    const lines: string[] = [];
    const first = await simulate({ seed: 3, onTrace: (line) => lines.push(line) });
    let at = 0;
    const again = await simulate({
      seed: 3,
      onTrace: (line) => {
        if (line !== lines[at]) expect(line).toBe(lines[at]);
        at += 1;
      },
    });
    expect(at).toBe(lines.length);
    expect(lines.length).toBeGreaterThan(1000);
    expect(again.traceHash).toBe(first.traceHash);
    expect(again.counts).toEqual(first.counts);
  });

  it("makes another history than its neighbour", async () => {
    const [one, other] = [await simulate({ seed: 17 }), await simulate({ seed: 18 })];
    expect(one.traceHash).not.toBe(other.traceHash);
  });
});

describe("the checker finds it when", () => {
  /** The first violations that any of so many seeds shows. */
  async function firstFound(name: MutationName, seeds: number): Promise<readonly Violation[]> {
    for (let seed = 1; seed <= seeds; seed++) {
      const { violations } = await simulate({ seed, mutation: mutations[name] });
      if (violations.length > 0) return violations;
    }
    return [];
  }

  const expected: Record<MutationName, { readonly seeds: number; readonly invariants: readonly number[] }> = {
    // Messages are acknowledged that are not in the log that counts.
    "an append to a sealed log succeeds": { seeds: 60, invariants: [1, 2, 5] },
    "the fence is not looked at": { seeds: 60, invariants: [1, 2, 5] },
    "logs are not synced": { seeds: 20, invariants: [1, 2, 6] },
    "commits do not look at the lease": { seeds: 60, invariants: [11] },
    "commits do not look at the bookmark": { seeds: 60, invariants: [11] },
    "segments are recorded without a look at the range's lease": { seeds: 20, invariants: [3, 5] },
  };

  for (const [name, { seeds, invariants }] of Object.entries(expected)) {
    it(name, { timeout: 120_000 }, async () => {
      // The keys of `expected` are names, which its type says.
      const found = new Set(
        (await firstFound(name as MutationName, seeds)).map(({ invariant }) => invariant),
      );
      expect(invariants.filter((invariant) => found.has(invariant as Violation["invariant"]))).not.toEqual(
        [],
      );
    });
  }
});
