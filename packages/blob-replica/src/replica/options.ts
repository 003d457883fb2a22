import type { Ref } from "../ref.js";
import type { BlobStore, CallOptions } from "../store.js";

/** A store and what it is called in errors and in `state()`. Names are unique in a replica, and mean the same store after a restart. */
export interface NamedStore {
  readonly name: string;
  readonly store: BlobStore;
}

export interface ReplicaCommon {
  /** Written to before `put` returns. At least one. Reads go to these. */
  readonly sync: readonly NamedStore[];
  /** How many of `sync` must have the blob before `put` returns. The others get it all the same, or a repair. Default: all. */
  readonly writeQuorum?: number;
  /** Ask another store when the first has not answered a `get` for so long. Default: the 95th percentile of what it took lately, at least 10 ms. */
  readonly hedgeAfterMs?: number;
  readonly onEvent?: (event: ReplicaEvent) => void;
}

/** Without asynchronous stores there is no queue. */
export interface SyncReplicaOptions extends ReplicaCommon {
  readonly async?: undefined;
  readonly queue?: undefined;
}

export interface AsyncReplicaOptions extends ReplicaCommon {
  /** Written to in the background, from a queue for each. */
  readonly async: readonly NamedStore[];
  /** `{ dir }`: on disk, synced before `put` returns; goes on after a crash. `{ memory: true }`: lost with the process. */
  readonly queue: { readonly dir: string } | { readonly memory: true };
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
  /** Writes were dropped because its queue was full: `sync` must be run to it. Survives restarts. */
  readonly needsSync: boolean;
}

export interface ReplicaState {
  /** Grows with every change. */
  readonly version: number;
  readonly async: readonly AsyncStoreState[];
  readonly sync: readonly {
    readonly name: string;
    readonly failures: number;
    readonly lastError: unknown;
    readonly repairs: number;
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
  /** Ends the background work and keeps the queue. */
  [Symbol.asyncDispose](): Promise<void>;
  state(): ReplicaState;
  /** The state now and after changes: the latest, never a queue of them. */
  states(options?: CallOptions): AsyncIterable<ReplicaState>;
  /** Resolves when every asynchronous store has all that was acknowledged before the call. */
  drained(options?: CallOptions): Promise<void>;
  /** After `sync` was run to it: the store has everything. */
  markSynced(name: string): Promise<void>;
}
