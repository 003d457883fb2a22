import { describe, expect, it } from "vitest";
import { formatViolation, type Violation } from "../src/checker/index.js";
import { type MutationName, mutations } from "../src/sim/mutations.js";
import type { Plan } from "../src/sim/plan.js";
import { simulate } from "../src/sim/simulate.js";
import { testSeeds } from "./sim-seeds.js";

// The other half is in sim-more.test.ts, which runs at the same time on another core.
testSeeds(1, 90);

describe("a seed", { timeout: 60_000 }, () => {
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
      const { violations } = await simulate({ seed, mutation: mutations[name], plan: plans[name] ?? {} });
      if (violations.length > 0) return violations;
    }
    return [];
  }

  // Fences matter when a buffer does not know that it has lost its lease, which its own deadline makes rare.
  const isolation: Partial<Plan> = {
    faults: ["isolation"],
    faultEveryMs: 3000,
    leaseTtlMs: 5000,
    publishEveryMs: 100,
  };
  const crowded: Partial<Plan> = {
    faults: ["kill", "stop", "power cut"],
    faultEveryMs: 500,
    sessionTtlMs: 2000,
  };
  const plans: Partial<Record<MutationName, Partial<Plan>>> = {
    "an append to a sealed log succeeds": isolation,
    "the fence is not looked at": isolation,
    "commits do not look at the lease": crowded,
    "commits do not look at the bookmark": crowded,
  };

  const expected: Record<MutationName, { readonly seeds: number; readonly invariants: readonly number[] }> = {
    // Messages are acknowledged that are not in the log that counts.
    "an append to a sealed log succeeds": { seeds: 20, invariants: [1] },
    "the fence is not looked at": { seeds: 20, invariants: [1] },
    "logs are not synced": { seeds: 20, invariants: [1] },
    "commits do not look at the lease": { seeds: 60, invariants: [11] },
    "commits do not look at the bookmark": { seeds: 40, invariants: [11] },
    "segments are recorded without a look at the range's lease": { seeds: 20, invariants: [3, 5] },
  };

  for (const [name, { seeds, invariants }] of Object.entries(expected)) {
    it(name, { timeout: 120_000 }, async () => {
      // The keys of `expected` are names, which its type says.
      const found = (await firstFound(name as MutationName, seeds)).map(({ invariant }) => invariant);
      expect(
        found.some((invariant) => invariants.includes(invariant)),
        `found: ${found}`,
      ).toBe(true);
    });
  }

  it("nothing is broken, under the same faults, and then it finds nothing", {
    timeout: 120_000,
  }, async () => {
    for (const [name, plan] of Object.entries(plans)) {
      for (let seed = 1; seed <= 3; seed++) {
        const { violations } = await simulate({ seed, plan });
        expect(violations.map(formatViolation), `seed ${seed} with the plan of "${name}"`).toEqual([]);
      }
    }
  });
});
