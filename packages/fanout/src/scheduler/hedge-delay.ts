import type { HedgeOptions } from "../options.js";
import type { SchedulerState } from "./state.js";

const fewest = 20;

/** How long a request that is sent now may take before it is hedged. */
export function hedgeDelay<P, V>(state: SchedulerState<P, V>, hedge: Required<HedgeOptions>): number {
  if ("afterMs" in hedge) return hedge.afterMs;
  const { percentile, minMs, initialMs } = hedge;
  return Math.max(minMs, state.latencies.seen < fewest ? initialMs : state.latencies.percentile(percentile));
}

/** Fills in what a caller left out. */
export function withDefaults(hedge: HedgeOptions | false): Required<HedgeOptions> | undefined {
  if (hedge === false) return undefined;
  const { maxHedges = 1, tied = false } = hedge;
  if ("afterMs" in hedge) return { maxHedges, tied, afterMs: hedge.afterMs };
  const { percentile, minMs = 1, initialMs = 100 } = hedge;
  return { maxHedges, tied, percentile, minMs, initialMs };
}
