import type { FanoutStats } from "../stats.js";
import { estimate } from "./servers.js";
import type { SchedulerState } from "./state.js";

/** What the state says of its servers and its budget, as of its last event. */
export function statsOf<P, V>(state: SchedulerState<P, V>): FanoutStats {
  const servers = [...state.servers.values()].map((server) => {
    const latencyMs = estimate(server, state.nowMs);
    return {
      server: server.key,
      inFlight: server.inFlight,
      latencyMs: Number.isNaN(latencyMs) ? undefined : latencyMs,
      suspect: server.strikes > 0,
    };
  });
  return { tokens: state.budget.tokens, servers };
}
