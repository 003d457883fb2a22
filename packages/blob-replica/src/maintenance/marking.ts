import { BlobError } from "../errors.js";
import { parseRef, type Ref } from "../ref.js";
import type { BlobStore } from "../store.js";
import { isContentOf } from "../stores/verified.js";
import { bounded } from "./bounded.js";
import { RefSet } from "./ref-set.js";

/** What a blob refers to. A leaf refers to nothing, and is not read; a plain ref may. */
export type Reference = Ref | { readonly ref: Ref; readonly leaf?: boolean };

/**
 * The references in a blob; none, for a blob that is of no known kind. What it throws stops `gc` before anything is deleted: for what begins as a known kind and
 * cannot be read.
 */
export type References = (blob: Uint8Array, ref: Ref) => Iterable<Reference>;

/** The blob is kept. */
export const kept = 1;
/** And so is, or will be before the sweep, all that it refers to. */
export const expanded = 2;

export interface MarkOptions {
  readonly signal?: AbortSignal | undefined;
  /** Whether what is not there, or is of an unknown version, is an error. */
  readonly strict: boolean;
}

/** The refs that one run of `gc` keeps. */
export class Marking {
  readonly marks: RefSet = new RefSet();
  /** From now on, what was not walked yet is not waited for by anybody but those who put. */
  sweeping = false;
  readonly #store: BlobStore;
  readonly #references: References;
  readonly #concurrency: number;
  readonly #max: number;
  readonly #walks = new Set<Promise<void>>();
  #broken: { readonly error: unknown } | undefined;

  constructor(
    store: BlobStore,
    references: References,
    limits: { readonly concurrency: number; readonly maxMarked: number },
  ) {
    this.#store = store;
    this.#references = references;
    this.#concurrency = limits.concurrency;
    this.#max = limits.maxMarked;
  }

  /** Nothing may be deleted after this has thrown: there are blobs of which it is not known what they refer to. */
  check(): void {
    if (this.#broken) throw this.#broken.error;
  }

  /** At once, without what it refers to. */
  keep(ref: Ref): void {
    this.marks.add(ref, kept);
  }

  /**
   * The blobs and all that they refer to. They themselves are kept when this returns, the others when it resolves; while others mark the same ones and nothing is swept
   * yet, when they have.
   */
  async mark(references: Iterable<Reference>, options: MarkOptions): Promise<void> {
    const stack: Ref[] = [];
    this.#add(references, stack);
    const others = this.sweeping ? [...this.#walks] : [];
    if (stack.length > 0) {
      const walk: Promise<void> = this.#walk(stack, options).finally(() => this.#walks.delete(walk));
      this.#walks.add(walk);
      await walk;
    }
    await Promise.allSettled(others);
  }

  /** Resolves when no `mark` is under way. */
  async idle(): Promise<void> {
    while (this.#walks.size > 0) await Promise.allSettled(this.#walks);
  }

  #add(references: Iterable<Reference>, stack: Ref[]): void {
    for (const reference of references) {
      const { ref, leaf = false } = typeof reference === "string" ? { ref: reference } : reference;
      if ((this.marks.add(parseRef(ref), leaf ? kept : kept | expanded) & expanded) !== 0) stack.push(ref);
    }
    if (this.marks.size > this.#max) {
      const error = new BlobError("full", `more than ${this.#max} blobs are referred to; see maxMarked`);
      this.#broken ??= { error };
    }
  }

  /** Depth first: the stack has the siblings on one path, not all that is known. */
  async #walk(stack: Ref[], options: MarkOptions): Promise<void> {
    const { signal, strict } = options;
    while (stack.length > 0) {
      signal?.throwIfAborted();
      if (strict) this.check();
      const batch = stack.splice(-this.#concurrency);
      await bounded(
        async function* () {
          yield* batch;
        },
        (ref, inner) => this.#expand(ref, stack, { strict, signal: inner }),
        { limit: this.#concurrency, signal },
      );
    }
  }

  async #expand(
    ref: Ref,
    stack: Ref[],
    options: { readonly strict: boolean; readonly signal: AbortSignal },
  ): Promise<void> {
    const { strict, signal } = options;
    let blob: Uint8Array;
    try {
      blob = await readVerified(this.#store, ref, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (strict) throw error;
      if (error instanceof BlobError && error.code === "not-found") {
        // Whoever finds it from a root says that it is missing.
        this.marks.clear(ref, expanded);
      } else {
        this.#broken ??= { error };
      }
      return;
    }
    let references: readonly Reference[];
    try {
      references = [...this.#references(blob, ref)];
    } catch (error) {
      if (strict) throw error;
      this.marks.clear(ref, expanded);
      return;
    }
    this.#add(references, stack);
  }
}

export async function readVerified(store: BlobStore, ref: Ref, signal?: AbortSignal): Promise<Uint8Array> {
  const blob = await store.get(ref, signal === undefined ? {} : { signal });
  if (!isContentOf(ref, blob, store))
    throw new BlobError("corrupt", `the store has another content under ${ref}`);
  return blob;
}
