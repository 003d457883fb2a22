import type { ICompare, IEvent, IKeyValue, IRequestOp, IResponseOp, ITxnRequest, ITxnResponse } from "etcd3";
import { CoordError } from "../errors.js";
import type { Compare, CompareOp, KeySelector, KeyValue, Op, OpResult, Txn, TxnResult, WatchEvent } from "../port.js";

/** A selector as etcd wants it: without `range_end` it means the one key, with it all keys from `key` to before it. */
export interface WireRange {
  readonly key: Buffer;
  readonly range_end?: Buffer;
}

/** The smallest key there is, and, as a `range_end`, etcd's sign for "no end". */
const ZERO: Buffer = Buffer.from([0]);
const MAX_INT64 = (1n << 63n) - 1n;

/** @throws CoordError "invalid-argument" */
export function wireKey(key: string, what = "a key"): Buffer {
  if (typeof key !== "string" || key === "") {
    throw new CoordError("invalid-argument", `${what} must be a string of at least one character`);
  }
  return wireText(key, what);
}

function wireText(text: string, what: string): Buffer {
  // A lone surrogate has no UTF-8: it would be written as U+FFFD, and two different keys would be one.
  if (typeof text !== "string" || /\p{Surrogate}/u.test(text)) {
    throw new CoordError("invalid-argument", `${what} must be a string of whole Unicode characters (no lone surrogates)`);
  }
  return Buffer.from(text, "utf8");
}

/**
 * Undefined for a range that can't match anything, because etcd has no way to say it: there an empty `range_end` means
 * "this one key" and a zero byte means "no end", so `to: ""` and `to: "\0"` would select what was not asked for.
 * @throws CoordError "invalid-argument"
 */
export function wireRange(selector: KeySelector): WireRange | undefined {
  if ("key" in selector) return { key: wireKey(selector.key) };
  if ("prefix" in selector) {
    const prefix = wireText(selector.prefix, "a prefix");
    return prefix.length === 0 ? { key: ZERO, range_end: ZERO } : { key: prefix, range_end: prefixEnd(prefix) };
  }
  const from = wireText(selector.from, "the start of a range");
  const to = wireText(selector.to, "the end of a range");
  const key = from.length === 0 ? ZERO : from; // etcd refuses an empty key; no key sorts between "" and "\0"
  return Buffer.compare(key, to) < 0 ? { key, range_end: to } : undefined;
}

/** The first key after all that start with the prefix. UTF-8 has no byte 0xff, so the last byte can always go up. */
function prefixEnd(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end[end.length - 1] as number) + 1;
  return end;
}

/** Revisions, lease ids and versions are decimal strings in etcd3; a number would lose digits above 2^53. */
export function wireInt64(value: bigint, what: string): string {
  if (typeof value !== "bigint" || value < 0n || value > MAX_INT64) {
    throw new CoordError("invalid-argument", `${what} must be a bigint from 0 to 2^63-1`);
  }
  return value.toString();
}

export function wireLimit(limit: number | undefined): number {
  if (limit === undefined) return 0; // etcd's sign for "all"
  if (!Number.isSafeInteger(limit) || limit < 1) {
    throw new CoordError("invalid-argument", "a limit must be a whole number from 1 on (leave it out for no limit)");
  }
  return limit;
}

/** A copy: the request is serialised later than the caller gets his control back. */
function wireValue(value: string | Uint8Array): Buffer {
  return typeof value === "string" ? Buffer.from(value, "utf8") : Buffer.from(value);
}

const RESULTS = { "=": "Equal", "!=": "NotEqual", "<": "Less", ">": "Greater" } as const satisfies Record<CompareOp, string>;

function wireCompare(compare: Compare): ICompare {
  const result = RESULTS[compare.op];
  if (result === undefined) {
    throw new CoordError("invalid-argument", `a comparison must be one of =, !=, < and >`);
  }
  const base = { key: wireKey(compare.key), result };
  switch (compare.target) {
    case "create":
      return { ...base, target: "Create", create_revision: wireInt64(compare.value, "a create revision") };
    case "mod":
      return { ...base, target: "Mod", mod_revision: wireInt64(compare.value, "a mod revision") };
    case "version":
      return { ...base, target: "Version", version: wireInt64(compare.value, "a version") };
    case "lease":
      return { ...base, target: "Lease", lease: wireInt64(compare.value, "a lease id") };
    case "value":
      return { ...base, target: "Value", value: wireValue(compare.value) };
    default:
      throw new CoordError("invalid-argument", "a comparison's target must be create, mod, version, lease or value");
  }
}

/** Reads nothing, for the ops that have to be there so that the results keep their places. */
const NOTHING: IRequestOp = { request_range: { key: ZERO, count_only: true } };

function wireOp(op: Op): IRequestOp {
  switch (op.type) {
    case "put": {
      const lease = wireInt64(op.lease ?? 0n, "a lease id");
      return { request_put: { key: wireKey(op.key), value: wireValue(op.value), lease } };
    }
    case "delete": {
      const range = wireRange(op);
      // The empty range is sent as a read: as a delete it could hit the one key it names.
      return range === undefined ? NOTHING : { request_delete_range: range };
    }
    case "get": {
      const limit = wireLimit(op.limit);
      const range = wireRange(op);
      return range === undefined ? NOTHING : { request_range: { ...range, limit } };
    }
    default:
      throw new CoordError("invalid-argument", "an operation must be a put, a delete or a get");
  }
}

/** @throws CoordError "invalid-argument" */
export function wireTxn(txn: Txn): ITxnRequest {
  return {
    compare: (txn.compare ?? []).map(wireCompare),
    success: (txn.then ?? []).map(wireOp),
    failure: (txn.else ?? []).map(wireOp),
  };
}

export function readKeyValue(kv: IKeyValue): KeyValue {
  return {
    key: kv.key.toString("utf8"),
    // A copy, so that a small value does not hold the whole message it came in.
    value: new Uint8Array(kv.value),
    createRevision: BigInt(kv.create_revision),
    modRevision: BigInt(kv.mod_revision),
    version: BigInt(kv.version),
    lease: BigInt(kv.lease),
  };
}

export function readEvent(event: IEvent): WatchEvent {
  return event.type === "Delete"
    ? { type: "delete", key: event.kv.key.toString("utf8"), modRevision: BigInt(event.kv.mod_revision) }
    : { type: "put", kv: readKeyValue(event.kv) };
}

export function readTxn(request: Txn, answer: ITxnResponse): TxnResult {
  const ops = (answer.succeeded ? request.then : request.else) ?? [];
  return {
    succeeded: answer.succeeded,
    revision: BigInt(answer.header.revision),
    results: ops.map((op, index) => readOp(op, answer.responses[index])),
  };
}

function readOp(op: Op, answer: IResponseOp | undefined): OpResult {
  if (answer === undefined) throw new CoordError("unavailable", "etcd answered fewer results than it was given operations");
  if (op.type === "put") return { type: "put" };
  if (op.type === "delete") return { type: "delete", deleted: Number(answer.response_delete_range?.deleted ?? 0) };
  const range = answer.response_range;
  return { type: "get", kvs: (range?.kvs ?? []).map(readKeyValue), more: range?.more ?? false };
}
