import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  assignPartitions,
  evenPartitions,
  hash16,
  PartitionedRange,
  utf8Keys,
  type WeightedServer,
} from "../src/index.js";
import { expectSpaceError } from "./expect-space-error.js";

type Assignment = ReadonlyMap<string | number, readonly string[]>;

function partitions(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => index);
}

function servers(count: number): readonly WeightedServer[] {
  return Array.from({ length: count }, (_, index) => ({ id: `server-${index}` }));
}

function loads(assignment: Assignment): ReadonlyMap<string, number> {
  const loads = new Map<string, number>();
  for (const ids of assignment.values()) for (const id of ids) loads.set(id, (loads.get(id) ?? 0) + 1);
  return loads;
}

/** How many copies are on a server that did not have them before. */
function moved(before: Assignment, after: Assignment): number {
  let count = 0;
  for (const [partition, ids] of after) {
    count += ids.filter((id) => !before.get(partition)!.includes(id)).length;
  }
  return count;
}

describe("assignPartitions", () => {
  it("gives each partition as many different servers as it has replicas, within the bound, whatever the weights", () => {
    const weight = fc.oneof(
      fc.constantFrom(0, 1, 1, 1, 2, 1e-6, 1e6),
      fc.double({ min: 0.1, max: 10, noNaN: true }),
    );
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.string({ maxLength: 4 }), { maxLength: 60 }),
        fc.uniqueArray(fc.string({ maxLength: 2 }), { minLength: 1, maxLength: 12 }),
        fc.array(weight, { minLength: 12, maxLength: 12 }),
        fc.integer({ min: 1, max: 4 }),
        fc.constantFrom(1, 1.1, 1.25, 2, Number.POSITIVE_INFINITY),
        (names, ids, weights, replicas, bound) => {
          const all = ids.map((id, index) => ({ id, weight: weights[index]! }));
          const usable = all.filter((server) => server.weight > 0);
          if (usable.length < replicas) {
            expectSpaceError("not-enough-servers", () => assignPartitions(names, all, { replicas, bound }));
            return;
          }
          const assignment = assignPartitions(names, all, { replicas, bound });
          expect([...assignment.keys()]).toEqual(names);
          for (const holders of assignment.values()) {
            expect(holders.length).toBe(replicas);
            expect(new Set(holders).size).toBe(replicas);
          }
          const sum = usable.reduce((total, server) => total + server.weight, 0);
          for (const [id, load] of loads(assignment)) {
            const own = usable.find((server) => server.id === id)!.weight;
            const share = (names.length * replicas * own) / sum;
            // Where no share is above the number of partitions, they are just proportional.
            const isPlain = usable.every(
              (server) => (names.length * replicas * server.weight) / sum <= names.length,
            );
            if (isPlain) expect(load).toBeLessThanOrEqual(Math.ceil(bound * share));
            expect(load).toBeLessThanOrEqual(names.length);
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  it("does not depend on the order of partitions and servers", () => {
    const names = partitions(200).map(String);
    const all = servers(15).map((server, index) => ({ ...server, weight: 1 + (index % 3) }));
    const expected = assignPartitions(names, all, { replicas: 3 });
    fc.assert(
      fc.property(
        fc.shuffledSubarray(names, { minLength: names.length }),
        fc.shuffledSubarray(all, { minLength: all.length }),
        (shuffledNames, shuffledServers) => {
          const assignment = assignPartitions(shuffledNames, shuffledServers, { replicas: 3 });
          expect([...assignment.keys()]).toEqual(shuffledNames);
          for (const [name, ids] of assignment) expect(ids).toEqual(expected.get(name));
        },
      ),
      { numRuns: 20 },
    );
  });

  it("stays what it is: a program that is built tomorrow must agree with one that runs today", () => {
    const assignment = assignPartitions(["a", "b", "c", "d"], servers(5), { replicas: 2 });
    expect([...assignment].map(([name, ids]) => `${name}: ${ids.join(" ")}`)).toMatchInlineSnapshot(`
      [
        "a: server-0 server-1",
        "b: server-3 server-4",
        "c: server-0 server-2",
        "d: server-1 server-3",
      ]
    `);
  });

  it.each([1, 2, 3])(
    "moves about 1/n when one of n servers leaves or comes, with %i replicas",
    (replicas) => {
      const names = partitions(4000);
      for (const n of [5, 10, 30]) {
        const all = servers(n);
        const whole = assignPartitions(names, all, { replicas });
        const total = names.length * replicas;
        let sum = 0;
        for (const gone of all.slice(0, 5)) {
          const less = assignPartitions(
            names,
            all.filter((server) => server !== gone),
            { replicas },
          );
          const away = moved(whole, less) / total;
          const back = moved(less, whole) / total;
          // Those of the one server must move.
          expect(away).toBeGreaterThanOrEqual((loads(whole).get(gone.id) ?? 0) / total);
          expect(away).toBeLessThan(1.4 / n);
          expect(back).toBeLessThan(1.4 / n);
          sum += away;
        }
        expect(sum / 5).toBeLessThan(1.15 / n);
      }
    },
  );

  it("moves little also where the bound is tight and many partitions are not where they would be without it", () => {
    const names = partitions(2000);
    for (const [n, bound, most] of [
      [20, 1.25, 2],
      [100, 1.25, 3],
      [20, 1.05, 4],
    ] as const) {
      const all = servers(n);
      const whole = assignPartitions(names, all, { replicas: 1, bound });
      const less = assignPartitions(names, all.slice(1), { replicas: 1, bound });
      expect(moved(whole, less)).toBeLessThan((most * names.length) / n);
      expect(moved(less, whole)).toBeLessThan((most * names.length) / n);
    }
  });

  it("loads servers by their weights", () => {
    const all = [
      { id: "small", weight: 1 },
      { id: "middle", weight: 2 },
      { id: "large", weight: 5 },
    ];
    const assignment = assignPartitions(partitions(8000), all, { bound: Number.POSITIVE_INFINITY });
    const byId = loads(assignment);
    expect(byId.get("small")! / 1000).toBeCloseTo(1, 0.5);
    for (const [id, share] of [
      ["small", 1000],
      ["middle", 2000],
      ["large", 5000],
    ] as const) {
      expect(Math.abs(byId.get(id)! - share) / share).toBeLessThan(0.1);
    }
  });

  it("gives the surplus of a server that is too heavy for its partitions to the others, by their weights", () => {
    const all = [
      { id: "heavy", weight: 1000 },
      { id: "b", weight: 2 },
      { id: "c", weight: 1 },
    ];
    const assignment = assignPartitions(partitions(300), all, { replicas: 2, bound: 1 });
    expect(Object.fromEntries(loads(assignment))).toEqual({ heavy: 300, b: 200, c: 100 });
  });

  it("gives every server everything when there are as many replicas as servers", () => {
    const assignment = assignPartitions(partitions(50), servers(3), { replicas: 3, bound: 1 });
    for (const ids of assignment.values())
      expect([...ids].sort()).toEqual(["server-0", "server-1", "server-2"]);
  });

  it("gives nothing to a server with the weight 0, and moves only what it had when it gets it", () => {
    const names = partitions(500);
    const all = servers(6);
    const before = assignPartitions(names, all, { bound: Number.POSITIVE_INFINITY });
    const after = assignPartitions(
      names,
      all.map((server) => (server.id === "server-2" ? { ...server, weight: 0 } : server)),
      { bound: Number.POSITIVE_INFINITY },
    );
    expect(loads(after).has("server-2")).toBe(false);
    for (const [name, [id]] of before) if (id !== "server-2") expect(after.get(name)).toEqual([id]);
  });

  it("takes names that somebody chose so that all of them belong to one server", () => {
    const all = servers(10);
    const unbounded = assignPartitions(partitions(5000), all, { bound: Number.POSITIVE_INFINITY });
    const chosen = [...unbounded].filter(([, [id]]) => id === "server-3").map(([name]) => name);
    expect(chosen.length).toBeGreaterThan(400);
    const assignment = assignPartitions(chosen, all);
    for (const load of loads(assignment).values()) {
      expect(load).toBeLessThanOrEqual(Math.ceil((1.25 * chosen.length) / 10));
    }
  });

  it("assigns the partitions of a PartitionedRange by their indices", () => {
    const shards = evenPartitions(hash16, 64);
    const assignment = assignPartitions(shards, servers(5), { replicas: 2 });
    expect([...assignment.keys()]).toEqual(partitions(64));
    const keys = new PartitionedRange(utf8Keys, [
      { from: "", to: "m" },
      { from: "m", to: "z" },
    ]);
    expect(assignPartitions(keys, servers(5)).size).toBe(2);
  });

  it("leaves the lower half of a split partition where it is, and all others", () => {
    const shards = evenPartitions(hash16, 64);
    const options = { bound: Number.POSITIVE_INFINITY };
    const before = assignPartitions(shards, servers(5), options);
    const after = assignPartitions(shards.split(5 * 1024 + 17), servers(5), options);
    expect(after.size).toBe(65);
    for (let index = 0; index < 64; index++) {
      expect(after.get(index <= 5 ? index : index + 1)).toEqual(before.get(index));
    }
  });

  it("assigns no partitions to any servers, and cannot be changed", () => {
    expect(assignPartitions([], servers(2)).size).toBe(0);
    expect(assignPartitions(new PartitionedRange(hash16, []), servers(2)).size).toBe(0);
    expect(Object.isFrozen(assignPartitions(["a"], servers(2)).get("a"))).toBe(true);
  });

  it("needs servers, as many as replicas, with a weight", () => {
    expectSpaceError("not-enough-servers", () => assignPartitions(["a"], []));
    expectSpaceError("not-enough-servers", () => assignPartitions(["a"], servers(2), { replicas: 3 }));
    expectSpaceError("not-enough-servers", () => assignPartitions(["a"], [{ id: "a", weight: 0 }]));
  });

  it("refuses names of partitions that are none, or that come twice", () => {
    for (const name of [undefined, null, {}, 1.5, Number.NaN, 1n, 2 ** 60]) {
      expectSpaceError("invalid-partition", () => assignPartitions([name as string], servers(2)));
    }
    expectSpaceError("invalid-partition", () => assignPartitions(["a", "b", "a"], servers(2)));
    expectSpaceError("invalid-partition", () => assignPartitions<string | number>([1, "1"], servers(2)));
    for (const names of [undefined, null, 5, "abc", {}]) {
      expectSpaceError("invalid-argument", () => assignPartitions(names as unknown as string[], servers(2)));
    }
  });

  it("refuses wrong servers, weights, replicas and bounds", () => {
    const assign = (server: unknown): unknown => assignPartitions(["a"], [server as WeightedServer]);
    for (const server of [undefined, null, "a", {}, { id: 5 }]) {
      expectSpaceError("invalid-argument", () => assign(server));
    }
    for (const weight of [-1, Number.NaN, Number.POSITIVE_INFINITY, 1e-7, 1e7, "1", null]) {
      expectSpaceError("invalid-argument", () => assign({ id: "a", weight }));
    }
    expectSpaceError("invalid-argument", () => assignPartitions(["a"], [{ id: "a" }, { id: "a" }]));
    expectSpaceError("invalid-argument", () =>
      assignPartitions(["a"], "servers" as unknown as WeightedServer[]),
    );
    for (const replicas of [0, -1, 1.5, Number.NaN, "1", Number.POSITIVE_INFINITY]) {
      expectSpaceError("invalid-argument", () =>
        assignPartitions(["a"], servers(2), { replicas: replicas as number }),
      );
    }
    for (const bound of [0.99, Number.NaN, Number.NEGATIVE_INFINITY, "1"]) {
      expectSpaceError("invalid-argument", () =>
        assignPartitions(["a"], servers(2), { bound: bound as number }),
      );
    }
  });
});
