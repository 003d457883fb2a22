import type { ConnectionState } from "../connection.js";
import { addFall, noPenalty, type Penalty, release, reuseMs } from "./damping.js";
import { endEjection, failedCall, noOutlier, type Outlier, okCall } from "./outlier.js";
import type { JudgementSettings } from "./settings.js";
import { addInterval, type Intervals, noIntervals, type SilenceLimits, silenceLimitMs } from "./silence.js";

/** All that is known of whether one server is well. Immutable. */
export interface ServerState {
  readonly connection: ConnectionState;
  /**
   * What its answers come to.
   *
   * - `new`: no verdict yet. Well with the first good answer.
   * - `well`.
   * - `returning`: was well when its connection broke. Well with the first good answer on the next one.
   * - `unwell`: well after `rise` good answers in a row.
   */
  readonly verdict: "new" | "well" | "returning" | "unwell";
  /** Whether there ever was a good answer, so that it is known what the server is. */
  readonly known: boolean;
  /** Good answers in a row, and bad ones; one of them is 0. */
  readonly good: number;
  readonly bad: number;
  /** Whether the server says of itself that it does not serve: in its last answer, and in what it told unasked. */
  readonly probeDenies: boolean;
  readonly listenDenies: boolean;
  /** The last answer, or when this connection was ready. */
  readonly sinceMs: number;
  /** Whether `sinceMs` is an answer. */
  readonly answered: boolean;
  readonly silent: boolean;
  readonly intervals: Intervals;
  readonly penalty: Penalty;
  readonly outlier: Outlier;
}

export type ServerEvent =
  | { readonly type: "connection"; readonly state: ConnectionState; readonly atMs: number }
  /** What a probe came to. One that got no answer is no event: time tells. */
  | { readonly type: "good" | "bad" | "denied"; readonly atMs: number }
  /** What the server says unasked; `nothing` when it is not listened to any more. */
  | { readonly type: "heard"; readonly word: "serving" | "not-serving" | "nothing"; readonly atMs: number }
  /** How a call went. */
  | { readonly type: "report"; readonly ok: boolean; readonly mayEject: boolean; readonly atMs: number }
  | { readonly type: "time"; readonly atMs: number };

/** What a server's judgement takes from outside. */
export interface JudgementContext {
  readonly settings: JudgementSettings;
  readonly limits: SilenceLimits;
}

export const newServer: ServerState = {
  connection: "connecting",
  verdict: "new",
  known: false,
  good: 0,
  bad: 0,
  probeDenies: false,
  listenDenies: false,
  sinceMs: 0,
  answered: false,
  silent: false,
  intervals: noIntervals,
  penalty: noPenalty,
  outlier: noOutlier,
};

/**
 * The state after an event. Returns the same object when nothing has changed. Times of events must not go back.
 */
export function next(state: ServerState, event: ServerEvent, context: JudgementContext): ServerState {
  const after = step(state, event, context);
  const { damping } = context.settings;
  if (damping === false || !isWell(state) || isWell(after)) return after;
  return { ...after, penalty: addFall(after.penalty, event.atMs, damping) };
}

/** The state of a server that was not looked at for a while, until its connection is: to be proven anew. Nothing is held against it. */
export function unproven(state: ServerState, atMs: number): ServerState {
  return connectionChanged(state, "connecting", atMs);
}

/** Connected and well by what it says, before anything is held back by damping or ejection. */
export function isWell(state: ServerState): boolean {
  return state.connection === "ready" && state.verdict === "well" && !denies(state);
}

export function denies({ probeDenies, listenDenies }: ServerState): boolean {
  return probeDenies || listenDenies;
}

/** When the next "time" event is due; `Infinity` for never. Earlier ones do no harm. */
export function wakeMs(state: ServerState, { settings, limits }: JudgementContext): number {
  let wake = Number.POSITIVE_INFINITY;
  if (state.connection === "ready" && !state.silent)
    wake = state.sinceMs + silenceLimitMs(state.intervals, limits);
  if (state.penalty.suppressed && settings.damping !== false)
    wake = Math.min(wake, reuseMs(state.penalty, settings.damping));
  if (state.outlier.ejected) wake = Math.min(wake, state.outlier.untilMs);
  return wake;
}

function step(state: ServerState, event: ServerEvent, context: JudgementContext): ServerState {
  switch (event.type) {
    case "connection":
      return connectionChanged(state, event.state, event.atMs);
    case "good":
      return goodAnswer(heartbeat(state, event.atMs), context.settings.rise);
    case "bad":
      return badAnswer(heartbeat(state, event.atMs), context.settings.fall);
    case "denied":
      return { ...heartbeat(state, event.atMs), probeDenies: true, verdict: "unwell", good: 0, bad: 0 };
    case "heard":
      return heard(state, event.word, context.settings.rise);
    case "report":
      return reported(state, event, context.settings);
    case "time":
      return timePassed(state, event.atMs, context);
  }
}

function connectionChanged(state: ServerState, connection: ConnectionState, atMs: number): ServerState {
  if (connection === state.connection) return state;
  return {
    ...state,
    connection,
    verdict: state.verdict === "well" ? "returning" : state.verdict,
    good: 0,
    bad: 0,
    // Another process may answer on the next connection, so nothing that this one said is kept against it.
    probeDenies: false,
    listenDenies: false,
    sinceMs: atMs,
    answered: false,
    silent: false,
    outlier: okCall(state.outlier),
  };
}

/** Any answer, good or bad, ends a silence. The silence itself is no interval: it would make the next one go unnoticed. */
function heartbeat(state: ServerState, atMs: number): ServerState {
  const intervals =
    state.answered && !state.silent ? addInterval(state.intervals, atMs - state.sinceMs) : state.intervals;
  return { ...state, intervals, sinceMs: atMs, answered: true, silent: false };
}

function goodAnswer(state: ServerState, rise: number): ServerState {
  const good = Math.min(state.good + 1, rise);
  const verdict = state.verdict !== "unwell" || good >= rise ? "well" : "unwell";
  return { ...state, known: true, good, bad: 0, probeDenies: false, verdict };
}

function badAnswer(state: ServerState, fall: number): ServerState {
  const bad = Math.min(state.bad + 1, fall);
  // What it said of itself stands until it says something else that makes sense.
  return { ...state, good: 0, bad, verdict: bad >= fall ? "unwell" : state.verdict };
}

function heard(state: ServerState, word: "serving" | "not-serving" | "nothing", rise: number): ServerState {
  if (word === "not-serving")
    return state.listenDenies ? state : { ...state, listenDenies: true, verdict: "unwell", good: 0, bad: 0 };
  if (!state.listenDenies) return state;
  // The server's own word counts as a good answer, but not as the last one that is needed: that is a probe's.
  if (word === "nothing") return { ...state, listenDenies: false };
  return { ...state, listenDenies: false, good: Math.min(state.good + 1, rise - 1), bad: 0 };
}

function reported(
  state: ServerState,
  event: Extract<ServerEvent, { type: "report" }>,
  { outlier: settings }: JudgementSettings,
): ServerState {
  if (settings === false || state.connection !== "ready") return state;
  const outlier = event.ok
    ? okCall(state.outlier)
    : failedCall(state.outlier, event.atMs, settings, event.mayEject);
  return outlier === state.outlier ? state : { ...state, outlier };
}

function timePassed(state: ServerState, atMs: number, context: JudgementContext): ServerState {
  const { settings, limits } = context;
  const penalty = settings.damping === false ? state.penalty : release(state.penalty, atMs, settings.damping);
  const outlier = endEjection(state.outlier, atMs);
  const falls =
    state.connection === "ready" &&
    !state.silent &&
    atMs >= state.sinceMs + silenceLimitMs(state.intervals, limits);
  if (falls) return { ...state, penalty, outlier, silent: true, verdict: "unwell", good: 0, bad: 0 };
  return penalty === state.penalty && outlier === state.outlier ? state : { ...state, penalty, outlier };
}
