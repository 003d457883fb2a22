import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Ref, refBytes, refFromBytes } from "../src/index.js";
import { RefIndex } from "../src/stores/ref-index.js";
import { neighbour, splitPage, testBlobs } from "../src/testing/fixture.js";

function all(index: RefIndex, after?: Ref): Ref[] {
  const refs: Ref[] = [];
  for (let page = index.pageAfter(after); page; page = index.pageAfter(refs.at(-1)))
    refs.push(...splitPage(page));
  return refs;
}

/** Few and close to each other, so that they meet. */
const closeRef = fc
  .tuple(fc.constantFrom(0, 1, 255), fc.nat(40), fc.constantFrom(0, 31))
  .map(([fill, value, place]) => {
    const bytes = new Uint8Array(refBytes).fill(fill);
    bytes[place] = value;
    return refFromBytes(bytes);
  });

describe("RefIndex", () => {
  it("is a sorted set", () => {
    const step = fc.record({ remove: fc.boolean(), ref: closeRef });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), closeRef, (steps, after) => {
        const index = new RefIndex();
        const model = new Set<Ref>();
        for (const { remove, ref } of steps) {
          expect(remove ? index.delete(ref) : index.add(ref)).toBe(
            remove ? model.delete(ref) : !model.has(ref),
          );
          if (!remove) model.add(ref);
          expect(index.has(ref)).toBe(!remove);
        }
        const sorted = [...model].sort();
        expect(index.size).toBe(sorted.length);
        expect(all(index)).toEqual(sorted);
        expect(all(index, after)).toEqual(sorted.filter((ref) => ref > after));
      }),
    );
  });

  it.each(["in random order", "in order", "in reverse order"])("takes 20,000 refs %s", (order) => {
    const { blobs, refs } = testBlobs(20_000, 8);
    expect(blobs.length).toBe(20_000);
    const added = order === "in order" ? refs : refs.toReversed();
    if (order === "in random order") added.sort((a, b) => (a.slice(8, 20) < b.slice(8, 20) ? -1 : 1));
    const index = new RefIndex();
    for (const ref of added) index.add(ref);
    expect(all(index)).toEqual(refs);
    for (let i = 0; i < refs.length; i += 997) {
      expect(all(index, refs[i])).toEqual(refs.slice(i + 1));
      expect(all(index, neighbour(refs[i] as Ref, -1))).toEqual(refs.slice(i));
    }
    for (const [i, ref] of added.entries()) if (i % 5 !== 0) index.delete(ref);
    expect(all(index)).toEqual(added.filter((_, i) => i % 5 === 0).sort());
  });

  it("lists what is left when all refs of a part are deleted, from any place, and takes others there", () => {
    const { refs } = testBlobs(5000, 8);
    for (const [from, to] of [
      [0, 1024],
      [1000, 3100],
      [4000, 5000],
      [0, 5000],
    ] as const) {
      const index = new RefIndex();
      for (const ref of refs) index.add(ref);
      for (const ref of refs.slice(from, to)) expect(index.delete(ref)).toBe(true);
      const left = [...refs.slice(0, from), ...refs.slice(to)];
      expect(all(index)).toEqual(left);
      for (const after of [from - 1, from, to - 1, to].flatMap((at) => refs[at] ?? [])) {
        expect(all(index, after)).toEqual(left.filter((ref) => ref > after));
        expect(index.has(after)).toBe(left.includes(after));
      }
      for (const ref of refs.slice(from, to).reverse()) expect(index.add(ref)).toBe(true);
      expect(all(index)).toEqual(refs);
    }
  });
});
