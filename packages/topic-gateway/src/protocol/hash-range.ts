import { TopicError } from "../errors.js";

/** Half-open, of hashes 0 to 65535: `to` is 65536 for the last one. The wire and the key names have it inclusive; only codecs convert. */
export interface HashRange {
  readonly from: number;
  readonly to: number;
}

/** One more than the highest hash. */
export const HASHES = 65536;
export const MIN_RANGE_SIZE_FACTOR = 6;
export const MAX_RANGE_SIZE_FACTOR = 16;

/** @throws TopicError "invalid-range-size" */
export function checkRangeSizeFactor(factor: number): number {
  if (!Number.isInteger(factor) || factor < MIN_RANGE_SIZE_FACTOR || factor > MAX_RANGE_SIZE_FACTOR) {
    throw new TopicError(
      "invalid-range-size",
      `${factor} is not a range size factor: an integer from ${MIN_RANGE_SIZE_FACTOR} to ${MAX_RANGE_SIZE_FACTOR} is allowed (ranges of 2^factor hashes)`,
    );
  }
  return factor;
}

/** The ranges of a topic, ascending, adjacent, covering all hashes. */
export function rangesOfFactor(factor: number): HashRange[] {
  const size = 2 ** checkRangeSizeFactor(factor);
  return Array.from({ length: HASHES / size }, (_, i) => ({ from: i * size, to: (i + 1) * size }));
}

/** The range of a topic with this factor that holds the hash. */
export function rangeOfHash(hash: number, factor: number): HashRange {
  const from = Math.floor(hash / 2 ** factor) * 2 ** factor;
  return { from, to: from + 2 ** factor };
}

/** `{from}-{to}`, both inclusive, as in key names. */
export function formatHashRange(range: HashRange): string {
  return `${range.from}-${range.to - 1}`;
}

/** @throws TopicError "invalid-hash-range" */
export function parseHashRange(text: string): HashRange {
  const match = /^(0|[1-9]\d{0,4})-(0|[1-9]\d{0,4})$/.exec(text);
  if (match) {
    const from = Number(match[1]);
    const last = Number(match[2]);
    if (from <= last && last < HASHES) return { from, to: last + 1 };
  }
  throw new TopicError(
    "invalid-hash-range",
    `${JSON.stringify(text).slice(0, 64)} is not a hash range: "{from}-{to}" with 0 <= from <= to <= 65535 is allowed`,
  );
}

/** From the inclusive bounds of the wire. @throws TopicError "invalid-hash-range" */
export function hashRangeFromWire(from: number, last: number): HashRange {
  if (Number.isInteger(from) && Number.isInteger(last) && 0 <= from && from <= last && last < HASHES) {
    return { from, to: last + 1 };
  }
  throw new TopicError(
    "invalid-hash-range",
    `${from}-${last} is not a hash range: 0 <= from <= to <= 65535 is allowed`,
  );
}

export function sameRange(a: HashRange, b: HashRange): boolean {
  return a.from === b.from && a.to === b.to;
}

export function rangesOverlap(a: HashRange, b: HashRange): boolean {
  return Math.max(a.from, b.from) < Math.min(a.to, b.to);
}

export function inRange(hash: number, range: HashRange): boolean {
  return range.from <= hash && hash < range.to;
}
