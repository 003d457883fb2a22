import { type Bound, infinity, type Range } from "./range.js";
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
  readonly bisect: (starts: readonly P[]) => (point: P) => number;
}

/** The JavaScript types that points of some space have: a wrong one of these is a mix-up rather than garbage. */
const pointTypes: ReadonlySet<string> = new Set(["bigint", "number", "string"]);

export function createSpace<P>(rules: PointRules<P>): Space<P> {
  const { kind, minimum, allowed, isPoint, order } = rules;

  function point(value: unknown): P {
    if (isPoint(value)) return value;
    const mixed = typeof value !== typeof minimum && pointTypes.has(typeof value);
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

  function checkRange(range: Range<P>): Range<P> {
    if (typeof range !== "object" || range === null) {
      throw new SpaceError(
        "invalid-range",
        `A range of ${kind} is an object { from, to }, and this is ${describeValue(range)}.`,
      );
    }
    checkBounds(range.from, range.to);
    return range;
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
    checkRange(a);
    checkRange(b);
    const from = later(a.from, b.from);
    const to = earlier(a.to, b.to);
    // Covers empty arguments too: the later start is then at or after the earlier end.
    return orderBounds(from, to) < 0 ? Object.freeze({ from, to }) : undefined;
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
      return Object.freeze({ from, to });
    },
    isEmpty: (range: Range<P>): boolean => isEmptyChecked(checkRange(range)),
    contains: (range: Range<P>, value: Bound<P>): boolean => {
      checkRange(range);
      const checked = bound(value);
      return checked !== infinity && order(range.from, checked) <= 0 && orderBounds(checked, range.to) < 0;
    },
    overlaps: (a: Range<P>, b: Range<P>): boolean => {
      checkRange(a);
      checkRange(b);
      return orderBounds(later(a.from, b.from), earlier(a.to, b.to)) < 0;
    },
    equals: (a: Range<P>, b: Range<P>): boolean => {
      checkRange(a);
      checkRange(b);
      if (isEmptyChecked(a) || isEmptyChecked(b)) return isEmptyChecked(a) && isEmptyChecked(b);
      return order(a.from, b.from) === 0 && orderBounds(a.to, b.to) === 0;
    },
    intersect,
    formatRange: (range: Range<P>): string => {
      checkRange(range);
      return `[${rules.quote(range.from)}, ${range.to === infinity ? "inf" : rules.quote(range.to)})`;
    },
    bisect: rules.bisect,
  });
}
