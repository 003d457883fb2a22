import { createSpace } from "./create-space.js";
import type { FiniteSpace } from "./space.js";
import { describeValue, SpaceError } from "./space-error.js";

const size = 1n << 64n;
const textForm = /^0x[0-9A-Fa-f]{16}$/;

function isPoint(value: unknown): value is bigint {
  return typeof value === "bigint" && value >= 0n && value < size;
}

function format(point: bigint): string {
  return `0x${point.toString(16).toUpperCase().padStart(16, "0")}`;
}

/** Written out for each space, so that the engine sees one type of point in its comparison. */
function bisect(starts: readonly bigint[]): (point: bigint) => number {
  const sorted = [...starts];
  return (point) => {
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sorted[middle]! <= point) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  };
}

/**
 * The unsigned 64-bit integers, as `bigint`: the space of `murmur3Hash64`.
 * Prints `0x` and 16 upper-case hexadecimal digits, reads the same in either case.
 */
export const hash64: FiniteSpace<bigint> = Object.freeze({
  ...createSpace<bigint>({
    kind: "hash64",
    minimum: 0n,
    allowed: "bigints from 0n to 2n ** 64n - 1n",
    isPoint,
    order: (a, b) => (a < b ? -1 : a > b ? 1 : 0),
    format,
    quote: format,
    parse: (text) => (textForm.test(text) ? BigInt(text) : undefined),
    text: "0x and 16 hexadecimal digits",
    // Rounded to 53 bits, which keeps the order but for ties.
    rank: Number,
    bisect,
  }),
  size,
  pointAt: (index: bigint): bigint => {
    if (isPoint(index)) return index;
    throw new SpaceError(
      "invalid-point",
      `The points of hash64 are numbered from 0n to 2n ** 64n - 1n, and this is ${describeValue(index)}.`,
    );
  },
});
