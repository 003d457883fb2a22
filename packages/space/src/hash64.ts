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

// Shared by all calls, as in `murmur3.ts`: a bigint becomes two halves in it without allocation, which are read at once.
const scratch = new BigUint64Array(1);
const scratchHalves = new Uint32Array(scratch.buffer);
/** Where the low half of a word is: 0 on little-endian machines. */
const low: 0 | 1 = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? 0 : 1;
const high: 0 | 1 = low === 0 ? 1 : 0;

const mostBucketBits = 22;
/** Up to here there are eight buckets and more for each start, most of them empty, so that a search mostly has nothing to compare. */
const fewStarts = 8192;

/**
 * Buckets by the upper bits, about one for each start: hashes are spread evenly, so there are few starts in each, and a search in a
 * bucket takes few steps. Where they are not, it is a binary search among the neighbours. Two lines of cache in the usual case.
 */
function bisect(starts: readonly bigint[]): (point: bigint) => number {
  const sorted = BigUint64Array.from(starts);
  const halves = new Uint32Array(sorted.buffer);
  const bits = Math.min(
    mostBucketBits,
    Math.max(1, (sorted.length <= fewStarts ? 35 : 32) - Math.clz32(sorted.length)),
  );
  const shift = 32 - bits;
  /** How many starts are in lower buckets, for each bucket and for the end. */
  const lower = new Uint32Array(2 ** bits + 1);
  for (let index = 0; index < sorted.length; index++) lower[(halves[2 * index + high]! >>> shift) + 1]!++;
  for (let bucket = 1; bucket < lower.length; bucket++) lower[bucket]! += lower[bucket - 1]!;

  return (point) => {
    scratch[0] = point;
    const pointHigh = scratchHalves[high]!;
    const pointLow = scratchHalves[low]!;
    const bucket = pointHigh >>> shift;
    let from = lower[bucket]!;
    let to = lower[bucket + 1]!;
    while (from < to) {
      const middle = (from + to) >>> 1;
      const middleHigh = halves[2 * middle + high]!;
      if (middleHigh < pointHigh || (middleHigh === pointHigh && halves[2 * middle + low]! <= pointLow)) {
        from = middle + 1;
      } else {
        to = middle;
      }
    }
    return from - 1;
  };
}

/** As `Number(point)`, rounded once: the higher half times 2 ** 32 is exact. */
export function writeRankOfHash(point: bigint, target: Float64Array, index: number): void {
  scratch[0] = point;
  target[index] = scratchHalves[high]! * 0x100000000 + scratchHalves[low]!;
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
