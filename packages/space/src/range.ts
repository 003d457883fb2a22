/**
 * The end of every space: above all of its points, and itself a point of none, so no range contains it.
 *
 * A registered symbol, so that two copies of this package agree on it. JSON drops symbols silently and
 * `structuredClone` refuses them: convert bounds at the codec, with `format` and `parse` or the wire's own form.
 */
export const infinity: unique symbol = Symbol.for("@x/space/infinity");

/** A point, or the end of the space. The number `Infinity` is no bound of any space. */
export type Bound<P> = P | typeof infinity;

/**
 * The points from `from` (inclusive) up to `to` (exclusive). Empty when both are the same.
 *
 * A plain object: `{ from: 0, to: 4096 }` will do. The functions that work on ranges belong to the
 * space, since only it knows the order: `hash16.contains(range, point)`.
 */
export interface Range<P> {
  readonly from: P;
  readonly to: Bound<P>;
}
