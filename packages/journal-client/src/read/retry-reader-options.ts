import type { Clock, Random } from "../clock.js";

/** A try of a read failed, and there will be another. */
export interface ReadRetryEvent {
  readonly type: "retry";
  readonly journal: string;
  /** Where the next try begins. */
  readonly offset: bigint;
  readonly error: unknown;
  /** How many tries have failed before this one, since the last content. */
  readonly attempt: number;
  readonly delayMs: number;
}

export interface RetryReaderOptions {
  readonly signal?: AbortSignal;
  /** Told of every jump over offsets without content, after which reading goes on. Without it `read` throws "offset-jump" once for each. */
  readonly onOffsetJump?: (from: bigint, to: bigint) => void;
  readonly onRetry?: (event: ReadRetryEvent) => void;
  readonly clock?: Clock;
  readonly random?: Random;
}
