import type { Space } from "@x/space";
import type { Clock } from "./clock.js";
import type { ErrorClass, Verdict } from "./errors.js";
import type { FanoutEvent } from "./events.js";
import type { Tie } from "./rpc.js";

/** When a second request for the same points goes to another server because the first one is slow. Each costs a token of the budget. */
export type HedgeOptions = HedgeDelay & {
  /** The most hedges of one request. Default 1. */
  readonly maxHedges?: number;
  /**
   * Tied requests (Dean and Barroso, "The Tail at Scale", 2013): both requests of a pair have a {@link Tie}, and the one whose rpc
   * says first that its server has begun ends the other. Use it with a delay of about one round trip. Default false.
   */
  readonly tied?: boolean;
};

export type HedgeDelay =
  | {
      /** A fixed delay after the send; with 0 the hedge follows in a later turn of the event loop. */
      readonly afterMs: number;
    }
  | {
      /** The delay is this percentile of the latencies that were seen lately, from 0 to 1 (exclusive): 0.95. */
      readonly percentile: number;
      /** Never hedge earlier. Default 1. */
      readonly minMs?: number;
      /** The delay until 20 latencies have been seen. Default 100. */
      readonly initialMs?: number;
    };

/** What can be set for a fanout and changed for one call. */
export interface SharedOptions {
  /** The most points in one request. Default 1,000. */
  readonly maxPointsPerRequest?: number;
  /**
   * `fewest` (default): the fewest requests that cover the points. `balanced`: the points of replicas are spread over all of
   * them, at the price of more and smaller requests.
   */
  readonly plan?: "fewest" | "balanced";
  /** Default `{ percentile: 0.95 }`; `false` for none. */
  readonly hedge?: HedgeOptions | false;
  readonly retry?: {
    /** How often one point is sent, hedges not counted. Default 5; 1 for no re-sends. */
    readonly maxAttempts?: number;
    /** The pause before the n-th re-send is random between 0 and `min(maxMs, baseMs * 2 ** (n - 1))`. Default 10. The first re-send after "unreachable" does not pause. */
    readonly baseMs?: number;
    /** Default 1,000. */
    readonly maxMs?: number;
  };
  /** A request that gives nothing for so long has failed with "timeout", a retryable error. The time in which the caller does not read does not count. Default 10,000; `Infinity` for never. */
  readonly idleTimeoutMs?: number;
  /**
   * From this many chunks on that wait for the reader, nothing more is pulled or sent until he has read half of them. What was under way then
   * may still come: at most one chunk per live request. Default 64.
   */
  readonly maxBufferedChunks?: number;
}

/** What outlives one call. `V` is the type of the views. */
export interface FanoutOptions<V, P = unknown> extends SharedOptions {
  /** Default: the space whose points have the type of the call's points: `hash64` for bigint, `hash16` for number, `utf8Keys` for string, `byteKeys` for Uint8Array. */
  readonly space?: Space<P>;
  /** Which server a view stands for: what latencies, failures and in-flight requests are counted by. Compared as Map keys are. Default the view itself, which is right while its object lives on from call to call. */
  readonly serverOf?: (view: V) => unknown;
  /** How far away a view is; nearer (lower) ones are used while they are well. Default 0 for all. */
  readonly locality?: (view: V) => number;
  /** The most requests at one server, over all calls; more wait. Default 100. */
  readonly maxInFlightPerServer?: number;
  /** One token bucket for hedges and re-sends of all calls: it starts with `burst` (default 10) tokens, its most, and each first send adds `ratio` (default 0.1). Free are a first re-send after "unreachable" while at least half of the peers have answered within a second, and two re-sends of points that the views have moved after "not-mine". */
  readonly budget?: { readonly burst?: number; readonly ratio?: number };
  /** Says how a failed request is met. Default {@link classifyError}. What it throws counts as "not-retryable". */
  readonly classify?: (error: unknown, view: V) => ErrorClass | Verdict;
  /** Told of each step, in order, from within the call: keep it short. What it throws is ignored. */
  readonly onEvent?: (event: FanoutEvent<V>) => void;
  /** Default the process's clock. */
  readonly clock?: Clock;
  /** From 0 (inclusive) to 1 (exclusive). Default `Math.random`. */
  readonly random?: () => number;
}

export interface CallOptions extends SharedOptions {
  /** Ends the call: it rejects with the signal's reason, and all its requests are aborted. */
  readonly signal?: AbortSignal;
  /** The deadline of the whole call. Default none. */
  readonly timeoutMs?: number;
  /** The rpc yields `{ offset, value }`, and each point is delivered exactly once. Default false. */
  readonly perPoint?: boolean;
  /** Points that fail are in `call.failures` and do not throw. Views that could not be read at all still do. Default false. */
  readonly allowPartial?: boolean;
  /** The call ends when all its rpcs have returned, also those that lost. Default false: `call.settled` tells. */
  readonly waitForLosers?: boolean;
}
