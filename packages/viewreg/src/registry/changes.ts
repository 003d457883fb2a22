import type { Clock } from "../clock.js";
import { RegistryError } from "../errors.js";
import { within } from "../judgement/settings.js";
import { type Agenda, Task } from "./agenda.js";

/** The least time between two versions, so that each has its own. */
const stepMs = 0.001;

interface StableWaiter {
  readonly ms: number;
  readonly resolve: () => void;
}

/**
 * Counts versions, and wakes those who wait for one.
 *
 * All changes in one turn make one version, so a batch wakes nobody twice. But who reads the version between two of them gets one
 * for each part: what is read beside a version is always the same for the same version.
 */
export class Changes {
  readonly #clock: Clock;
  readonly #agenda: Agenda;
  readonly #onTurn: () => void;
  readonly #waiters: Set<() => void> = new Set();
  readonly #stable: Set<StableWaiter> = new Set();
  readonly #stableTask: Task = new Task(() => this.#checkStable());
  #shortestMs = Number.POSITIVE_INFINITY;
  #version = 0;
  #lastChangedMs: number;
  /** When the last change was that no version counts yet. */
  #changedMs: number | undefined;
  #turning = false;
  #closed: RegistryError | undefined;

  /** @param options `onTurn` is called once for each turn in which something changed. */
  constructor(options: { readonly clock: Clock; readonly agenda: Agenda; readonly onTurn: () => void }) {
    this.#clock = options.clock;
    this.#agenda = options.agenda;
    this.#onTurn = options.onTurn;
    this.#lastChangedMs = this.#clock.monotonicMs();
  }

  get version(): number {
    this.#count();
    return this.#version;
  }

  get lastChangedMs(): number {
    this.#count();
    return this.#lastChangedMs;
  }

  /** Something has changed. O(1). */
  note(): void {
    this.#changedMs = this.#clock.monotonicMs();
    if (this.#turning) return;
    this.#turning = true;
    void Promise.resolve().then(() => this.#turn());
  }

  /** @returns the version that it is now, which is not `version` */
  async wait(version: number, { signal }: { readonly signal?: AbortSignal }): Promise<number> {
    while (this.#closed === undefined && this.version === version) {
      await interruptible(signal, (wake) => {
        this.#waiters.add(wake);
        return () => void this.#waiters.delete(wake);
      });
    }
    if (this.#closed !== undefined) throw this.#closed;
    return this.version;
  }

  async waitStable(ms: number, { signal }: { readonly signal?: AbortSignal }): Promise<void> {
    within(ms, 0, "ms", 0, Number.MAX_SAFE_INTEGER);
    if (this.#closed === undefined && !this.#isStable(ms)) {
      await interruptible(signal, (resolve) => {
        const waiter = { ms, resolve };
        this.#stable.add(waiter);
        this.#shortestMs = Math.min(this.#shortestMs, ms);
        this.#planStable();
        return () => void this.#stable.delete(waiter);
      });
    }
    if (this.#closed !== undefined) throw this.#closed;
  }

  /** All waits end, now and later. */
  close(): void {
    if (this.#closed !== undefined) return;
    this.#count();
    this.#closed = new RegistryError("closed", "the registry was closed");
    this.#agenda.delete(this.#stableTask);
    this.#wake();
    for (const { resolve } of this.#stable) resolve();
    this.#onTurn();
  }

  get closed(): RegistryError | undefined {
    return this.#closed;
  }

  #count(): void {
    if (this.#changedMs === undefined) return;
    this.#version++;
    this.#lastChangedMs = Math.max(this.#changedMs, this.#lastChangedMs + stepMs);
    this.#changedMs = undefined;
  }

  #turn(): void {
    this.#turning = false;
    if (this.#closed !== undefined) return;
    this.#count();
    this.#wake();
    this.#planStable();
    this.#onTurn();
  }

  #wake(): void {
    for (const wake of this.#waiters) wake();
    this.#waiters.clear();
  }

  #isStable(ms: number): boolean {
    return this.#clock.monotonicMs() - this.lastChangedMs >= ms;
  }

  /** One timer for all: for the one that waits for the shortest time, since the time of each starts with the last change. */
  #planStable(): void {
    if (this.#stable.size === 0) return;
    const leftMs = this.#lastChangedMs + this.#shortestMs - this.#clock.monotonicMs();
    this.#agenda.set(this.#stableTask, this.#agenda.nowMs() + leftMs);
  }

  #checkStable(): void {
    this.#shortestMs = Number.POSITIVE_INFINITY;
    for (const waiter of this.#stable) {
      if (this.#isStable(waiter.ms)) {
        this.#stable.delete(waiter);
        waiter.resolve();
      } else if (waiter.ms < this.#shortestMs) {
        this.#shortestMs = waiter.ms;
      }
    }
    this.#planStable();
  }
}

/**
 * @param subscribe gets what to call when the wait is over, and returns how to give it up
 * @throws the signal's reason
 */
function interruptible(
  signal: AbortSignal | undefined,
  subscribe: (done: () => void) => () => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      unsubscribe();
      reject(signal?.reason);
    };
    const unsubscribe = subscribe(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
