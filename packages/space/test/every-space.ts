import fc from "fast-check";
import {
  type Bound,
  byteKeys,
  hash16,
  hash64,
  infinity,
  type Range,
  type Space,
  utf8Keys,
} from "../src/index.js";
import { points16, points64, pointsBytes, pointsKeys } from "./sample-points.js";

export interface Samples<P> {
  readonly space: Space<P>;
  /** Fixed points, in order. */
  readonly ascending: readonly P[];
  /** Of few points, so that the same ones come again and touch. */
  readonly point: fc.Arbitrary<P>;
  /** Of any points at all. */
  readonly anyPoint: fc.Arbitrary<P>;
}

/** Runs the same tests in all four spaces. */
export function inEverySpace(describeTests: <P>(samples: Samples<P>) => void): void {
  describeTests({
    space: hash64,
    ascending: points64,
    point: fc.oneof(
      fc.bigInt({ min: 0n, max: 20n }),
      // Neighbours that the same double stands for, and the end.
      fc.bigInt({ min: (1n << 64n) - 20n, max: (1n << 64n) - 1n }),
    ),
    anyPoint: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  });
  describeTests({
    space: hash16,
    ascending: points16,
    point: fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constantFrom(65534, 65535)),
    anyPoint: fc.integer({ min: 0, max: 65535 }),
  });
  const units = fc.array(fc.constantFrom("a", "b", "\ud800", "\udc00", "\ue000", "\ufffd"), { maxLength: 3 });
  describeTests({
    space: utf8Keys,
    ascending: pointsKeys,
    point: fc.oneof(
      units.map((parts) => parts.join("")),
      // Longer than what a rank can tell.
      units.map((parts) => `prefix-${parts.join("")}`),
    ),
    anyPoint: fc.oneof(
      fc.string({ unit: "binary" }),
      fc.array(fc.integer({ min: 0, max: 0xffff })).map((codes) => String.fromCharCode(...codes)),
    ),
  });
  const bytes = fc.array(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), { maxLength: 3 });
  describeTests({
    space: byteKeys,
    ascending: pointsBytes,
    point: fc.oneof(
      bytes.map((parts) => Uint8Array.from(parts)),
      bytes.map((parts) => Uint8Array.from([9, 9, 9, 9, 9, 9, ...parts])),
    ),
    anyPoint: fc.uint8Array({ maxLength: 12 }),
  });
}

/** Ranges between given points: some empty, some without an end. */
export function rangeOf<P>(space: Space<P>, point: fc.Arbitrary<P>): fc.Arbitrary<Range<P>> {
  const bound: fc.Arbitrary<Bound<P>> = fc.oneof({ weight: 6, arbitrary: point }, fc.constant(infinity));
  return fc.tuple(point, bound).map(([a, b]) => {
    if (b === infinity || space.compare(a, b) <= 0) return { from: a, to: b };
    return { from: b, to: a };
  });
}

/** Points that tell any two unions of ranges with these bounds apart: the bounds themselves, sorted, each once. */
export function boundsOf<P>(space: Space<P>, ranges: readonly Range<P>[]): readonly P[] {
  const bounds = ranges.flatMap(({ from, to }) => (to === infinity ? [from] : [from, to]));
  const sorted = [space.minimum, ...bounds].sort(space.compare);
  return sorted.filter((point, index) => index === 0 || space.compare(sorted[index - 1]!, point) !== 0);
}

/** Two points are the same here only if the space says so: for bytes and lone surrogates `===` does not. */
export function textOf<P>(space: Space<P>, ranges: Iterable<Range<P>>): readonly string[] {
  return Array.from(ranges, space.formatRange);
}
