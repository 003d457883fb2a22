import type { Assignment } from "./assign.js";
import { giveBack } from "./budget.js";
import { hedgeDelay } from "./hedge-delay.js";
import { openRanks } from "./points.js";
import { observe, strike } from "./servers.js";
import { type Call, type Request, type SchedulerState, tell, type Waiting } from "./state.js";

// The life of one request: sent, and gone.

/** Time as a call has it, which stands still while it is paused. */
export function ownTime<P, V>(state: SchedulerState<P, V>, call: Call<P, V>): number {
  return (Number.isNaN(call.pausedAtMs) ? state.nowMs : call.pausedAtMs) - call.pausedMs;
}

/** Sends an assigned request. It has been paid for. */
export function send<P, V>(
  state: SchedulerState<P, V>,
  assignment: Assignment<P, V>,
  from: Waiting<P, V> | Request<P, V>,
): Request<P, V> {
  const { view, server, ranks } = assignment;
  const { call } = from;
  const { options } = call;
  const of = from.kind === "request" ? from : undefined;
  const attempt = of === undefined ? from.attempt + 1 : from.attempt;
  const startedMs = ownTime(state, call);
  const request: Request<P, V> = {
    kind: "request",
    dueMs: 0,
    slot: -1,
    id: ++state.requestCount,
    ordinal: ++call.requestCount,
    call,
    view,
    server,
    ranks,
    left: ranks.length,
    values: 0,
    attempt,
    sentAtMs: state.nowMs,
    pausesAtSend: call.pauses,
    startedMs,
    heardMs: startedMs,
    // A hedge is hedged only when it has taken over.
    hedgeMs:
      call.hedge === undefined || of !== undefined
        ? Number.POSITIVE_INFINITY
        : startedMs + hedgeDelay(state, call.hedge),
    hedges: 0,
    denials: 0,
    of,
    beside: [],
    tied: undefined,
    begun: false,
    shared: of !== undefined || attempt > 1,
    heard: false,
    marked: false,
    tried: from.tried,
    banned: from.banned,
    moves: from.moves + (assignment.moved === true ? 1 : 0),
    trial: assignment.trial,
    holdsToken: assignment.holdsToken,
  };
  state.requests.set(request.id, request);
  call.requests.add(request);
  server.usedAtMs = state.nowMs;
  const all = call.points.offsets;
  const offsets = new Array<number>(ranks.length);
  for (let index = 0; index < ranks.length; index++) offsets[index] = all[ranks[index]!]!;
  if (call.carrier !== undefined) {
    for (let index = 0; index < ranks.length; index++) call.carrier[ranks[index]!] = request.ordinal;
  }
  if (state.setup.traced) tellSend(state, request);
  // Tied in pairs only: one half may then be aborted without a look at others.
  const tiedTo = of !== undefined && call.hedge?.tied === true && mayTie(of, ranks) ? of : undefined;
  if (tiedTo !== undefined) {
    request.tied = tiedTo;
    tiedTo.tied = request;
  }
  state.actions.push({
    type: "send",
    call: call.id,
    request: request.id,
    view,
    offsets,
    timeoutMs: Math.max(0, options.deadlineMs - state.nowMs),
    attempt,
    tied: call.hedge?.tied === true,
    tiedTo: tiedTo?.id,
  });
  arm(state, request);
  return request;
}

function tellSend<P, V>(state: SchedulerState<P, V>, request: Request<P, V>): void {
  const { id, call, view, ranks, attempt, of } = request;
  const step = { atMs: state.nowMs, call: call.id, request: id, view, points: ranks.length, attempt };
  if (of !== undefined) tell(state, { type: "hedge", ...step, of: of.id });
  else tell(state, { type: attempt === 1 ? "send" : "retry", ...step });
}

function mayTie<P, V>(of: Request<P, V>, ranks: Uint32Array): boolean {
  return of.tied === undefined && openRanks(of).length === ranks.length;
}

/** Sets the timer of a live request. */
export function arm<P, V>(state: SchedulerState<P, V>, request: Request<P, V>): void {
  const { call } = request;
  if (!Number.isNaN(call.pausedAtMs)) {
    state.timers.clear(request);
    return;
  }
  state.timers.set(request, Math.min(hedgeDueMs(request), idleDueMs(request)));
}

export function hedgeDueMs<P, V>({ hedgeMs, call }: Request<P, V>): number {
  return hedgeMs + call.pausedMs;
}

export function idleDueMs<P, V>({ heardMs, call }: Request<P, V>): number {
  return heardMs + call.options.idleTimeoutMs + call.pausedMs;
}

/** Forgets a request that has ended, failed or was aborted. Those beside it live on without it. */
export function retire<P, V>(state: SchedulerState<P, V>, request: Request<P, V>): void {
  const { call, server, beside, tied } = request;
  state.timers.clear(request);
  state.requests.delete(request.id);
  state.unpaid.delete(request);
  call.requests.delete(request);
  server.inFlight--;
  if (server.waiting.size > 0) state.roomy.add(server);
  if (request.trial) server.onTrial = false;
  releaseToken(state, request);
  if (tied !== undefined) {
    tied.tied = undefined;
    request.tied = undefined;
  }
  for (const other of beside) {
    other.beside.splice(other.beside.indexOf(request), 1);
    if (other.of === request) takeOver(state, other);
  }
}

/** The token that a trial holds is free again. */
export function releaseToken<P, V>(state: SchedulerState<P, V>, request: Request<P, V>): void {
  if (!request.holdsToken) return;
  request.holdsToken = false;
  giveBack(state.budget);
}

/** The request that a hedge stood beside is gone: now it stands for itself, and may be hedged. */
function takeOver<P, V>(state: SchedulerState<P, V>, hedge: Request<P, V>): void {
  hedge.of = undefined;
  if (hedge.call.hedge === undefined) return;
  hedge.hedgeMs = Math.max(hedge.startedMs + hedgeDelay(state, hedge.call.hedge), ownTime(state, hedge.call));
  arm(state, hedge);
}

/** Aborts a live request. Its points are somebody else's business. */
export function abort<P, V>(
  state: SchedulerState<P, V>,
  request: Request<P, V>,
  reason: "lost" | "deadline" | "left",
): void {
  const { id, view, call } = request;
  tell(state, { type: "cancel", atMs: state.nowMs, call: call.id, request: id, view, reason });
  state.actions.push({ type: "abort", request: id });
  retire(state, request);
}

/** Whether its time says something about its server. While the caller does not read, servers look slow. */
export function isTimed<P, V>({ call, pausesAtSend }: Request<P, V>): boolean {
  return call.pauses === pausesAtSend;
}

/** Notes how long a request took that has done all it had to. */
export function observeEnd<P, V>(state: SchedulerState<P, V>, request: Request<P, V>): number {
  const latencyMs = state.nowMs - request.sentAtMs;
  if (isTimed(request)) {
    observe(request.server, latencyMs, state.nowMs, false);
    state.latencies.observe(latencyMs, state.nowMs);
  }
  return latencyMs;
}

/**
 * Another request has satisfied all that it carried. One that was overtaken by a later request, while its server said nothing
 * to anybody, makes its server suspect; a server that only was slower this time does not deserve that. Its time counts as a latency of at least so
 * much, or the slowest would never be counted, and the percentile would sink with each hedge.
 */
export function lose<P, V>(state: SchedulerState<P, V>, loser: Request<P, V>, winner: Request<P, V>): void {
  if (isTimed(loser)) {
    const elapsedMs = state.nowMs - loser.sentAtMs;
    observe(loser.server, elapsedMs, state.nowMs, true);
    if (loser.id < winner.id) {
      state.latencies.observe(elapsedMs, state.nowMs);
      if (wasSilent(loser)) strike(state, loser.server, loser.sentAtMs);
    }
  }
  abort(state, loser, "lost");
}

/** Neither this request nor any other at its server was answered since it was sent. */
export function wasSilent<P, V>({ heard, server, sentAtMs }: Request<P, V>): boolean {
  return !heard && !(server.answeredAtMs >= sentAtMs);
}

/** After points were satisfied: what stands beside the request and has nothing left to do has lost. */
export function loseBeside<P, V>(
  state: SchedulerState<P, V>,
  winner: Request<P, V>,
  isDone: (other: Request<P, V>) => boolean,
): void {
  if (winner.beside.length === 0) return;
  for (const other of [...winner.beside]) if (isDone(other)) lose(state, other, winner);
}
