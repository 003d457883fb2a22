import { setMaxListeners } from "node:events";
import { BlobError } from "../errors.js";
import { uninitialized } from "../own-bytes.js";
import { parseRef, type Ref } from "../ref.js";
import { follow } from "../replica/abort.js";
import type { BlobStore, CallOptions } from "../store.js";
import { isContentOf } from "../stores/verified.js";
import { bad, decodeTreeNode, looksLikeTreeNode, type TreeChild, type TreeNode } from "./tree-node.js";

export interface BlobTreeOptions extends CallOptions {
  /** A content that says it is longer is refused as "bad-data". Default: 2^53 - 1. */
  readonly maxBytes?: number;
}

export interface BlobTreeStreamOptions extends CallOptions {
  /** The first byte. Default 0. */
  readonly start?: number;
  /** The byte after the last. Default, and at most: the end. */
  readonly end?: number;
  /** How much is fetched ahead of the reader, in bytes; at least the chunk that is next. Default 1 MiB. */
  readonly prefetchBytes?: number;
}

/** A content that `split` stored. */
export interface BlobTree {
  readonly ref: Ref;
  /** Bytes of content. */
  readonly size: number;
  /**
   * The bytes from `offset`: `length` of them, or as many as there are. Fetches one node for each level, and the chunks that hold them. At most 1 GiB at a time.
   * @throws BlobError "bad-data", "corrupt", "invalid-argument", and as the store's `get`
   */
  read(offset: number, length: number, options?: CallOptions): Promise<Uint8Array>;
  /** The content in order, in pieces of a chunk. Leaving the loop ends what was fetched ahead. @throws as `read` */
  stream(options?: BlobTreeStreamOptions): AsyncIterable<Uint8Array>;
}

const maxReadBytes = 1024 ** 3;
/** Each of up to 36 KiB, for our own trees. */
const keptNodes = 16;

/**
 * Reads the root only. Everything is verified: its ref, and the sizes that the nodes give.
 * @throws BlobError "bad-data", "corrupt", "invalid-argument", "invalid-ref", and as the store's `get`
 */
export async function openBlobTree(
  store: BlobStore,
  ref: Ref,
  options: BlobTreeOptions = {},
): Promise<BlobTree> {
  const { signal, maxBytes = Number.MAX_SAFE_INTEGER } = options;
  signal?.throwIfAborted();
  parseRef(ref);
  if (!(maxBytes >= 0)) throw new BlobError("invalid-argument", `maxBytes is at least 0, not ${maxBytes}`);
  const root = decodeTreeNode(await fetchVerified(store, ref, signal));
  if (root.size > maxBytes)
    throw bad(`its content has ${root.size} bytes, more than the ${maxBytes} allowed`);
  return new Tree(store, ref, root);
}

/** The content that `split` stored, in order. @throws as `openBlobTree`, also in the middle */
export async function* join(
  store: BlobStore,
  ref: Ref,
  options: BlobTreeOptions & { readonly prefetchBytes?: number } = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const tree = await openBlobTree(store, ref, options);
  const { signal, prefetchBytes } = options;
  yield* tree.stream({
    ...(signal && { signal }),
    ...(prefetchBytes === undefined ? {} : { prefetchBytes }),
  });
}

/** For `gc`: what a node of a tree refers to; nothing, for a blob that is none. @throws BlobError "bad-data" for a node of an unknown version, or a damaged one */
export function treeReferences(blob: Uint8Array): readonly { readonly ref: Ref; readonly leaf: boolean }[] {
  if (!looksLikeTreeNode(blob)) return [];
  const { level, children } = decodeTreeNode(blob);
  return children.map(({ ref }) => ({ ref, leaf: level === 1 }));
}

/** A chunk, and the part of it that is wanted. */
interface Part {
  readonly chunk: TreeChild;
  readonly from: number;
  readonly to: number;
}

class Tree implements BlobTree {
  readonly ref: Ref;
  readonly size: number;
  readonly #store: BlobStore;
  readonly #root: TreeNode;
  /** The nodes that were used last, the latest at the end. */
  readonly #nodes = new Map<Ref, TreeNode>();

  constructor(store: BlobStore, ref: Ref, root: TreeNode) {
    this.ref = ref;
    this.size = root.size;
    this.#store = store;
    this.#root = root;
  }

  async read(offset: number, length: number, options: CallOptions = {}): Promise<Uint8Array> {
    options.signal?.throwIfAborted();
    checkPosition("offset", offset);
    checkPosition("length", length);
    const wanted = Math.max(0, Math.min(length, this.size - offset));
    if (wanted > maxReadBytes) {
      throw new BlobError(
        "invalid-argument",
        `a read is of at most ${maxReadBytes} bytes: stream the content`,
      );
    }
    const parts: Uint8Array[] = [];
    for await (const part of this.stream({ start: offset, end: offset + wanted, ...options }))
      parts.push(part);
    if (parts.length === 1) return parts[0] as Uint8Array;
    const result = uninitialized(wanted);
    let at = 0;
    for (const part of parts) {
      result.set(part, at);
      at += part.length;
    }
    return result;
  }

  async *stream(options: BlobTreeStreamOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    const { signal, start = 0, prefetchBytes = 1024 * 1024 } = options;
    signal?.throwIfAborted();
    checkPosition("start", start);
    checkPosition("end", options.end ?? 0);
    checkPosition("prefetchBytes", prefetchBytes);
    const end = Math.min(options.end ?? this.size, this.size);
    if (start >= end) return;
    const { controller, release } = follow(signal);
    setMaxListeners(0, controller.signal); // as many listen as are fetched ahead
    const parts = this.#parts(this.#root, start, end, controller.signal);
    const ahead: { readonly size: number; readonly piece: Promise<Uint8Array> }[] = [];
    let aheadBytes = 0;
    try {
      let next = await parts.next();
      for (;;) {
        while (
          next.done !== true &&
          (ahead.length === 0 || aheadBytes + next.value.chunk.size <= prefetchBytes)
        ) {
          const piece = this.#fetch(next.value, controller.signal);
          piece.catch(() => {}); // it is thrown when its turn comes
          ahead.push({ size: next.value.chunk.size, piece });
          aheadBytes += next.value.chunk.size;
          next = await parts.next();
        }
        const first = ahead.shift();
        if (first === undefined) return;
        const piece = await first.piece;
        aheadBytes -= first.size;
        signal?.throwIfAborted();
        yield piece;
      }
    } finally {
      controller.abort(signal?.aborted ? signal.reason : new Error("nobody reads this any more"));
      await parts.return();
      await Promise.allSettled(ahead.map(({ piece }) => piece));
      release();
    }
  }

  async #fetch({ chunk, from, to }: Part, signal: AbortSignal): Promise<Uint8Array> {
    const blob = await fetchVerified(this.#store, chunk.ref, signal);
    if (blob.length !== chunk.size) {
      throw bad(`its chunk ${chunk.ref} has ${blob.length} bytes, and it says ${chunk.size}`);
    }
    return from === 0 && to === blob.length ? blob : blob.subarray(from, to);
  }

  /** The chunks of the bytes from `start` to `end` of a node's content. A level less each time: it ends. */
  async *#parts(
    node: TreeNode,
    start: number,
    end: number,
    signal: AbortSignal,
  ): AsyncGenerator<Part, void, undefined> {
    let at = 0;
    for (const child of node.children) {
      if (at >= end) return;
      const from = Math.max(0, start - at);
      const to = Math.min(child.size, end - at);
      at += child.size;
      if (from >= to) continue;
      if (node.level === 1) yield { chunk: child, from, to };
      else yield* this.#parts(await this.#node(child, node.level - 1, signal), from, to, signal);
    }
  }

  async #node(child: TreeChild, level: number, signal: AbortSignal): Promise<TreeNode> {
    let node = this.#nodes.get(child.ref);
    if (node === undefined) {
      node = decodeTreeNode(await fetchVerified(this.#store, child.ref, signal));
      if (this.#nodes.size >= keptNodes) this.#nodes.delete(this.#nodes.keys().next().value as Ref); // not empty
    }
    this.#nodes.delete(child.ref);
    this.#nodes.set(child.ref, node);
    if (node.level !== level) throw bad(`its node ${child.ref} is of level ${node.level}, not ${level}`);
    if (node.size !== child.size) {
      throw bad(`its node ${child.ref} has ${node.size} bytes of content, and it says ${child.size}`);
    }
    return node;
  }
}

async function fetchVerified(
  store: BlobStore,
  ref: Ref,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const blob = await store.get(ref, signal === undefined ? {} : { signal });
  signal?.throwIfAborted();
  if (!isContentOf(ref, blob, store))
    throw new BlobError("corrupt", `the store has another content under ${ref}`);
  return blob;
}

function checkPosition(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new BlobError("invalid-argument", `${name} is a whole number of at least 0, not ${value}`);
  }
}
