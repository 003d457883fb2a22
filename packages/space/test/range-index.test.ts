import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hash16, infinity, type Range, type RangeEntry, RangeIndex, type Space } from "../src/index.js";
import { boundsOf, inEverySpace, rangeOf } from "./every-space.js";
import { expectSpaceError } from "./expect-space-error.js";

function sorted(values: readonly number[]): readonly number[] {
  return [...values].sort((a, b) => a - b);
}

inEverySpace(({ space, point, anyPoint }) => {
  describe(`RangeIndex of ${space.kind}, against looking at every entry`, () => {
    const anyOf = fc.oneof({ weight: 4, arbitrary: point }, anyPoint);
    const range = rangeOf(space, anyOf);
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ add: range }) },
      { weight: 2, arbitrary: fc.record({ remove: fc.nat() }) },
    );

    it("finds after any history of changes what a list would", () => {
      fc.assert(
        fc.property(
          fc.array(step, { maxLength: 120, size: "max" }),
          fc.array(anyOf, { maxLength: 8 }),
          fc.array(range, { maxLength: 8 }),
          (steps, probes, ranges) => {
            const index = new RangeIndex<typeof space.minimum, number>(space);
            const list: RangeEntry<typeof space.minimum, number>[] = [];
            for (const [number, change] of steps.entries()) {
              if ("add" in change) {
                list.push(index.add(change.add, number));
              } else if (list.length > 0) {
                const [entry] = list.splice(change.remove % list.length, 1);
                expect(index.delete(entry!)).toBe(true);
                expect(index.delete(entry!)).toBe(false);
              }
            }
            expect(index.size).toBe(list.length);
            expect([...index]).toEqual(list);
            for (const probe of [
              ...probes,
              ...boundsOf(
                space,
                list.map((entry) => entry.range),
              ),
              infinity,
            ] as const) {
              const expected = list.filter((entry) => space.contains(entry.range, probe));
              expect(sorted(index.at(probe))).toEqual(sorted(expected.map(({ value }) => value)));
            }
            for (const probe of [...ranges, { from: space.minimum, to: infinity } as const]) {
              const expected = list.filter((entry) => space.overlaps(entry.range, probe));
              expect(sorted(index.overlapping(probe))).toEqual(sorted(expected.map(({ value }) => value)));
            }
          },
        ),
        { numRuns: 150 },
      );
    });
  });
});

describe("RangeIndex", () => {
  it("keeps the same value under the same range as often as it was added", () => {
    const index = new RangeIndex<number, string>(hash16);
    const first = index.add({ from: 5, to: 9 }, "a");
    const second = index.add({ from: 5, to: 9 }, "a");
    expect(first).toEqual({ range: { from: 5, to: 9 }, value: "a" });
    expect(index.at(5)).toEqual(["a", "a"]);
    expect(index.delete(first)).toBe(true);
    expect(index.at(8)).toEqual(["a"]);
    expect(index.delete(second)).toBe(true);
    expect(index.at(8)).toEqual([]);
    expect(index.size).toBe(0);
  });

  it("knows a deleted entry, a copy of one and one of another index from its own", () => {
    const index = new RangeIndex<number, string>(hash16);
    const other = new RangeIndex<number, string>(hash16);
    const entry = index.add({ from: 0, to: 9 }, "a");
    const foreign = other.add({ from: 0, to: 9 }, "a");
    for (const value of [foreign, { ...entry }, undefined, null, 5, "a"]) {
      expect(index.delete(value as RangeEntry<number, string>)).toBe(false);
    }
    expect(index.size).toBe(1);
  });

  it("keeps entries with empty ranges, which no query finds", () => {
    const index = new RangeIndex<number, string>(hash16);
    const entry = index.add({ from: 5, to: 5 }, "nothing");
    expect(index.size).toBe(1);
    expect(index.at(5)).toEqual([]);
    expect(index.overlapping({ from: 0, to: infinity })).toEqual([]);
    expect([...index]).toEqual([entry]);
    expect(index.delete(entry)).toBe(true);
    expect(index.size).toBe(0);
  });

  it("overlaps nothing with an empty range, and contains infinity never", () => {
    const index = new RangeIndex<number, string>(hash16);
    index.add({ from: 0, to: infinity }, "all");
    expect(index.overlapping({ from: 7, to: 7 })).toEqual([]);
    expect(index.at(infinity)).toEqual([]);
    expect(index.at(65535)).toEqual(["all"]);
  });

  it("gives the visitor the value and the range, and lets what it throws out", () => {
    const index = new RangeIndex<number, string>(hash16);
    const { range } = index.add({ from: 1, to: 3 }, "a");
    const seen: unknown[] = [];
    index.visit(2, (...arguments_) => seen.push(arguments_));
    index.visitOverlapping({ from: 0, to: 2 }, (...arguments_) => seen.push(arguments_));
    expect(seen).toEqual([
      ["a", range],
      ["a", range],
    ]);
    const thrown = new Error("enough");
    expect(() =>
      index.visit(2, () => {
        throw thrown;
      }),
    ).toThrow(thrown);
    // And it can be changed again afterwards.
    index.add({ from: 1, to: 3 }, "b");
    expect(index.size).toBe(2);
  });

  it("lets a visitor ask and not change", () => {
    const index = new RangeIndex<number, string>(hash16);
    const entry = index.add({ from: 0, to: 9 }, "a");
    let asked = 0;
    index.visit(4, () => {
      asked += index.at(4).length;
      expectSpaceError("concurrent-change", () => index.add({ from: 0, to: 1 }, "b"));
      expectSpaceError("concurrent-change", () => index.delete(entry));
    });
    expect(asked).toBe(1);
    expect(index.at(4)).toEqual(["a"]);
  });

  it("answers a visitor's own questions, however deep, and goes on with the first one where it was", () => {
    const index = new RangeIndex<number, number>(hash16);
    for (let from = 0; from < 100; from++) index.add({ from, to: from + 10 }, from);
    const expected = (point: number): number[] =>
      Array.from({ length: 100 }, (_, from) => from).filter((from) => from <= point && point < from + 10);
    const ask = (point: number, depth: number): void => {
      const found: number[] = [];
      index.visit(point, (value) => {
        found.push(value);
        if (depth > 0 && value % 5 === 0) ask((point * 7 + value) % 109, depth - 1);
      });
      expect(sorted(found)).toEqual(expected(point));
    };
    for (let point = 0; point < 110; point += 3) ask(point, 4);
  });

  it("refuses what is no range, no point and no visitor", () => {
    const index = new RangeIndex<number, string>(hash16);
    for (const range of [undefined, null, 5, { from: 5, to: 4 }, { from: infinity, to: infinity }]) {
      expectSpaceError("invalid-range", () => index.add(range as Range<number>, "a"));
      expectSpaceError("invalid-range", () => index.overlapping(range as Range<number>));
    }
    for (const point of [-1, 65536, 0.5, Number.NaN, undefined, null, {}]) {
      expectSpaceError("invalid-point", () => index.at(point as number));
    }
    for (const visitor of [undefined, null, "visitor", {}]) {
      expectSpaceError("invalid-argument", () => index.visit(5, visitor as unknown as () => void));
      expectSpaceError("invalid-argument", () =>
        index.visitOverlapping({ from: 0, to: 1 }, visitor as unknown as () => void),
      );
    }
    expect(index.size).toBe(0);
  });
});

/** A space without ranks, in which every comparison is one call that is counted. */
function countingSpace(): { readonly space: Space<number>; take(): number } {
  let count = 0;
  const space: Space<number> = {
    ...hash16,
    rank: () => 0,
    order: (a, b) => {
      count++;
      return hash16.order(a, b);
    },
  };
  const take = (): number => {
    const taken = count;
    count = 0;
    return taken;
  };
  return { space, take };
}

const size = 20_000;
const log = Math.log2(size);

/** Histories that unbalance trees: each makes entries for an index and may delete some of them again. */
const histories: readonly (readonly [string, (index: RangeIndex<number, number>) => void])[] = [
  [
    "random ranges",
    (index) => {
      for (let i = 0; i < size; i++) {
        const from = (i * 40_503) % 65_536;
        index.add({ from, to: Math.min(65_535, from + ((i * 30_011) % 300)) }, i);
      }
    },
  ],
  ["ranges in ascending order", (index) => add(index, (i) => ({ from: i, to: i + 40 }))],
  ["ranges in descending order", (index) => add(index, (i) => ({ from: size - i, to: size - i + 40 }))],
  ["nested ranges from the outside", (index) => add(index, (i) => ({ from: i, to: 60_000 - i }))],
  ["nested ranges from the inside", (index) => add(index, (i) => ({ from: size - i, to: 40_000 + i }))],
  ["one range, again and again", (index) => add(index, () => ({ from: 1000, to: 2000 }))],
  ["ranges without an end", (index) => add(index, (i) => ({ from: i, to: infinity }))],
  [
    "a window that moves: the oldest is deleted for each that is added",
    (index) => {
      const waiting: RangeEntry<number, number>[] = [];
      for (let i = 0; i < 2 * size; i++) {
        waiting.push(index.add({ from: i, to: i + 30 }, i));
        if (waiting.length > size) index.delete(waiting.shift()!);
      }
    },
  ],
  [
    "all but every hundredth deleted, from the left",
    (index) => {
      const entries = Array.from({ length: size }, (_, i) => index.add({ from: i, to: i + 500 }, i));
      for (const [i, entry] of entries.entries()) if (i % 100 !== 0) index.delete(entry);
    },
  ],
];

function add(index: RangeIndex<number, number>, range: (i: number) => Range<number>): void {
  for (let i = 0; i < size; i++) index.add(range(i), i);
}

describe.each(histories)("RangeIndex of 20,000 entries, %s", (_, fill) => {
  const { space, take } = countingSpace();
  const index = new RangeIndex<number, number>(space);
  fill(index);
  const changed = take();

  it("takes O(log n + k) comparisons for a point and for a range, wherever they are", () => {
    for (let probe = 0; probe < 65_536; probe += 97) {
      take();
      const hits = index.at(probe).length;
      const forPoint = take();
      if (forPoint > 6 * log + 3 * hits)
        expect.fail(`${forPoint} comparisons for ${hits} entries at ${probe}`);
      const found = index.overlapping({ from: probe, to: probe + 3 }).length;
      const forRange = take();
      if (forRange > 6 * log + 3 * found) expect.fail(`${forRange} comparisons for ${found} at ${probe}`);
    }
  });

  it("took O(log n) comparisons for each change", () => {
    // At most 2 * size adds and as many deletes.
    expect(changed / (2 * size)).toBeLessThan(12 * log);
  });

  it("takes no more to delete everything, and is as good as new then", () => {
    take();
    let deleted = 0;
    for (const entry of [...index]) {
      if (!index.delete(entry)) expect.fail("it was there");
      deleted++;
    }
    expect(take() / deleted).toBeLessThan(6 * log);
    expect(index.size).toBe(0);
    expect(index.overlapping({ from: 0, to: infinity })).toEqual([]);
    index.add({ from: 1, to: 2 }, 7);
    expect(index.at(1)).toEqual([7]);
  });
});
