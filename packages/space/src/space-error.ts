import { isBytes } from "./bytes.js";

/**
 * What went wrong, for programs. Match on this and never on the message.
 *
 * - `invalid-point`: the value is of the right type but no point of the space, or text that is none.
 * - `mixed-spaces`: the value has the type of another space's points, such as a string given to a hash space.
 * - `invalid-range`: not a range, or one that runs backwards.
 * - `invalid-partition`: ranges that are empty, out of order, overlapping or not adjacent; a wrong number of partitions.
 * - `invalid-argument`: a wrong input, seed or modulus of a hash function; a visitor or an option that is none.
 * - `concurrent-change`: a `RangeIndex` was changed by the visitor of a query on it.
 * - `not-enough-servers`: there are fewer servers than replicas, or none.
 */
export type SpaceErrorCode =
  | "invalid-point"
  | "mixed-spaces"
  | "invalid-range"
  | "invalid-partition"
  | "invalid-argument"
  | "concurrent-change"
  | "not-enough-servers";

/** The only error this package throws. The message says what was wrong and what is allowed. */
export class SpaceError extends Error {
  override readonly name: string = "SpaceError";
  readonly code: SpaceErrorCode;

  constructor(code: SpaceErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** @param sentence what it should be, to go on with "..., and this is ..." */
export function checkIterable(value: unknown, sentence: string): void {
  // A string is iterable, and never what was meant.
  if (typeof value === "object" && value !== null && Symbol.iterator in value) return;
  throw new SpaceError("invalid-argument", `${sentence}, and this is ${describeValue(value)}.`);
}

const longestShown = 40;

/** A short text of any value for error messages: bad input may be huge or have a hostile `toString`. */
export function describeValue(value: unknown): string {
  switch (typeof value) {
    case "string":
      return value.length > longestShown
        ? `a string of ${value.length} characters`
        : `the string ${JSON.stringify(value)}`;
    case "bigint":
      // Printing takes quadratic time in the number of digits, hence the bound.
      return value >= -(1n << 128n) && value <= 1n << 128n
        ? `the bigint ${value}n`
        : "a bigint beyond 128 bits";
    case "number":
      return value === Number.POSITIVE_INFINITY
        ? "the number Infinity (the end of every space is `infinity` of @x/space)"
        : `the number ${value}`;
    case "boolean":
    case "undefined":
      return String(value);
    case "object":
      if (value === null) return "null";
      if (isBytes(value)) return `a Uint8Array of length ${value.length}`;
      return Array.isArray(value) ? "an array" : "an object";
    default:
      return `a ${typeof value}`;
  }
}
