import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { IdMap } from "../src/id-map.js";

const id = fc.oneof(fc.nat(40), fc.nat(2 ** 31), fc.nat(2 ** 40));
const step = fc.oneof(
  fc.record({ set: id }),
  fc.record({ remove: fc.nat() }),
  fc.record({ removeUnknown: id }),
);

describe("IdMap", () => {
  it("is after any history what a Map would be", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300, size: "max" }), (steps) => {
        const ours = new IdMap<{ readonly number: number }>();
        const theirs = new Map<number, { readonly number: number }>();
        for (const [number, change] of steps.entries()) {
          if ("set" in change) {
            const value = { number };
            ours.set(change.set, value);
            theirs.set(change.set, value);
          } else {
            const known = [...theirs.keys()];
            const gone =
              "remove" in change && known.length > 0 ? known[change.remove % known.length]! : 1_000_000;
            expect(ours.delete(gone)).toBe(theirs.delete(gone));
          }
          expect(ours.size).toBe(theirs.size);
        }
        for (const [id, value] of theirs) expect(ours.get(id)).toBe(value);
        for (const id of [...theirs.keys()].map((id) => id + 1)) expect(ours.has(id)).toBe(theirs.has(id));
        const numbers = [...ours.values()].map(({ number }) => number).sort((a, b) => a - b);
        expect(numbers).toEqual([...theirs.values()].map(({ number }) => number).sort((a, b) => a - b));
      }),
    );
  });

  it("takes short searches for ids that are counted up, while a few of them stay for long", () => {
    const map = new IdMap<{ readonly id: number }>();
    const start = performance.now();
    for (let id = 0; id < 1_000_000; id++) {
      map.set(id, { id });
      // Every 10,000th stays.
      if (id >= 500 && (id - 500) % 10_000 !== 0) map.delete(id - 500);
    }
    expect(map.size).toBe(600);
    for (let id = 999_500; id < 1_000_000; id++) expect(map.get(id)).toEqual({ id });
    // A second is ten times what it takes: with long runs it would be minutes.
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});
