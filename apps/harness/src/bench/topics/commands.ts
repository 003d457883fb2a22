/** What the benchmark asks of a client process, one at a time, and what it answers. */
import type { SystemAddress } from "./drivers.js";

export type Load =
  | { readonly type: "publish"; readonly inFlight: number; readonly bytes: number }
  | {
      readonly type: "publish-batches";
      readonly batch: number;
      readonly inFlight: number;
      readonly bytes: number;
    }
  | { readonly type: "one-at-a-time"; readonly bytes: number };

export interface Window {
  /** Runs uncounted before, so that what is in flight is in its steady state. */
  readonly warmUpMs: number;
  readonly countedMs: number;
}

export type Command =
  | { readonly type: "open"; readonly system: SystemAddress }
  | { readonly type: "use-topic"; readonly name: string }
  /** Answers how many it has published: `count`, or fewer when the time is over. */
  | { readonly type: "fill"; readonly count: number; readonly bytes: number; readonly withinMs: number }
  | { readonly type: "load"; readonly load: Load; readonly window: Window }
  /** A new reader reads and commits what is there, until the time is over. Answers messages a second. */
  | { readonly type: "consume"; readonly available: number; readonly withinMs: number }
  | { readonly type: "open-live" }
  | {
      readonly type: "end-to-end";
      readonly perSecond: number;
      readonly bytes: number;
      readonly window: Window;
    }
  | { readonly type: "close-live" }
  | { readonly type: "close" };

export interface Answer {
  /** Operations a second that were acknowledged in the window. */
  readonly perSecond?: number;
  readonly count?: number;
  /** Of operations or deliveries, in milliseconds. */
  readonly p50Ms?: number;
  readonly p99Ms?: number;
  /** Of the messages that were due in the window how many a second were delivered before the load gave up. */
  readonly deliveredPerSecond?: number;
}

export type Reply = { readonly answer: Answer } | { readonly error: string };
