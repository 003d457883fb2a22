import type { Clock, Random } from "../../clock.js";
import { BlobError } from "../../errors.js";
import type { Ref } from "../../ref.js";
import type { Entry } from "./backlog.js";
import type { QueueFiles } from "./files.js";
import { FileJournal, type Journal, memoryJournal, type Recovered } from "./journal.js";
import { maxStores, type QueueRecord } from "./record.js";
import { applyRecord, recoverInto, snapshotOf } from "./replay.js";
import { StoreQueue } from "./store-queue.js";

export interface QueueOptions {
  readonly where: { readonly dir: string; readonly files: QueueFiles } | "memory";
  readonly names: readonly string[];
  readonly maxQueued: number;
  readonly whenFull: "block" | "reject" | "drop-to-resync";
  readonly clock: Clock;
  readonly random: Random;
  /** As that of the journal. */
  readonly leastCompaction?: number;
  /** Something that `state()` shows has changed. */
  readonly onChange: () => void;
  readonly onDropped: (name: string, ref: Ref, error?: unknown) => void;
}

/** Places for blobs to come, in the queue of each store that has them; the others drop the write. */
export interface Reservation {
  /** By the store's number: how many places are still held. */
  readonly held: number[];
  readonly drop: boolean[];
}

export interface Acknowledged {
  readonly ref: Ref;
  readonly bytes: number;
}

/** What the asynchronous stores wait for: in memory for the workers, and in the journal for the time after a crash. */
export class ReplicaQueue {
  /** Those of the options, in their order; behind them stores of earlier runs that still have entries. */
  readonly stores: readonly StoreQueue[];
  readonly #configured: number;
  readonly #options: QueueOptions;
  #journal: Journal = memoryJournal;
  #nextSeq = 1;

  private constructor(options: QueueOptions, stores: readonly StoreQueue[]) {
    this.#options = options;
    this.stores = stores;
    this.#configured = options.names.length;
  }

  /** @throws BlobError "invalid-argument", "bad-data", "refused", "full", "unavailable", "closed" */
  static async open(options: QueueOptions): Promise<ReplicaQueue> {
    const stores = options.names.map((name) => new StoreQueue(name, options.maxQueued));
    const queue = new ReplicaQueue(options, stores);
    if (options.where !== "memory") {
      const { random, leastCompaction } = options;
      const recover = (recovered: Recovered) => {
        for (const { name } of recovered.header.table) {
          if (stores.some((store) => store.name === name)) continue;
          stores.push(new StoreQueue(name, Number.POSITIVE_INFINITY));
        }
        if (stores.length > 32) throw tooMany(stores.length);
        queue.#nextSeq = recoverInto(stores, recovered);
        const kept = stores.filter(
          (store, i) => i < options.names.length || store.backlog.size > 0 || store.dropped > store.synced,
        );
        stores.splice(0, stores.length, ...kept);
        if (stores.length > maxStores) throw tooMany(stores.length);
      };
      queue.#journal = await FileJournal.open({
        ...options.where,
        random,
        ...(leastCompaction !== undefined && { leastCompaction }),
        recover,
        snapshot: () => snapshotOf(stores, queue.#nextSeq),
      });
    }
    return queue;
  }

  /** As that of the journal. */
  get deposed(): AbortSignal | undefined {
    return this.#journal.deposed;
  }

  /** Finds out whether another process has taken the queue over. @throws BlobError "closed" */
  async confirm(): Promise<void> {
    await this.#journal.confirm();
  }

  get lastSeq(): number {
    return this.#nextSeq - 1;
  }

  /** As `reserve`, where nobody has to wait for it. @throws BlobError "queue-full" */
  tryReserve(count: number): Reservation | undefined {
    const { whenFull, maxQueued } = this.#options;
    const reservation: Reservation = { held: [], drop: [] };
    for (let i = 0; i < this.#configured; i++) {
      const { name, room } = this.stores[i]!;
      const taken = room.tryTake(count);
      if (!taken && whenFull !== "drop-to-resync") {
        this.giveBack(reservation);
        if (whenFull === "block") return undefined;
        throw new BlobError("queue-full", `the queue of store ${name} is full: it holds ${maxQueued}`, {
          store: name,
        });
      }
      reservation.held.push(taken ? count : 0);
      reservation.drop.push(!taken);
    }
    return reservation;
  }

  /** Waits for `count` places in every queue. Give back what was not used. @throws `signal.reason` */
  async reserve(count: number, signal: AbortSignal): Promise<Reservation> {
    const reservation: Reservation = { held: [], drop: [] };
    try {
      for (let i = 0; i < this.#configured; i++) {
        // Everybody takes places in the order of the stores, so that nobody waits for one who waits for him.
        await this.stores[i]!.room.take(count, signal);
        reservation.held.push(count);
        reservation.drop.push(false);
      }
      return reservation;
    } catch (error) {
      this.giveBack(reservation);
      throw error;
    }
  }

  giveBack(reservation: Reservation): void {
    reservation.held.forEach((count, i) => {
      if (count > 0) this.stores[i]!.room.giveBack(count);
      reservation.held[i] = 0;
    });
  }

  /** Resolves when the blobs are queued as durably as the queue is, in one append for each. Uses one place for each. */
  async commit(blobs: readonly Acknowledged[], reservation: Reservation): Promise<void> {
    let stores = 0;
    let dropped = 0;
    for (let i = 0; i < this.#configured; i++) {
      if (reservation.drop[i]) dropped |= 1 << i;
      else stores |= 1 << i;
    }
    const wallMs = this.#options.clock.wallMs();
    const appends = blobs.map(({ ref, bytes }) => {
      const record = { kind: "queued" as const, seq: this.#nextSeq++, ref, bytes, wallMs, stores, dropped };
      return this.#journal.append(record, () => {
        reservation.held.forEach((count, i) => {
          if (count > 0) reservation.held[i] = count - 1;
        });
        this.#apply(record);
        // The place is the entry's now, or nobody's when the blob was waited for already.
        for (let i = 0; i < this.#configured; i++) {
          if (stores & (1 << i)) this.stores[i]!.room.giveBack(1);
        }
        for (let i = 0; i < this.#configured; i++) {
          if (dropped & (1 << i)) this.#options.onDropped(this.stores[i]!.name, ref);
        }
      });
    });
    const results = await Promise.allSettled(appends);
    this.#options.onChange();
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }

  /** The store has them. In the order in which they were taken. */
  done(store: number, entries: readonly Entry[]): void {
    const { backlog, room } = this.stores[store]!;
    let from = 0;
    let count = 0;
    const note = () => {
      if (count > 0) this.#journal.note({ kind: "done", store, seq: from, count });
    };
    for (const entry of entries) {
      if (!backlog.remove(entry)) continue;
      if (count > 0 && entry.seq === from + count) {
        count++;
        continue;
      }
      note();
      from = entry.seq;
      count = 1;
    }
    note();
    room.changed();
    this.#options.onChange();
  }

  /** No synchronous store has the blob any more: nobody can write it. */
  lost(store: number, entry: Entry, error: unknown): void {
    const { backlog, room, name } = this.stores[store]!;
    if (!backlog.remove(entry)) return;
    this.stores[store]!.dropped++;
    this.#journal.note({ kind: "lost", store, seq: entry.seq, count: entry.lastSeq - entry.seq });
    room.changed();
    this.#options.onDropped(name, entry.ref, error);
    this.#options.onChange();
  }

  /** The blob is being deleted: until `release` nobody begins to write it. The stores, by number, that wait for it. */
  hold(ref: Ref): readonly number[] {
    return this.stores.flatMap(({ backlog }, number) => {
      const entry = backlog.find(ref);
      if (entry === undefined) return [];
      backlog.hold(entry);
      return [number];
    });
  }

  release(ref: Ref): void {
    for (const { backlog } of this.stores) {
      const entry = backlog.find(ref);
      if (entry) backlog.release(entry);
    }
  }

  /** Stores that had the blob may lack it now. Takes a place though there is none: nothing may be lost for that. */
  async requeue(ref: Ref, bytes: number, numbers: readonly number[]): Promise<void> {
    const stores = numbers.reduce((bits, number) => bits | (1 << number), 0);
    const wallMs = this.#options.clock.wallMs();
    const record = { kind: "queued" as const, seq: this.#nextSeq++, ref, bytes, wallMs, stores, dropped: 0 };
    try {
      await this.#journal.append(record, () => this.#apply(record));
    } catch {
      // In memory at least: the journal's next file has it.
      this.#apply(record);
    }
    this.#options.onChange();
  }

  /** The blob was deleted: nobody waits for it any more. Resolves when that is durable. */
  async forget(ref: Ref): Promise<void> {
    if (!this.stores.some(({ backlog }) => backlog.find(ref))) return;
    const record = { kind: "forgotten" as const, ref };
    await this.#journal.append(record, () => this.#apply(record));
    for (const { room } of this.stores) room.changed();
    this.#options.onChange();
  }

  async markSynced(store: number, count: number): Promise<void> {
    const record = { kind: "synced" as const, store, count };
    await this.#journal.append(record, () => this.#apply(record));
    this.#options.onChange();
  }

  async close(): Promise<void> {
    await this.#journal.close();
  }

  #apply(record: QueueRecord): void {
    if (record.kind === "queued") this.#nextSeq = Math.max(this.#nextSeq, record.seq + 1);
    applyRecord(this.stores, record);
  }
}

function tooMany(count: number): BlobError {
  return new BlobError(
    "invalid-argument",
    `a replica has at most ${maxStores} asynchronous stores, with those of earlier runs that still have a backlog; these are ${count}`,
  );
}
