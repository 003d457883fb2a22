import { CoordError } from "./errors.js";
import type { Compare, GetOptions, KeySelector, Op, Txn } from "./port.js";
import { compareKeys, selects } from "./selector.js";

// What a request must look like, the same for every store behind the port. TypeScript says most of it, but requests are
// built from what came over a network, so it is all looked at here again.

/** etcd's default (`--max-txn-ops`), kept by every store so that what works on one works on the other. */
const maxTxnOps = 128;
/** etcd's default (`--max-request-bytes`). */
const maxRequestBytes = 1_572_864;
const maxInt64 = 9_223_372_036_854_775_807n;
/** etcd's longest lease, 9,000,000,000 s. */
const maxTtlMs = 9_000_000_000_000;
const loneSurrogate = /\p{Surrogate}/u;

function refuse(message: string): never {
  throw new CoordError("invalid-argument", message);
}

/** @throws CoordError "invalid-argument" */
export function checkKey(key: unknown, name = "a key"): asserts key is string {
  checkText(key, name);
  if (key.length === 0) refuse(`${name} must not be empty`);
}

function checkText(text: unknown, name: string): asserts text is string {
  if (typeof text !== "string") refuse(`${name} must be a string, not ${describe(text)}`);
  if (loneSurrogate.test(text))
    refuse(`${name} must be well-formed Unicode, this one has half a surrogate pair`);
}

/** @throws CoordError "invalid-argument" */
export function checkSelector(selector: KeySelector): void {
  if (typeof selector !== "object" || selector === null)
    refuse("a selector is { key }, { prefix } or { from, to }");
  const kinds = ["key", "prefix", "from"].filter((name) => name in selector);
  if (kinds.length !== 1 || "to" in selector !== "from" in selector) {
    refuse("a selector is exactly one of { key }, { prefix } and { from, to }");
  }
  if ("key" in selector) {
    checkKey(selector.key);
  } else if ("prefix" in selector) {
    checkText(selector.prefix, "a prefix");
  } else {
    checkText(selector.from, "the start of a range");
    checkText(selector.to, "the end of a range");
    if (compareKeys(selector.from, selector.to) >= 0) {
      refuse("a range must end behind its start, in the order of UTF-8 bytes");
    }
  }
}

/** Everything but whether the revision exists. @throws CoordError "invalid-argument" */
export function checkGet(selector: KeySelector, options: GetOptions = {}): void {
  checkSelector(selector);
  checkLimit(options.limit);
  if (options.revision !== undefined) checkRevision(options.revision);
}

/** @throws CoordError "invalid-argument" */
export function checkRevision(revision: bigint): void {
  if (typeof revision !== "bigint" || revision < 1n || revision > maxInt64) {
    refuse(`a revision is a bigint of at least 1, not ${describe(revision)}`);
  }
}

/** @throws CoordError "invalid-argument" */
export function checkTtl(ttlMs: number): void {
  if (typeof ttlMs !== "number" || !(ttlMs > 0) || ttlMs > maxTtlMs) {
    refuse(`a lease's TTL is above 0 and at most ${maxTtlMs} ms, not ${describe(ttlMs)}`);
  }
}

/** @throws CoordError "invalid-argument" */
export function checkLeaseId(leaseId: bigint): void {
  if (typeof leaseId !== "bigint" || leaseId < 1n || leaseId > maxInt64) {
    refuse(`a lease id is a bigint of at least 1, not ${describe(leaseId)}`);
  }
}

/** @throws CoordError "invalid-argument" */
export function checkTxn(txn: Txn): void {
  if (typeof txn !== "object" || txn === null) refuse("a transaction is { compare?, then?, else? }");
  let bytes = checkList(txn.compare, "compare", checkCompare);
  for (const name of ["then", "else"] as const) {
    bytes += checkList(txn[name], name, checkOp);
    checkOverlaps(txn[name] ?? []);
  }
  if (bytes > maxRequestBytes) {
    refuse(`a transaction holds at most ${maxRequestBytes} bytes of keys and values, not ${bytes}`);
  }
}

function checkList<Item>(
  list: readonly Item[] | undefined,
  name: string,
  check: (item: Item) => number,
): number {
  if (list === undefined) return 0;
  if (!Array.isArray(list)) refuse(`${name} must be an array, not ${describe(list)}`);
  if (list.length > maxTxnOps) refuse(`${name} holds at most ${maxTxnOps} entries, not ${list.length}`);
  let bytes = 0;
  for (const item of list) bytes += check(item);
  return bytes;
}

/** The bytes of its keys and values. */
function checkCompare(compare: Compare): number {
  if (typeof compare !== "object" || compare === null) refuse("a compare is { key, target, op, value }");
  checkKey(compare.key);
  if (!["=", "!=", "<", ">"].includes(compare.op))
    refuse(`a compare's op is =, !=, < or >, not ${describe(compare.op)}`);
  if (compare.target === "value") return utf8Bytes(compare.key) + checkValue(compare.value);
  if (!["create", "mod", "version", "lease"].includes(compare.target)) {
    refuse(`a compare's target is create, mod, version, lease or value, not ${describe(compare.target)}`);
  }
  if (typeof compare.value !== "bigint" || compare.value < 0n || compare.value > maxInt64) {
    refuse(
      `a compare with ${compare.target} needs a bigint from 0 to 2^63 - 1, not ${describe(compare.value)}`,
    );
  }
  return utf8Bytes(compare.key);
}

function checkOp(op: Op): number {
  if (typeof op !== "object" || op === null) refuse("an op is an object with a type");
  switch (op.type) {
    case "put":
      checkKey(op.key);
      if (op.lease !== undefined && op.lease !== 0n) checkLeaseId(op.lease);
      return utf8Bytes(op.key) + checkValue(op.value);
    case "delete":
      checkSelector(op);
      return 0;
    case "get":
      checkSelector(op);
      checkLimit(op.limit);
      return 0;
    default:
      return refuse(`an op's type is put, delete or get, not ${describe((op as { type: unknown }).type)}`);
  }
}

function checkOverlaps(ops: readonly Op[]): void {
  const puts = new Set<string>();
  for (const op of ops) {
    if (op.type !== "put") continue;
    if (puts.has(op.key)) refuse(`one branch of a transaction puts the key ${JSON.stringify(op.key)} twice`);
    puts.add(op.key);
  }
  for (const op of ops) {
    if (op.type !== "delete") continue;
    for (const key of puts) {
      if (selects(op, key))
        refuse(`one branch of a transaction both puts and deletes the key ${JSON.stringify(key)}`);
    }
  }
}

function checkLimit(limit: number | undefined): void {
  if (limit !== undefined && !(Number.isSafeInteger(limit) && limit >= 1)) {
    refuse(`a limit is a whole number of at least 1, not ${describe(limit)}`);
  }
}

function checkValue(value: unknown): number {
  if (value instanceof Uint8Array) return value.byteLength;
  if (typeof value !== "string") refuse(`a value is a string or a Uint8Array, not ${describe(value)}`);
  if (loneSurrogate.test(value))
    refuse("a value given as a string must be well-formed Unicode, this one has half a surrogate pair");
  return utf8Bytes(value);
}

function utf8Bytes(text: string): number {
  return Buffer.byteLength(text, "utf8");
}

function describe(value: unknown): string {
  if (typeof value === "string")
    return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}...` : value);
  if (typeof value === "bigint" || typeof value === "number" || typeof value === "boolean")
    return String(value);
  return value === null ? "null" : typeof value;
}
