import { isBytes } from "./bytes.js";
import { type Bound, infinity, type Range } from "./range.js";
import { rangeSets } from "./range-sets.js";
import type { Space } from "./space.js";
import { describeValue, SpaceError } from "./space-error.js";

/** What makes one space different from another. Everything else follows from it. */
export interface PointRules<P> {
  readonly kind: string;
  readonly minimum: P;
  /** What the points are, to end the sentence "points of hash16 are ...". */
  readonly allowed: string;
  readonly isPoint: (value: unknown) => value is P;
  /** The order of two points, neither of which is infinity. */
  readonly order: (a: P, b: P) => -1 | 0 | 1;
  readonly format: (point: P) => string;
  /** As `format`, where the text stands between others. */
  readonly quote: (point: P) => string;
  /** Undefined when the text is not what `format` writes. */
  readonly parse: (text: string) => P | undefined;
  /** What `format` writes, to end the sentence "the text of a point is ...". */
  readonly text: string;
  /** As `Space.rank`. */
  readonly rank: (point: P) => number;
  /** A point that nobody else can change. Default: the point itself, for points that nobody can change anyway. */
  readonly own?: (point: P) => P;
  readonly bisect: (starts: readonly P[]) => (point: P) => number;
}

/** The JavaScript type of the points of some space, if values of this type are such: a wrong one is a mix-up rather than garbage. */
function pointType(value: unknown): string | undefined {
  if (isBytes(value)) return "bytes";
  const type = typeof value;
  return type === "bigint" || type === "number" || type === "string" ? type : undefined;
}

export function createSpace<P>(rules: PointRules<P>): Space<P> {
  const { kind, minimum, allowed, isPoint, order, own = (point: P): P => point } = rules;
  const ownType = pointType(minimum);

  function point(value: unknown): P {
    if (isPoint(value)) return value;
    const type = pointType(value);
    const mixed = type !== undefined && type !== ownType;
    throw new SpaceError(
      mixed ? "mixed-spaces" : "invalid-point",
      `Points of ${kind} are ${allowed}, and this is ${describeValue(value)}.`,
    );
  }

  function bound(value: unknown): Bound<P> {
    return value === infinity ? infinity : point(value);
  }

  /** The order of bounds that were checked. */
  function orderBounds(a: Bound<P>, b: Bound<P>): -1 | 0 | 1 {
    if (a === infinity) return b === infinity ? 0 : 1;
    return b === infinity ? -1 : order(a, b);
  }

  function compare(a: Bound<P>, b: Bound<P>): -1 | 0 | 1 {
    return orderBounds(bound(a), bound(b));
  }

  /** Reads each bound once, so that an object of getters cannot pass with one value and be used with another. */
  function checkRange(range: Range<P>): Range<P> {
    if (typeof range !== "object" || range === null) {
      throw new SpaceError(
        "invalid-range",
        `A range of ${kind} is an object { from, to }, and this is ${describeValue(range)}.`,
      );
    }
    const { from, to } = range;
    checkBounds(from, to);
    return { from, to };
  }

  function checkBounds(from: Bound<P>, to: Bound<P>): void {
    if (from === infinity) {
      throw new SpaceError(
        "invalid-range",
        `A range of ${kind} starts at a point, and this one starts at infinity.`,
      );
    }
    point(from);
    if (to === infinity) return;
    point(to);
    if (order(from, to) > 0) {
      throw new SpaceError(
        "invalid-range",
        `A range of ${kind} ends at or after its start, and this one runs from ${describeValue(from)} to ${describeValue(to)}.`,
      );
    }
  }

  /** The range of bounds that were checked. */
  function makeRange(from: P, to: Bound<P>): Range<P> {
    return Object.freeze({ from: own(from), to: to === infinity ? infinity : own(to) });
  }

  function isEmptyChecked(range: Range<P>): boolean {
    return orderBounds(range.from, range.to) === 0;
  }

  function later(a: P, b: P): P {
    return order(a, b) >= 0 ? a : b;
  }

  function earlier(a: Bound<P>, b: Bound<P>): Bound<P> {
    return orderBounds(a, b) <= 0 ? a : b;
  }

  function intersect(a: Range<P>, b: Range<P>): Range<P> | undefined {
    const one = checkRange(a);
    const other = checkRange(b);
    const from = later(one.from, other.from);
    const to = earlier(one.to, other.to);
    // Covers empty arguments too: the later start is then at or after the earlier end.
    return orderBounds(from, to) < 0 ? makeRange(from, to) : undefined;
  }

  return Object.freeze({
    kind,
    minimum,
    isPoint,
    point,
    compare,
    min: (a: Bound<P>, b: Bound<P>): Bound<P> => (compare(a, b) <= 0 ? a : b),
    max: (a: Bound<P>, b: Bound<P>): Bound<P> => (compare(a, b) >= 0 ? a : b),
    format: (value: Bound<P>): string => (value === infinity ? "inf" : rules.format(point(value))),
    parse: (text: string): P => {
      const parsed = typeof text === "string" ? rules.parse(text) : undefined;
      if (parsed === undefined) {
        throw new SpaceError(
          "invalid-point",
          `The text of a point of ${kind} is ${rules.text}, and this is ${describeValue(text)}.`,
        );
      }
      return parsed;
    },
    range: (from: P, to: Bound<P>): Range<P> => {
      checkBounds(from, to);
      return makeRange(from, to);
    },
    isEmpty: (range: Range<P>): boolean => isEmptyChecked(checkRange(range)),
    contains: (range: Range<P>, value: Bound<P>): boolean => {
      const { from, to } = checkRange(range);
      const checked = bound(value);
      return checked !== infinity && order(from, checked) <= 0 && orderBounds(checked, to) < 0;
    },
    overlaps: (a: Range<P>, b: Range<P>): boolean => {
      const one = checkRange(a);
      const other = checkRange(b);
      return orderBounds(later(one.from, other.from), earlier(one.to, other.to)) < 0;
    },
    equals: (a: Range<P>, b: Range<P>): boolean => {
      const one = checkRange(a);
      const other = checkRange(b);
      if (isEmptyChecked(one) || isEmptyChecked(other)) return isEmptyChecked(one) && isEmptyChecked(other);
      return order(one.from, other.from) === 0 && orderBounds(one.to, other.to) === 0;
    },
    intersect,
    ...rangeSets<P>({ kind, bound, checkRange, order: orderBounds, makeRange }),
    formatRange: (range: Range<P>): string => {
      const { from, to } = checkRange(range);
      return `[${rules.quote(from)}, ${to === infinity ? "inf" : rules.quote(to)})`;
    },
    order: orderBounds,
    rank: rules.rank,
    bisect: rules.bisect,
  });
}
