import { FanoutError } from "../errors.js";
import { fail } from "./failure.js";
import { carries, duplicatesOf, hasOpenRanks, rankCarried, satisfyAll, satisfyOne } from "./points.js";
import { abort, loseBeside, observeEnd, ownTime, retire } from "./send.js";
import { answered } from "./servers.js";
import { nobody, open, type Request, type SchedulerState, tell } from "./state.js";

/** The rpc gave a result. */
export function onResult<P, V>(
  state: SchedulerState<P, V>,
  request: Request<P, V>,
  offset: number | undefined,
): void {
  const { call } = request;
  answered(state, request.server);
  request.heardMs = ownTime(state, call);
  if (!call.options.perPoint) {
    state.actions.push({ type: "deliver", request: request.id, duplicates: duplicatesOf(request) });
    return;
  }
  const rank = offset === undefined ? -1 : rankCarried(request, offset);
  // One may say things twice, but not for ever: each value shows that it is alive.
  const surplus = ++request.values > 2 * request.ranks.length;
  if (rank < 0 || surplus) {
    const what = rank < 0 ? "which it was not asked for" : "after twice as many values as it was asked for";
    const error = new FanoutError("bad-result", `A request gave a value for the offset ${offset}, ${what}.`);
    state.actions.push({ type: "abort", request: request.id });
    fail(state, request, { error, verdict: { class: "retryable" } });
    return;
  }
  request.heard = true;
  // Another request was faster with this point.
  if (call.status[rank] !== open) return;
  state.actions.push({ type: "deliver", request: request.id, duplicates: nobody });
  satisfyOne(state, call, rank);
  request.left--;
  if (request.beside.length > 0)
    loseBeside(state, request, (other) => carries(other, rank) && --other.left === 0);
  if (request.left > 0) return;
  // It has done all it had to, so nobody waits for its end.
  tellEnd(state, request);
  state.actions.push({ type: "abort", request: request.id });
  retire(state, request);
}

/** The rpc ended without an error. */
export function onEnd<P, V>(state: SchedulerState<P, V>, request: Request<P, V>): void {
  answered(state, request.server);
  if (request.call.options.perPoint) {
    // It would have ended with its last value.
    const error = new FanoutError(
      "no-value",
      `A request ended without the value of ${request.left} of its points.`,
    );
    fail(state, request, { error, verdict: { class: "retryable" } });
    return;
  }
  tellEnd(state, request);
  satisfyAll(state, request);
  loseBeside(state, request, (other) => !hasOpenRanks(other));
  retire(state, request);
}

function tellEnd<P, V>(state: SchedulerState<P, V>, request: Request<P, V>): void {
  const { id, view, call } = request;
  const latencyMs = observeEnd(state, request);
  if (!state.setup.traced) return;
  tell(state, { type: "end", atMs: state.nowMs, call: call.id, request: id, view, latencyMs });
}

/** Its server has begun the work: the other half of the pair is not needed, unless it was as far before. One that is not sent yet will not be. */
export function onBegun<P, V>(state: SchedulerState<P, V>, request: Request<P, V>): void {
  const { tied, begun } = request;
  request.begun = true;
  if (begun || tied === undefined || tied.begun || tied.heard) return;
  abort(state, tied, "lost");
}
