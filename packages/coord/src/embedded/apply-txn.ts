import { checkTxn } from "../check.js";
import { CoordError } from "../errors.js";
import type { Compare, KeyValue, Op, OpResult, Txn, TxnResult } from "../port.js";
import type { Mutation, Store } from "./store.js";

/** A transaction that was looked at and copied, so that the caller may change his own afterwards. */
export interface PreparedTxn {
  readonly compare: readonly Compare[];
  readonly then: readonly Op[];
  readonly else: readonly Op[];
}

/** @throws CoordError "invalid-argument" */
export function prepareTxn(txn: Txn): PreparedTxn {
  checkTxn(txn);
  return {
    compare: (txn.compare ?? []).map((compare) =>
      compare.target === "value" ? { ...compare, value: bytes(compare.value) } : { ...compare },
    ),
    then: (txn.then ?? []).map(copyOp),
    else: (txn.else ?? []).map(copyOp),
  };
}

/**
 * Makes at most one revision; what it did is in `mutations`, for the log.
 * @throws CoordError "lease-not-found", with nothing changed
 */
export function applyTxn(
  store: Store,
  txn: PreparedTxn,
  hasLease: (leaseId: bigint) => boolean,
): { readonly result: TxnResult; readonly mutations: readonly Mutation[] } {
  const succeeded = txn.compare.every((compare) => holds(compare, store.get(compare.key)));
  const ops = succeeded ? txn.then : txn.else;
  for (const op of ops) {
    if (op.type === "put" && op.lease !== undefined && op.lease !== 0n && !hasLease(op.lease)) {
      throw new CoordError("lease-not-found", `there is no lease ${op.lease}`);
    }
  }
  store.begin();
  const results = ops.map((op) => applyOp(store, op));
  const mutations = store.commit();
  return { result: { succeeded, revision: store.revision, results }, mutations };
}

function applyOp(store: Store, op: Op): OpResult {
  switch (op.type) {
    case "put":
      store.put(op.key, bytes(op.value), op.lease ?? 0n);
      return { type: "put" };
    case "delete":
      return { type: "delete", deleted: store.delete(op) };
    case "get": {
      const { kvs, more } = store.range(op, op.limit === undefined ? {} : { limit: op.limit });
      return { type: "get", kvs: kvs.map(copyKv), more };
    }
  }
}

function holds(compare: Compare, kv: KeyValue | undefined): boolean {
  if (compare.target === "value") {
    // As etcd: a missing key has no value, not even one that is unequal to something.
    return kv !== undefined && decide(compare.op, compareBytes(kv.value, bytes(compare.value)));
  }
  const found = kv === undefined ? 0n : numberOf(compare.target, kv);
  return decide(compare.op, found < compare.value ? -1 : found > compare.value ? 1 : 0);
}

function numberOf(target: "create" | "mod" | "version" | "lease", kv: KeyValue): bigint {
  switch (target) {
    case "create":
      return kv.createRevision;
    case "mod":
      return kv.modRevision;
    case "version":
      return kv.version;
    case "lease":
      return kv.lease;
  }
}

function decide(op: Compare["op"], order: number): boolean {
  switch (op) {
    case "=":
      return order === 0;
    case "!=":
      return order !== 0;
    case "<":
      return order < 0;
    case ">":
      return order > 0;
  }
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.byteLength, b.byteLength);
  for (let index = 0; index < length; index++) {
    const difference = a[index]! - b[index]!;
    if (difference !== 0) return difference;
  }
  return a.byteLength - b.byteLength;
}

function copyOp(op: Op): Op {
  return op.type === "put" ? { ...op, value: bytes(op.value) } : { ...op };
}

/** A copy of the bytes, whoever owns them. */
function bytes(value: string | Uint8Array): Uint8Array {
  return typeof value === "string" ? new TextEncoder().encode(value) : new Uint8Array(value);
}

/** With a value that its receiver may change. */
export function copyKv(kv: KeyValue): KeyValue {
  return { ...kv, value: new Uint8Array(kv.value) };
}
