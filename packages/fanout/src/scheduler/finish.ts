import type { Cause, PointFailure } from "../errors.js";
import type { SchedulerAction } from "./contract.js";
import { abort, isTimed, wasSilent } from "./send.js";
import { estimate, observe, strike } from "./servers.js";
import { type Call, failed, open, type Request, reasons, type SchedulerState, tell } from "./state.js";

type Finish<P, V> = Extract<SchedulerAction<P, V>, { readonly type: "finish" }>;

/** No point of the call is open any more. */
export function complete<P, V>(state: SchedulerState<P, V>, call: Call<P, V>): void {
  const failures = failuresOf(call);
  const uncovered = failures.every(({ reason }) => reason === "uncovered");
  close(state, call, failures.length === 0 ? "ok" : uncovered ? "uncovered" : "failed", failures);
}

/** The deadline has passed: what is open has failed. */
export function expire<P, V>(state: SchedulerState<P, V>, call: Call<P, V>): void {
  for (const request of [...call.requests]) {
    accuse(state, request);
    abort(state, request, "deadline");
  }
  const code = failed + reasons.indexOf("deadline");
  const { status } = call;
  for (let rank = 0; rank < status.length; rank++) if (status[rank] === open) status[rank] = code;
  close(state, call, "deadline", failuresOf(call));
}

/** A server that said nothing to anybody for longer than it usually takes is suspect. */
function accuse<P, V>(state: SchedulerState<P, V>, request: Request<P, V>): void {
  const { server, sentAtMs } = request;
  if (!isTimed(request) || !wasSilent(request)) return;
  const elapsedMs = state.nowMs - sentAtMs;
  if (elapsedMs < estimate(server, state.nowMs)) return;
  observe(server, elapsedMs, state.nowMs, true);
  strike(state, server, sentAtMs);
}

/** The caller has left. */
export function stop<P, V>(state: SchedulerState<P, V>, call: Call<P, V>): void {
  for (const request of [...call.requests]) abort(state, request, "left");
  close(state, call, "stopped", []);
}

/** Ends a call of which nothing is under way. */
export function close<P, V>(
  state: SchedulerState<P, V>,
  call: Call<P, V>,
  code: Finish<P, V>["code"],
  failures: readonly PointFailure<P, V>[],
): void {
  for (const waiting of call.waiting) {
    state.timers.clear(waiting);
    waiting.inLine = false;
  }
  call.waiting.clear();
  for (const server of call.lines.keys()) server.waiting.delete(call);
  call.lines.clear();
  state.timers.clear(call);
  state.calls.delete(call.id);
  tell(state, {
    type: "done",
    atMs: state.nowMs,
    call: call.id,
    satisfied: call.satisfiedCount,
    failed: failures.length,
  });
  state.actions.push({
    type: "finish",
    call: call.id,
    code,
    failures,
    ...(call.viewsError === undefined || failures.length === 0 ? {} : { viewsError: call.viewsError.error }),
  });
}

/** The points that have failed, ascending by offset, each with all that went wrong with it. */
export function failuresOf<P, V>({
  status,
  satisfiedCount,
  points,
  causes,
}: Call<P, V>): PointFailure<P, V>[] {
  if (satisfiedCount === status.length) return [];
  const causesOf = new Map<number, Cause<V>[]>();
  for (let rank = 0; rank < status.length; rank++) if (status[rank]! >= failed) causesOf.set(rank, []);
  if (causesOf.size === 0) return [];
  for (const { cause, ranks } of causes) for (const rank of ranks) causesOf.get(rank)?.push(cause);
  const failures: PointFailure<P, V>[] = [];
  for (const [rank, ofPoint] of causesOf) {
    const offset = points.offsets[rank]!;
    const reason = reasons[status[rank]! - failed]!;
    failures.push({ offset, point: points.points[offset]!, reason, causes: ofPoint });
  }
  return failures.sort((a, b) => a.offset - b.offset);
}
