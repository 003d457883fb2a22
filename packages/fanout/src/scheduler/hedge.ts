import { assign, unassign } from "./assign.js";
import { take } from "./budget.js";
import { hedgeDelay } from "./hedge-delay.js";
import { carriedByAtMost, markDelivered, openRanks } from "./points.js";
import { ownTime, releaseToken, send } from "./send.js";
import type { Request, SchedulerState } from "./state.js";
import { throttled } from "./waiting.js";

/**
 * A request is slow: what is left of it is sent to other servers, too. When there is no token or no server for some of it, that
 * is tried again later, each time after twice as long; the request itself is not disturbed.
 */
export function hedge<P, V>(state: SchedulerState<P, V>, request: Request<P, V>): void {
  const { call } = request;
  if (call.hedge === undefined) return;
  const delayMs = hedgeDelay(state, call.hedge);
  if (hedgeRound(state, request)) {
    request.hedges++;
    request.denials = 0;
    const isLast = request.hedges >= call.hedge.maxHedges;
    request.hedgeMs = isLast ? Number.POSITIVE_INFINITY : ownTime(state, call) + Math.max(1, delayMs);
  } else {
    request.denials++;
    request.hedgeMs = ownTime(state, call) + Math.max(1, delayMs) * 2 ** Math.min(6, request.denials - 1);
  }
}

/** Sends hedges for all the points that do not have as many as the others; whether that succeeded for all of them. */
function hedgeRound<P, V>(state: SchedulerState<P, V>, request: Request<P, V>): boolean {
  const { call, server, beside } = request;
  const ranks = carriedByAtMost(openRanks(request), beside, request.hedges);
  if (ranks.length === 0) return true;
  const isPayable = request.holdsToken || state.budget.tokens >= 1 - 1e-9;
  if (!isPayable) return deny(state, request);
  const tried = [...request.tried, server, ...beside.map((other) => other.server)];
  const { assignments, uncovered } = assign(state, call, {
    kind: "hedge",
    ranks,
    tried,
    banned: request.banned,
  });
  let complete = uncovered.length === 0;
  const others = [request, ...beside];
  for (const assignment of assignments) {
    releaseToken(state, request);
    if (!take(state.budget)) {
      unassign(state, assignment);
      complete = deny(state, request);
      continue;
    }
    markDelivered(request);
    request.shared = true;
    const sent = send(state, assignment, request);
    for (const other of others) {
      other.beside.push(sent);
      sent.beside.push(other);
    }
  }
  return complete;
}

function deny<P, V>(state: SchedulerState<P, V>, request: Request<P, V>): false {
  // Once is enough: it goes on trying.
  if (request.denials === 0) throttled(state, request.call, "hedge");
  return false;
}
