import { describe, expect, it } from "vitest";
import {
  assignPartitions,
  byteKeys,
  evenPartitions,
  hash16,
  hash64,
  infinity,
  PartitionedRange,
  RangeIndex,
  RangeMap,
  spaceOf,
  utf8Keys,
} from "../src/index.js";
import { expectSpaceError } from "./expect-space-error.js";

// Each `@ts-expect-error` is a test too: the type check fails when the line below it compiles.
describe("points of different spaces", () => {
  it("are not compared", () => {
    // @ts-expect-error a number is no point of hash64
    expectSpaceError("mixed-spaces", () => hash64.compare(1n, 1));
    // @ts-expect-error a string is no point of hash64
    expectSpaceError("mixed-spaces", () => hash64.min("a", 1n));
    // @ts-expect-error a bigint is no point of hash16
    expectSpaceError("mixed-spaces", () => hash16.compare(1n, infinity));
    // @ts-expect-error a string is no point of hash16
    expectSpaceError("mixed-spaces", () => hash16.max(1, "1"));
    // @ts-expect-error a number is no point of utf8Keys
    expectSpaceError("mixed-spaces", () => utf8Keys.compare(1, 2));
    // @ts-expect-error a bigint is no point of utf8Keys
    expectSpaceError("mixed-spaces", () => utf8Keys.compare("1", 1n));
    // @ts-expect-error a string is no point of byteKeys
    expectSpaceError("mixed-spaces", () => byteKeys.compare("00", byteKeys.minimum));
    // @ts-expect-error bytes are no point of utf8Keys
    expectSpaceError("mixed-spaces", () => utf8Keys.compare("", byteKeys.minimum));
    // @ts-expect-error bytes are no point of hash64
    expectSpaceError("mixed-spaces", () => hash64.range(Uint8Array.of(1), infinity));
  });

  it("do not make a range", () => {
    // @ts-expect-error the end is a bigint
    expectSpaceError("mixed-spaces", () => hash16.range(0, 10n));
    // @ts-expect-error the start is a number
    expectSpaceError("mixed-spaces", () => hash64.range(0, 10n));
  });

  it("do not meet in a range operation", () => {
    const keys = utf8Keys.range("a", "b");
    const numbers = hash16.range(0, 10);
    // @ts-expect-error a range of keys
    expectSpaceError("mixed-spaces", () => hash16.overlaps(numbers, keys));
    // @ts-expect-error a range of keys
    expectSpaceError("mixed-spaces", () => hash16.equals(keys, numbers));
    // @ts-expect-error a range of numbers
    expectSpaceError("mixed-spaces", () => hash64.intersect(numbers, hash64.range(0n, 1n)));
    // @ts-expect-error a key and a range of numbers
    expectSpaceError("mixed-spaces", () => hash16.contains(numbers, "5"));
    // @ts-expect-error a number and a range of keys
    expectSpaceError("mixed-spaces", () => utf8Keys.contains(keys, 5));
    // @ts-expect-error a range of keys
    expectSpaceError("mixed-spaces", () => hash16.subtract(numbers, keys));
    // @ts-expect-error a range of keys
    expectSpaceError("mixed-spaces", () => hash16.subtract(keys, numbers));
    // @ts-expect-error split at a key
    expectSpaceError("mixed-spaces", () => hash16.split(numbers, ["5"]));
    // @ts-expect-error a range of keys among others
    expectSpaceError("mixed-spaces", () => hash16.coalesce([numbers, keys]));
  });

  it("do not meet in a RangeMap", () => {
    const map = new RangeMap<number, string>(hash16);
    // @ts-expect-error a range of keys
    expectSpaceError("mixed-spaces", () => map.assign(utf8Keys.range("a", "b"), "value"));
    // @ts-expect-error a range of bigints
    expectSpaceError("mixed-spaces", () => map.delete({ from: 0n, to: infinity }));
    // @ts-expect-error a key
    expectSpaceError("mixed-spaces", () => map.get("5"));
    // @ts-expect-error a key
    expectSpaceError("mixed-spaces", () => map.split("5"));
    // @ts-expect-error a range of keys
    expectSpaceError("mixed-spaces", () => map.gaps({ from: "a", to: "b" }));
    // @ts-expect-error a range of keys
    expectSpaceError("mixed-spaces", () => map.entries({ from: "a", to: "b" }));
    // @ts-expect-error a space of keys
    expect(new RangeMap<number, string>(utf8Keys).size).toBe(0);
  });

  it("do not meet in a RangeIndex", () => {
    const index = new RangeIndex<bigint, string>(hash64);
    // @ts-expect-error a range of numbers
    expectSpaceError("mixed-spaces", () => index.add({ from: 0, to: 5 }, "value"));
    // @ts-expect-error a number
    expectSpaceError("mixed-spaces", () => index.at(5));
    // @ts-expect-error bytes
    expectSpaceError("mixed-spaces", () => index.visit(Uint8Array.of(5), () => undefined));
    // @ts-expect-error a range of numbers
    expectSpaceError("mixed-spaces", () => index.overlapping({ from: 0, to: 5 }));
  });

  it("do not meet in a split", () => {
    // @ts-expect-error a key is no point of hash16
    expectSpaceError("mixed-spaces", () => evenPartitions(hash16, 4).split("5"));
  });

  it("are no names of partitions, where they could be taken for them", () => {
    // @ts-expect-error a bigint is no name
    expectSpaceError("invalid-partition", () => assignPartitions([1n], [{ id: "a" }]));
  });

  it("say which space they are of", () => {
    expect(spaceOf(5n)).toBe(hash64);
    expect(spaceOf(5)).toBe(hash16);
    expect(spaceOf("5")).toBe(utf8Keys);
    expect(spaceOf(Buffer.from("5"))).toBe(byteKeys);
    expect(spaceOf(-1)).toBe(hash16);
    // @ts-expect-error the space of a number compares no keys
    expectSpaceError("mixed-spaces", () => spaceOf(5).compare("a", "b"));
    for (const value of [undefined, null, true, {}, [], Symbol("point"), infinity, new Uint16Array(1)]) {
      expectSpaceError("invalid-point", () => spaceOf(value));
    }
  });

  it("know the space of a point whose type is not known yet", () => {
    function sorted<P>(points: readonly P[]): readonly P[] {
      const first = points[0];
      return first === undefined ? points : [...points].sort(spaceOf<P>(first).compare);
    }
    expect(sorted([3, 1, 2])).toEqual([1, 2, 3]);
    expect(sorted([3n, 1n, 2n])).toEqual([1n, 2n, 3n]);
  });

  it("do not meet in partitions", () => {
    // @ts-expect-error bigints in a space of numbers
    expectSpaceError("mixed-spaces", () => new PartitionedRange(hash16, [{ from: 0n, to: infinity }]));
    const shards = evenPartitions(hash16, 4);
    // @ts-expect-error a bigint is no point of hash16
    expectSpaceError("mixed-spaces", () => shards.find(5n));
    // @ts-expect-error a key is no point of hash16
    expectSpaceError("mixed-spaces", () => shards.find("5"));
  });

  it("are told apart in the message", () => {
    // @ts-expect-error a number is no point of hash64
    const error = expectSpaceError("mixed-spaces", () => hash64.compare(1n, 7));
    expect(error.message).toBe(
      "Points of hash64 are bigints from 0n to 2n ** 64n - 1n, and this is the number 7.",
    );
  });

  it("have no even partitions when the space has no last point", () => {
    // @ts-expect-error keys cannot be cut evenly
    expectSpaceError("invalid-partition", () => evenPartitions(utf8Keys, 4));
  });
});
