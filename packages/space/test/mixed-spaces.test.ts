import { describe, expect, it } from "vitest";
import { evenPartitions, hash16, hash64, infinity, PartitionedRange, utf8Keys } from "../src/index.js";
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
