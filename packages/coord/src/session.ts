import type { Clock } from "./clock.js";
import { CoordError } from "./errors.js";
import type { Coord } from "./port.js";
import { systemClock } from "./system.js";

export interface SessionOptions {
  /** Asked of the store, which may grant more. */
  readonly ttlMs: number;
  /** How much earlier than the store the session gives up, for clocks that run at different speeds. Default: a tenth of the TTL. */
  readonly marginMs?: number;
  /** Default: the process's clock. */
  readonly clock?: Clock;
  /** Ends the opening only; a session that is open ends by `close`. */
  readonly signal?: AbortSignal;
}

/**
 * A lease that is kept alive, and the knowledge whether it still is. The store's word that a lease is lost may come late or never,
 * so a session believes a clock instead: it is over when no keepalive that was sent within the TTL has been answered.
 * Whoever may only act while he holds something asks `isAlive()` just before he acts.
 */
export interface Session extends AsyncDisposable {
  readonly leaseId: bigint;
  /** As granted. */
  readonly ttlMs: number;
  /** On the clock's monotonic time: when the last keepalive that succeeded was sent, plus the TTL, minus the margin. */
  readonly deadlineMs: number;
  /**
   * Aborts once, when the session is over: with CoordError "lease-not-found" when the lease is lost or the deadline has passed, with
   * "closed" on `close`, or with what the store said, if it is one of the errors that don't go away.
   */
  readonly signal: AbortSignal;
  /** Looks at the clock and nothing else: right even in a process that was stopped and has not run its timers yet. */
  isAlive(): boolean;
  /** Ends the session at once and revokes the lease, which deletes its keys. Does not fail: what can't be revoked now expires. */
  close(options?: { readonly signal?: AbortSignal }): Promise<void>;
}

/** Grants a lease and keeps it alive, three times per TTL. @throws CoordError as grantLease */
export async function openSession(coord: Coord, options: SessionOptions): Promise<Session> {
  const { ttlMs, signal, clock = systemClock } = options;
  const sentMs = clock.monotonicMs();
  const lease = await coord.grantLease(ttlMs, signal === undefined ? {} : { signal });
  const marginMs = options.marginMs ?? lease.ttlMs / 10;
  if (!(marginMs >= 0 && marginMs < lease.ttlMs)) {
    await coord.revokeLease(lease.id).catch(() => undefined);
    throw new CoordError(
      "invalid-argument",
      `marginMs must be from 0 to below the TTL of ${lease.ttlMs} ms, not ${marginMs}`,
    );
  }
  return new LeaseSession({ coord, clock, marginMs, sentMs, leaseId: lease.id, ttlMs: lease.ttlMs });
}

interface LeaseSessionOptions {
  readonly coord: Coord;
  readonly clock: Clock;
  readonly marginMs: number;
  readonly sentMs: number;
  readonly leaseId: bigint;
  readonly ttlMs: number;
}

class LeaseSession implements Session {
  readonly leaseId: bigint;
  readonly ttlMs: number;
  readonly #coord: Coord;
  readonly #clock: Clock;
  readonly #marginMs: number;
  readonly #over: AbortController = new AbortController();
  /** Of the last keepalive that succeeded. */
  #sentMs: number;
  #lastError: unknown;
  #attempt: AbortController | undefined;
  #cancelDeadline: (() => void) | undefined;
  #cancelNext: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: LeaseSessionOptions) {
    this.leaseId = options.leaseId;
    this.ttlMs = options.ttlMs;
    this.#coord = options.coord;
    this.#clock = options.clock;
    this.#marginMs = options.marginMs;
    this.#sentMs = options.sentMs;
    this.#watchDeadline();
    this.#planKeepAlive(this.ttlMs / 3);
  }

  get deadlineMs(): number {
    return this.#sentMs + this.ttlMs - this.#marginMs;
  }

  get signal(): AbortSignal {
    return this.#over.signal;
  }

  isAlive(): boolean {
    return !this.#over.signal.aborted && this.#clock.monotonicMs() < this.deadlineMs;
  }

  close(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    this.#end(new CoordError("closed", "the session was closed"));
    this.#closing ??= this.#revoke(options.signal);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #watchDeadline(): void {
    this.#cancelDeadline = this.#clock.setTimer(this.deadlineMs - this.#clock.monotonicMs(), () => {
      if (this.#clock.monotonicMs() < this.deadlineMs) return this.#watchDeadline();
      this.#end(
        new CoordError("lease-not-found", `lease ${this.leaseId} could not be kept alive in time`, {
          cause: this.#lastError,
        }),
      );
    });
  }

  #planKeepAlive(delayMs: number): void {
    this.#cancelNext = this.#clock.setTimer(delayMs, () => void this.#keepAlive());
  }

  async #keepAlive(): Promise<void> {
    const sentMs = this.#clock.monotonicMs();
    if (sentMs >= this.deadlineMs) return;
    // One that gets no answer is given up when the next one is due.
    const attempt = new AbortController();
    this.#attempt = attempt;
    const cancelTimeout = this.#clock.setTimer(this.ttlMs / 3, () =>
      attempt.abort(new CoordError("unavailable", "a keepalive was not answered")),
    );
    try {
      await this.#coord.keepAlive(this.leaseId, { signal: attempt.signal });
      if (this.#over.signal.aborted) return;
      this.#sentMs = sentMs;
      this.#planKeepAlive(Math.max(0, sentMs + this.ttlMs / 3 - this.#clock.monotonicMs()));
    } catch (error) {
      if (this.#over.signal.aborted) return;
      this.#lastError = error;
      if (error instanceof CoordError && error.code !== "unavailable") return this.#end(error);
      this.#planKeepAlive(attempt.signal.aborted ? 0 : this.ttlMs / 12);
    } finally {
      cancelTimeout();
    }
  }

  #end(error: CoordError): void {
    if (this.#over.signal.aborted) return;
    this.#cancelDeadline?.();
    this.#cancelNext?.();
    this.#over.abort(error);
    this.#attempt?.abort(error);
  }

  /** Not for longer than the lease would live anyway. */
  async #revoke(signal: AbortSignal | undefined): Promise<void> {
    const giveUp = new AbortController();
    const onAbort = (): void => giveUp.abort(signal?.reason);
    const cancel = this.#clock.setTimer(this.ttlMs, () => giveUp.abort(new Error("revoking took too long")));
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      signal?.throwIfAborted();
      await this.#coord.revokeLease(this.leaseId, { signal: giveUp.signal });
    } catch {
      signal?.throwIfAborted();
    } finally {
      cancel();
      signal?.removeEventListener("abort", onAbort);
    }
  }
}
