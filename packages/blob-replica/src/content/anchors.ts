import type { Clock } from "../clock.js";
import { BlobError } from "../errors.js";
import { parseRef, type Ref, refOf } from "../ref.js";
import type { BlobStore, CallOptions } from "../store.js";
import { signalOption } from "../stores/arguments.js";
import { isContentOf } from "../stores/verified.js";
import { systemClock } from "../system.js";
import {
  type AnchorEntry,
  type AnchorKey,
  type AnchorNode,
  badMap,
  checkTime,
  compareKeys,
  decodeAnchorNode,
  encodeAnchorNode,
  looksLikeAnchorNode,
  nameBytes,
} from "./anchor-node.js";
import type { AnchorStore } from "./anchor-store.js";

export interface Anchor {
  readonly name: string;
  readonly ref: Ref;
  /** From when the name points to it. Milliseconds since the epoch. */
  readonly atMs: number;
}

/** Names that point to refs, and what they pointed to before. */
export interface Anchors {
  /**
   * From `atMs` (default: now) until the next later time of the name it points to `ref`. The same name and time again: the last one counts. Resolves when
   * it is in the anchor store; updates of others at the same time are kept.
   * @throws BlobError "conflict" when others were always faster, "invalid-argument", "invalid-ref", "bad-data", and as the stores
   */
  put(name: string, ref: Ref, options?: CallOptions & { readonly atMs?: number }): Promise<void>;
  /** The latest at or before `atMs` (default: of all); undefined when there is none. */
  get(name: string, options?: CallOptions & { readonly atMs?: number }): Promise<Anchor | undefined>;
  /** Of one name, the earliest first. */
  history(name: string, options?: CallOptions): AsyncIterable<Anchor>;
  /** The latest of each name strictly after `after` (of all, without it), in the order of the names' bytes in UTF-8, as it was when the listing began. */
  list(after?: string, options?: CallOptions): AsyncIterable<Anchor>;
}

export interface AnchorsOptions {
  /** How often a `put` starts over when somebody else was faster. Default 100. */
  readonly maxConflicts?: number;
  readonly clock?: Clock;
}

const maxEntries = 128;
const endOfTime = Number.MAX_SAFE_INTEGER;

/**
 * The map is a B-tree of blobs in `store`, by name and time: each `put` writes the nodes on one path anew, and swaps the root in `cell`. The old ones stay until `gc`
 * takes them. The format is our own, not that of bobg/bs.
 */
export function anchors(store: BlobStore, cell: AnchorStore, options: AnchorsOptions = {}): Anchors {
  return new AnchorMap(store, cell, options);
}

/** For `gc`: what a node of an anchor map refers to; nothing, for a blob that is none. @throws BlobError "bad-data" for a node of an unknown version, or a damaged one */
export function anchorReferences(blob: Uint8Array): readonly { readonly ref: Ref; readonly leaf: boolean }[] {
  if (!looksLikeAnchorNode(blob)) return [];
  return decodeAnchorNode(blob).entries.map(({ ref }) => ({ ref, leaf: false }));
}

class AnchorMap implements Anchors {
  readonly #store: BlobStore;
  readonly #cell: AnchorStore;
  readonly #clock: Clock;
  readonly #maxConflicts: number;

  constructor(store: BlobStore, cell: AnchorStore, options: AnchorsOptions) {
    this.#store = store;
    this.#cell = cell;
    this.#clock = options.clock ?? systemClock;
    this.#maxConflicts = options.maxConflicts ?? 100;
  }

  async put(name: string, ref: Ref, options: CallOptions & { readonly atMs?: number } = {}): Promise<void> {
    const { signal } = options;
    signal?.throwIfAborted();
    const entry: AnchorEntry = {
      name: nameBytes(name),
      atMs: checkTime(options.atMs ?? this.#clock.wallMs()),
      ref: parseRef(ref),
    };
    for (let conflicts = 0; conflicts <= this.#maxConflicts; conflicts++) {
      const from = await this.#cell.load(signalOption(signal));
      signal?.throwIfAborted();
      const to = await this.#insert(from, entry, signal);
      if (to === from) return;
      if (await this.#cell.swap(from, to, signalOption(signal))) return;
      signal?.throwIfAborted();
    }
    throw new BlobError("conflict", `others changed the anchors ${this.#maxConflicts + 1} times meanwhile`);
  }

  async get(
    name: string,
    options: CallOptions & { readonly atMs?: number } = {},
  ): Promise<Anchor | undefined> {
    const { signal } = options;
    signal?.throwIfAborted();
    const key = { name: nameBytes(name), atMs: checkTime(options.atMs ?? endOfTime) };
    const root = await this.#root(signal);
    const found = root && (await this.#last(root, key, signal));
    return found && Buffer.compare(found.name, key.name) === 0 ? anchorOf(found) : undefined;
  }

  async *history(name: string, options: CallOptions = {}): AsyncGenerator<Anchor, void, undefined> {
    const { signal } = options;
    signal?.throwIfAborted();
    const from = { name: nameBytes(name), atMs: 0 };
    const root = await this.#root(signal);
    if (root === undefined) return;
    for await (const entry of this.#from(root, from, signal)) {
      if (Buffer.compare(entry.name, from.name) !== 0) return;
      yield anchorOf(entry);
    }
  }

  async *list(after?: string, options: CallOptions = {}): AsyncGenerator<Anchor, void, undefined> {
    const { signal } = options;
    signal?.throwIfAborted();
    const root = await this.#root(signal);
    if (root === undefined) return;
    const from = after === undefined ? undefined : nameBytes(after);
    let last: AnchorEntry | undefined;
    for await (const entry of this.#from(root, { name: from ?? Buffer.alloc(0), atMs: 0 }, signal)) {
      if (from !== undefined && Buffer.compare(entry.name, from) === 0) continue;
      if (last && Buffer.compare(last.name, entry.name) !== 0) yield anchorOf(last);
      last = entry;
    }
    if (last) yield anchorOf(last);
  }

  async #root(signal: AbortSignal | undefined): Promise<AnchorNode | undefined> {
    const ref = await this.#cell.load(signalOption(signal));
    signal?.throwIfAborted();
    return ref === undefined ? undefined : await this.#node(ref, signal);
  }

  async #node(ref: Ref, signal: AbortSignal | undefined): Promise<AnchorNode> {
    const blob = await this.#store.get(ref, signalOption(signal));
    signal?.throwIfAborted();
    if (!isContentOf(ref, blob, this.#store))
      throw new BlobError("corrupt", `the store has another content under ${ref}`);
    return decodeAnchorNode(blob);
  }

  /** A level less each time: it ends. */
  async #child(node: AnchorNode, entry: AnchorEntry, signal: AbortSignal | undefined): Promise<AnchorNode> {
    const child = await this.#node(entry.ref, signal);
    const last = child.entries.at(-1);
    if (child.level !== node.level - 1) throw badMap(`${entry.ref} is of level ${child.level}`);
    if (!last || compareKeys(last, entry) !== 0) throw badMap(`${entry.ref} does not end where it should`);
    return child;
  }

  /** The last entry that is not after the key. */
  async #last(
    node: AnchorNode,
    key: AnchorKey,
    signal: AbortSignal | undefined,
  ): Promise<AnchorEntry | undefined> {
    const at = firstFrom(node, key);
    const entry = node.entries[at];
    if (node.level === 0) return entry && compareKeys(entry, key) === 0 ? entry : node.entries[at - 1];
    if (entry !== undefined) {
      const found = await this.#last(await this.#child(node, entry, signal), key, signal);
      if (found) return found;
    }
    const before = node.entries[at - 1];
    return before && (await this.#last(await this.#child(node, before, signal), key, signal));
  }

  async *#from(
    node: AnchorNode,
    key: AnchorKey,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<AnchorEntry, void, undefined> {
    for (let at = firstFrom(node, key); at < node.entries.length; at++) {
      signal?.throwIfAborted();
      const entry = node.entries[at] as AnchorEntry; // at < length
      if (node.level === 0) yield entry;
      else yield* this.#from(await this.#child(node, entry, signal), key, signal);
    }
  }

  /** The root of a map that has the entry. */
  async #insert(root: Ref | undefined, entry: AnchorEntry, signal: AbortSignal | undefined): Promise<Ref> {
    if (root === undefined) return (await this.#write({ level: 0, entries: [entry] }, signal)).ref;
    const node = await this.#node(root, signal);
    const parts = await this.#insertBelow(node, entry, signal);
    if (parts === undefined) return root;
    const [first] = parts;
    if (parts.length === 1) return (first as AnchorEntry).ref;
    return (await this.#write({ level: node.level + 1, entries: parts }, signal)).ref;
  }

  /** What the node becomes: one node or two. Undefined when nothing changes. */
  async #insertBelow(
    node: AnchorNode,
    entry: AnchorEntry,
    signal: AbortSignal | undefined,
  ): Promise<AnchorEntry[] | undefined> {
    const entries = [...node.entries];
    const at = firstFrom(node, entry);
    if (node.level === 0) {
      const there = entries[at];
      const same = there !== undefined && compareKeys(there, entry) === 0;
      if (same && there.ref === entry.ref) return undefined;
      entries.splice(at, same ? 1 : 0, entry);
    } else {
      // What comes after all that is there goes to the last child.
      const place = Math.min(at, entries.length - 1);
      const child = await this.#child(node, entries[place] as AnchorEntry, signal); // no inner node is empty
      const parts = await this.#insertBelow(child, entry, signal);
      if (parts === undefined) return undefined;
      entries.splice(place, 1, ...parts);
    }
    if (entries.length <= maxEntries) return [await this.#write({ level: node.level, entries }, signal)];
    // Times mostly go up: a node that grew at its end is left full.
    const half = at >= node.entries.length - 1 ? maxEntries : entries.length >> 1;
    const left = await this.#write({ level: node.level, entries: entries.slice(0, half) }, signal);
    return [left, await this.#write({ level: node.level, entries: entries.slice(half) }, signal)];
  }

  async #write(node: AnchorNode, signal: AbortSignal | undefined): Promise<AnchorEntry> {
    const blob = encodeAnchorNode(node);
    const { ref } = await this.#store.put(blob, { ref: refOf(blob), frozen: true, ...signalOption(signal) });
    const { name, atMs } = node.entries.at(-1) as AnchorEntry; // nobody writes an empty one
    return { name, atMs, ref };
  }
}

/** The place of the first entry that is not before the key. */
function firstFrom({ entries }: AnchorNode, key: AnchorKey): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareKeys(entries[middle] as AnchorEntry, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function anchorOf({ name, ref, atMs }: AnchorEntry): Anchor {
  return { name: name.toString(), ref, atMs };
}
