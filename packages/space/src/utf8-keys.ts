import { createSpace } from "./create-space.js";
import type { Space } from "./space.js";

const firstSurrogate = 0xd800;
const replacement = 0xfffd;

function isHighSurrogate(unit: number): boolean {
  return unit >= firstSurrogate && unit < 0xdc00;
}

/** The code point at an index, U+FFFD for half of a surrogate pair that has lost the other half. */
function codePointOrReplacement(text: string, index: number): number {
  const codePoint = text.codePointAt(index)!;
  return codePoint >= firstSurrogate && codePoint < 0xe000 ? replacement : codePoint;
}

/**
 * The order of UTF-8 bytes is the order of code points. It differs from the order of JavaScript's `<`, which compares
 * UTF-16 units: those of code points above U+FFFF are 0xD800 to 0xDFFF, below U+E000 to U+FFFF.
 */
function order(a: string, b: string): -1 | 0 | 1 {
  if (a === b) return 0;
  const shared = Math.min(a.length, b.length);
  let index = 0;
  while (index < shared && a.charCodeAt(index) === b.charCodeAt(index)) index++;
  if (index < shared) {
    const unitOfA = a.charCodeAt(index);
    const unitOfB = b.charCodeAt(index);
    if (unitOfA < firstSurrogate && unitOfB < firstSurrogate) {
      // The usual case, unless a high surrogate came before: then it is alone in both, since neither goes on with a low one.
      return unitOfA < unitOfB ? -1 : 1;
    }
    return orderByCodePoint(a, b, index);
  }
  // One is the start of the other, in units and therefore in bytes, except that a high surrogate at the end of the
  // shorter may be completed in the longer. Alone it counts as U+FFFD, which is still below what it becomes.
  return a.length < b.length ? -1 : 1;
}

/** @param index where the units differ first */
function orderByCodePoint(a: string, b: string, index: number): -1 | 0 | 1 {
  const shared = Math.min(a.length, b.length);
  // Equal code points have equal lengths, so one index serves both. It may go unit by unit: the second half of an equal pair
  // is equal too.
  for (
    let at = index > 0 && isHighSurrogate(a.charCodeAt(index - 1)) ? index - 1 : index;
    at < shared;
    at++
  ) {
    const pointOfA = codePointOrReplacement(a, at);
    const pointOfB = codePointOrReplacement(b, at);
    if (pointOfA !== pointOfB) return pointOfA < pointOfB ? -1 : 1;
  }
  // Different units may be the same bytes: U+FFFD and every lone surrogate.
  return a.length < b.length ? -1 : a.length > b.length ? 1 : 0;
}

const scratch = new Float64Array(1);

function rank(point: string): number {
  writeRankOfKey(point, scratch, 0);
  return scratch[0]!;
}

/** The first six bytes as a number, which is below 2 ** 48. What is not there counts as zero. */
export function writeRankOfKey(point: string, target: Float64Array, place: number): void {
  let number = 0;
  let room = 6;
  for (let index = 0; index < point.length && room > 0; index++) {
    const codePoint = codePointOrReplacement(point, index);
    if (codePoint < 0x80) {
      number = number * 0x100 + codePoint;
      room--;
      continue;
    }
    if (codePoint > 0xffff) index++;
    const size = codePoint < 0x800 ? 2 : codePoint < 0x10000 ? 3 : 4;
    // The first of two bytes starts with the bits 110, of three with 1110, of four with 11110.
    let byte = ((0xff00 >>> size) & 0xff) | (codePoint >>> (6 * (size - 1)));
    for (let left = size - 1; left >= 0 && room > 0; left--, room--) {
      number = number * 0x100 + byte;
      byte = 0x80 | ((codePoint >>> (6 * (left - 1))) & 0x3f);
    }
  }
  target[place] = number * 0x100 ** room;
}

/** With the flag `u` this matches lone surrogates only. */
const loneSurrogate = /\p{Surrogate}/gu;

function wellFormed(text: string): string {
  return text.replace(loneSurrogate, "\uFFFD");
}

/** Written out for each space, so that the engine sees one type of point in its comparison. */
function bisect(starts: readonly string[]): (point: string) => number {
  const sorted = [...starts];
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
 * All strings, in the order of their UTF-8 bytes, as Go, Rust and most stores order keys. The empty string is first.
 *
 * A surrogate without its other half has no UTF-8; here, as in `TextEncoder` and in `murmur3Hash64`, it stands for
 * U+FFFD. So "\uD800", "\uDC00" and "\uFFFD" are one point, although `===` tells them apart. `format` prints the key as it is
 * and `parse` reads any string; both replace lone surrogates by U+FFFD. There is no normalization and no locale.
 */
export const utf8Keys: Space<string> = createSpace<string>({
  kind: "utf8Keys",
  minimum: "",
  allowed: "strings",
  isPoint: (value: unknown): value is string => typeof value === "string",
  order,
  format: wellFormed,
  quote: (key) => JSON.stringify(wellFormed(key)),
  parse: wellFormed,
  text: "any string",
  rank,
  bisect,
});
