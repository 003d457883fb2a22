import { type Assigned, type Assignment, assign, recentMs, unassign } from "./assign.js";
import { refill, take } from "./budget.js";
import { serverAt } from "./locate.js";
import { failRanks } from "./points.js";
import { draw } from "./random.js";
import { startReading } from "./reading.js";
import { send } from "./send.js";
import type { Server } from "./servers.js";
import { type Call, type Line, nobody, type SchedulerState, tell, type Waiting } from "./state.js";

/** How soon what waits for room is looked at again although none was made: other servers may be well again by then. Doubles up to 32 times that. */
const relookMs = 1000;
/** How often the points of a request may be sent again for free because views have moved them. */
const mostMoves = 2;

/** What is known of points that wait. */
export type WaitingFor<P, V> = Pick<Waiting<P, V>, "call" | "ranks"> &
  Partial<
    Pick<
      Waiting<P, V>,
      | "attempt"
      | "tried"
      | "banned"
      | "refusal"
      | "moves"
      | "unreachable"
      | "readings"
      | "readFirst"
      | "notBeforeMs"
      | "returns"
    >
  >;

/** Makes points wait. `release` sends them as soon as nothing speaks against it. */
export function wait<P, V>(wanted: WaitingFor<P, V>): Waiting<P, V> {
  const waiting: Waiting<P, V> = {
    kind: "waiting",
    dueMs: 0,
    slot: -1,
    attempt: 0,
    tried: nobody,
    banned: nobody,
    refusal: undefined,
    moves: 0,
    unreachable: false,
    readings: 0,
    reading: 0,
    readFirst: false,
    notBeforeMs: Number.NEGATIVE_INFINITY,
    inLine: false,
    returns: 0,
    ...wanted,
  };
  waiting.call.waiting.add(waiting);
  return waiting;
}

/** Full jitter: the pause before the n-th re-send is random between 0 and a limit that doubles each time. */
export function pauseBefore<P, V>(state: SchedulerState<P, V>, call: Call<P, V>, n: number): number {
  const { baseMs, maxMs } = call.options.retry;
  return draw(state.random) * Math.min(maxMs, baseMs * 2 ** (n - 1));
}

/** Sends what waits, or leaves it waiting for what it still lacks. */
export function release<P, V>(state: SchedulerState<P, V>, waiting: Waiting<P, V>): void {
  const { call, inLine } = waiting;
  state.timers.clear(waiting);
  // Goes on with the call, or when the views were read.
  if (!Number.isNaN(call.pausedAtMs) || waiting.reading > 0) return;
  if (waiting.notBeforeMs > state.nowMs) {
    state.timers.set(waiting, waiting.notBeforeMs);
    return;
  }
  if (waiting.readFirst) {
    waiting.readFirst = false;
    startReading(state, waiting);
    return;
  }
  waiting.inLine = false;
  if (inLine) waiting.returns++;
  carryOut(state, waiting, plan(state, waiting));
}

export function plan<P, V>(state: SchedulerState<P, V>, waiting: Waiting<P, V>): Assigned<P, V> {
  const { call, ranks, tried, banned } = waiting;
  return assign(state, call, { kind: waiting.attempt === 0 ? "send" : "retry", ranks, tried, banned });
}

/** Sends what was planned for points that waited; what cannot be sent now waits again, or has failed. */
export function carryOut<P, V>(
  state: SchedulerState<P, V>,
  waiting: Waiting<P, V>,
  { assignments, uncovered }: Assigned<P, V>,
): void {
  const { call } = waiting;
  call.waiting.delete(waiting);
  const isRetry = waiting.attempt > 0;
  const free = isRetry && waiting.unreachable && waiting.attempt === 1 && peersAnswer(state, waiting);
  for (const assignment of assignments) {
    if (assignment.full !== undefined) standInLine(state, waiting, assignment.ranks, assignment.full);
    else if (!isRetry) {
      refill(state.budget);
      send(state, assignment, waiting);
    } else if (free) send(state, assignment, waiting);
    else if (isMoved(waiting, assignment)) send(state, { ...assignment, moved: true }, waiting);
    else if (take(state.budget)) send(state, assignment, waiting);
    else refuse(state, call, assignment);
  }
  if (uncovered.length > 0) waitForViews(state, waiting, uncovered);
}

function refuse<P, V>(state: SchedulerState<P, V>, call: Call<P, V>, assignment: Assignment<P, V>): void {
  unassign(state, assignment);
  throttled(state, call, "retry");
  failRanks(state, call, assignment.ranks, "budget");
}

export function throttled<P, V>(
  state: SchedulerState<P, V>,
  call: Call<P, V>,
  wanted: "hedge" | "retry",
): void {
  tell(state, { type: "throttled", atMs: state.nowMs, call: call.id, wanted });
}

/**
 * Whether at least half of the other servers that serve one of the points have answered lately. Then it was that one connection that
 * failed, and the re-send is free.
 */
function peersAnswer<P, V>(state: SchedulerState<P, V>, { call, ranks, tried }: Waiting<P, V>): boolean {
  const { first, end, views } = call.located;
  const peers = new Set<Server<P, V>>();
  for (let view = 0; view < views.length; view++) {
    if (servesOne(ranks, first[view]!, end[view]!)) peers.add(serverAt(state, call, view));
  }
  for (const server of tried) peers.delete(server);
  let answering = 0;
  for (const server of peers) if (state.nowMs - server.answeredAtMs <= recentMs) answering++;
  return answering > 0 && answering * 2 >= peers.size;
}

/**
 * Whether the points have moved since a server said that they are not its own: the views do not give it these points any more, or give them
 * to the one that is asked now, which did not have them. Such a re-send is no second try but the first one at the right place, so it is
 * free. Not without end, or views that name another wrong server each time would multiply the load.
 */
function isMoved<P, V>(
  { call, refusal, moves }: Waiting<P, V>,
  { server, ranks }: Assignment<P, V>,
): boolean {
  if (refusal === undefined || moves >= mostMoves) return false;
  return !servesAny(call, refusal.server, ranks) || !servesAny(refusal, server, ranks);
}

/** Whether the views give the server one of the points. */
function servesAny<P, V>(
  { located, servers }: Pick<Call<P, V>, "located" | "servers">,
  server: Server<P, V>,
  ranks: Uint32Array,
): boolean {
  return servers.some(
    (other, view) => other === server && servesOne(ranks, located.first[view]!, located.end[view]!),
  );
}

function servesOne(ranks: Uint32Array, first: number, end: number): boolean {
  if (ranks[ranks.length - 1]! < first || ranks[0]! >= end) return false;
  return ranks.some((rank) => rank >= first && rank < end);
}

/** No view serves them that may be used now. */
function waitForViews<P, V>(
  state: SchedulerState<P, V>,
  waiting: Waiting<P, V>,
  uncovered: Uint32Array,
): void {
  const { call } = waiting;
  const { later, never, laterMs } = splitUncovered(state, waiting, uncovered);
  if (later.length > 0) release(state, wait({ ...carriedOver(waiting), ranks: later, notBeforeMs: laterMs }));
  if (never.length === 0) return;
  const readings = waiting.readings + 1;
  if (!call.options.viewsCanBeRead || readings >= call.options.retry.maxAttempts) {
    failRanks(state, call, never, "uncovered");
    return;
  }
  const notBeforeMs = state.nowMs + pauseBefore(state, call, readings);
  release(state, wait({ ...carriedOver(waiting), ranks: never, readings, readFirst: true, notBeforeMs }));
}

/** Points that are served by servers which have asked for a pause, and when the first of these is over; and points that nobody serves. */
export function splitUncovered<P, V>(
  state: SchedulerState<P, V>,
  { call, banned }: Waiting<P, V>,
  uncovered: Uint32Array,
): { later: Uint32Array; laterMs: number; never: Uint32Array } {
  const { first, end, views } = call.located;
  let laterMs = Number.POSITIVE_INFINITY;
  const isLater = (rank: number): boolean => {
    let later = false;
    for (let view = 0; view < views.length; view++) {
      if (rank < first[view]! || rank >= end[view]! || banned.includes(views[view]!)) continue;
      laterMs = Math.min(laterMs, serverAt(state, call, view).pushbackUntilMs);
      later = true;
    }
    return later;
  };
  const later = uncovered.filter(isLater);
  const never =
    later.length === uncovered.length ? new Uint32Array(0) : uncovered.filter((rank) => !isLater(rank));
  return { later, never, laterMs };
}

function carriedOver<P, V>({
  call,
  attempt,
  tried,
  banned,
  refusal,
  moves,
  unreachable,
  readings,
}: Waiting<P, V>): Omit<WaitingFor<P, V>, "ranks"> {
  return { call, attempt, tried, banned, refusal, moves, unreachable, readings };
}

function standInLine<P, V>(
  state: SchedulerState<P, V>,
  before: Waiting<P, V>,
  ranks: Uint32Array,
  servers: readonly Server<P, V>[],
): void {
  const { call, returns } = before;
  const waiting = wait({ ...carriedOver(before), ranks, returns });
  waiting.inLine = true;
  for (const server of servers) {
    let line = call.lines.get(server);
    if (line === undefined) {
      line = { entries: [], head: 0 };
      call.lines.set(server, line);
      server.waiting.set(call, line);
    }
    line.entries.push(waiting);
    // A request that was to fill it has turned out to be too dear.
    if (server.inFlight < state.setup.maxInFlightPerServer) state.roomy.add(server);
  }
  relook(state, waiting);
}

export function relook<P, V>(state: SchedulerState<P, V>, waiting: Waiting<P, V>): void {
  state.timers.set(waiting, state.nowMs + relookMs * 2 ** Math.min(5, waiting.returns));
}

/** A server has room: what waits for it gets its turn, round robin over the calls. */
export function fill<P, V>(state: SchedulerState<P, V>, server: Server<P, V>): void {
  while (server.inFlight < state.setup.maxInFlightPerServer) {
    const first = server.waiting.entries().next().value;
    if (first === undefined) return;
    const [call, line] = first;
    server.waiting.delete(call);
    const waiting = nextIn(line);
    if (line.head < line.entries.length) server.waiting.set(call, line);
    else call.lines.delete(server);
    if (waiting !== undefined) release(state, waiting);
  }
}

function nextIn<P, V>(line: Line<P, V>): Waiting<P, V> | undefined {
  while (line.head < line.entries.length) {
    const waiting = line.entries[line.head++]!;
    if (waiting.inLine) return waiting;
  }
  return undefined;
}
