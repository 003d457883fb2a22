import { getHeapStatistics } from "node:v8";
import { describe, expect, it } from "vitest";
import {
  byteKeys,
  evenPartitions,
  hash16,
  hash64,
  murmur3Hash64,
  RangeIndex,
  RangeMap,
  type Space,
  utf8Keys,
} from "../src/index.js";

const COUNT = 20_000;
const WINDOWS = 15;
const ROUNDS = 200;

/**
 * By how many bytes the heap grows for each time, once the engine has compiled the code for good. It does that on a thread of its own, which may have to
 * wait for a core: so it is the least of many rounds, but no more of them than it takes to see nothing.
 */
function bytesEach(work: (times: number) => number): number {
  for (let warmUp = 0; warmUp < 5; warmUp++) work(COUNT);
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS && least >= 1; round++) least = Math.min(least, bytesEachNow(work));
  return least;
}

/** A window in which the collector runs, or the engine itself allocates, shows too little or too much, so it is the median. */
function bytesEachNow(work: (times: number) => number): number {
  const grown: number[] = [];
  for (let window = 0; window < WINDOWS; window++) {
    const before = getHeapStatistics().used_heap_size;
    work(COUNT);
    grown.push(getHeapStatistics().used_heap_size - before);
  }
  return grown.sort((a, b) => a - b)[WINDOWS >> 1]! / COUNT;
}

const hashes = Array.from({ length: 1024 }, (_, index) => murmur3Hash64(`key-${index}`));

/** Points of a space, ascending; every one is the start of a range that ends two points later. */
function indexOf<P>(space: Space<P>, points: readonly P[]): RangeIndex<P, number> {
  const sorted = [...points].sort((a, b) => space.compare(a, b));
  const index = new RangeIndex<P, number>(space);
  for (let at = 0; at + 2 < sorted.length; at++) index.add({ from: sorted[at]!, to: sorted[at + 2]! }, at);
  return index;
}

describe("what is said to allocate nothing", () => {
  it("would be noticed if it did: this measure sees one number that is put on the heap", () => {
    const kept: { number: number }[] = [];
    const grown = bytesEach((times) => {
      for (let time = 0; time < times; time++) kept[time & 7] = { number: time + 0.5 };
      return kept.length;
    });
    expect(grown).toBeGreaterThan(15);
  });

  it("is PartitionedRange.find", () => {
    const partitions = evenPartitions(hash64, 1000);
    const grown = bytesEach((times) => {
      let sum = 0;
      for (let time = 0; time < times; time++) sum += partitions.find(hashes[time & 1023]!);
      return sum;
    });
    expect(grown).toBeLessThan(1);
  });

  it("is RangeMap.get", () => {
    const map = new RangeMap<bigint, number>(hash64);
    for (const [number, range] of [...evenPartitions(hash64, 100)].entries()) map.assign(range, number % 7);
    const grown = bytesEach((times) => {
      let sum = 0;
      for (let time = 0; time < times; time++) sum += map.get(hashes[time & 1023]!) ?? 0;
      return sum;
    });
    expect(grown).toBeLessThan(1);
  });

  const check = <P>(space: Space<P>, points: readonly P[]): void => {
    const index = indexOf(space, points);
    let hits = 0;
    const visitor = (value: number): void => {
      hits += value & 1;
    };
    const grown = bytesEach((times) => {
      for (let time = 0; time < times; time++) index.visit(points[time % points.length]!, visitor);
      return hits;
    });
    expect(hits).toBeGreaterThan(0);
    expect(grown).toBeLessThan(1);
  };

  it("is RangeIndex.visit of hash64", () => check(hash64, hashes));
  it("is RangeIndex.visit of hash16", () =>
    check(
      hash16,
      hashes.map((hash) => Number(hash & 0xffffn)),
    ));
  it("is RangeIndex.visit of utf8Keys", () =>
    check(
      utf8Keys,
      hashes.map((hash) => `key ${hash}`),
    ));
  it("is RangeIndex.visit of byteKeys", () =>
    check(
      byteKeys,
      hashes.map((hash) => new Uint8Array(new BigUint64Array([hash]).buffer)),
    ));

  it("is RangeIndex.visit, also when a visitor asks the index itself", () => {
    const index = indexOf(hash64, hashes);
    let hits = 0;
    const inner = (): void => void hits++;
    const outer = (_value: number, { from }: { readonly from: bigint }): void => index.visit(from, inner);
    const grown = bytesEach((times) => {
      for (let time = 0; time < times; time++) index.visit(hashes[time & 1023]!, outer);
      return hits;
    });
    expect(hits).toBeGreaterThan(0);
    expect(grown).toBeLessThan(1);
  });
});
