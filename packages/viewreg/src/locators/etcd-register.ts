import { type Coord, CoordError, openSession, type Session } from "@x/coord";
import type { Clock } from "../clock.js";
import { type Endpoint, formatEndpoint } from "../endpoint.js";
import { RegistryError } from "../errors.js";
import { systemClock, systemRandom } from "../system.js";
import { oneLine } from "../text.js";
import { checkEndpoint } from "./endpoint-set.js";
import { OwnKey } from "./etcd-own-key.js";
import { Backoff, pause } from "./pause.js";

/**
 * - `registered`: the key is there, with a lease that is kept alive.
 * - `restored`: somebody else had deleted the key. It is there again, on the same lease.
 * - `lost`: the lease is over, and the key with it or soon. It is registered again.
 * - `failed`: an attempt to register failed. It is tried again.
 * - `over`: it is not tried again: the store said something that does not pass, or the session was the caller's and is over.
 */
export interface RegistrationEvent {
  readonly event: "registered" | "restored" | "lost" | "failed" | "over";
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
  /** What it throws changes nothing. */
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
  /** Whether the key is there, as far as this process can know: its lease is alive, and nobody has told of its being deleted. */
  readonly registered: boolean;
  /**
   * Removes the key at once, and stops. Does not fail: where the store can't be reached the key goes with its lease. A key that
   * another process has registered anew meanwhile stays.
   */
  close(options?: { readonly signal?: AbortSignal }): Promise<void>;
}

/**
 * Says under a prefix that this server is there, and keeps it said for as long as the process lives: on a lease, again with a new one
 * when that was lost, and again when somebody else has deleted the key: after up to 100 ms, longer when it is deleted again and again, up
 * to 5 s, and not while there is one of another process. Resolves when it is registered for the first time; while the store is away it is tried after 100 ms, doubling up
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

/** Between attempts. A key that was there for so long is put back as soon as the first time. */
const longestPauseMs = 5_000;

class LeaseRegistration implements Registration {
  readonly key: string;
  readonly #ownKey: OwnKey;
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
    this.#backoff = new Backoff({
      firstMs: 100,
      longestMs: longestPauseMs,
      random: options.random ?? systemRandom,
    });
    this.#session = options.session;
    this.key = `${options.prefix}${formatEndpoint(endpoint)}`;
    this.#ownKey = new OwnKey(options.coord, this.key, JSON.stringify(endpoint));
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
        const error = await this.#guard(session);
        this.#stop.signal.throwIfAborted();
        this.#registered = false;
        if (this.#options.session !== undefined) return this.#log("over", error);
        this.#log("lost", error);
        await this.#drop(session);
        await this.#register();
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#log("over", error);
    }
  }

  /** As long as the lease lives: puts the key back. Resolves to why the lease is over; or because of `#stop`. */
  async #guard(session: Session): Promise<unknown> {
    const { random = systemRandom } = this.#options;
    const either = new AbortController();
    const end = (): void => either.abort(session.signal.reason);
    const { signal } = either;
    for (const each of [session.signal, this.#stop.signal]) {
      if (each.aborted) end();
      each.addEventListener("abort", end, { once: true });
    }
    const backoff = new Backoff({ firstMs: 100, longestMs: longestPauseMs, random });
    let thereSinceMs = this.#clock.monotonicMs();
    try {
      for await (const isThere of this.#ownKey.follow({ clock: this.#clock, signal })) {
        if (isThere) continue;
        this.#registered = false;
        if (this.#clock.monotonicMs() - thereSinceMs >= longestPauseMs) backoff.reset();
        await this.#restore(session, { backoff, signal });
        thereSinceMs = this.#clock.monotonicMs();
      }
    } catch (error) {
      if (hasCode(error, "lease-not-found")) return error;
      // A store that cannot be followed any more says nothing of the lease; its session does.
      if (!signal.aborted) await aborted(signal);
    } finally {
      for (const each of [session.signal, this.#stop.signal]) each.removeEventListener("abort", end);
    }
    return session.signal.reason;
  }

  async #restore(
    { leaseId }: Session,
    { backoff, signal }: { readonly backoff: Backoff; readonly signal: AbortSignal },
  ): Promise<void> {
    for (;;) {
      await pause(backoff.next(), { clock: this.#clock, signal });
      try {
        const restored = await this.#ownKey.restore(leaseId, signal);
        this.#registered = true;
        if (restored) this.#log("restored");
        return;
      } catch (error) {
        if (!hasCode(error, "unavailable")) throw error;
        this.#log("failed", error);
      }
    }
  }

  async #drop(session: Session): Promise<void> {
    this.#session = undefined;
    if (session.isAlive()) await session.close();
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
    const session = this.#session;
    try {
      await this.#ownKey.put(session.leaseId, signal);
    } catch (error) {
      if (hasCode(error, "lease-not-found") && this.#options.session === undefined) await this.#drop(session);
      throw error;
    }
  }

  /** Whether it may be otherwise the next time. */
  #passes(error: unknown): boolean {
    if (hasCode(error, "lease-not-found")) return this.#options.session === undefined;
    return hasCode(error, "unavailable");
  }

  #unavailable(cause: unknown): RegistryError {
    const why = oneLine(cause);
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
      await this.#ownKey.remove(session.leaseId, signal?.aborted === true ? signal : giveUp.signal);
    } catch {
      signal?.throwIfAborted();
    } finally {
      cancel();
      signal?.removeEventListener("abort", stop);
    }
  }

  #log(event: RegistrationEvent["event"], error?: unknown): void {
    try {
      this.#options.log?.({ event, key: this.key, ...(error === undefined ? {} : { error }) });
    } catch {
      // A log that fails must not end what it was told of.
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

function hasCode(error: unknown, code: CoordError["code"]): boolean {
  return error instanceof CoordError && error.code === code;
}
