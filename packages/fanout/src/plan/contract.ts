import type { Space } from "@x/space";
import type { Views } from "../views.js";

/**
 * The points of one call in the order of their space. A point's **rank** is its place in that order; equal points keep the
 * order of their offsets.
 */
export interface SortedPoints<P> {
  readonly space: Space<P>;
  /** By offset. A copy of the caller's array. */
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
  /** Ranks to cover, ascending and distinct: all of a call, or those that are sent again. */
  readonly ranks: Uint32Array;
  /**
   * Which views to use first: all of the lowest tier that serve a point come before any of the next. `Infinity` for those that
   * must not be used. Asked once per view. Any numbers will do, and many of them cost nothing extra.
   */
  readonly tierOf: (view: number) => number;
  /**
   * Picks one of the views (never none) for a request. Called once per request, in the order of the plan, with all views of the
   * tier that serve all its ranks; in balanced mode only with those of them that have had the fewest pieces of the run so
   * far. The order of the candidates means nothing, and the array is the planner's own: it changes after the call.
   */
  readonly choose: (candidates: readonly number[]) => number;
  /** 1 or more; `Infinity` for no limit. */
  readonly maxPointsPerRequest: number;
  /**
   * - `fewest`: the fewest requests that cover what the tier serves.
   * - `balanced`: each run of points that have the same candidates is cut into pieces of the same size (give or take a
   *   point), one for each candidate or, where that is above `maxPointsPerRequest`, two, three ... for each. The
   *   first piece of a run joins the request before it, if its view serves the run and there is room.
   */
  readonly mode: "fewest" | "balanced";
}

export interface PlannedRequest {
  /** Index into `LocatedViews.views`. */
  readonly view: number;
  /** Ascending, never empty. Shares its memory with the other requests of the plan, and with nobody else. */
  readonly ranks: Uint32Array;
}

export interface Plan {
  /** Each rank is in exactly one of them or in `uncovered`. The lowest tier first; within a tier they ascend. */
  readonly requests: readonly PlannedRequest[];
  /** The ranks that no usable view serves, ascending. */
  readonly uncovered: Uint32Array;
}

/** src/plan/sort-points.ts. @throws FanoutError "invalid-argument" that names the offset of a value that is no point of the space */
export type SortPoints = <P>(space: Space<P>, points: readonly P[]) => SortedPoints<P>;

/** src/plan/locate-views.ts. @throws FanoutError "invalid-argument" that names the view whose `serves` is no range of the space */
export type LocateViews = <P, V>(sorted: SortedPoints<P>, views: Views<V>) => LocatedViews<V>;

/** src/plan/plan-requests.ts */
export type PlanRequests = (located: LocatedViews<unknown>, options: PlanOptions) => Plan;
