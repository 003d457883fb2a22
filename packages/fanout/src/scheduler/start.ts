import { unassign } from "./assign.js";
import type { SchedulerEvent } from "./contract.js";
import { close, expire, failuresOf } from "./finish.js";
import { withDefaults } from "./hedge-delay.js";
import { locate } from "./locate.js";
import { failRanks } from "./points.js";
import { type Call, type SchedulerState, tell } from "./state.js";
import { carryOut, plan, splitUncovered, wait } from "./waiting.js";

type Start<P, V> = Extract<SchedulerEvent<P, V>, { readonly type: "start" }>;

/** @throws FanoutError "invalid-argument" for views that are none; the call is not there then */
export function start<P, V>(state: SchedulerState<P, V>, event: Start<P, V>): void {
  if (state.calls.has(event.call)) return;
  const call = createCall(state, event);
  state.calls.set(call.id, call);
  const tellPlan = (requests: number, uncovered: number): void => {
    const { id, openCount: points } = call;
    tell(state, { type: "plan", atMs: state.nowMs, call: id, points, requests, uncovered });
  };
  if (call.openCount === 0 || call.options.deadlineMs <= state.nowMs) {
    tellPlan(0, 0);
    if (call.openCount === 0) state.complete.push(call);
    else expire(state, call);
    return;
  }
  const ranks = new Uint32Array(call.openCount);
  for (let rank = 0; rank < ranks.length; rank++) ranks[rank] = rank;
  const waiting = wait<P, V>({ call, ranks });
  const planned = plan(state, waiting);
  const { never } = splitUncovered(state, waiting, planned.uncovered);
  tellPlan(planned.assignments.length, never.length);
  if (never.length > 0 && !call.options.viewsCanBeRead && call.options.sendPartial !== true) {
    // It fails in any case, so the servers are spared.
    for (const assignment of planned.assignments) unassign(state, assignment);
    failRanks(state, call, never, "uncovered");
    close(state, call, "uncovered", failuresOf(call));
    return;
  }
  state.timers.set(call, call.options.deadlineMs);
  carryOut(state, waiting, planned);
}

function createCall<P, V>(
  state: SchedulerState<P, V>,
  { call, points, views, options }: Start<P, V>,
): Call<P, V> {
  const count = points.offsets.length;
  return {
    kind: "call",
    dueMs: 0,
    slot: -1,
    id: call,
    points,
    options,
    hedge: withDefaults(options.hedge),
    ...locate(state, points, views),
    status: new Uint8Array(count),
    openCount: count,
    satisfiedCount: 0,
    rankOf: undefined,
    carrier: options.perPoint ? new Uint32Array(count) : undefined,
    deliveredBy: undefined,
    requestCount: 0,
    requests: new Set(),
    waiting: new Set(),
    lines: new Map(),
    causes: [],
    pausedAtMs: Number.NaN,
    pausedMs: 0,
    pauses: 0,
    readings: 0,
    reading: false,
    viewsError: undefined,
  };
}
