import type { ICompare, IEvent, IKeyValue, IRequestOp, IResponseOp, ITxnRequest, ITxnResponse } from "etcd3";
import { CoordError } from "../errors.js";
import type {
  Compare,
  CompareOp,
  KeySelector,
  KeyValue,
  Op,
  OpResult,
  Txn,
  TxnResult,
  WatchEvent,
} from "../port.js";

/** A selector as etcd wants it: without `range_end` it means the one key, with it all keys from `key` to before it. */
export interface WireRange {
  readonly key: Buffer;
  readonly range_end?: Buffer;
}

/** The smallest key there is, and, as a `range_end`, etcd's sign for "no end". */
const ZERO: Buffer = Buffer.from([0]);

/**
 * Of a selector that `checkSelector` let pass. Undefined for the range from "" to "\0", which no key is in: etcd has
 * no way to say it, and would take that end for "no end".
 */
export function wireRange(selector: KeySelector): WireRange | undefined {
  if ("key" in selector) return { key: Buffer.from(selector.key) };
  if ("prefix" in selector) {
    const prefix = Buffer.from(selector.prefix);
    return prefix.length === 0
      ? { key: ZERO, range_end: ZERO }
      : { key: prefix, range_end: prefixEnd(prefix) };
  }
  // etcd refuses an empty key; no key sorts between "" and "\0".
  const key = selector.from === "" ? ZERO : Buffer.from(selector.from);
  const end = Buffer.from(selector.to);
  return end.equals(ZERO) ? undefined : { key, range_end: end };
}

/** The first key after all that start with the prefix. UTF-8 has no byte 0xff, so the last byte can always go up. */
function prefixEnd(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end[end.length - 1] as number) + 1;
  return end;
}

/** A copy: the request is serialised later than the caller gets his control back. */
function wireValue(value: string | Uint8Array): Buffer {
  return typeof value === "string" ? Buffer.from(value, "utf8") : Buffer.from(value);
}

const RESULTS = { "=": "Equal", "!=": "NotEqual", "<": "Less", ">": "Greater" } as const satisfies Record<
  CompareOp,
  string
>;

function wireCompare(compare: Compare): ICompare {
  const base = { key: Buffer.from(compare.key), result: RESULTS[compare.op] };
  // Revisions and ids go as decimal strings: etcd3's numbers would lose digits above 2^53.
  switch (compare.target) {
    case "create":
      return { ...base, target: "Create", create_revision: String(compare.value) };
    case "mod":
      return { ...base, target: "Mod", mod_revision: String(compare.value) };
    case "version":
      return { ...base, target: "Version", version: String(compare.value) };
    case "lease":
      return { ...base, target: "Lease", lease: String(compare.value) };
    case "value":
      return { ...base, target: "Value", value: wireValue(compare.value) };
  }
}

/** Reads nothing, for the ops that have to be there so that the results keep their places. */
const NOTHING: IRequestOp = { request_range: { key: ZERO, count_only: true } };

function wireOp(op: Op): IRequestOp {
  switch (op.type) {
    case "put":
      return {
        request_put: { key: Buffer.from(op.key), value: wireValue(op.value), lease: String(op.lease ?? 0n) },
      };
    case "delete": {
      const range = wireRange(op);
      // The empty range is sent as a read: as a delete it could hit the one key it names.
      return range === undefined ? NOTHING : { request_delete_range: range };
    }
    case "get": {
      const range = wireRange(op);
      return range === undefined ? NOTHING : { request_range: { ...range, limit: op.limit ?? 0 } };
    }
  }
}

/** Of a transaction that `checkTxn` let pass. */
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

/** The types of a transaction's ops, kept apart because the caller may change the transaction while it is under way. */
export interface TxnShape {
  readonly then: readonly Op["type"][];
  readonly else: readonly Op["type"][];
}

export function shapeOf(txn: Txn): TxnShape {
  const types = (ops: readonly Op[] = []): Op["type"][] => ops.map((op) => op.type);
  return { then: types(txn.then), else: types(txn.else) };
}

export function readTxn(shape: TxnShape, answer: ITxnResponse): TxnResult {
  const types = answer.succeeded ? shape.then : shape.else;
  return {
    succeeded: answer.succeeded,
    revision: BigInt(answer.header.revision),
    results: types.map((type, index) => readOp(type, answer.responses[index])),
  };
}

function readOp(type: Op["type"], answer: IResponseOp | undefined): OpResult {
  if (answer === undefined)
    throw new CoordError("unavailable", "etcd answered fewer results than it was given operations");
  if (type === "put") return { type: "put" };
  if (type === "delete")
    return { type: "delete", deleted: Number(answer.response_delete_range?.deleted ?? 0) };
  const range = answer.response_range;
  return { type: "get", kvs: (range?.kvs ?? []).map(readKeyValue), more: range?.more ?? false };
}
