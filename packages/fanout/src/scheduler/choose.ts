import { drawIndex } from "./random.js";
import { estimate, type Server } from "./servers.js";
import type { SchedulerState } from "./state.js";

/**
 * Picks one of the servers (an index, of at least one): the cheaper of two at random ("power of two choices", Mitzenmacher 2001). What a server costs
 * is its latency estimate times the requests it would have then. One that has not been measured is taken for as slow as
 * the median of the others, so that newcomers get their share and no more; when none is measured, only the
 * requests count.
 */
export function chooseOne<P, V>(state: SchedulerState<P, V>, servers: readonly Server<P, V>[]): number {
  if (servers.length === 1) return 0;
  const one = drawIndex(state.random, servers.length);
  let two = drawIndex(state.random, servers.length - 1);
  if (two >= one) two++;
  const a = servers[one]!;
  const b = servers[two]!;
  let latencyA = estimate(a, state.nowMs);
  let latencyB = estimate(b, state.nowMs);
  if (Number.isNaN(latencyA) || Number.isNaN(latencyB)) {
    const median = medianEstimate(servers, state.nowMs);
    if (Number.isNaN(latencyA)) latencyA = median;
    if (Number.isNaN(latencyB)) latencyB = median;
  }
  const costA = latencyA * (a.inFlight + 1);
  const costB = latencyB * (b.inFlight + 1);
  if (costA !== costB) return costA < costB ? one : two;
  return a.inFlight <= b.inFlight ? one : two;
}

function medianEstimate<P, V>(servers: readonly Server<P, V>[], nowMs: number): number {
  const known = servers.map((server) => estimate(server, nowMs)).filter((latency) => !Number.isNaN(latency));
  if (known.length === 0) return 1;
  known.sort((a, b) => a - b);
  return known[(known.length - 1) >>> 1]!;
}
