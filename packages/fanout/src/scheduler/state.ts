import type { Cause, PointFailure } from "../errors.js";
import type { FanoutEvent } from "../events.js";
import { IdMap } from "../id-map.js";
import type { HedgeOptions } from "../options.js";
import type { LocatedViews, SortedPoints } from "../plan/contract.js";
import type { Budget } from "./budget.js";
import type { ResolvedCallOptions, SchedulerAction, SchedulerSetup } from "./contract.js";
import { Latencies } from "./latency.js";
import type { Random } from "./random.js";
import type { Server } from "./servers.js";
import { type Timed, Timers } from "./timers.js";

/**
 * All that a fanout knows. Only `wakeAtMs` is for others to read. When no call lives, it holds its servers and nothing else.
 */
export interface SchedulerState<P, V> {
  readonly setup: SchedulerSetup<V>;
  /** When the next "tick" is due; `Infinity` for never. */
  wakeAtMs: number;
  /** The latest time that an event had: time that goes back stands still. */
  nowMs: number;
  /** When any server last gave a result or an end. */
  answeredAtMs: number;
  sweepAtMs: number;
  requestCount: number;
  readonly random: Random;
  readonly budget: Budget;
  readonly latencies: Latencies;
  readonly servers: Map<unknown, Server<P, V>>;
  readonly calls: IdMap<Call<P, V>>;
  readonly requests: IdMap<Request<P, V>>;
  readonly timers: Timers<Call<P, V> | Request<P, V> | Waiting<P, V>>;
  /** Requests that are to be hedged as soon as there is a token, longest first. */
  readonly unpaid: Set<Request<P, V>>;
  /** When there last was no token for the trial of a suspect. */
  trialMissedMs: number;
  /** Servers with room for what waits for them, and calls without an open point: seen to before `next` returns. */
  readonly roomy: Set<Server<P, V>>;
  readonly complete: Call<P, V>[];
  /** What this `next` returns. */
  actions: SchedulerAction<P, V>[];
}

/** What has become of a point. */
export const open = 0;
export const satisfied = 1;
/** `failed + n` for the reason with the index n. */
export const failed = 2;
export const reasons: readonly PointFailure<unknown, unknown>["reason"][] = [
  "uncovered",
  "not-retryable",
  "attempts",
  "budget",
  "deadline",
];

/** One call. Its timer is the deadline. */
export interface Call<P, V> extends Timed {
  readonly kind: "call";
  readonly id: number;
  readonly points: SortedPoints<P>;
  readonly options: ResolvedCallOptions;
  readonly hedge: Required<HedgeOptions> | undefined;
  located: LocatedViews<V>;
  /** The server of each located view. */
  servers: Server<P, V>[];
  /** The place of each located view's locality among all of them, and how many there are. */
  nearness: Float64Array | undefined;
  localities: number;
  /** `open`, `satisfied` or `failed + n`, by rank. */
  readonly status: Uint8Array;
  openCount: number;
  satisfiedCount: number;
  /** With `perPoint`: the rank of each offset, and the request (by `ordinal`) that carried each rank last. */
  rankOf: Uint32Array | undefined;
  carrier: Uint32Array | undefined;
  /** By rank, 0 for none, the request (by `ordinal`) that delivered something, `manyDelivered` for several. */
  deliveredBy: Uint32Array | undefined;
  requestCount: number;
  readonly requests: Set<Request<P, V>>;
  readonly waiting: Set<Waiting<P, V>>;
  /** Its lines at the servers; they are not in `Server.waiting` while the call is paused. */
  readonly lines: Map<Server<P, V>, Line<P, V>>;
  readonly causes: { readonly cause: Cause<V>; readonly ranks: Uint32Array }[];
  /** NaN when it is not paused. */
  pausedAtMs: number;
  /** How long it was paused, and how often, up to now. */
  pausedMs: number;
  pauses: number;
  /** How many readings of the views were begun, whether one is under way, and what the last one failed with. */
  readings: number;
  reading: boolean;
  viewsError: { readonly error: unknown } | undefined;
}

/** One request. It lives from its send until it ends, fails or is aborted. Its timer is the earlier of hedge and idle timeout. */
export interface Request<P, V> extends Timed {
  readonly kind: "request";
  readonly id: number;
  /** Its number within the call, from 1. */
  readonly ordinal: number;
  readonly call: Call<P, V>;
  readonly view: V;
  readonly server: Server<P, V>;
  /** Ascending. */
  readonly ranks: Uint32Array;
  /** With `perPoint`, how many of them are not satisfied, and how many values it gave. */
  left: number;
  values: number;
  /** Which send of these points it is, from 1; a hedge has that of the request it stands beside. */
  readonly attempt: number;
  readonly sentAtMs: number;
  readonly pausesAtSend: number;
  /** When it was sent, gave its last result and is to be hedged, by the call's own time, which stands still while it is paused. */
  readonly startedMs: number;
  heardMs: number;
  hedgeMs: number;
  /** How often it was hedged, and how often no server was found for that since. */
  hedges: number;
  denials: number;
  /** With a hedge: the request that it stands beside, as long as that lives. */
  of: Request<P, V> | undefined;
  /** The live requests that may carry some of the same points. */
  readonly beside: Request<P, V>[];
  tied: Request<P, V> | undefined;
  /** With tied requests: its server has begun the work. */
  begun: boolean;
  /** Whether another one carries or carried some of its points. */
  shared: boolean;
  /** Whether it has given a result, and whether that is marked in `Call.deliveredBy`. */
  heard: boolean;
  marked: boolean;
  /** The servers that failed these points, and the views that said that they are not theirs. */
  tried: readonly Server<P, V>[];
  banned: readonly V[];
  /** How many free re-sends its points had because views have moved them. */
  readonly moves: number;
  /** It tries a suspect again, and holds a token in case it fails. */
  trial: boolean;
  holdsToken: boolean;
}

/** Points that are to be sent: after a pause, when the views have been read, when a server has room, or when the call goes on. */
export interface Waiting<P, V> extends Timed {
  readonly kind: "waiting";
  readonly call: Call<P, V>;
  /** Ascending. */
  readonly ranks: Uint32Array;
  /** How often they were sent. */
  readonly attempt: number;
  readonly tried: readonly Server<P, V>[];
  readonly banned: readonly V[];
  /** The last failure was "not-mine", so that the re-send is free where the views have moved the points. */
  readonly refusal: Refusal<P, V> | undefined;
  /** How many free re-sends they had because views have moved them. */
  readonly moves: number;
  /** The last failure was "unreachable", so that the re-send may be free. */
  readonly unreachable: boolean;
  /** How many readings of the views have not helped. */
  readings: number;
  /** The number of the reading that it waits for; 0 for none. */
  reading: number;
  /** When it is due, the views are to be read, and then it is sent. */
  readFirst: boolean;
  /** Not before this time. */
  notBeforeMs: number;
  /** Whether it stands in lines, and how often it came back to them. */
  inLine: boolean;
  returns: number;
}

/** A server said that points are not its own: which one, and what the views said then. */
export interface Refusal<P, V> extends Pick<Call<P, V>, "located" | "servers"> {
  readonly server: Server<P, V>;
}

/** What one call has waiting for one server, first come, first served. Entries that have gone elsewhere are not `inLine`. */
export interface Line<P, V> {
  readonly entries: Waiting<P, V>[];
  head: number;
}

/** Tells whoever draws the trace. In the paths of each request only where that is wanted, so that no event is made for nobody. */
export function tell<P, V>({ setup, actions }: SchedulerState<P, V>, event: FanoutEvent<V>): void {
  if (setup.traced) actions.push({ type: "tell", event });
}

export const nobody: readonly never[] = Object.freeze([]);

export function createState<P, V>(setup: SchedulerSetup<V>): SchedulerState<P, V> {
  const { burst, ratio } = setup.budget;
  return {
    setup,
    wakeAtMs: Number.POSITIVE_INFINITY,
    nowMs: Number.NEGATIVE_INFINITY,
    answeredAtMs: Number.NEGATIVE_INFINITY,
    sweepAtMs: Number.NEGATIVE_INFINITY,
    requestCount: 0,
    random: { word: setup.seed >>> 0 },
    budget: { burst, ratio, tokens: burst },
    latencies: new Latencies(),
    servers: new Map(),
    calls: new IdMap(),
    requests: new IdMap(),
    timers: new Timers(),
    unpaid: new Set(),
    trialMissedMs: Number.NEGATIVE_INFINITY,
    roomy: new Set(),
    complete: [],
    actions: [],
  };
}
