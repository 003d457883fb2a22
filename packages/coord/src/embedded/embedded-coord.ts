import { checkGet, checkLeaseId, checkRevision, checkSelector, checkTtl } from "../check.js";
import type { Clock } from "../clock.js";
import { CoordError } from "../errors.js";
import type {
  Coord,
  GetOptions,
  GetResult,
  KeySelector,
  Lease,
  Txn,
  TxnResult,
  WatchBatch,
  WatchOptions,
} from "../port.js";
import { applyTxn, copyKv, prepareTxn } from "./apply-txn.js";
import { CommitLoop, type Work } from "./commit-loop.js";
import type { DurableLog } from "./durable-log.js";
import { idleTickMs, LeaseTable } from "./lease-table.js";
import type { LogRecord } from "./records.js";
import type { Mutation, Store } from "./store.js";
import { Watcher, WatchHub } from "./watch-hub.js";

interface Options {
  readonly signal?: AbortSignal;
}

/** A store in this process, kept in a folder. See `openEmbeddedCoord`. */
export class EmbeddedStore implements Coord {
  readonly generation: number;
  readonly #clock: Clock;
  readonly #store: Store;
  readonly #log: DurableLog;
  readonly #leases: LeaseTable;
  readonly #hub: WatchHub;
  readonly #loop: CommitLoop;
  readonly #failure: AbortController = new AbortController();
  #visible: bigint;
  #cancelTimer: (() => void) | undefined;
  #fenceLookedMs: number;
  #closing: Promise<void> | undefined;

  /** `store` must be durable in `log` as it is. */
  constructor(clock: Clock, log: DurableLog, store: Store) {
    this.#clock = clock;
    this.#store = store;
    this.#log = log;
    this.generation = log.generation;
    this.#leases = new LeaseTable(log.generation);
    this.#visible = store.revision;
    this.#fenceLookedMs = clock.monotonicMs();
    this.#hub = new WatchHub(this.#watchSource(), () => this.#arm());
    this.#loop = new CommitLoop({
      append: (records) => log.append(records),
      checkFence: () => log.checkFence(),
      publish: () => this.#publish(),
      tidy: () => this.#tidy(),
      onFailure: (error) => this.#onFailure(error),
    });
  }

  get failure(): AbortSignal {
    return this.#failure.signal;
  }

  async clusterId(options: Options = {}): Promise<string> {
    return await this.#loop.submit(() => unlogged(() => this.#log.clusterId), options.signal);
  }

  async get(selector: KeySelector, options: GetOptions = {}): Promise<GetResult> {
    checkGet(selector, options);
    const { revision, limit, signal } = options;
    const copy = { ...selector };
    return await this.#loop.submit(() => unlogged(() => this.#read(copy, revision, limit)), signal);
  }

  async txn(txn: Txn, options: Options = {}): Promise<TxnResult> {
    const prepared = prepareTxn(txn);
    return await this.#loop.submit(() => {
      const { result, mutations } = applyTxn(this.#store, prepared, (id) => this.#leases.has(id));
      return { records: this.#recordsOf(mutations), result: () => result };
    }, options.signal);
  }

  async grantLease(ttlMs: number, options: Options = {}): Promise<Lease> {
    checkTtl(ttlMs);
    const granted = Math.ceil(ttlMs);
    return await this.#loop.submit(() => {
      const id = this.#leases.grant(granted, this.#look());
      this.#arm();
      return unlogged(() => ({ id, ttlMs: granted }));
    }, options.signal);
  }

  async keepAlive(leaseId: bigint, options: Options = {}): Promise<Lease> {
    checkLeaseId(leaseId);
    return await this.#loop.submit(() => {
      const ttlMs = this.#leases.keepAlive(leaseId, this.#look());
      if (ttlMs === undefined) throw noLease(leaseId);
      return unlogged(() => ({ id: leaseId, ttlMs }));
    }, options.signal);
  }

  async revokeLease(leaseId: bigint, options: Options = {}): Promise<void> {
    checkLeaseId(leaseId);
    await this.#loop.submit(() => {
      if (!this.#leases.remove(leaseId)) throw noLease(leaseId);
      return { records: this.#deleteKeysOf(leaseId), result: () => undefined };
    }, options.signal);
  }

  watch(selector: KeySelector, options: WatchOptions = {}): AsyncIterableIterator<WatchBatch, undefined> {
    checkSelector(selector);
    if (options.fromRevision !== undefined) checkRevision(options.fromRevision);
    const fromRevision = options.fromRevision ?? this.#visible + 1n;
    return new Watcher(this.#hub, { ...selector }, { fromRevision, signal: options.signal });
  }

  async compact(revision: bigint, options: Options = {}): Promise<void> {
    checkRevision(revision);
    await this.#loop.submit(() => {
      if (revision > this.#store.revision) throw inTheFuture(revision, this.#store.revision);
      // Only when the group is visible: watchers must be told of it before its history may go.
      return { records: [{ type: "compact", revision }], result: () => this.#store.compact(revision) };
    }, options.signal);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const error = new CoordError("closed", "the store was closed");
    this.#stop(error);
    await this.#loop.end(error);
    await this.#log.close();
  }

  #stop(error: CoordError): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#hub.fail(error);
  }

  #onFailure(error: CoordError): void {
    this.#stop(error);
    this.#failure.abort(error);
  }

  // --- what a group goes through

  #publish(): void {
    this.#fenceLookedMs = this.#clock.monotonicMs();
    if (this.#visible === this.#store.revision) return;
    this.#visible = this.#store.revision;
    this.#hub.notify();
  }

  async #tidy(): Promise<void> {
    this.#store.trim();
    if (this.#log.isLong) await this.#log.rotate(this.#store);
  }

  #read(selector: KeySelector, revision: bigint | undefined, limit: number | undefined): GetResult {
    const { compactRevision } = this.#store;
    const at = revision ?? this.#visible;
    if (at > this.#visible) throw inTheFuture(at, this.#visible);
    if (at < compactRevision) {
      throw new CoordError("compacted", `revision ${at} is gone, the oldest one left is ${compactRevision}`, {
        compactRevision,
      });
    }
    const { kvs, more } = this.#store.range(selector, {
      revision: at,
      ...(limit === undefined ? {} : { limit }),
    });
    return { revision: this.#visible, kvs: kvs.map(copyKv), more };
  }

  #recordsOf(mutations: readonly Mutation[]): LogRecord[] {
    return mutations.length === 0 ? [] : [{ type: "revision", revision: this.#store.revision, mutations }];
  }

  #deleteKeysOf(leaseId: bigint): LogRecord[] {
    return this.#recordsOf(deleteKeysOf(this.#store, leaseId));
  }

  // --- time

  /** The time, with a stall before it taken into account. */
  #look(): number {
    const now = this.#clock.monotonicMs();
    this.#leases.look(now);
    return now;
  }

  /** Plans the next tick anew; none is needed while there are neither leases nor watchers. */
  #arm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const now = this.#look();
    if ((this.#leases.size === 0 && this.#hub.size === 0) || this.#closing !== undefined) {
      this.#leases.unplan();
      return;
    }
    this.#cancelTimer = this.#clock.setTimer(this.#leases.plan(now), () => this.#tick());
  }

  #tick(): void {
    this.#cancelTimer = undefined;
    const now = this.#look();
    for (const id of this.#leases.due(now)) this.#inBackground(() => this.#expire(id));
    if (now - this.#fenceLookedMs >= idleTickMs) {
      this.#fenceLookedMs = now;
      this.#inBackground(() => unlogged(() => undefined));
    }
    this.#arm();
  }

  #expire(leaseId: bigint): Work<void> {
    const records = this.#leases.expire(leaseId, this.#look()) ? this.#deleteKeysOf(leaseId) : [];
    return { records, result: () => undefined };
  }

  #inBackground(begin: () => Work<void>): void {
    // A failure ends the whole store and is told to everybody by that.
    this.#loop.submit(begin).catch(() => undefined);
  }

  #watchSource(): WatchHub["source"] {
    const self = this;
    return {
      get visibleRevision() {
        return self.#visible;
      },
      get compactRevision() {
        return self.#store.compactRevision;
      },
      eventsOf: (revision) => self.#store.eventsOf(revision),
    };
  }
}

/** Deletes what hangs on a lease, in one revision; what it did is for the log. */
export function deleteKeysOf(store: Store, leaseId: bigint): readonly Mutation[] {
  store.begin();
  for (const key of store.keysOf(leaseId)) store.delete({ key });
  return store.commit();
}

function unlogged<Result>(result: () => Result): Work<Result> {
  return { records: [], result };
}

function noLease(leaseId: bigint): CoordError {
  return new CoordError("lease-not-found", `there is no lease ${leaseId}`);
}

function inTheFuture(revision: bigint, newest: bigint): CoordError {
  return new CoordError("invalid-argument", `revision ${revision} is in the future, the newest is ${newest}`);
}
