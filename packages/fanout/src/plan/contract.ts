import type { Space } from "@x/space";
import type { Views } from "../views.js";

/**
 * The points of one call in the order of their space. A point's **rank** is its place in that order; equal points keep the
 * order of their offsets.
 */
export interface SortedPoints<P> {
  readonly space: Space<P>;
  readonly points: readonly P[];
  /** The offset (index in `points`) of each rank. */
  readonly offsets: Uint32Array;
}

/** The views of one call, each with the ranks of the points it serves: from `first` (inclusive) to `end` (exclusive). */
export interface LocatedViews<V> {
  /** Only the views that serve a point, in the order of the list. An index into this array names a view in a plan. */
  readonly views: readonly V[];
  readonly first: Uint32Array;
  readonly end: Uint32Array;
}

export interface PlanOptions {
  /** Ranks to cover, ascending and distinct. */
  readonly ranks: Uint32Array;
  /**
   * Which views to use first: all of the lowest tier that serve a point come before any of the next. `Infinity` for those that
   * must not be used. Asked once per view.
   */
  readonly tierOf: (view: number) => number;
  /** Picks one of the views (never none) for a request. Called once per request, in the order of the plan, with views that serve all its ranks. */
  readonly choose: (candidates: readonly number[]) => number;
  readonly maxPointsPerRequest: number;
  readonly mode: "fewest" | "balanced";
}

export interface PlannedRequest {
  /** Index into `LocatedViews.views`. */
  readonly view: number;
  /** Ascending, never empty. */
  readonly ranks: Uint32Array;
}

export interface Plan {
  /** Each rank is in exactly one of them or in `uncovered`. */
  readonly requests: readonly PlannedRequest[];
  /** The ranks that no usable view serves. */
  readonly uncovered: Uint32Array;
}

/** src/plan/sort-points.ts. @throws FanoutError "invalid-argument" that names the offset of a value that is no point of the space */
export type SortPoints = <P>(space: Space<P>, points: readonly P[]) => SortedPoints<P>;

/** src/plan/locate-views.ts. @throws FanoutError "invalid-argument" that names the view whose `serves` is no range of the space */
export type LocateViews = <P, V>(sorted: SortedPoints<P>, views: Views<V>) => LocatedViews<V>;

/** src/plan/plan-requests.ts */
export type PlanRequests = (located: LocatedViews<unknown>, options: PlanOptions) => Plan;
