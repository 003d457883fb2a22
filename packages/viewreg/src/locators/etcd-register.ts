import { type Coord, CoordError, openSession, type Session } from "@x/coord";
import type { Clock } from "../clock.js";
import { type Endpoint, formatEndpoint } from "../endpoint.js";
import { RegistryError } from "../errors.js";
import { systemClock, systemRandom } from "../system.js";
import { checkEndpoint } from "./endpoint-set.js";
import { Backoff, pause } from "./pause.js";

/**
 * - `registered`: the key is there, with a lease that is kept alive.
 * - `lost`: the lease is over, and the key with it or soon. It is registered again.
 * - `failed`: an attempt to register failed. It is tried again.
 * - `over`: it is not tried again: the store said something that does not pass, or the session was the caller's and is over.
 */
export interface RegistrationEvent {
  readonly event: "registered" | "lost" | "failed" | "over";
  readonly key: string;
  readonly error?: unknown;
}

export interface RegisterOptions {
  readonly coord: Coord;
  /** With its slash at the end. The key is the prefix and `host:port`. Not empty. */
  readonly prefix: string;
  /** Where others reach this server, and what they may know of it: its labels. */
  readonly endpoint: Endpoint;
  /** How long the key outlives a process that dies. Default 10,000. The store may grant more. */
  readonly ttlMs?: number;
  /** A session of the caller's, in place of one of its own: the key goes when the session does, for good. */
  readonly session?: Session;
  readonly log?: (event: RegistrationEvent) => void;
  /** Default: the process's clock. */
  readonly clock?: Clock;
  /** From 0 to 1. Default: Math.random. */
  readonly random?: () => number;
  /** Ends the first registration only; what is registered ends by `close`. */
  readonly signal?: AbortSignal;
}

export interface Registration extends AsyncDisposable {
  readonly key: string;
  /** Whether the key is there, as far as this process can know: its lease is alive. */
  readonly registered: boolean;
  /**
   * Removes the key at once, and stops. Does not fail: where the store can't be reached the key goes with its lease. A key that
   * another process has registered anew meanwhile stays.
   */
  close(options?: { readonly signal?: AbortSignal }): Promise<void>;
}

/**
 * Says under a prefix that this server is there, and keeps it said for as long as the process lives: on a lease, again with a new one
 * when that was lost. Resolves when it is registered for the first time; while the store is away it is tried after 100 ms, doubling up
 * to 5 s.
 * @throws signal.reason, RegistryError "invalid-argument", "invalid-endpoint", or "unavailable" when the store says something that does
 * not pass
 */
export async function register(options: RegisterOptions): Promise<Registration> {
  const { prefix, signal } = options;
  if (typeof prefix !== "string" || prefix.length === 0)
    throw new RegistryError("invalid-argument", "prefix must be a string that is not empty");
  const endpoint = checkEndpoint(options.endpoint);
  signal?.throwIfAborted();
  const registration = new LeaseRegistration(options, endpoint);
  const onAbort = (): void => registration.stop(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    await registration.start();
  } catch (error) {
    await registration.close();
    throw error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
  return registration;
}

class LeaseRegistration implements Registration {
  readonly key: string;
  readonly #value: string;
  readonly #options: RegisterOptions;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  readonly #stop: AbortController = new AbortController();
  #session: Session | undefined;
  #registered = false;
  #keeping: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: RegisterOptions, endpoint: Endpoint) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#backoff = new Backoff({ firstMs: 100, longestMs: 5_000, random: options.random ?? systemRandom });
    this.#session = options.session;
    this.key = `${options.prefix}${formatEndpoint(endpoint)}`;
    this.#value = JSON.stringify(endpoint);
  }

  get registered(): boolean {
    return this.#registered && this.#session?.isAlive() === true;
  }

  async start(): Promise<void> {
    await this.#register();
    this.#keeping = this.#keep();
  }

  stop(reason: unknown): void {
    this.#stop.abort(reason);
  }

  close(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    this.stop(new RegistryError("closed", "the registration was closed"));
    this.#closing ??= this.#remove(options.signal);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #keep(): Promise<void> {
    try {
      for (;;) {
        const session = this.#session!; // #register has set it
        await over(session.signal, this.#stop.signal);
        this.#stop.signal.throwIfAborted();
        this.#registered = false;
        if (this.#options.session !== undefined) return this.#log("over", session.signal.reason);
        this.#log("lost", session.signal.reason);
        this.#session = undefined;
        await this.#register();
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#log("over", error);
    }
  }

  /** Until it is done. */
  async #register(): Promise<void> {
    const signal = this.#stop.signal;
    for (;;) {
      signal.throwIfAborted();
      try {
        await this.#put(signal);
        this.#registered = true;
        this.#backoff.reset();
        return this.#log("registered");
      } catch (error) {
        signal.throwIfAborted();
        if (!this.#passes(error)) throw this.#unavailable(error);
        this.#log("failed", error);
      }
      await pause(this.#backoff.next(), { clock: this.#clock, signal });
    }
  }

  async #put(signal: AbortSignal): Promise<void> {
    const { coord, ttlMs = 10_000 } = this.#options;
    this.#session ??= await openSession(coord, { ttlMs, clock: this.#clock, signal });
    const { leaseId } = this.#session;
    try {
      await coord.txn(
        { then: [{ type: "put", key: this.key, value: this.#value, lease: leaseId }] },
        { signal },
      );
    } catch (error) {
      if (hasCode(error, "lease-not-found") && this.#options.session === undefined) {
        await this.#session?.close();
        this.#session = undefined;
      }
      throw error;
    }
  }

  /** Whether it may be otherwise the next time. */
  #passes(error: unknown): boolean {
    if (hasCode(error, "lease-not-found")) return this.#options.session === undefined;
    return hasCode(error, "unavailable");
  }

  #unavailable(cause: unknown): RegistryError {
    const why = cause instanceof Error ? cause.message : String(cause);
    return new RegistryError("unavailable", `${this.key} can't be registered: ${why}`, { cause });
  }

  async #remove(signal: AbortSignal | undefined): Promise<void> {
    await this.#keeping;
    this.#registered = false;
    if (this.#options.session === undefined)
      return await this.#session?.close(signal === undefined ? {} : { signal });
    await this.#deleteKey(this.#options.session, signal);
  }

  /** The session goes on, so the key has to be deleted by itself: if it is still ours. */
  async #deleteKey(session: Session, signal: AbortSignal | undefined): Promise<void> {
    if (!session.isAlive()) return;
    const giveUp = new AbortController();
    const stop = (): void => giveUp.abort();
    const cancel = this.#clock.setTimer(session.ttlMs, stop);
    signal?.addEventListener("abort", stop, { once: true });
    try {
      await this.#options.coord.txn(
        {
          compare: [{ key: this.key, target: "lease", op: "=", value: session.leaseId }],
          then: [{ type: "delete", key: this.key }],
        },
        { signal: signal?.aborted === true ? signal : giveUp.signal },
      );
    } catch {
      signal?.throwIfAborted();
    } finally {
      cancel();
      signal?.removeEventListener("abort", stop);
    }
  }

  #log(event: RegistrationEvent["event"], error?: unknown): void {
    this.#options.log?.({ event, key: this.key, ...(error === undefined ? {} : { error }) });
  }
}

/** Resolves as soon as one of them is aborted. */
async function over(...signals: readonly AbortSignal[]): Promise<void> {
  let finish: () => void = () => undefined;
  const aborted = new Promise<void>((resolve) => {
    finish = resolve;
  });
  for (const signal of signals) {
    if (signal.aborted) finish();
    signal.addEventListener("abort", finish, { once: true });
  }
  try {
    await aborted;
  } finally {
    for (const signal of signals) signal.removeEventListener("abort", finish);
  }
}

function hasCode(error: unknown, code: CoordError["code"]): boolean {
  return error instanceof CoordError && error.code === code;
}
