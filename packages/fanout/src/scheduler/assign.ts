import { planRequests } from "../plan/plan-requests.js";
import { giveBack, take } from "./budget.js";
import { chooseOne } from "./choose.js";
import { serverAt } from "./locate.js";
import type { Server } from "./servers.js";
import type { Call, SchedulerState } from "./state.js";

/** What is to be sent, and what speaks against some of the views. */
export interface Wanted<P, V> {
  readonly kind: "send" | "retry" | "hedge";
  readonly ranks: Uint32Array;
  /** Servers that failed these points: used after the others. With "hedge": not used. */
  readonly tried: readonly Server<P, V>[];
  /** Views that are not to be used. */
  readonly banned: readonly V[];
}

/** A planned request. */
export interface Assignment<P, V> {
  readonly view: V;
  readonly server: Server<P, V>;
  /** Ascending. */
  ranks: Uint32Array;
  /** It is the one that tries a suspect again. */
  readonly trial: boolean;
  readonly holdsToken: boolean;
  /** All servers that could take it are full, and these are they. Otherwise its place at the server is taken already. */
  readonly full: readonly Server<P, V>[] | undefined;
  /** It is free because the views have moved its points. */
  readonly moved?: boolean;
}

export interface Assigned<P, V> {
  readonly assignments: readonly Assignment<P, V>[];
  /** What no view serves that may be used now. */
  readonly uncovered: Uint32Array;
}

/** A server that has answered within this time is at work, and a fanout of which any server has is busy. */
export const recentMs = 1000;

/**
 * Plans the points over the views. Tiers, from the best: servers that are well and have room, those that are full, suspects, full
 * suspects; in each, the ones that did not fail these points before the ones that did, and then by locality. A server that has asked
 * for a pause is not used at all, and a hedge uses neither full servers nor those that failed its points: it comes on top, so it
 * waits for nobody, but a suspect is better than nobody.
 *
 * What a plan does changes the tiers: a server becomes full, or its one trial is given away. Requests that would go to a
 * server which is worse by then than when their plan was made are planned again.
 */
export function assign<P, V>(
  state: SchedulerState<P, V>,
  call: Call<P, V>,
  wanted: Wanted<P, V>,
): Assigned<P, V> {
  const most = state.setup.maxInFlightPerServer;
  const tiers = new Tiers(state, call, wanted);
  const assignments: Assignment<P, V>[] = [];
  const uncovered: Uint32Array[] = [];
  let ranks = wanted.ranks;
  for (;;) {
    const told = new Float64Array(call.located.views.length);
    const picks: (Assignment<P, V> | undefined)[] = [];
    const plan = planRequests(call.located, {
      ranks,
      maxPointsPerRequest: call.options.maxPointsPerRequest,
      mode: call.options.plan,
      tierOf: (view) => {
        const tier = tiers.of(view);
        told[view] = tier;
        return tier;
      },
      choose: (candidates) => {
        const { tier, views } = tiers.best(candidates);
        let promised = Number.POSITIVE_INFINITY;
        for (const view of candidates) if (told[view]! < promised) promised = told[view]!;
        if (tier > promised) {
          picks.push(undefined);
          return candidates[0]!;
        }
        const serverOf = (view: number): Server<P, V> => serverAt(state, call, view);
        const full = serverOf(views[0]!).inFlight >= most;
        const trying = full ? undefined : tiers.trialAmong(tier, views);
        const trial = trying !== undefined;
        const view = trying ?? (full ? views[0]! : chooseOne(state, call, views));
        const server = serverOf(view);
        if (!full) server.inFlight++;
        if (trial) {
          server.onTrial = true;
          state.trialMissedMs = Number.NEGATIVE_INFINITY;
        }
        picks.push({
          view: call.located.views[view]!,
          server,
          // Set when the plan is made. Not by a spread of the pick: V8 kept such copies, and so the call, until the next major collection.
          ranks: wanted.ranks,
          trial,
          holdsToken: trial && take(state.budget),
          full: full ? [...new Set(views.map(serverOf))] : undefined,
        });
        return view;
      },
    });
    if (plan.uncovered.length > 0) uncovered.push(plan.uncovered);
    const again: Uint32Array[] = [];
    for (let index = 0; index < plan.requests.length; index++) {
      const pick = picks[index];
      const planned = plan.requests[index]!.ranks;
      if (pick === undefined) again.push(planned);
      else {
        pick.ranks = planned;
        assignments.push(pick);
      }
    }
    if (again.length === 0) return { assignments, uncovered: merge(uncovered) };
    ranks = merge(again);
  }
}

/** Takes back what was reserved for a request that is not sent after all. */
export function unassign<P, V>(state: SchedulerState<P, V>, assignment: Assignment<P, V>): void {
  const { server } = assignment;
  if (assignment.full !== undefined) return;
  server.inFlight--;
  if (assignment.trial) server.onTrial = false;
  if (assignment.holdsToken) giveBack(state.budget);
  if (server.waiting.size > 0) state.roomy.add(server);
}

const never = Number.POSITIVE_INFINITY;

class Tiers<P, V> {
  readonly #state: SchedulerState<P, V>;
  readonly #call: Call<P, V>;
  readonly #wanted: Wanted<P, V>;
  readonly #most: number;
  /** The first tier of suspects. */
  readonly #suspect: number;

  constructor(state: SchedulerState<P, V>, call: Call<P, V>, wanted: Wanted<P, V>) {
    this.#state = state;
    this.#call = call;
    this.#wanted = wanted;
    this.#most = state.setup.maxInFlightPerServer;
    this.#suspect = 4 * call.localities;
  }

  of(view: number): number {
    const { kind, tried, banned } = this.#wanted;
    const { located, nearness, localities } = this.#call;
    const server = serverAt(this.#state, this.#call, view);
    if (server.pushbackUntilMs > this.#state.nowMs) return never;
    if (banned.length > 0 && banned.includes(located.views[view]!)) return never;
    const full = server.inFlight >= this.#most;
    const failedBefore = tried.length > 0 && tried.includes(server);
    if (kind === "hedge" && (full || failedBefore || (server.strikes > 0 && !this.#mayRisk()))) return never;
    const suspect = server.strikes > 0 && !this.#mayTry(server);
    const near = nearness === undefined ? 0 : nearness[view]!;
    return ((suspect ? 4 : 0) + (full ? 2 : 0) + (failedBefore ? 1 : 0)) * localities + near;
  }

  /** The lowest tier of the candidates, and which of them are in it. */
  best(candidates: readonly number[]): { tier: number; views: readonly number[] } {
    let tier = never;
    let count = 0;
    for (const view of candidates) {
      const other = this.of(view);
      if (other > tier) continue;
      count = other === tier ? count + 1 : 1;
      tier = other;
    }
    // As a rule all of them.
    if (count === candidates.length) return { tier, views: candidates };
    return { tier, views: candidates.filter((view) => this.of(view) === tier) };
  }

  /** The view whose server is to be tried again now, if one is in this tier. It is not left to chance, since to chance it is the slowest. */
  trialAmong(tier: number, views: readonly number[]): number | undefined {
    if (tier >= this.#suspect) return undefined;
    for (const view of views) if (serverAt(this.#state, this.#call, view).strikes > 0) return view;
    return undefined;
  }

  /**
   * Half-open: when a suspicion is over, one request at a time may try the server again. Only first sends do, and only while the budget
   * can pay for the re-send if that fails: the token is held until the answer.
   */
  #mayTry(server: Server<P, V>): boolean {
    const { nowMs, budget } = this.#state;
    if (this.#wanted.kind !== "send" || server.onTrial || nowMs < server.suspectUntilMs) return false;
    if (budget.ratio === 0 || budget.burst < 1) return true;
    if (budget.tokens < 1) {
      this.#state.trialMissedMs = nowMs;
      return false;
    }
    return this.#mayRisk();
  }

  /**
   * Whether a token may be spent on a suspect. While little is going on, half of the bucket is left alone, or a server that stays dead
   * would eat what all others need.
   */
  #mayRisk(): boolean {
    const { nowMs, answeredAtMs, budget } = this.#state;
    return nowMs - answeredAtMs <= recentMs || budget.tokens >= budget.burst / 2;
  }
}

/** The ranks of all of them, ascending. They have none in common. */
export function merge(parts: readonly Uint32Array[]): Uint32Array {
  const only = parts[0];
  if (only === undefined) return new Uint32Array(0);
  if (parts.length === 1) return only;
  const all = new Uint32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all.sort();
}
