import type { PointFailure, Verdict } from "../errors.js";
import type { FanoutEvent } from "../events.js";
import type { CallOptions, SharedOptions } from "../options.js";
import type { SortedPoints } from "../plan/contract.js";
import type { Views } from "../views.js";

// What the scheduler is told and what it asks for. It reads no clock, draws its chance from a generator in its state, does no
// I/O and never waits: the same events give the same actions. `next` owns the state it is given and returns it changed in place;
// a state that was passed in must not be used again.

/** Options with every default filled in. */
export type Resolved<T> = { readonly [K in keyof T]-?: Exclude<T[K], undefined> };

export interface ResolvedCallOptions extends Resolved<Omit<SharedOptions, "retry">> {
  readonly retry: Resolved<NonNullable<SharedOptions["retry"]>>;
  readonly perPoint: NonNullable<CallOptions["perPoint"]>;
  /** By the clock of the events; `Infinity` for none. */
  readonly deadlineMs: number;
  /** Whether the views can be read again. */
  readonly viewsCanBeRead: boolean;
  /**
   * Whether points are sent although others are in no view of a list that is final. Otherwise nothing is sent then, and the
   * call fails with "uncovered". Default false.
   */
  readonly sendPartial?: boolean;
}

/** Every event carries the time, which never goes back. Events about a request that is over, or of an ended call, change nothing. */
export type SchedulerEvent<P, V> = { readonly nowMs: number } & (
  | {
      readonly type: "start";
      readonly call: number;
      readonly points: SortedPoints<P>;
      readonly views: Views<V>;
      readonly options: ResolvedCallOptions;
    }
  /** The rpc gave a result. `offset` with `perPoint` only: then it is the point whose value this is. */
  | { readonly type: "result"; readonly request: number; readonly offset?: number }
  /** The rpc ended without an error. */
  | { readonly type: "end"; readonly request: number }
  | { readonly type: "error"; readonly request: number; readonly error: unknown; readonly verdict: Verdict }
  /** With tied requests: the server has begun the work. */
  | { readonly type: "begun"; readonly request: number }
  /** The reader is behind: send no more, and do not count the time as slowness of the servers. */
  | { readonly type: "pause"; readonly call: number }
  | { readonly type: "resume"; readonly call: number }
  /** The answer to "read-views"; a failed reading is an event with the error and no views. */
  | { readonly type: "views"; readonly call: number; readonly views: Views<V> }
  | { readonly type: "views-error"; readonly call: number; readonly error: unknown }
  /** The caller left or aborted. */
  | { readonly type: "stop"; readonly call: number }
  /** Time has come to `wakeAtMs`, or passed it. To be told behind the answers that are there already. */
  | { readonly type: "tick" }
);

/** To be carried out in order. */
export type SchedulerAction<P, V> =
  | {
      readonly type: "send";
      readonly call: number;
      readonly request: number;
      readonly view: V;
      readonly offsets: readonly number[];
      readonly timeoutMs: number;
      readonly attempt: number;
      /** It can be one of a tied pair: its server may tell that it has begun, and gets the pair's id for that. */
      readonly tied: boolean;
      /** The request that this one is tied to, which learns of it by the same action. */
      readonly tiedTo: number | undefined;
    }
  /** Abort the rpc's signal, and throw away what it still yields. With `perPoint` also a request that has given its last value: nobody waits for its end. */
  | { readonly type: "abort"; readonly request: number }
  /** Answers a "result" event: the result goes to the reader. A result without this action is thrown away. */
  | { readonly type: "deliver"; readonly request: number; readonly duplicates: readonly number[] }
  | { readonly type: "read-views"; readonly call: number }
  /**
   * The call is over; all its requests were aborted or have ended. Failures ascend by offset. "stopped" has none, and "uncovered" at
   * the start has only the points that are in no view, since nothing was sent.
   */
  | {
      readonly type: "finish";
      readonly call: number;
      readonly code: "ok" | "uncovered" | "failed" | "deadline" | "stopped";
      readonly failures: readonly PointFailure<P, V>[];
      /** What the last reading of the views failed with, when that is why points are in no view. */
      readonly viewsError?: unknown;
    }
  | { readonly type: "tell"; readonly event: FanoutEvent<V> };

/** What the scheduler must know of a fanout; the same for all its calls. */
export interface SchedulerSetup<V> {
  readonly serverOf: (view: V) => unknown;
  readonly locality: (view: V) => number;
  readonly maxInFlightPerServer: number;
  readonly budget: { readonly burst: number; readonly ratio: number };
  /** Seeds the generator in the state: an unsigned 32-bit integer. */
  readonly seed: number;
  /** Whether anybody is told of the steps: without it there are no "tell" actions, and all others are the same. */
  readonly traced: boolean;
}

/*
 * src/scheduler/state.ts:  createState<P, V>(setup: SchedulerSetup<V>): SchedulerState<P, V>
 * src/scheduler/next.ts:   next<P, V>(state, event): { state, actions }
 * `state.wakeAtMs` (Infinity for never) is when the next "tick" is due.
 */
