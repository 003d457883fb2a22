import { BlobError } from "../errors.js";
import type { Ref } from "../ref.js";
import type { CallOptions, GetManyResult } from "../store.js";
import { follow } from "./abort.js";
import type { Changes } from "./changes.js";
import type { AsyncStoreState } from "./options.js";
import type { Acknowledged, ReplicaQueue, Reservation } from "./queue/queue.js";
import type { StoreQueue } from "./queue/store-queue.js";
import { type Settings, saying } from "./settings.js";
import { Worker } from "./worker.js";

export interface AsyncSideOptions {
  readonly settings: Settings;
  readonly queue: ReplicaQueue;
  readonly changes: Changes;
  readonly source: (refs: readonly Ref[], options: CallOptions) => Promise<readonly GetManyResult[]>;
}

interface Side {
  readonly queue: StoreQueue;
  readonly worker: Worker;
  behind: boolean;
}

/** The asynchronous stores: their queues and their workers. */
export class AsyncSide {
  readonly #options: AsyncSideOptions;
  readonly #sides: readonly Side[];
  #strictFailure: BlobError | undefined;
  readonly #strictStop = new AbortController();
  #stopped = false;

  constructor(options: AsyncSideOptions) {
    this.#options = options;
    const { settings, queue, source } = options;
    this.#sides = settings.async.map((target, number) => {
      const store = queue.stores[number]!;
      const side: Side = {
        queue: store,
        behind: false,
        worker: new Worker({
          target,
          backlog: store.backlog,
          settings,
          source,
          onDone: (entries) => {
            queue.done(number, entries);
            if (!side.behind || store.backlog.size > 0) return;
            side.behind = false;
            settings.emit({ event: "async-caught-up", store: target.name });
          },
          onLost: (entry, error) => queue.lost(number, entry, error),
          confirm: () => queue.confirm(),
          onFailed: (ref, error) => this.#failed(side, ref, error),
        }),
      };
      return side;
    });
    const { deposed } = queue;
    deposed?.addEventListener("abort", () => this.#deposed(deposed.reason), { once: true });
  }

  /** What these still have to write is the other process's, which may delete it as well: written again it would be back. */
  #deposed(reason: unknown): void {
    for (const { worker } of this.#sides) void worker.stop(reason);
    this.#options.changes.bump();
  }

  start(): void {
    for (const { worker } of this.#sides) worker.kick();
  }

  #failed(side: Side, ref: Ref, error: unknown): void {
    const { settings, changes } = this.#options;
    const { name } = side.queue;
    side.behind = true;
    if (settings.strict && !this.#strictFailure) {
      const message = `a write to asynchronous store ${name} failed, and the replica is strict: ${saying(error)}`;
      const failure = new BlobError("failed-strict", message, {
        cause: error,
        store: name,
        failures: [{ store: name, error }],
      });
      this.#strictFailure = failure;
      this.#strictStop.abort(failure);
      for (const { worker } of this.#sides) void worker.stop(failure);
    }
    settings.emit({ event: "async-failed", store: name, ref, error });
    changes.bump();
  }

  /** @throws BlobError "failed-strict" */
  throwIfStrictFailed(): void {
    const failure = this.#strictFailure;
    if (failure) {
      // Each caller gets an error of its own, with its own stack.
      throw new BlobError("failed-strict", failure.message, {
        cause: failure.cause,
        store: failure.store!,
        failures: failure.failures,
      });
    }
  }

  /** Aborted when another process is known to have taken over the queue. */
  get deposed(): AbortSignal | undefined {
    return this.#options.queue.deposed;
  }

  /** @throws BlobError "closed" when another process is known to have taken over the queue */
  throwIfDeposed(): void {
    const { deposed } = this;
    if (!deposed?.aborted) return;
    const cause: unknown = deposed.reason;
    throw new BlobError("closed", saying(cause), { cause });
  }

  /** Finds out whether another process has taken over the queue. @throws BlobError "closed" */
  async confirm(): Promise<void> {
    await this.#options.queue.confirm();
  }

  /** @throws `signal.reason`; BlobError "queue-full", "closed" */
  async reserve(count: number, signal: AbortSignal | undefined, closing: AbortSignal): Promise<Reservation> {
    const reservation = this.#options.queue.tryReserve(count);
    if (reservation) return reservation;
    // Listening to several signals is for those who have to wait. They live long: nothing may stay with them.
    const { controller, release } = follow(signal, closing, this.#strictStop.signal, this.deposed);
    try {
      return await this.#options.queue.reserve(count, controller.signal);
    } finally {
      release();
    }
  }

  giveBack(reservation: Reservation): void {
    this.#options.queue.giveBack(reservation);
  }

  async commit(blobs: readonly Acknowledged[], reservation: Reservation): Promise<void> {
    if (blobs.length === 0) return;
    await this.#options.queue.commit(blobs, reservation);
    if (!this.#stopped) this.start();
  }

  /** No worker begins to write the blob, until it is released. The stores, by number, that wait for it. */
  hold(ref: Ref): readonly number[] {
    return this.#options.queue.hold(ref);
  }

  /** Resolves when no worker is writing the blob. */
  async settled(ref: Ref): Promise<void> {
    await Promise.all(this.#sides.map(({ worker }) => worker.settled(ref)));
  }

  /** The names of the stores that the blob is being written to. */
  writing(ref: Ref): readonly string[] {
    return this.#sides.filter(({ worker }) => worker.isWriting(ref)).map(({ queue }) => queue.name);
  }

  release(ref: Ref): void {
    this.#options.queue.release(ref);
    if (!this.#stopped) this.start();
  }

  /** The blob was deleted everywhere. */
  async forget(ref: Ref): Promise<void> {
    await this.#options.queue.forget(ref);
  }

  /** These stores, by number, may lack the blob. */
  async requeue(ref: Ref, bytes: number, numbers: readonly number[]): Promise<void> {
    if (numbers.length > 0) await this.#options.queue.requeue(ref, bytes, numbers);
  }

  /** Whether the stores have all that was acknowledged before this call. */
  drained(): () => boolean {
    const last = this.#options.queue.lastSeq;
    return () =>
      this.#sides.every(({ queue }) => (queue.backlog.oldest()?.seq ?? Number.POSITIVE_INFINITY) > last);
  }

  /** @throws BlobError "invalid-argument" */
  async markSynced(name: string, dropped: number | undefined): Promise<void> {
    const number = this.#sides.findIndex(({ queue }) => queue.name === name);
    const side = this.#sides[number];
    if (side === undefined) {
      const names = this.#sides.map(({ queue }) => queue.name).join(", ");
      throw new BlobError(
        "invalid-argument",
        `no asynchronous store is called ${JSON.stringify(name)}: they are ${names}`,
      );
    }
    const count = dropped ?? side.queue.dropped;
    if (!Number.isSafeInteger(count) || count < 0 || count > side.queue.dropped) {
      throw new BlobError(
        "invalid-argument",
        `dropped is what the store's state said, a whole number from 0 to ${side.queue.dropped}, not ${count}`,
      );
    }
    await this.#options.queue.markSynced(number, count);
  }

  state(): readonly AsyncStoreState[] {
    const nowMs = this.#options.settings.clock.wallMs();
    return this.#sides.map(({ queue, worker }) => {
      const { name, backlog, dropped, synced } = queue;
      const oldest = backlog.oldest();
      return {
        name,
        backlog: backlog.size,
        backlogBytes: backlog.bytes,
        lagMs: oldest ? Math.max(0, nowMs - oldest.wallMs) : 0,
        oldest: oldest?.ref,
        failures: worker.failures,
        lastError: worker.lastError,
        needsSync: dropped > synced,
        dropped,
      };
    });
  }

  async stop(reason: unknown): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#sides.map(({ worker }) => worker.stop(reason)));
  }

  async close(): Promise<void> {
    await this.#options.queue.close();
  }
}
