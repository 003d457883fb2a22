import { draw } from "./random.js";
import type { Call, Line, SchedulerState } from "./state.js";

/** What is known of one server, over all calls. */
export interface Server<P, V> {
  /** As `serverOf` names it. */
  readonly key: unknown;
  /** Requests that were sent and have neither ended nor been aborted. */
  inFlight: number;
  /** Peak EWMA of the latencies of its requests; NaN before the first. See {@link observe}. */
  latencyMs: number;
  latencyAtMs: number;
  /** When it last gave a result or an end. */
  answeredAtMs: number;
  /** When it was last in the views of a call, or was sent something. */
  usedAtMs: number;
  /** How often in a row it failed; 0 for a server that is well. */
  strikes: number;
  /** With strikes: since when, and until when it is only used when there is no other. */
  suspectSinceMs: number;
  suspectUntilMs: number;
  /** Whether the one request that tries a suspect again is on its way. */
  onTrial: boolean;
  /** It asked for nothing until then. */
  pushbackUntilMs: number;
  /** What waits for it to have room, by call; a call's turn comes after all the others'. */
  readonly waiting: Map<Call<P, V>, Line<P, V>>;
  /** No longer in the table: whoever still has it looks it up again. */
  forgotten: boolean;
}

/** The time constant of a server's latency estimate. */
const decayMs = 10_000;
const firstSuspicionMs = 250;
const longestSuspicionMs = 30_000;
const forgetAfterMs = 600_000;
const sweepEveryMs = 60_000;
/** Without `serverOf` a server is as new as the view's object, and whoever makes those anew for each call must not fill the memory. */
const mostServers = 10_000;

export function serverOf<P, V>(state: SchedulerState<P, V>, view: V): Server<P, V> {
  const key = state.setup.serverOf(view);
  let server = state.servers.get(key);
  if (server === undefined) {
    if (state.servers.size >= mostServers) forgetOldest(state);
    server = {
      key,
      inFlight: 0,
      latencyMs: Number.NaN,
      latencyAtMs: 0,
      answeredAtMs: Number.NEGATIVE_INFINITY,
      usedAtMs: state.nowMs,
      strikes: 0,
      suspectSinceMs: 0,
      suspectUntilMs: 0,
      onTrial: false,
      pushbackUntilMs: Number.NEGATIVE_INFINITY,
      waiting: new Map(),
      forgotten: false,
    };
    state.servers.set(key, server);
  }
  server.usedAtMs = state.nowMs;
  return server;
}

/** A result or an end: whatever was wrong with it is over. */
export function answered<P, V>(state: SchedulerState<P, V>, server: Server<P, V>): void {
  server.answeredAtMs = state.nowMs;
  state.answeredAtMs = state.nowMs;
  server.strikes = 0;
}

/**
 * A request that was sent then has failed, or lost. Requests that were under way when the server became suspect say nothing new, so a
 * hundred that fail at once are one strike.
 */
export function strike<P, V>(state: SchedulerState<P, V>, server: Server<P, V>, sentAtMs: number): void {
  if (server.strikes > 0 && sentAtMs < server.suspectSinceMs) return;
  server.strikes++;
  const pause = Math.min(longestSuspicionMs, firstSuspicionMs * 2 ** server.strikes);
  server.suspectSinceMs = state.nowMs;
  // Jittered, or all fanouts would try a server that comes back in the same moment.
  server.suspectUntilMs = state.nowMs + pause * (0.5 + 0.5 * draw(state.random));
}

/**
 * Peak EWMA, as Finagle's load balancer has it: a slower observation counts at once, a faster one pulls the estimate down the more, the
 * longer the last one is ago. With `atLeast`, the request was aborted and would have taken longer: that cannot make a server look faster.
 */
export function observe<P, V>(
  server: Server<P, V>,
  latencyMs: number,
  nowMs: number,
  atLeast: boolean,
): void {
  const now = estimate(server, nowMs);
  if (latencyMs >= now || Number.isNaN(now)) server.latencyMs = latencyMs;
  else if (atLeast) return;
  else server.latencyMs = now + latencyMs * (1 - Math.exp((server.latencyAtMs - nowMs) / decayMs));
  server.latencyAtMs = nowMs;
}

/** What its next request is likely to take. It decays with time, so that a server which was slow once is tried again. */
export function estimate<P, V>(server: Server<P, V>, nowMs: number): number {
  return server.latencyMs * Math.exp((server.latencyAtMs - nowMs) / decayMs);
}

/** Forgets servers that nobody has used for ten minutes. Costs nothing between two sweeps. */
export function sweepServers<P, V>(state: SchedulerState<P, V>): void {
  if (state.nowMs < state.sweepAtMs) return;
  state.sweepAtMs = state.nowMs + sweepEveryMs;
  for (const server of state.servers.values()) {
    if (isIdle(server) && state.nowMs - server.usedAtMs >= forgetAfterMs) forget(state, server);
  }
}

function forgetOldest<P, V>(state: SchedulerState<P, V>): void {
  const idle = [...state.servers.values()].filter(isIdle).sort((a, b) => a.usedAtMs - b.usedAtMs);
  for (const server of idle.slice(0, mostServers / 2)) forget(state, server);
}

function isIdle<P, V>(server: Server<P, V>): boolean {
  return server.inFlight === 0 && server.waiting.size === 0;
}

function forget<P, V>(state: SchedulerState<P, V>, server: Server<P, V>): void {
  state.servers.delete(server.key);
  server.forgotten = true;
}
