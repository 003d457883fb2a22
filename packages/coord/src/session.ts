import type { Clock } from "./clock.js";
import type { Coord } from "./port.js";

export interface SessionOptions {
  /** Asked of the store, which may grant more. */
  readonly ttlMs: number;
  /** Default: the process's clock. */
  readonly clock?: Clock;
  /** Ends the opening only; a session that is open ends by `close`. */
  readonly signal?: AbortSignal;
}

export interface Session extends AsyncDisposable {
  readonly leaseId: bigint;
  readonly ttlMs: number;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
  isAlive(): boolean;
  close(options?: { readonly signal?: AbortSignal }): Promise<void>;
}

export declare function openSession(coord: Coord, options: SessionOptions): Promise<Session>;
