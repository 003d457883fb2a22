import { arm } from "./send.js";
import type { Call, SchedulerState } from "./state.js";
import { release, relook } from "./waiting.js";

/** The reader is behind: the call sends nothing, and its own time stands still. */
export function pause<P, V>(state: SchedulerState<P, V>, call: Call<P, V>): void {
  if (!Number.isNaN(call.pausedAtMs)) return;
  call.pausedAtMs = state.nowMs;
  call.pauses++;
  // Its timers are left where they are: whichever rings meanwhile is set again by `resume`. Readers pause often.
  for (const server of call.lines.keys()) server.waiting.delete(call);
}

export function resume<P, V>(state: SchedulerState<P, V>, call: Call<P, V>): void {
  if (Number.isNaN(call.pausedAtMs)) return;
  call.pausedMs += state.nowMs - call.pausedAtMs;
  call.pausedAtMs = Number.NaN;
  for (const request of call.requests) if (request.slot < 0) arm(state, request);
  for (const [server, line] of call.lines) {
    server.waiting.set(call, line);
    state.roomy.add(server);
  }
  for (const waiting of [...call.waiting]) {
    if (waiting.slot >= 0) continue;
    if (waiting.inLine) relook(state, waiting);
    else release(state, waiting);
  }
}
