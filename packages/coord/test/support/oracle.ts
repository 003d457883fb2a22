import type {
  Compare,
  KeySelector,
  KeyValue,
  Op,
  OpResult,
  Txn,
  TxnResult,
  WatchEvent,
} from "../../src/port.js";

/**
 * The model in the plainest way there is: every revision is a whole copy of the store, and keys are ordered by comparing buffers.
 * Values are strings, leases are not looked at.
 */
export class Oracle {
  /** Index 0 is revision 1, the empty store. */
  readonly states: KeyValue[][] = [[]];
  readonly events: WatchEvent[][] = [[]];

  get revision(): bigint {
    return BigInt(this.states.length);
  }

  get(selector: KeySelector, revision: bigint, limit: number): { kvs: KeyValue[]; more: boolean } {
    return cut(this.states[Number(revision) - 1]!, selector, limit);
  }

  txn(txn: Txn): TxnResult {
    const before = this.states.at(-1)!;
    const succeeded = (txn.compare ?? []).every((compare) => holds(compare, before));
    let state = before;
    const events: WatchEvent[] = [];
    const next = this.revision + 1n;
    const results = ((succeeded ? txn.then : txn.else) ?? []).map((op): OpResult => {
      const done = run(op, state, next);
      state = done.state;
      events.push(...done.events);
      return done.result;
    });
    if (events.length > 0) {
      this.states.push(state);
      this.events.push(events);
    }
    return { succeeded, revision: this.revision, results };
  }
}

function run(
  op: Op,
  state: KeyValue[],
  revision: bigint,
): { state: KeyValue[]; events: WatchEvent[]; result: OpResult } {
  if (op.type === "get") {
    const { kvs, more } = cut(state, op, op.limit ?? 1000);
    return { state, events: [], result: { type: "get", kvs, more } };
  }
  if (op.type === "delete") {
    const { kvs } = cut(state, op, 1000);
    const events = kvs.map((kv): WatchEvent => ({ type: "delete", key: kv.key, modRevision: revision }));
    const left = state.filter((kv) => !kvs.includes(kv));
    return { state: left, events, result: { type: "delete", deleted: kvs.length } };
  }
  const old = state.find((kv) => kv.key === op.key);
  const kv: KeyValue = {
    key: op.key,
    value: new Uint8Array(Buffer.from(op.value)),
    createRevision: old?.createRevision ?? revision,
    modRevision: revision,
    version: (old?.version ?? 0n) + 1n,
    lease: 0n,
  };
  const others = state.filter((other) => other !== old);
  const sorted = [...others, kv].sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)));
  return { state: sorted, events: [{ type: "put", kv }], result: { type: "put" } };
}

function cut(
  state: readonly KeyValue[],
  selector: KeySelector,
  limit: number,
): { kvs: KeyValue[]; more: boolean } {
  const all = state.filter((kv) => covers(selector, kv.key));
  return { kvs: all.slice(0, limit), more: all.length > limit };
}

export function covers(selector: KeySelector, key: string): boolean {
  const bytes = Buffer.from(key);
  if ("key" in selector) return bytes.equals(Buffer.from(selector.key));
  if ("prefix" in selector) {
    const prefix = Buffer.from(selector.prefix);
    return bytes.subarray(0, prefix.length).equals(prefix);
  }
  return (
    Buffer.compare(Buffer.from(selector.from), bytes) <= 0 &&
    Buffer.compare(bytes, Buffer.from(selector.to)) < 0
  );
}

function holds(compare: Compare, state: readonly KeyValue[]): boolean {
  const kv = state.find((candidate) => candidate.key === compare.key);
  let order: number;
  if (compare.target === "value") {
    if (kv === undefined) return false;
    order = Buffer.compare(kv.value, Buffer.from(compare.value));
  } else {
    const fields = {
      create: "createRevision",
      mod: "modRevision",
      version: "version",
      lease: "lease",
    } as const;
    order = Number((kv?.[fields[compare.target]] ?? 0n) - compare.value);
  }
  return { "=": order === 0, "!=": order !== 0, "<": order < 0, ">": order > 0 }[compare.op];
}
