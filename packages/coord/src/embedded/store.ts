import { CoordError } from "../errors.js";
import type { KeySelector, KeyValue, WatchEvent } from "../port.js";
import { compareKeys, firstKey, selects } from "../selector.js";
import { KeyIndex } from "./key-index.js";

/** What a revision did, in order. Enough to make the same revision again. */
export type Mutation =
  | { readonly type: "put"; readonly key: string; readonly value: Uint8Array; readonly lease: bigint }
  | { readonly type: "delete"; readonly key: string };

/** How much history is kept. The oldest goes first; the newest revision always stays. */
export interface HistoryLimits {
  readonly revisions: number;
  readonly bytes: number;
}

/** One state of a key: a value from `revision` on, or (`kv` undefined) that it was deleted there. */
interface Version {
  readonly revision: bigint;
  readonly kv: KeyValue | undefined;
}

interface LogEntry {
  readonly events: readonly WatchEvent[];
  readonly bytes: number;
}

/**
 * The state of a store as a pure machine: keys with their history from `compactRevision` on, and the events of each revision.
 * No time, no I/O, no promises. What it hands out it still owns: whoever gives it to others copies the values.
 */
export class Store {
  readonly #limits: HistoryLimits;
  readonly #index: KeyIndex = new KeyIndex();
  readonly #versions: Map<string, Version[]> = new Map();
  readonly #leased: Map<bigint, Set<string>> = new Map();
  /** Of the revisions from #compact to #revision. */
  #log: LogEntry[] = [];
  #logBytes = 0;
  #compact = 1n;
  #revision = 1n;
  #pending: WatchEvent[] | undefined;

  constructor(limits: HistoryLimits) {
    this.#limits = limits;
    this.#log.push({ events: [], bytes: 0 });
  }

  /**
   * A store as it was just before `compactRevision`, which is to be made next (by `begin` and `commit`).
   * `base` are the keys that lived then.
   */
  static restore(compactRevision: bigint, base: Iterable<KeyValue>, limits: HistoryLimits): Store {
    const store = new Store(limits);
    store.#compact = compactRevision;
    store.#revision = compactRevision - 1n;
    store.#log = [];
    for (const kv of base) {
      store.#index.add(kv.key);
      store.#versions.set(kv.key, [{ revision: kv.modRevision, kv }]);
      store.#attach(kv.key, 0n, kv.lease);
    }
    return store;
  }

  /** The newest. */
  get revision(): bigint {
    return this.#revision;
  }

  /** The oldest that can be read or watched. */
  get compactRevision(): bigint {
    return this.#compact;
  }

  /** How many states of keys are in memory, deletions counted. */
  get versions(): number {
    let count = 0;
    for (const versions of this.#versions.values()) count += versions.length;
    return count;
  }

  // --- making a revision

  /** Between this and `commit`, gets see what was put and deleted so far. */
  begin(): void {
    if (this.#pending !== undefined) throw new Error("a revision is being made already");
    this.#pending = [];
  }

  put(key: string, value: Uint8Array, lease: bigint): void {
    const revision = this.#revision + 1n;
    const before = this.#latest(key);
    const kv: KeyValue = {
      key,
      value,
      createRevision: before === undefined ? revision : before.createRevision,
      modRevision: revision,
      version: before === undefined ? 1n : before.version + 1n,
      lease,
    };
    this.#change(key, before, kv);
    this.#pending!.push({ type: "put", kv });
  }

  /** The number of keys deleted. */
  delete(selector: KeySelector): number {
    const doomed = this.range(selector).kvs;
    for (const kv of doomed) {
      this.#change(kv.key, kv, undefined);
      this.#pending!.push({ type: "delete", key: kv.key, modRevision: this.#revision + 1n });
    }
    return doomed.length;
  }

  /** Ends what `begin` began. A revision is made only if something was changed; what it did is returned. */
  commit(options: { readonly allowEmpty?: boolean } = {}): readonly Mutation[] {
    const events = this.#pending!;
    this.#pending = undefined;
    if (events.length === 0 && options.allowEmpty !== true) return [];
    this.#revision += 1n;
    const entry = { events, bytes: bytesOf(events) };
    this.#log.push(entry);
    this.#logBytes += entry.bytes;
    return events.map(mutationOf);
  }

  /** Makes the next revision from what an earlier run of the store returned. */
  replay(mutations: readonly Mutation[]): void {
    this.begin();
    for (const mutation of mutations) {
      if (mutation.type === "put") this.put(mutation.key, mutation.value, mutation.lease);
      else this.delete({ key: mutation.key });
    }
    this.commit({ allowEmpty: true });
  }

  // --- reading

  /** In key order. `revision` must be from compactRevision to the newest. */
  range(
    selector: KeySelector,
    options: { readonly revision?: bigint; readonly limit?: number } = {},
  ): { kvs: KeyValue[]; more: boolean } {
    const { revision, limit = Number.POSITIVE_INFINITY } = options;
    const kvs: KeyValue[] = [];
    for (const key of this.#keys(selector)) {
      const kv = revision === undefined ? this.#latest(key) : this.#at(key, revision);
      if (kv === undefined) continue;
      if (kvs.length === limit) return { kvs, more: true };
      kvs.push(kv);
    }
    return { kvs, more: false };
  }

  get(key: string): KeyValue | undefined {
    return this.#latest(key);
  }

  /** What happened in a revision from compactRevision to the newest, in order. */
  eventsOf(revision: bigint): readonly WatchEvent[] {
    return this.#log[Number(revision - this.#compact)]?.events ?? [];
  }

  /** The keys that hang on a lease now, in byte order. */
  keysOf(lease: bigint): string[] {
    return [...(this.#leased.get(lease) ?? [])].sort(compareKeys);
  }

  /** The leases that keys hang on, in the order of their ids. */
  leases(): bigint[] {
    return [...this.#leased.keys()].sort((a, b) => (a < b ? -1 : 1));
  }

  /** The keys as they were just before compactRevision: with the log from there on, this is everything the store knows. */
  base(): KeyValue[] {
    return this.range({ prefix: "" }, { revision: this.#compact - 1n }).kvs;
  }

  // --- forgetting

  /** Makes `revision` the oldest that is kept. One that is older than that already changes nothing. @throws CoordError "invalid-argument" */
  compact(revision: bigint): void {
    if (revision > this.#revision) {
      throw new CoordError(
        "invalid-argument",
        `revision ${revision} is in the future, the newest is ${this.#revision}`,
      );
    }
    if (revision <= this.#compact) return;
    const gone = this.#log.splice(0, Number(revision - this.#compact));
    this.#compact = revision;
    for (const entry of gone) {
      this.#logBytes -= entry.bytes;
      for (const event of entry.events) this.#prune(event.type === "put" ? event.kv.key : event.key);
    }
  }

  /** Compacts what is over the limits. Goes a quarter below them, so that it is seldom. */
  trim(): void {
    const { revisions, bytes } = this.#limits;
    if (this.#log.length <= revisions && this.#logBytes <= bytes) return;
    let keep = this.#log.length;
    let kept = this.#logBytes;
    while (keep > 1 && (keep > revisions * 0.75 || kept > bytes * 0.75)) {
      kept -= this.#log[this.#log.length - keep]!.bytes;
      keep -= 1;
    }
    this.compact(this.#compact + BigInt(this.#log.length - keep));
  }

  // --- inside

  *#keys(selector: KeySelector): Generator<string, void, undefined> {
    if ("key" in selector) {
      if (this.#versions.has(selector.key)) yield selector.key;
      return;
    }
    for (const key of this.#index.from(firstKey(selector))) {
      if (!selects(selector, key)) return;
      yield key;
    }
  }

  #latest(key: string): KeyValue | undefined {
    return this.#versions.get(key)?.at(-1)?.kv;
  }

  #at(key: string, revision: bigint): KeyValue | undefined {
    return this.#versions.get(key)?.findLast((version) => version.revision <= revision)?.kv;
  }

  #change(key: string, before: KeyValue | undefined, after: KeyValue | undefined): void {
    const versions = this.#versions.get(key);
    const version = { revision: this.#revision + 1n, kv: after };
    if (versions === undefined) {
      this.#versions.set(key, [version]);
      this.#index.add(key);
    } else {
      versions.push(version);
    }
    this.#attach(key, before?.lease ?? 0n, after?.lease ?? 0n);
  }

  #attach(key: string, before: bigint, after: bigint): void {
    if (before === after) return;
    const left = this.#leased.get(before);
    left?.delete(key);
    if (left?.size === 0) this.#leased.delete(before);
    if (after === 0n) return;
    const joined = this.#leased.get(after);
    if (joined === undefined) this.#leased.set(after, new Set([key]));
    else joined.add(key);
  }

  /** Drops the versions of a key that were over before compactRevision, but for the one that was in force just before it. */
  #prune(key: string): void {
    const versions = this.#versions.get(key);
    if (versions === undefined) return;
    const base = versions.findLastIndex((version) => version.revision < this.#compact);
    if (base < 0) return;
    versions.splice(0, versions[base]!.kv === undefined ? base + 1 : base);
    if (versions.length > 0) return;
    this.#versions.delete(key);
    this.#index.remove(key);
  }
}

export function mutationOf(event: WatchEvent): Mutation {
  if (event.type === "delete") return { type: "delete", key: event.key };
  return { type: "put", key: event.kv.key, value: event.kv.value, lease: event.kv.lease };
}

function bytesOf(events: readonly WatchEvent[]): number {
  let bytes = 64;
  for (const event of events) {
    bytes +=
      128 + (event.type === "put" ? event.kv.key.length + event.kv.value.byteLength : event.key.length);
  }
  return bytes;
}
