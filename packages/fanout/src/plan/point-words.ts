import { byteKeys, hash16, hash64, type Space, utf8Keys } from "@x/space";
import type { WordReader } from "./sort-by-words.js";

/** How `sortByWords` reads the points of a space; every one of them must be a point of it. */
export function wordsOf<P>(space: Space<P>, points: readonly P[]): WordReader {
  const order = (a: number, b: number): number => space.order(points[a]!, points[b]!);
  // The space says what its points are, which the compiler cannot see from a comparison: hence the casts.
  const known: unknown = space;
  if (known === hash64) return { read: readBigints(points as readonly bigint[]), exact: true, order };
  if (known === hash16) return { read: readNumbers(points as readonly number[]), exact: true, order };
  if (known === utf8Keys) return { read: readTexts(points as readonly string[]), exact: true, order };
  if (known === byteKeys) return { read: readBytes(points as readonly Uint8Array[]), exact: true, order };
  return { read: readRanks(space, points), exact: false, order };
}

/** Where the higher half of a 64-bit number is in this machine's memory: in the first 32-bit word or in the second. */
const higherHalf: 0 | 1 = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1 ? 1 : 0;

/** Words from 64-bit numbers: depth 0 is the higher half, depth 1 the lower. */
function readHalves(buffer: ArrayBuffer): WordReader["read"] {
  const halves = new Uint32Array(buffer);
  return (ids, from, to, depth, words) => {
    const half = depth === 0 ? higherHalf : 1 - higherHalf;
    for (let index = from; index < to; index++) {
      const id = ids[index]!;
      words[id] = halves[2 * id + half]!;
    }
    return depth === 0 ? 1 : -1;
  };
}

/** As `readHalves`, without a copy of all the numbers: writing one and reading half of it costs as much as reading it from a copy. */
function readBigints(points: readonly bigint[]): WordReader["read"] {
  const number = new BigUint64Array(1);
  const halves = new Uint32Array(number.buffer);
  return (ids, from, to, depth, words) => {
    const half = depth === 0 ? higherHalf : 1 - higherHalf;
    for (let index = from; index < to; index++) {
      const id = ids[index]!;
      number[0] = points[id]!;
      words[id] = halves[half]!;
    }
    return depth === 0 ? 1 : -1;
  };
}

/** The ranks of a space in 64 bits that, read as an unsigned integer, have the order of the numbers. */
function readRanks<P>(space: Space<P>, points: readonly P[]): WordReader["read"] {
  const ranks = new Float64Array(points.length);
  // Adding 0 turns -0 into 0: the two are equal and must have the same bits.
  for (let id = 0; id < points.length; id++) ranks[id] = space.rank(points[id]!) + 0;
  const halves = new Uint32Array(ranks.buffer);
  for (let id = 0; id < points.length; id++) {
    const high = halves[2 * id + higherHalf]!;
    // The larger the bits of a negative number, the lower it is.
    const flip = high >>> 31 === 1 ? 0xffffffff : 0;
    halves[2 * id + higherHalf] = high ^ (flip | 0x80000000);
    halves[2 * id + 1 - higherHalf]! ^= flip;
  }
  return readHalves(ranks.buffer);
}

function readNumbers(points: readonly number[]): WordReader["read"] {
  return (ids, from, to, _depth, words) => {
    for (let index = from; index < to; index++) words[ids[index]!] = points[ids[index]!]!;
    return -1;
  };
}

/**
 * How much of a start that all points of a group share is skipped in one reading. More would be read again and again where a
 * few points with a shorter start leave the group each time.
 */
const longestSkip = 16;

/** Nine bits a byte and three bytes a word, so that there is a value below byte 0 for "the key has ended". */
function readBytes(points: readonly Uint8Array[]): WordReader["read"] {
  return (ids, from, to, depth, words) => {
    const first = points[ids[from]!]!;
    // What all of them go on with is skipped.
    let start = Math.min(first.length, depth + longestSkip);
    let longest = 0;
    for (let index = from; index < to; index++) {
      const bytes = points[ids[index]!]!;
      longest = Math.max(longest, bytes.length);
      start = Math.min(start, bytes.length);
      let same = Math.min(depth, start);
      while (same < start && bytes[same] === first[same]) same++;
      start = same;
    }
    for (let index = from; index < to; index++) {
      const bytes = points[ids[index]!]!;
      let word = 0;
      for (let at = start; at < start + 3; at++)
        word = (word << 9) | (at < bytes.length ? bytes[at]! + 1 : 0);
      words[ids[index]!] = word;
    }
    return longest <= start + 3 ? -1 : start + 3;
  };
}

/** Units up to this, with one added, fit in nine bits. */
const narrowUnit = 0x1fe;

/**
 * As `readBytes`, by UTF-16 units. Three of them a word while all are narrow, as those of ASCII are, else one, changed so that
 * its order is that of the UTF-8 bytes (see `utf8Keys`).
 */
function readTexts(points: readonly string[]): WordReader["read"] {
  return (ids, from, to, depth, words) => {
    const first = points[ids[from]!]!;
    let start = Math.min(first.length, depth + longestSkip);
    let longest = 0;
    for (let index = from; index < to; index++) {
      const text = points[ids[index]!]!;
      longest = Math.max(longest, text.length);
      start = Math.min(start, text.length);
      let same = Math.min(depth, start);
      while (same < start && text.charCodeAt(same) === first.charCodeAt(same)) same++;
      start = same;
    }
    let widest = 0;
    for (let index = from; index < to; index++) {
      const text = points[ids[index]!]!;
      const end = Math.min(text.length, start + 3);
      let word = 0;
      for (let at = start; at < end; at++) {
        const unit = text.charCodeAt(at);
        widest |= unit;
        word = (word << 9) | (unit + 1);
      }
      words[ids[index]!] = word << (9 * (start + 3 - end));
    }
    if (widest < narrowUnit) return longest <= start + 3 ? -1 : start + 3;
    for (let index = from; index < to; index++) {
      const text = points[ids[index]!]!;
      words[ids[index]!] = start < text.length ? 1 + sortableUnit(text, start) : 0;
    }
    return longest <= start + 1 ? -1 : start + 1;
  };
}

/**
 * Units in the order of code points: surrogates, which make code points above U+FFFF, come after all others, except those
 * without their other half, which stand for U+FFFD.
 */
function sortableUnit(text: string, index: number): number {
  const unit = text.charCodeAt(index);
  if (unit < 0xd800) return unit;
  if (unit >= 0xe000) return unit - 0x800;
  const paired =
    unit < 0xdc00 ? isIn(text, index + 1, 0xdc00, 0xe000) : isIn(text, index - 1, 0xd800, 0xdc00);
  return paired ? unit + 0x2000 : 0xfffd - 0x800;
}

function isIn(text: string, index: number, from: number, to: number): boolean {
  const unit = text.charCodeAt(index);
  return unit >= from && unit < to;
}
