import { createSpace } from "./create-space.js";
import type { FiniteSpace } from "./space.js";
import { describeValue, SpaceError } from "./space-error.js";

const size = 0x10000;
const textForm = /^(?:0|[1-9][0-9]{0,4})$/;

function isPoint(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value < size;
}

function format(point: number): string {
  return String(point);
}

/** Written out for each space, so that the engine sees one type of point in its comparison. */
function bisect(starts: readonly number[]): (point: number) => number {
  const sorted = Uint16Array.from(starts);
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

/** The integers from 0 to 65535, as `number`. Prints and reads decimal digits without leading zeros. */
export const hash16: FiniteSpace<number> = Object.freeze({
  ...createSpace<number>({
    kind: "hash16",
    minimum: 0,
    allowed: "integers from 0 to 65535",
    isPoint,
    order: (a, b) => (a < b ? -1 : a > b ? 1 : 0),
    format,
    quote: format,
    parse: (text) => {
      const point = textForm.test(text) ? Number(text) : size;
      return point < size ? point : undefined;
    },
    text: "a decimal number from 0 to 65535",
    rank: (point) => point,
    bisect,
  }),
  size: BigInt(size),
  pointAt: (index: bigint): number => {
    if (typeof index === "bigint" && index >= 0n && index < size) return Number(index);
    throw new SpaceError(
      "invalid-point",
      `The points of hash16 are numbered from 0n to 65535n, and this is ${describeValue(index)}.`,
    );
  },
});
