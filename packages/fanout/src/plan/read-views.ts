import { type Bound, infinity, type Range, type Space } from "@x/space";
import { FanoutError } from "../errors.js";
import type { Views } from "../views.js";

/** The views of a list and what they serve, checked and read once, so that a list that changes its mind later does no harm. */
export interface ServedRanges<P, V> {
  readonly views: readonly V[];
  readonly from: readonly P[];
  /** Nowhere below `from`. */
  readonly to: readonly Bound<P>[];
}

/** As many views as ranks can be counted in 32 bits: more than any list has, unless its length is a lie. */
const mostViews = 2 ** 32 - 1;

/** @throws FanoutError "invalid-argument" that names the view whose `serves` is no range of the space, or says what is wrong with the list */
export function readViews<P, V>(space: Space<P>, views: Views<V>): ServedRanges<P, V> {
  const length = lengthOf(views);
  const read: V[] = [];
  const from: P[] = [];
  const to: Bound<P>[] = [];
  for (let index = 0; index < length; index++) {
    const view = viewAt(views, index, length);
    const range = rangeOf(space, view, index);
    read.push(view);
    from.push(range.from);
    to.push(range.to);
  }
  return { views: read, from, to };
}

function lengthOf(views: Views<unknown>): number {
  let length: unknown;
  try {
    if (typeof views === "object" && views !== null && typeof views.at === "function") length = views.length;
  } catch (error) {
    throw unusable("The list of views", error);
  }
  if (typeof length === "number" && Number.isInteger(length) && length >= 0 && length <= mostViews) {
    return length;
  }
  throw new FanoutError(
    "invalid-argument",
    "Views are an array or an object with a length, which is 0 or a positive integer, and a method at(index).",
  );
}

function viewAt<V>(views: Views<V>, index: number, length: number): V {
  let view: V | undefined;
  try {
    view = views.at(index);
  } catch (error) {
    throw unusable(`views.at(${index})`, error);
  }
  if (typeof view === "object" && view !== null) return view;
  if (typeof view === "function") return view;
  throw new FanoutError(
    "invalid-argument",
    `A view is an object with a range \`serves\`, and views.at(${index}) gives ${view === null ? "null" : view === undefined ? "undefined" : `a ${typeof view}`} although the length of the list is ${length}.`,
  );
}

function rangeOf<P>(space: Space<P>, view: unknown, index: number): Range<P> {
  let serves: unknown;
  try {
    // No compiler has seen this view: `space` looks at what it serves.
    serves = (view as { readonly serves?: unknown }).serves;
    if (typeof serves === "object" && serves !== null) {
      const { from, to } = serves as Range<P>;
      const isRange =
        space.isPoint(from) && (to === infinity || (space.isPoint(to) && space.order(from, to) <= 0));
      // For what is none, the space says what is wrong.
      return isRange ? { from, to } : space.range(from, to);
    }
  } catch (error) {
    throw unusable(`views.at(${index}).serves`, error);
  }
  throw new FanoutError("invalid-argument", `views.at(${index}).serves is not a range { from, to }.`);
}

/** For what code that is not ours has thrown. */
function unusable(name: string, error: unknown): FanoutError {
  const reason = error instanceof Error ? error.message : "It throws.";
  return new FanoutError("invalid-argument", `${name} cannot be used. ${reason}`, { cause: error });
}
