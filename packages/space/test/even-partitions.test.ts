import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { evenPartitions, type FiniteSpace, hash16, hash64, infinity, type Range } from "../src/index.js";
import { expectSpaceError } from "./expect-space-error.js";

function sizeOf(space: FiniteSpace<bigint> | FiniteSpace<number>, range: Range<bigint | number>): bigint {
  const end = range.to === infinity ? space.size : BigInt(range.to);
  return end - BigInt(range.from);
}

function expectEven(space: FiniteSpace<bigint> | FiniteSpace<number>, count: number): void {
  // Written twice because the two spaces share no type of point.
  const ranges: readonly Range<bigint | number>[] =
    space === hash16 ? [...evenPartitions(hash16, count)] : [...evenPartitions(hash64, count)];
  expect(ranges.length).toBe(count);
  expect(BigInt(ranges[0]!.from)).toBe(0n);
  expect(ranges.at(-1)!.to).toBe(infinity);
  const sizes = ranges.map((range) => sizeOf(space, range));
  const share = space.size / BigInt(count);
  const larger = Number(space.size % BigInt(count));
  let sum = 0n;
  for (const [index, size] of sizes.entries()) {
    if (index > 0 && ranges[index]!.from !== ranges[index - 1]!.to)
      expect.fail(`a gap before partition ${index}`);
    if (size !== (index < larger ? share + 1n : share))
      expect.fail(`partition ${index} of ${count} has ${size} points`);
    sum += size;
  }
  expect(sum).toBe(space.size);
}

describe("evenPartitions", () => {
  it("cuts the 64-bit space in three, the remainder in the first", () => {
    expect([...evenPartitions(hash64, 3)].map(hash64.formatRange)).toEqual([
      "[0x0000000000000000, 0x5555555555555556)",
      "[0x5555555555555556, 0xAAAAAAAAAAAAAAAB)",
      "[0xAAAAAAAAAAAAAAAB, inf)",
    ]);
  });

  it("leaves the whole space in one piece", () => {
    expect([...evenPartitions(hash64, 1)]).toEqual([{ from: 0n, to: infinity }]);
    expect([...evenPartitions(hash16, 1)]).toEqual([{ from: 0, to: infinity }]);
  });

  it("covers both spaces exactly for every count from 1 to 300, remainders in the low ones", () => {
    for (let count = 1; count <= 300; count++) {
      expectEven(hash64, count);
      expectEven(hash16, count);
    }
  });

  it("covers both spaces exactly for any count", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_000 }), (count) => {
        expectEven(hash64, count);
        expectEven(hash16, count);
      }),
      { numRuns: 20 },
    );
  });

  it("gives each point of hash16 a partition of its own", () => {
    expectEven(hash16, 65_536);
    expect(evenPartitions(hash16, 65_536).find(54_321)).toBe(54_321);
  });

  it("goes up to 1,048,576 partitions of hash64", () => {
    const many = evenPartitions(hash64, 1_048_576);
    expect(many.length).toBe(1_048_576);
    expect(many.find((1n << 64n) - 1n)).toBe(1_048_575);
  });

  it("finds each point in the partition that its share of the space says", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 12 }),
        fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
        (bits, point) => {
          // Powers of two divide the space without a remainder, so the index is the point's upper bits.
          const index = Number(point >> BigInt(64 - bits));
          expect(evenPartitions(hash64, 2 ** bits).find(point)).toBe(index);
        },
      ),
    );
  });

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 1_048_577, 2 ** 53, "4", 4n, undefined])(
    "refuses %o partitions",
    (count) => {
      expectSpaceError("invalid-partition", () => evenPartitions(hash64, count as number));
      expectSpaceError("invalid-partition", () => evenPartitions(hash16, count as number));
    },
  );

  it("refuses more partitions than points", () => {
    expect(expectSpaceError("invalid-partition", () => evenPartitions(hash16, 65_537)).message).toContain(
      "1 to 65536",
    );
  });
});
