import type { Ref } from "../ref.js";
import type { PutManyResult } from "../store.js";
import { type CopyOptions, copy } from "./copy.js";
import type { Backlog, Entry } from "./queue/backlog.js";
import type { Settings } from "./settings.js";

export interface WorkerOptions extends CopyOptions {
  readonly backlog: Backlog;
  readonly settings: CopyOptions["settings"] & Pick<Settings, "random" | "retryMinMs" | "retryMaxMs">;
  readonly onDone: (entries: readonly Entry[]) => void;
  /** A try failed, and will be made again. */
  readonly onFailed: (ref: Ref, error: unknown) => void;
}

interface Lane {
  readonly entries: readonly Entry[];
  readonly attempt: AbortController;
  readonly done: Promise<void>;
}

const batchLimits = { entries: 256, bytes: 4 * 1024 * 1024 };
const batchesInFlight = 4;
const putsInFlight = 16;

/**
 * Writes what one store waits for, a bounded number of writes at a time, for ever. While the store fails there is one try at a time, after a wait that doubles,
 * each with another blob; a blob that fails while others are taken waits by itself and holds nobody up.
 */
export class Worker {
  readonly #options: WorkerOptions;
  readonly #lanes = new Set<Lane>();
  #stopped = false;
  #cancelTimer: (() => void) | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #successes = 0;
  /** Failures of the store in a row, each of a try that began after the one before had failed. */
  #outage = 0;
  /** Changes when the outage does: what was begun before says nothing new about it. */
  #epoch = 0;
  #pausedUntilMs = 0;
  #failures = 0;
  #lastError: unknown;

  constructor(options: WorkerOptions) {
    this.#options = options;
  }

  /** Failed tries since the last success. */
  get failures(): number {
    return this.#failures;
  }

  get lastError(): unknown {
    return this.#lastError;
  }

  /** There may be something to do. */
  kick(): void {
    const { target, backlog } = this.#options;
    const lanes = target.store.putMany ? batchesInFlight : putsInFlight;
    while (!this.#stopped && this.#lanes.size < lanes && backlog.size > 0) {
      const entries = this.#next();
      if (entries.length === 0) return;
      const epoch = this.#epoch;
      const attempt = new AbortController();
      const done = Promise.resolve().then(() => this.#run(entries, attempt, epoch));
      const lane: Lane = { entries, attempt, done };
      this.#lanes.add(lane);
      void done.then(() => {
        this.#lanes.delete(lane);
        this.kick();
      });
    }
  }

  #next(): Entry[] {
    const { target, backlog, settings } = this.#options;
    const nowMs = settings.clock.monotonicMs();
    if (this.#outage > 0) {
      if (this.#lanes.size > 0) return [];
      if (nowMs >= this.#pausedUntilMs) return backlog.takeProbe();
      this.#wakeAt(this.#pausedUntilMs);
      return [];
    }
    const batch = backlog.take(target.store.putMany ? batchLimits : { ...batchLimits, entries: 1 }, nowMs);
    if (batch.length === 0) {
      let first = Number.POSITIVE_INFINITY;
      for (const entry of backlog.retries) first = Math.min(first, entry.notBeforeMs);
      if (first < Number.POSITIVE_INFINITY) this.#wakeAt(first);
    }
    return batch;
  }

  #wakeAt(atMs: number): void {
    if (this.#cancelTimer && this.#timerAtMs <= atMs) return;
    this.#cancelTimer?.();
    const { clock } = this.#options.settings;
    this.#timerAtMs = atMs;
    this.#cancelTimer = clock.setTimer(Math.max(0, Math.ceil(atMs - clock.monotonicMs())), () => {
      this.#cancelTimer = undefined;
      this.kick();
    });
  }

  /** Never rejects. */
  async #run(entries: readonly Entry[], attempt: AbortController, epoch: number): Promise<void> {
    const { backlog, settings } = this.#options;
    const outcomes = new Map<Entry, PutManyResult>();
    try {
      await copy(this.#options, entries, outcomes, attempt);
    } catch (error) {
      for (const entry of entries) if (!outcomes.has(entry)) outcomes.set(entry, { ref: entry.ref, error });
    }
    this.#settle(outcomes, epoch);
    // Those that nothing was tried for have not failed.
    for (const entry of entries) {
      if (entry.phase === "in-flight" && !outcomes.has(entry))
        backlog.retry(entry, settings.clock.monotonicMs());
    }
  }

  #settle(outcomes: ReadonlyMap<Entry, PutManyResult>, epoch: number): void {
    const { backlog, settings, onDone, onFailed } = this.#options;
    const nowMs = settings.clock.monotonicMs();
    const done: Entry[] = [];
    const failed: { readonly entry: Entry; readonly error: unknown }[] = [];
    for (const [entry, { error }] of outcomes) {
      if (entry.phase === "gone") continue;
      if (error === undefined) done.push(entry);
      else failed.push({ entry, error });
    }
    if (this.#stopped) {
      if (done.length > 0) onDone(done);
      return;
    }
    if (done.length > 0) {
      for (const entry of this.#outage > 0 ? backlog.retries : []) {
        if (entry.successesThen === this.#successes) entry.notBeforeMs = nowMs;
      }
      this.#successes++;
      this.#failures = 0;
      if (this.#outage > 0) this.#epoch++;
      this.#outage = 0;
    }
    let storeFailed = false;
    for (const { entry, error } of failed) {
      entry.overtaken ||= done.length > 0 || (entry.tries > 0 && entry.successesThen < this.#successes);
      storeFailed ||= !entry.overtaken;
      entry.tries++;
      entry.successesThen = this.#successes;
      backlog.retry(entry, nowMs + this.#waitMs(entry.tries));
      this.#failures++;
      this.#lastError = error;
    }
    if (storeFailed && epoch === this.#epoch) {
      this.#outage++;
      this.#epoch++;
      this.#pausedUntilMs = nowMs + this.#waitMs(this.#outage);
    }
    if (done.length > 0) {
      if (backlog.retries.size === 0) this.#lastError = undefined;
      onDone(done);
    }
    for (const { entry, error } of failed) onFailed(entry.ref, error);
  }

  #waitMs(tries: number): number {
    const { random, retryMinMs, retryMaxMs } = this.#options.settings;
    const most = Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(tries - 1, 40));
    return most * (0.5 + 0.5 * random.number());
  }

  isWriting(ref: Ref): boolean {
    return [...this.#lanes].some(({ entries }) => entries.some((entry) => entry.ref === ref));
  }

  /** Resolves when nothing is being written under the ref. */
  async settled(ref: Ref): Promise<void> {
    const lanes = [...this.#lanes].filter(({ entries }) => entries.some((entry) => entry.ref === ref));
    await Promise.all(lanes.map(({ done }) => done));
  }

  /** Stops what is running. Resolves when nothing runs. */
  async stop(reason: unknown): Promise<void> {
    this.#stopped = true;
    for (const { attempt } of this.#lanes) attempt.abort(reason);
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    await Promise.all([...this.#lanes].map(({ done }) => done));
  }
}
