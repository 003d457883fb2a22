import { setMaxListeners } from "node:events";
import { BlobError } from "../errors.js";
import { type Ref, refOf } from "../ref.js";
import type { BlobStore, CallOptions } from "../store.js";
import { checkCount } from "../stores/arguments.js";
import { Chunker, type ChunkerOptions } from "./fast-cdc.js";
import { encodeTreeNode, maxTreeLevel, type TreeChild } from "./tree-node.js";

export interface SplitOptions extends CallOptions, ChunkerOptions {
  /** Puts at the same time. Each holds a chunk in memory, of up to four times `averageBytes`. Default 8. */
  readonly concurrency?: number;
}

const minChildren = 16;
const maxChildren = 1024;
/** A node ends after a child whose ref ends with such a byte: 256 children on average, the same ones wherever the same content is. */
const lastByteOfNode = "00";

/**
 * Stores a content of any length as chunks and a tree over them, and resolves with the ref of its root when all of it is stored. The same content gets the same ref, and
 * contents that are alike share chunks and nodes. The source may use its buffers again when it is asked for the next piece.
 * @throws BlobError "invalid-argument", as the store's `put`, and whatever the source throws
 */
export async function split(
  store: BlobStore,
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array> | Uint8Array,
  options: SplitOptions = {},
): Promise<Ref> {
  const { signal } = options;
  signal?.throwIfAborted();
  const chunker = new Chunker(options);
  const puts = new Puts(store, checkCount("concurrency", options.concurrency ?? 8, 1), signal);
  const tree = new TreeBuilder((node) => puts.put(node));
  const add = async (chunk: Uint8Array): Promise<void> => {
    await tree.add({ ref: await puts.put(chunk), size: chunk.length });
  };
  try {
    for await (const piece of source instanceof Uint8Array ? piecesOf(source) : source) {
      signal?.throwIfAborted();
      if (!(piece instanceof Uint8Array)) {
        throw new BlobError("invalid-argument", `a source yields Uint8Arrays, not ${typeof piece}`);
      }
      for (const chunk of chunker.push(piece)) await add(chunk);
    }
    signal?.throwIfAborted();
    const last = chunker.end();
    if (last !== undefined) await add(last);
    const root = await tree.end();
    await puts.settled();
    // The root is put when all below it is there.
    const { ref } = await store.put(root, { ref: refOf(root), frozen: true, ...(signal && { signal }) });
    return ref;
  } finally {
    await puts.stop();
  }
}

/** So that a large one lets others have their turn. */
function* piecesOf(bytes: Uint8Array): Generator<Uint8Array, void, undefined> {
  const length = 1024 * 1024;
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

/** Puts, a bounded number at a time. The first failure is thrown by whatever comes next. */
class Puts {
  readonly #store: BlobStore;
  readonly #limit: number;
  readonly #signal: AbortSignal | undefined;
  readonly #running = new Set<Promise<void>>();
  readonly #children = new AbortController();
  #failure: { readonly error: unknown } | undefined;

  constructor(store: BlobStore, limit: number, signal: AbortSignal | undefined) {
    this.#store = store;
    this.#limit = limit;
    this.#signal = signal;
    setMaxListeners(0, this.#children.signal); // as many listen as are put
    signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  readonly #onAbort = (): void => this.#children.abort(this.#signal?.reason);

  /** Resolves when there is room for it; its ref is known before it is stored. */
  async put(blob: Uint8Array): Promise<Ref> {
    const ref = refOf(blob);
    while (this.#running.size >= this.#limit) await Promise.race(this.#running);
    this.#check();
    const work: Promise<void> = this.#store
      .put(blob, { ref, frozen: true, signal: this.#children.signal })
      .then(
        () => {},
        (error: unknown) => {
          this.#failure ??= { error };
        },
      )
      .finally(() => this.#running.delete(work));
    this.#running.add(work);
    return ref;
  }

  async settled(): Promise<void> {
    await Promise.all(this.#running);
    this.#check();
  }

  async stop(): Promise<void> {
    this.#children.abort(
      this.#signal?.aborted ? this.#signal.reason : new Error("nobody waits for this any more"),
    );
    this.#signal?.removeEventListener("abort", this.#onAbort);
    await Promise.all(this.#running);
  }

  #check(): void {
    this.#signal?.throwIfAborted();
    if (this.#failure) throw this.#failure.error;
  }
}

/** Nodes from the bottom up; it holds at most one open node for each level. */
class TreeBuilder {
  readonly #put: (node: Uint8Array) => Promise<Ref>;
  /** By level less one. */
  readonly #open: TreeChild[][] = [[]];

  constructor(put: (node: Uint8Array) => Promise<Ref>) {
    this.#put = put;
  }

  async add(chunk: TreeChild): Promise<void> {
    await this.#add(1, chunk);
  }

  /** The root, which is not put. */
  async end(): Promise<Uint8Array> {
    for (let level = 1; ; level++) {
      const children = this.#open[level - 1] ?? [];
      if (level === this.#open.length) return encodeTreeNode(level, children);
      if (children.length > 0) await this.#close(level);
      const above = this.#open[level] as TreeChild[]; // level < length
      // One node is all there is: it is the root itself, not the only child of one.
      if (level + 1 === this.#open.length && above.length === 1 && this.#last?.level === level)
        return this.#last.node;
    }
  }

  #last: { readonly level: number; readonly node: Uint8Array } | undefined;

  async #add(level: number, child: TreeChild): Promise<void> {
    if (level > maxTreeLevel) throw new BlobError("full", `a tree has at most ${maxTreeLevel} levels`);
    while (this.#open.length < level) this.#open.push([]);
    const children = this.#open[level - 1] as TreeChild[]; // made above
    children.push(child);
    const { length } = children;
    if (length >= maxChildren || (length >= minChildren && child.ref.endsWith(lastByteOfNode)))
      await this.#close(level);
  }

  async #close(level: number): Promise<void> {
    const children = this.#open[level - 1] as TreeChild[]; // callers have some
    this.#open[level - 1] = [];
    const node = encodeTreeNode(level, children);
    this.#last = { level, node };
    const size = children.reduce((sum, child) => sum + child.size, 0);
    await this.#add(level + 1, { ref: await this.#put(node), size });
  }
}
