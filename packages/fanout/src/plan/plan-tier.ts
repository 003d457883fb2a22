import { ActiveViews } from "./active-views.js";
import type { LocatedViews, PlannedRequest, PlanOptions } from "./contract.js";
import { lowerBound } from "./uncovered-ranks.js";

/** The views of one tier. */
export interface Tier {
  /** Ascending by their first rank. */
  readonly byFirst: Uint32Array;
  /** Ascending by their end. */
  readonly byEnd: Uint32Array;
}

/** What all tiers of a plan use one after the other, so that many tiers of few views are not slow. */
export class TierMemory {
  readonly active: ActiveViews;
  /** What each view of the tier serves, as indexes into the ranks of the tier. */
  readonly first: Uint32Array;
  readonly end: Uint32Array;

  constructor(viewCount: number) {
    this.active = new ActiveViews(viewCount);
    this.first = new Uint32Array(viewCount);
    this.end = new Uint32Array(viewCount);
  }
}

/**
 * Plans all of the ranks on the views of a tier, which together serve every one of them. The requests ascend and share the
 * memory of `ranks`. O(V + requests) beside the binary searches for the bounds of the views.
 */
export function planTier(
  located: LocatedViews<unknown>,
  tier: Tier,
  ranks: Uint32Array,
  memory: TierMemory,
  options: PlanOptions,
): PlannedRequest[] {
  const sweep = new Sweep(located, tier, ranks, memory);
  const requests = options.mode === "balanced" ? planBalanced(sweep, options) : planFewest(sweep, options);
  memory.active.clear();
  return requests;
}

/** Goes from left to right over the ranks and knows which views serve the one that it has reached. */
class Sweep {
  readonly ranks: Uint32Array;
  readonly active: ActiveViews;
  /** The largest end of all views that started so far. */
  reach = 0;
  readonly #byFirst: Uint32Array;
  readonly #byEnd: Uint32Array;
  readonly #first: Uint32Array;
  readonly #end: Uint32Array;
  #started = 0;
  #ended = 0;

  constructor(located: LocatedViews<unknown>, tier: Tier, ranks: Uint32Array, memory: TierMemory) {
    this.ranks = ranks;
    this.active = memory.active;
    this.#first = memory.first;
    this.#end = memory.end;
    const serves = (view: number): boolean => this.#first[view]! < this.#end[view]!;
    let idle = 0;
    for (let index = 0; index < tier.byFirst.length; index++) {
      const view = tier.byFirst[index]!;
      this.#first[view] = lowerBound(ranks, located.first[view]!);
      this.#end[view] = lowerBound(ranks, located.end[view]!);
      if (!serves(view)) idle++;
    }
    // A view with none of these ranks would cut a run of points that have the same candidates.
    this.#byFirst = idle === 0 ? tier.byFirst : tier.byFirst.filter(serves);
    this.#byEnd = idle === 0 ? tier.byEnd : tier.byEnd.filter(serves);
  }

  /** Moves to an index: views that start at or before it come in, if they serve it. */
  startUntil(index: number): void {
    for (; this.#started < this.#byFirst.length; this.#started++) {
      const view = this.#byFirst[this.#started]!;
      if (this.#first[view]! > index) return;
      const end = this.#end[view]!;
      if (end <= index) continue;
      this.active.add(view);
      this.reach = Math.max(this.reach, end);
    }
  }

  /** Drops the views that do not serve the index. */
  endBefore(index: number): void {
    for (; this.#ended < this.#byEnd.length; this.#ended++) {
      const view = this.#byEnd[this.#ended]!;
      if (this.#end[view]! > index) return;
      this.active.delete(view);
    }
  }

  /** The index at which the next view starts or ends. */
  nextChange(): number {
    const start = this.#byFirst[this.#started];
    const end = this.#byEnd[this.#ended];
    return Math.min(
      start === undefined ? this.ranks.length : this.#first[start]!,
      end === undefined ? this.ranks.length : this.#end[end]!,
    );
  }
}

/**
 * The minimum cover of points by intervals: the leftmost point that is left goes with all that follow as far as any view that serves it
 * reaches, or as a request has room for. No plan is ever further to the right after as many requests, so none has fewer.
 */
function planFewest(sweep: Sweep, { choose, maxPointsPerRequest }: PlanOptions): PlannedRequest[] {
  const { ranks, active } = sweep;
  const requests: PlannedRequest[] = [];
  for (let at = 0; at < ranks.length; ) {
    sweep.startUntil(at);
    const end = Math.min(sweep.reach, at + Math.floor(maxPointsPerRequest));
    // These serve nothing to the right of this request either.
    sweep.endBefore(end - 1);
    requests.push({ view: active.pick(choose), ranks: ranks.subarray(at, end) });
    at = end;
  }
  return requests;
}

/**
 * Cuts the points into runs with the same candidates, and each run into pieces of the same size, give or take one point: one for
 * each candidate, or twice, three times ... as many where a request has no room for so much. `choose` picks for each piece
 * among the candidates that have the fewest pieces of the run. The first piece of a run stays in the request before it, where
 * its view serves the run too and there is room.
 */
function planBalanced(sweep: Sweep, { choose, maxPointsPerRequest }: PlanOptions): PlannedRequest[] {
  const { ranks, active } = sweep;
  const most = Math.min(Math.floor(maxPointsPerRequest), ranks.length);
  const requests: PlannedRequest[] = [];
  // The last request, which may still grow.
  let view = -1;
  let from = 0;
  let to = 0;
  const flush = (): void => {
    if (to > from) requests.push({ view, ranks: ranks.subarray(from, to) });
  };
  for (let run = 0; run < ranks.length; ) {
    sweep.startUntil(run);
    sweep.endBefore(run);
    const runEnd = sweep.nextChange();
    const length = runEnd - run;
    const pieces = countPieces(length, active.list.length, most);
    const done: number[] = [];
    for (let piece = 0; piece < pieces; piece++) {
      const end = run + Math.floor(((piece + 1) * length) / pieces);
      if (piece > 0 || !active.has(view) || end - from > most) {
        flush();
        from = to;
        view = active.pick(choose);
      }
      to = end;
      active.delete(view);
      done.push(view);
      if (active.list.length === 0) for (const again of done.splice(0)) active.add(again);
    }
    for (const again of done) active.add(again);
    run = runEnd;
  }
  flush();
  return requests;
}

/** As many as there are candidates, or a multiple of that so that none has more than `most` points, but none without a point. */
function countPieces(length: number, candidates: number, most: number): number {
  return Math.min(length, Math.ceil(Math.ceil(length / most) / candidates) * candidates);
}
