import { type Assigned, assign, merge, recentMs, unassign } from "./assign.js";
import { take } from "./budget.js";
import { hedgeDelay } from "./hedge-delay.js";
import { carriedByAtMost, carries, markDelivered, openRanks } from "./points.js";
import { arm, ownTime, releaseToken, send } from "./send.js";
import type { Request, SchedulerState } from "./state.js";
import { throttled } from "./waiting.js";

/**
 * A request is slow: what is left of it is sent to other servers, too. When there is no token, that is done as soon as there is one; when
 * there is no server for some of it, it is tried again later, each time after twice as long. The request itself is not disturbed.
 */
export function hedge<P, V>(state: SchedulerState<P, V>, request: Request<P, V>): void {
  const { call } = request;
  if (call.hedge === undefined) return;
  if (call.hedge.tied && request.begun) {
    // The other one would be ended at once.
    request.hedgeMs = Number.POSITIVE_INFINITY;
    arm(state, request);
    return;
  }
  const pauseMs = Math.max(1, hedgeDelay(state, call.hedge));
  switch (hedgeRound(state, request)) {
    case "sent":
      request.hedges++;
      request.denials = 0;
      request.hedgeMs =
        request.hedges < call.hedge.maxHedges ? ownTime(state, call) + pauseMs : Number.POSITIVE_INFINITY;
      break;
    case "no server":
      request.hedgeMs = ownTime(state, call) + pauseMs * 2 ** Math.min(6, request.denials);
      request.denials++;
      break;
    case "no token":
      request.hedgeMs = Number.POSITIVE_INFINITY;
      if (state.unpaid.has(request)) break;
      state.unpaid.add(request);
      throttled(state, call, "hedge");
  }
  arm(state, request);
}

/**
 * Tokens that have come in go to the requests that have waited longest: those whose servers are dead, since the ones that were only a little
 * slow end by themselves.
 */
export function hedgeUnpaid<P, V>(state: SchedulerState<P, V>): void {
  if (state.unpaid.size === 0) return;
  for (const request of state.unpaid) {
    if (!isPayable(state, request)) return;
    if (!Number.isNaN(request.call.pausedAtMs)) continue;
    state.unpaid.delete(request);
    hedge(state, request);
    // What it could not pay for waits behind the others.
  }
}

/** Sends hedges for all the points that do not have as many as the others. */
function hedgeRound<P, V>(
  state: SchedulerState<P, V>,
  request: Request<P, V>,
): "sent" | "no server" | "no token" {
  const { beside } = request;
  const ranks = carriedByAtMost(openRanks(request), beside, request.hedges);
  if (ranks.length === 0) return "sent";
  if (!isPayable(state, request)) return "no token";
  const { assignments, uncovered } = assignHedges(state, request, ranks);
  let isPaid = true;
  const others = [request, ...beside];
  for (const assignment of assignments) {
    if (!isPayable(state, request)) {
      unassign(state, assignment);
      isPaid = false;
      continue;
    }
    releaseToken(state, request);
    take(state.budget);
    markDelivered(request);
    request.shared = true;
    const sent = send(state, assignment, request);
    for (const other of others) {
      other.beside.push(sent);
      sent.beside.push(other);
    }
  }
  if (!isPaid) return "no token";
  return uncovered.length === 0 ? "sent" : "no server";
}

/**
 * Hedges go to servers that have nothing of the request yet. What only a suspect or nobody would get that way goes to those that have other
 * points of it, if they are well and serve it.
 */
function assignHedges<P, V>(
  state: SchedulerState<P, V>,
  request: Request<P, V>,
  ranks: Uint32Array,
): Assigned<P, V> {
  const { call, server, beside, banned } = request;
  const among = (some: Uint32Array, carriers: readonly Request<P, V>[]): Assigned<P, V> => {
    const tried = [...request.tried, server, ...carriers.map((carrier) => carrier.server)];
    return assign(state, call, { kind: "hedge", ranks: some, tried, banned });
  };
  const { assignments, uncovered } = among(ranks, beside);
  const poor = assignments.filter((assignment) => assignment.server.strikes > 0);
  if (beside.length === 0 || poor.length + uncovered.length === 0) return { assignments, uncovered };
  for (const assignment of poor) unassign(state, assignment);
  const left = merge([uncovered, ...poor.map((assignment) => assignment.ranks)]);
  const again = byCarriers(left, beside).map(({ some, carriers }) => among(some, carriers));
  return {
    assignments: [
      ...assignments.filter((assignment) => !poor.includes(assignment)),
      ...again.flatMap((assigned) => assigned.assignments),
    ],
    uncovered: merge(again.map((assigned) => assigned.uncovered)),
  };
}

/** The ranks in groups, each with those of the requests that carry all of the group. */
function byCarriers<P, V>(
  ranks: Uint32Array,
  requests: readonly Request<P, V>[],
): { readonly some: Uint32Array; readonly carriers: readonly Request<P, V>[] }[] {
  const groups = new Map<string, { readonly ranks: number[]; readonly carriers: readonly Request<P, V>[] }>();
  for (const rank of ranks) {
    const carriers = requests.filter((request) => carries(request, rank));
    const key = carriers.map(({ id }) => id).join();
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { ranks: [rank], carriers });
    else group.ranks.push(rank);
  }
  return [...groups.values()].map(({ ranks, carriers }) => ({ some: Uint32Array.from(ranks), carriers }));
}

/** A trial has its own token. Others leave one for a trial that lately found none, or a server would not be used again for long. */
function isPayable<P, V>(
  { budget, nowMs, trialMissedMs }: SchedulerState<P, V>,
  request: Request<P, V>,
): boolean {
  if (request.holdsToken) return true;
  const reserve = nowMs - trialMissedMs <= recentMs && budget.burst >= 2 ? 1 : 0;
  return budget.tokens >= 1 + reserve - 1e-9;
}
