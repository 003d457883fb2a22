import { isBytes } from "./bytes.js";
import { createSpace } from "./create-space.js";
import type { Space } from "./space.js";

const textForm = /^(?:[0-9A-Fa-f]{2})*$/;

/** Bytes count unsigned, and a key comes before every longer one that starts with it: `memcmp`, then the length. */
function order(a: Uint8Array, b: Uint8Array): -1 | 0 | 1 {
  const shared = Math.min(a.length, b.length);
  for (let index = 0; index < shared; index++) {
    const difference = a[index]! - b[index]!;
    if (difference !== 0) return difference < 0 ? -1 : 1;
  }
  return a.length < b.length ? -1 : a.length > b.length ? 1 : 0;
}

const scratch = new Float64Array(1);

function rank(point: Uint8Array): number {
  writeRankOfBytes(point, scratch, 0);
  return scratch[0]!;
}

/** The first six bytes as a number, which is below 2 ** 48. What is not there counts as zero. */
export function writeRankOfBytes(point: Uint8Array, target: Float64Array, place: number): void {
  let number = 0;
  for (let index = 0; index < 6; index++) number = number * 256 + (index < point.length ? point[index]! : 0);
  target[place] = number;
}

const digits: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  byte.toString(16).padStart(2, "0"),
);

function format(point: Uint8Array): string {
  let text = "";
  for (const byte of point) text += digits[byte]!;
  return text;
}

function parse(text: string): Uint8Array | undefined {
  if (!textForm.test(text)) return undefined;
  const bytes = new Uint8Array(text.length / 2);
  for (let index = 0; index < bytes.length; index++) {
    bytes[index] = Number.parseInt(text.slice(2 * index, 2 * index + 2), 16);
  }
  return bytes;
}

/** Written out for each space, so that the engine sees one type of point in its comparison. */
function bisect(starts: readonly Uint8Array[]): (point: Uint8Array) => number {
  const sorted = starts.map((start) => new Uint8Array(start));
  return (point) => {
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (order(sorted[middle]!, point) <= 0) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  };
}

/**
 * All byte strings, in the order of their unsigned bytes, as `Buffer.compare`, Go's `bytes.Compare` and `memcmp` order them. The
 * empty one is first. A `Buffer` is a point too. Prints two lower-case hexadecimal digits a byte, reads the same in either case.
 *
 * An array of bytes can be changed, and a point must not: so every range that this space makes, and everything that keeps
 * ranges, has copies of its own. What you get from there is theirs: read it, and copy it before you write to it.
 */
export const byteKeys: Space<Uint8Array> = createSpace<Uint8Array>({
  kind: "byteKeys",
  minimum: new Uint8Array(0),
  allowed: "Uint8Arrays",
  isPoint: isBytes,
  order,
  rank,
  own: (point) => new Uint8Array(point),
  format,
  quote: (point) => `0x${format(point)}`,
  parse,
  text: "two hexadecimal digits for each byte",
  bisect,
});
