import type { Clock, Random } from "../clock.js";
import type { Ref } from "../ref.js";
import type { BlobStore, CallOptions } from "../store.js";
import type { QueueFiles } from "./queue/files.js";

/** A store and what it is called in errors and in `state()`. Names are unique in a replica, and mean the same store after a restart. */
export interface NamedStore {
  readonly name: string;
  readonly store: BlobStore;
}

export interface ReplicaCommon extends CallOptions {
  /** Written to before `put` returns. At least one. Reads go to these. */
  readonly sync: readonly NamedStore[];
  /** How many of `sync` must have the blob before `put` returns. The others get it all the same, or a repair. Default: all. */
  readonly writeQuorum?: number;
  /**
   * Ask another store as well when those that were have not answered a read for so long, or given nothing more of a `getMany`; in the middle of a `stream` after
   * 1,000 ms at least, for the other has to begin at its beginning. Default: the 95th percentile of what reads took lately, at least 10 ms.
   */
  readonly hedgeAfterMs?: number;
  /** What it throws is dropped. */
  readonly onEvent?: (event: ReplicaEvent) => void;
  /**
   * A background write or repair that takes longer has failed, and is tried again; reading what is to be written has as long. Where other stores have failed
   * already, a read waits so long for one that is silent, and closing the replica for those that do not stop when they are told to. Default 60,000.
   */
  readonly attemptTimeoutMs?: number;
  /** The first wait after a failed background write; it doubles up to `retryMaxMs`, and half of it is chance. Default 100. */
  readonly retryMinMs?: number;
  /** Default 30,000. */
  readonly retryMaxMs?: number;
  readonly clock?: Clock;
  readonly random?: Random;
}

/** Without asynchronous stores there is no queue. */
export interface SyncReplicaOptions extends ReplicaCommon {
  readonly async?: undefined;
  readonly queue?: undefined;
  readonly maxQueued?: undefined;
  readonly whenFull?: undefined;
  readonly strict?: undefined;
}

export interface AsyncReplicaOptions extends ReplicaCommon {
  /** Written to in the background, from a queue for each. At most 24. */
  readonly async: readonly NamedStore[];
  /**
   * `{ dir }`: on disk, synced before `put` returns; goes on after a crash, in one process at a time: one that opens it takes it over, and from then on every put
   * of the other fails with "closed": see `deposed`. `{ memory: true }`: lost with the
   * process. Either holds refs and no contents: the blobs are read from the synchronous stores, so with `{ dir }` one of these should outlive a crash, too.
   */
  readonly queue: { readonly dir: string; readonly files?: QueueFiles } | { readonly memory: true };
  /** How many blobs the queue of each store holds. At least 1. Default 100,000. */
  readonly maxQueued?: number;
  /**
   * What `put` does when the queue of an asynchronous store is full. "block": waits for room, or for its signal. "reject": BlobError "queue-full", before anything
   * is written. "drop-to-resync": the write is not queued, and it is on record that this store needs `sync`. Default "block".
   */
  readonly whenFull?: "block" | "reject" | "drop-to-resync";
  /** After the first failure of an asynchronous store every call fails with "failed-strict". Default false: it is tried again for ever. */
  readonly strict?: boolean;
}

export type ReplicaOptions = SyncReplicaOptions | AsyncReplicaOptions;

export interface AsyncStoreState {
  readonly name: string;
  /** Blobs that were acknowledged and are not in this store yet. Exact. */
  readonly backlog: number;
  readonly backlogBytes: number;
  /** How long ago the oldest of them was acknowledged; 0 without a backlog. Wall time, over restarts. */
  readonly lagMs: number;
  readonly oldest: Ref | undefined;
  /** Failed tries since the last success. */
  readonly failures: number;
  readonly lastError: unknown;
  /** Writes were dropped because its queue was full, or their blobs are in no synchronous store any more: `sync` must be run to it. Survives restarts. */
  readonly needsSync: boolean;
  /** How many writes were dropped, ever. Survives restarts. */
  readonly dropped: number;
}

export interface ReplicaState {
  /** Grows with every change. */
  readonly version: number;
  /**
   * Another process has taken over the queue, and this one has found out: at a put, a deletion, or before the next write to an asynchronous store. It writes nothing
   * to those and to the queue any more, `async` is what it knew then, and `put`, `delete`, `drained` with a backlog and `markSynced` fail as "closed". It still reads.
   * Close it, and open another to take the queue back.
   */
  readonly deposed: boolean;
  readonly async: readonly AsyncStoreState[];
  readonly sync: readonly {
    readonly name: string;
    /** Since the last success. */
    readonly failures: number;
    /** Reads since the last success that another store answered because this one said nothing: a few are chance, and a store that hangs has ever more of them. */
    readonly slow: number;
    readonly lastError: unknown;
    readonly repairs: number;
    /** Blobs that are known to be missing or damaged in it, and wait for their repair. At most 10,000: what is beyond is found again by the next `get`. */
    readonly repairBacklog: number;
    readonly repairsDropped: number;
  }[];
}

export interface ReplicaEvent {
  readonly event:
    | "async-failed"
    | "async-caught-up"
    | "dropped-to-resync"
    | "sync-failed"
    | "corrupt"
    | "repaired"
    | "repair-failed";
  readonly store: string;
  readonly ref?: Ref;
  readonly error?: unknown;
}

export interface Replica extends BlobStore {
  /**
   * Not there when one of the stores has none. Deletes the blob from the asynchronous stores first, and from the synchronous ones when all of those have done it: when
   * one fails, its name is in the error, and the blob is still listed, so that the next `gc` tries it again. Resolves with whether any store had it. What was queued
   * of it is queued no more when it is gone, and is again when that failed: a store that may lack what the synchronous ones still have gets it back.
   *
   * Puts of the same blob that began before are waited for, and their copies deleted; later ones wait, and write it to every store again. A write that is on its way
   * to an asynchronous store, a put, and each store's own deletion are given `attemptTimeoutMs`. A process that is killed in the middle can leave the blob in
   * the synchronous stores only: delete it again, or put it again; and what it had queued of a blob that it had deleted is taken for lost by the next one (`needsSync`).
   * @throws `signal.reason`; BlobError "unavailable", and "all-failed" when every store has failed, with `failures`; "invalid-ref", "failed-strict", "closed"
   */
  delete?(ref: Ref, options?: CallOptions): Promise<boolean>;
  /** Ends the background work and keeps the queue. */
  [Symbol.asyncDispose](): Promise<void>;
  state(): ReplicaState;
  /** The state now and after changes: the latest, never a queue of them. */
  states(options?: CallOptions): AsyncIterable<ReplicaState>;
  /** Resolves when every asynchronous store has all that was acknowledged before the call, but for what was dropped: see `needsSync`. */
  drained(options?: CallOptions): Promise<void>;
  /**
   * After `sync` was run to it: the store has everything. `dropped` is what its state said before the sync began, so that a write that was dropped during it is
   * not forgotten; without it all that was dropped until now is taken as synced. @throws BlobError "invalid-argument" for a name that is none
   */
  markSynced(name: string, options?: CallOptions & { readonly dropped?: number }): Promise<void>;
}
