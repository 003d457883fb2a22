import { serverAt } from "./locate.js";
import { drawIndex } from "./random.js";
import { estimate } from "./servers.js";
import type { Call, SchedulerState } from "./state.js";

/**
 * Picks one of the call's views (of at least one): that of the cheaper of two servers at random ("power of two choices", Mitzenmacher 2001).
 * What a server costs is its latency estimate times the requests it would have then. One that has not been measured is taken
 * for as slow as the median of the others, so that newcomers get their share and no more; when none is measured, only the
 * requests count.
 */
export function chooseOne<P, V>(
  state: SchedulerState<P, V>,
  call: Call<P, V>,
  views: readonly number[],
): number {
  if (views.length === 1) return views[0]!;
  const one = drawIndex(state.random, views.length);
  let two = drawIndex(state.random, views.length - 1);
  if (two >= one) two++;
  const a = serverAt(state, call, views[one]!);
  const b = serverAt(state, call, views[two]!);
  let latencyA = estimate(a, state.nowMs);
  let latencyB = estimate(b, state.nowMs);
  if (Number.isNaN(latencyA) || Number.isNaN(latencyB)) {
    const median = medianEstimate(state, call, views);
    if (Number.isNaN(latencyA)) latencyA = median;
    if (Number.isNaN(latencyB)) latencyB = median;
  }
  const costA = latencyA * (a.inFlight + 1);
  const costB = latencyB * (b.inFlight + 1);
  const first = costA === costB ? a.inFlight <= b.inFlight : costA < costB;
  return views[first ? one : two]!;
}

function medianEstimate<P, V>(
  state: SchedulerState<P, V>,
  call: Call<P, V>,
  views: readonly number[],
): number {
  const known = views
    .map((view) => estimate(serverAt(state, call, view), state.nowMs))
    .filter((latency) => !Number.isNaN(latency));
  if (known.length === 0) return 1;
  known.sort((a, b) => a - b);
  return known[(known.length - 1) >>> 1]!;
}
