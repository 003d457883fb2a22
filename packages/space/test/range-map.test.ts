import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { hash16, infinity, type Range, type RangeEntry, RangeMap, type Space } from "../src/index.js";
import { boundsOf, inEverySpace, rangeOf } from "./every-space.js";
import { expectSpaceError } from "./expect-space-error.js";

/** The oracle: a list of entries, made anew for each change. */
class ListMap<P> {
  readonly space: Space<P>;
  entries: readonly RangeEntry<P, number>[] = [];

  constructor(space: Space<P>) {
    this.space = space;
  }

  delete(range: Range<P>): boolean {
    const touched = this.entries.some((entry) => this.space.overlaps(entry.range, range));
    this.entries = this.entries.flatMap(({ range: old, value }) =>
      this.space.subtract(old, range).map((part) => ({ range: part, value })),
    );
    return touched;
  }

  assign(range: Range<P>, value: number): void {
    this.delete(range);
    if (this.space.isEmpty(range)) return;
    this.entries = [...this.entries, { range, value }].sort((a, b) =>
      this.space.compare(a.range.from, b.range.from),
    );
  }

  split(at: P): boolean {
    const before = this.entries.length;
    this.entries = this.entries.flatMap(({ range, value }) =>
      this.space.split(range, [at]).map((part) => ({ range: part, value })),
    );
    return this.entries.length > before;
  }

  /** @param range joins at boundaries in it or at its ends */
  coalesce(range: Range<P>): boolean {
    const joined: RangeEntry<P, number>[] = [];
    for (const entry of this.entries) {
      const previous = joined.at(-1);
      const { from, to } = entry.range;
      if (
        previous?.value === entry.value &&
        this.space.compare(previous.range.to, from) === 0 &&
        this.space.compare(range.from, from) <= 0 &&
        this.space.compare(from, range.to) <= 0
      ) {
        joined[joined.length - 1] = { range: { from: previous.range.from, to }, value: entry.value };
      } else {
        joined.push(entry);
      }
    }
    const changed = joined.length < this.entries.length;
    this.entries = joined;
    return changed;
  }

  within(range: Range<P>): readonly RangeEntry<P, number>[] {
    return this.entries.flatMap((entry) => {
      const part = this.space.intersect(entry.range, range);
      return part ? [{ range: part, value: entry.value }] : [];
    });
  }
}

function lines<P>(space: Space<P>, entries: Iterable<RangeEntry<P, number>>): readonly string[] {
  return Array.from(entries, ({ range, value }) => `${space.formatRange(range)} ${value}`);
}

inEverySpace(({ space, point, anyPoint }) => {
  describe(`RangeMap of ${space.kind}, against a list`, () => {
    const anyOf = fc.oneof({ weight: 6, arbitrary: point }, anyPoint);
    const range = rangeOf(space, anyOf);
    const value = fc.integer({ min: 0, max: 2 });
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ assign: range, value }) },
      { weight: 2, arbitrary: fc.record({ remove: range }) },
      { weight: 2, arbitrary: fc.record({ split: anyOf }) },
      { weight: 2, arbitrary: fc.record({ join: range }) },
      { weight: 1, arbitrary: fc.constant({ joinAll: true as const }) },
    );

    it("has the same entries after every step, and the same answers in the end", () => {
      fc.assert(
        fc.property(
          fc.array(step, { maxLength: 60, size: "max" }),
          fc.array(range, { maxLength: 6 }),
          fc.array(anyOf, { maxLength: 6 }),
          (steps, ranges, probes) => {
            const map = new RangeMap<typeof space.minimum, number>(space);
            const list = new ListMap(space);
            for (const change of steps) {
              if ("assign" in change) {
                map.assign(change.assign, change.value);
                list.assign(change.assign, change.value);
              } else if ("remove" in change) {
                expect(map.delete(change.remove)).toBe(list.delete(change.remove));
              } else if ("split" in change) {
                expect(map.split(change.split)).toBe(list.split(change.split));
              } else if ("join" in change) {
                expect(map.coalesce(change.join)).toBe(list.coalesce(change.join));
              } else {
                expect(map.coalesce()).toBe(list.coalesce({ from: space.minimum, to: infinity }));
              }
              expect(lines(space, map)).toEqual(lines(space, list.entries));
              expect(map.size).toBe(list.entries.length);
            }
            const held = list.entries.map((entry) => entry.range);
            for (const probe of [...probes, ...boundsOf(space, held), infinity] as const) {
              const expected = list.entries.find((entry) => space.contains(entry.range, probe));
              expect(map.get(probe)).toBe(expected?.value);
              expect(map.entryAt(probe)).toEqual(expected);
            }
            for (const probe of [...ranges, { from: space.minimum, to: infinity } as const]) {
              expect(lines(space, map.entries(probe))).toEqual(lines(space, list.within(probe)));
              const gaps = map.gaps(probe);
              // With the gaps it is covered, and none of them has a value; so they are the gaps, but for their cuts.
              const covered = space.coalesce([...gaps, ...list.within(probe).map((entry) => entry.range)]);
              expect(covered.map(space.formatRange)).toEqual(
                space.isEmpty(probe) ? [] : [space.formatRange(probe)],
              );
              for (const gap of gaps) expect(list.within(gap)).toEqual([]);
              expect(space.coalesce(gaps)).toEqual(gaps);
            }
          },
        ),
        { numRuns: 150 },
      );
    });
  });
});

describe("RangeMap", () => {
  function example(): RangeMap<number, string> {
    const map = new RangeMap<number, string>(hash16);
    map.assign({ from: 0, to: 10 }, "a");
    map.assign({ from: 10, to: 20 }, "a");
    map.assign({ from: 30, to: infinity }, "b");
    return map;
  }

  it("keeps touching ranges of one value apart until it is told to join them", () => {
    const map = example();
    expect(map.size).toBe(3);
    expect(map.coalesce()).toBe(true);
    expect([...map]).toEqual([
      { range: { from: 0, to: 20 }, value: "a" },
      { range: { from: 30, to: infinity }, value: "b" },
    ]);
    expect(map.coalesce()).toBe(false);
  });

  it("joins only where it is told to", () => {
    const map = example();
    expect(map.coalesce({ from: 11, to: 20 })).toBe(false);
    expect(map.coalesce({ from: 10, to: 10 })).toBe(true);
    expect(map.size).toBe(2);
  });

  it("cuts a hole", () => {
    const map = example();
    map.assign({ from: 40, to: 50 }, "c");
    expect(map.delete({ from: 44, to: 45 })).toBe(true);
    expect([...map.entries({ from: 39, to: 51 })]).toEqual([
      { range: { from: 39, to: 40 }, value: "b" },
      { range: { from: 40, to: 44 }, value: "c" },
      { range: { from: 45, to: 50 }, value: "c" },
      { range: { from: 50, to: 51 }, value: "b" },
    ]);
    expect(map.get(44)).toBeUndefined();
    expect(map.delete({ from: 44, to: 45 })).toBe(false);
    expect(map.delete({ from: 5, to: 5 })).toBe(false);
  });

  it("gives the gaps", () => {
    const map = example();
    expect(map.gaps({ from: 0, to: infinity })).toEqual([{ from: 20, to: 30 }]);
    expect(map.gaps({ from: 25, to: 27 })).toEqual([{ from: 25, to: 27 }]);
    expect(map.gaps({ from: 5, to: 5 })).toEqual([]);
    map.clear();
    expect(map.gaps({ from: 7, to: infinity })).toEqual([{ from: 7, to: infinity }]);
    expect(map.size).toBe(0);
  });

  it("tells no value from the value undefined", () => {
    const map = new RangeMap<number, undefined>(hash16);
    map.assign({ from: 5, to: 6 }, undefined);
    expect(map.entryAt(5)).toEqual({ range: { from: 5, to: 6 }, value: undefined });
    expect(map.entryAt(6)).toBeUndefined();
  });

  it("iterates over what was there when the iteration began, whatever is changed meanwhile", () => {
    const map = example();
    const seen: RangeEntry<number, string>[] = [];
    const before = [...map];
    const late = map.entries({ from: 5, to: 35 });
    for (const entry of map) {
      seen.push(entry);
      map.delete({ from: 0, to: infinity });
      map.assign({ from: entry.range.from, to: infinity }, "z");
    }
    expect(seen).toEqual(before);
    // Begun before the changes, though nobody had asked it for an entry yet.
    expect([...late].map(({ value }) => value)).toEqual(["a", "a", "b"]);
    expect([...map]).toEqual([{ range: { from: 30, to: infinity }, value: "z" }]);
  });

  it("joins what `equals` calls equal, and by default what `Object.is` does", () => {
    const values = [{ owner: 1 }, { owner: 1 }, { owner: 2 }];
    const byOwner = new RangeMap<number, { owner: number }>(hash16, {
      equals: (a, b) => a.owner === b.owner,
    });
    const byIdentity = new RangeMap<number, { owner: number }>(hash16);
    for (const [index, value] of values.entries()) {
      byOwner.assign({ from: index, to: index + 1 }, value);
      byIdentity.assign({ from: index, to: index + 1 }, value);
    }
    byOwner.coalesce();
    byIdentity.coalesce();
    expect(byOwner.size).toBe(2);
    expect(byOwner.get(1)).toBe(values[0]);
    expect(byIdentity.size).toBe(3);
    const notANumber = new RangeMap<number, number>(hash16);
    notANumber.assign({ from: 0, to: 1 }, Number.NaN);
    notANumber.assign({ from: 1, to: 2 }, Number.NaN);
    expect(notANumber.coalesce()).toBe(true);
  });

  it("takes O(log n) comparisons for a change, however much it replaces", () => {
    const order = vi.fn(hash16.order);
    const map = new RangeMap<number, number>({ ...hash16, order });
    for (let i = 0; i < 60_000; i++) map.assign({ from: i, to: i + 1 }, i);
    const count = (action: () => unknown): number => {
      order.mockClear();
      action();
      return order.mock.calls.length;
    };
    const log = Math.log2(60_000);
    expect(count(() => map.get(777))).toBeLessThan(2.5 * log);
    expect(count(() => map.gaps({ from: 30_000, to: 30_001 }))).toBeLessThan(6 * log);
    expect(count(() => map.coalesce({ from: 40_000, to: 40_001 }))).toBeLessThan(15 * log);
    expect(count(() => map.assign({ from: 100, to: 59_000 }, 7))).toBeLessThan(10 * log);
    expect(map.size).toBe(100 + 1 + 1000);
    expect(count(() => map.delete({ from: 50, to: 59_500 }))).toBeLessThan(10 * log);
    expect(map.size).toBe(50 + 500);
    // Half of it is gone from the left, and it is still balanced.
    expect(count(() => map.get(59_999))).toBeLessThan(2.5 * log);
  });

  it("refuses what is no range and no point", () => {
    const map = example();
    for (const range of [null, 5, { from: 5, to: 4 }, { from: infinity, to: infinity }]) {
      expectSpaceError("invalid-range", () => map.assign(range as Range<number>, "a"));
      expectSpaceError("invalid-range", () => map.delete(range as Range<number>));
      expectSpaceError("invalid-range", () => map.gaps(range as Range<number>));
      expectSpaceError("invalid-range", () => map.entries(range as Range<number>));
      expectSpaceError("invalid-range", () => map.coalesce(range as Range<number>));
    }
    for (const point of [-1, 65536, 0.5, undefined, {}]) {
      expectSpaceError("invalid-point", () => map.get(point as number));
      expectSpaceError("invalid-point", () => map.split(point as number));
    }
    expectSpaceError("invalid-point", () => map.split(infinity as unknown as number));
    expectSpaceError(
      "invalid-argument",
      () => new RangeMap(hash16, { equals: "same" as unknown as () => boolean }),
    );
    expect(map.size).toBe(3);
  });
});
