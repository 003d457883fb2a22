/**
 * The coordination port: what a service needs of etcd, and no more.
 *
 * The model is etcd's: one ordered history of revisions; every transaction that changes something makes exactly one new
 * revision; keys are UTF-8 strings ordered by their bytes; values are bytes. All implementations pass the suite of
 * `@x/coord/testing`.
 */

/** A key and what the store knows of it. */
export interface KeyValue {
  readonly key: string;
  readonly value: Uint8Array;
  /** The revision that created the key (anew, if it was deleted in between). */
  readonly createRevision: bigint;
  /** The revision of its last change. */
  readonly modRevision: bigint;
  /** 1 for a created key, one more for each put. */
  readonly version: bigint;
  /** The lease the key hangs on, 0n for none. */
  readonly lease: bigint;
}

/**
 * Which keys: one key, all that start with a prefix ("" is everything), or from inclusive to exclusive (byte order, `to` behind `from`).
 * Keys are well-formed Unicode and not empty.
 */
export type KeySelector =
  | { readonly key: string }
  | { readonly prefix: string }
  | { readonly from: string; readonly to: string };

export interface GetOptions {
  /** Read as of this revision. Default: the newest, linearizable. @throws CoordError "compacted", "invalid-argument" if it is not there yet */
  readonly revision?: bigint;
  /** At most so many, in key order. Default: all. */
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

export interface GetResult {
  /** The store's newest revision when it answered (not the `revision` that was asked). */
  readonly revision: bigint;
  /** In byte order of the keys, without duplicates. */
  readonly kvs: readonly KeyValue[];
  /** More keys match than `limit` let through. */
  readonly more: boolean;
}

/**
 * What a transaction may look at. A missing key has createRevision, modRevision, version and lease 0, and no value: every compare
 * of its value fails, "!=" too. Values are compared as bytes.
 */
export type Compare =
  | {
      readonly key: string;
      readonly target: "create" | "mod" | "version" | "lease";
      readonly op: CompareOp;
      readonly value: bigint;
    }
  | {
      readonly key: string;
      readonly target: "value";
      readonly op: CompareOp;
      readonly value: string | Uint8Array;
    };
export type CompareOp = "=" | "!=" | "<" | ">";

export type Op =
  /** `lease` must exist. Without it the key hangs on no lease (a put takes it off an earlier one). */
  | {
      readonly type: "put";
      readonly key: string;
      readonly value: string | Uint8Array;
      readonly lease?: bigint;
    }
  | ({ readonly type: "delete" } & KeySelector)
  /** Sees the puts and deletes before it in the same transaction. */
  | ({ readonly type: "get"; readonly limit?: number } & KeySelector);

export interface Txn {
  /** All must hold. Default: none, which holds. */
  readonly compare?: readonly Compare[];
  readonly then?: readonly Op[];
  readonly else?: readonly Op[];
}

export type OpResult =
  | { readonly type: "put" }
  | { readonly type: "delete"; readonly deleted: number }
  | { readonly type: "get"; readonly kvs: readonly KeyValue[]; readonly more: boolean };

export interface TxnResult {
  readonly succeeded: boolean;
  /** The revision the transaction made, or the newest one if it changed nothing. */
  readonly revision: bigint;
  /** One for each op of the branch that ran, in order. */
  readonly results: readonly OpResult[];
}

export interface Lease {
  readonly id: bigint;
  /** As granted, which may be more than was asked. */
  readonly ttlMs: number;
}

export type WatchEvent =
  | { readonly type: "put"; readonly kv: KeyValue }
  | { readonly type: "delete"; readonly key: string; readonly modRevision: bigint };

/** All events of one revision that the selector matches, in the order in which the transaction made them. */
export interface WatchBatch {
  readonly revision: bigint;
  readonly events: readonly WatchEvent[];
}

export interface WatchOptions {
  /** The first revision to be told, at least 1. Default: the one after the newest at the time of the call. */
  readonly fromRevision?: bigint;
  readonly signal?: AbortSignal;
}

/**
 * Every method rejects with `signal.reason` when its signal aborts, with CoordError "closed" after `close`, and with
 * "unavailable" when the store can't be reached: then a write may or may not have happened, and the caller must read again.
 */
export interface Coord extends AsyncDisposable {
  /**
   * Tells one history from another: changes if the database was wiped or replaced. Stable over restarts.
   * Becomes known with the first answer; rejects as a get would.
   */
  clusterId(options?: { readonly signal?: AbortSignal }): Promise<string>;
  /** @throws CoordError "compacted", "invalid-argument" */
  get(selector: KeySelector, options?: GetOptions): Promise<GetResult>;
  /**
   * Atomic. One branch may neither put a key twice nor put one that it also deletes; at most 128 compares, and as many ops in a
   * branch; at most 1.5 MiB of keys and values. A put of an unchanged value is a change, a delete of nothing is none.
   * @throws CoordError "invalid-argument", "lease-not-found"
   */
  txn(txn: Txn, options?: { readonly signal?: AbortSignal }): Promise<TxnResult>;
  /** `ttlMs` is rounded up to what the store can do (etcd: whole seconds). */
  grantLease(ttlMs: number, options?: { readonly signal?: AbortSignal }): Promise<Lease>;
  /** Starts the TTL anew. @throws CoordError "lease-not-found" */
  keepAlive(leaseId: bigint, options?: { readonly signal?: AbortSignal }): Promise<Lease>;
  /** Deletes the lease and its keys, in one revision (in none if it has no keys), as its expiry does. @throws CoordError "lease-not-found" */
  revokeLease(leaseId: bigint, options?: { readonly signal?: AbortSignal }): Promise<void>;
  /**
   * Revisions from `fromRevision` on, in order, each once, none left out, over reconnects too; one that is not there yet is waited for.
   * A reader that is slower than the store's changes is held up for within a bound that the implementation states, and told
   * "compacted" beyond it. Ends only by leaving the loop or by an error. May be iterated once.
   * @throws CoordError "compacted" (take a snapshot and start again behind it: `follow` does), "history-lost"
   */
  watch(selector: KeySelector, options?: WatchOptions): AsyncIterable<WatchBatch>;
  close(): Promise<void>;
}
