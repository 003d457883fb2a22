import { FanoutError } from "../errors.js";
import type { SchedulerAction, SchedulerEvent } from "./contract.js";
import { fail } from "./failure.js";
import { complete, expire, stop } from "./finish.js";
import { hedge, hedgeUnpaid } from "./hedge.js";
import { pause, resume } from "./pause.js";
import { onViews, onViewsError } from "./reading.js";
import { onBegun, onEnd, onResult } from "./results.js";
import { arm, hedgeDueMs, idleDueMs } from "./send.js";
import { sweepServers } from "./servers.js";
import { start } from "./start.js";
import type { Call, Request, SchedulerState, Waiting } from "./state.js";
import { fill, release } from "./waiting.js";

/**
 * One step of the machine: what happened goes in, what is to be done comes out. It reads no clock and draws its chance from the state,
 * so the same events, fed to a fresh state with the same seed, give the same actions.
 *
 * The state is changed in place and returned, and the one that was passed in must not be used again: a call may have 100,000
 * points, and a copy for each event would cost more than all the rest. What is due is done at a "tick" alone, after which `wakeAtMs` is
 * later than it: when the process stood still, the answers that came meanwhile are told one by one, and the first of them must not make
 * hedges for the others.
 *
 * @throws FanoutError "invalid-argument" from "start", for views that are none; that call was never there then
 */
export function next<P, V>(
  state: SchedulerState<P, V>,
  event: SchedulerEvent<P, V>,
): { readonly state: SchedulerState<P, V>; readonly actions: readonly SchedulerAction<P, V>[] } {
  const actions: SchedulerAction<P, V>[] = [];
  state.actions = actions;
  if (event.nowMs > state.nowMs) state.nowMs = event.nowMs;
  handle(state, event);
  settle(state, event.type === "tick");
  sweepServers(state);
  state.wakeAtMs = state.timers.nextMs;
  return { state, actions };
}

function handle<P, V>(state: SchedulerState<P, V>, event: SchedulerEvent<P, V>): void {
  switch (event.type) {
    case "start":
      start(state, event);
      return;
    case "tick":
      return;
    case "result":
    case "end":
    case "error":
    case "begun": {
      const request = state.requests.get(event.request);
      if (request === undefined) return;
      if (event.type === "result") onResult(state, request, event.offset);
      else if (event.type === "end") onEnd(state, request);
      else if (event.type === "begun") onBegun(state, request);
      else fail(state, request, event);
      return;
    }
    default: {
      const call = state.calls.get(event.call);
      if (call === undefined) return;
      if (event.type === "pause") pause(state, call);
      else if (event.type === "resume") resume(state, call);
      else if (event.type === "views") onViews(state, call, event.views);
      else if (event.type === "views-error") onViewsError(state, call, event.error);
      else stop(state, call);
    }
  }
}

/** Does what has become possible by what was done and, at a tick, what is due, until there is nothing more. */
function settle<P, V>(state: SchedulerState<P, V>, ticks: boolean): void {
  for (;;) {
    if (state.complete.length > 0) {
      // It may be there twice, or have been closed before.
      for (const call of state.complete) if (state.calls.has(call.id)) complete(state, call);
      state.complete.length = 0;
    }
    for (const server of state.roomy) {
      state.roomy.delete(server);
      fill(state, server);
    }
    if (state.complete.length > 0 || state.roomy.size > 0) continue;
    const due = ticks ? state.timers.take(state.nowMs) : undefined;
    if (due !== undefined) ring(state, due);
    else {
      hedgeUnpaid(state);
      if (state.roomy.size === 0) return;
    }
  }
}

function ring<P, V>(state: SchedulerState<P, V>, due: Call<P, V> | Request<P, V> | Waiting<P, V>): void {
  if (due.kind === "call") expire(state, due);
  else if (due.kind === "waiting") release(state, due);
  else ringRequest(state, due);
}

function ringRequest<P, V>(state: SchedulerState<P, V>, request: Request<P, V>): void {
  // Not before the call goes on.
  if (!Number.isNaN(request.call.pausedAtMs)) return;
  if (idleDueMs(request) <= state.nowMs) {
    const { idleTimeoutMs } = request.call.options;
    const error = new FanoutError("timeout", `A request gave nothing for ${idleTimeoutMs} ms.`);
    state.actions.push({ type: "abort", request: request.id });
    fail(state, request, { error, verdict: { class: "retryable" }, timedOut: true });
    return;
  }
  if (hedgeDueMs(request) <= state.nowMs) hedge(state, request);
  else arm(state, request);
}
