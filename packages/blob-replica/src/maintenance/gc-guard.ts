import { has, putMany } from "../capabilities.js";
import type { Clock } from "../clock.js";
import { BlobError } from "../errors.js";
import { parseRef, type Ref } from "../ref.js";
import { unlessAborted } from "../replica/abort.js";
import type { BlobStore, CallOptions, GetOptions, PutManyResult, PutOptions, PutResult } from "../store.js";
import { type PutManyOptions, refForPut, refsForPut, signalOption } from "../stores/arguments.js";
import { systemClock } from "../system.js";
import { expanded, kept, Marking, type Reference, type References, readVerified } from "./marking.js";
import { RefSet } from "./ref-set.js";

export interface GcGuardOptions {
  /** What blobs refer to, for `gc` and for the protection of what is put meanwhile. */
  readonly references: References;
  /** How long a blob that was put, put again or asked for with `has` is kept although no root leads to it yet. Default 3,600,000 (an hour). */
  readonly keepMs?: number;
  readonly clock?: Clock;
}

/** A store whose garbage `gc` collects. Whoever writes to the store in this process does it through the one guard. */
export interface GcGuard extends BlobStore {
  /**
   * To be awaited before a root is pointed to a blob that was not just put and that no root leads to. True: it and all that it refers to are there, and are kept for
   * `keepMs`. False: something of it is gone, put it again. Reads all nodes below it.
   * @throws as the store
   */
  touch(ref: Ref, options?: CallOptions): Promise<boolean>;
}

interface UnderWay {
  readonly ref: Ref;
  readonly references: readonly Reference[];
}

const recentAtOnce = 256;

interface Generation {
  readonly refs: RefSet;
  readonly begunMs: number;
  endedMs: number;
}

/**
 * Remembers what is put, in 47 to 94 bytes for each ref of the last 1.5 times `keepMs`, and while a `gc` runs keeps it with all that it refers to.
 * @throws BlobError "invalid-argument"
 */
export function gcGuard(store: BlobStore, options: GcGuardOptions): GcGuard {
  return new GuardedStore(store, options);
}

export class GuardedStore implements GcGuard {
  readonly inner: BlobStore;
  readonly references: References;
  readonly clock: Clock;
  readonly #keepMs: number;
  /** The latest at the end. */
  #generations: Generation[] = [];
  /** What is being put or touched, and what it refers to. A ref may be there several times. */
  readonly #underWay = new Set<UnderWay>();
  readonly #deleting = new Map<Ref, Promise<unknown>>();
  #marking: Marking | undefined;
  /** What there was when the marking began. */
  #recent: { readonly underWay: readonly UnderWay[]; readonly generations: readonly Generation[] } = {
    underWay: [],
    generations: [],
  };

  readonly verified?: boolean;
  readonly getMany?: BlobStore["getMany"];
  readonly stream?: BlobStore["stream"];
  readonly listRefPages?: BlobStore["listRefPages"];
  readonly prefixDigests?: BlobStore["prefixDigests"];
  readonly delete?: BlobStore["delete"];
  readonly putMany?: BlobStore["putMany"];

  constructor(store: BlobStore, options: GcGuardOptions) {
    this.inner = store;
    this.references = options.references;
    this.clock = options.clock ?? systemClock;
    this.#keepMs = options.keepMs ?? 3_600_000;
    if (!(this.#keepMs >= 0)) {
      throw new BlobError("invalid-argument", `keepMs is at least 0, not ${this.#keepMs}`);
    }
    if (store.verified !== undefined) this.verified = store.verified;
    if (store.getMany) this.getMany = store.getMany.bind(store);
    if (store.stream) this.stream = store.stream.bind(store);
    if (store.listRefPages) this.listRefPages = store.listRefPages.bind(store);
    if (store.prefixDigests) this.prefixDigests = store.prefixDigests.bind(store);
    if (store.delete) this.delete = store.delete.bind(store);
    if (store.putMany) this.putMany = (blobs, putOptions) => this.#putMany(blobs, putOptions);
  }

  get(ref: Ref, options: GetOptions = {}): Promise<Uint8Array> {
    return this.inner.get(ref, options);
  }

  listRefs(after?: Ref, options: CallOptions = {}): AsyncIterable<Ref> {
    return this.inner.listRefs(after, options);
  }

  async put(blob: Uint8Array, options: PutOptions = {}): Promise<PutResult> {
    options.signal?.throwIfAborted();
    const ref = refForPut(blob, options.ref);
    return await this.#protecting([{ ref, references: this.#referencesOf(blob, ref) }], options.signal, () =>
      this.inner.put(blob, { ...options, ref }),
    );
  }

  async #putMany(
    blobs: readonly Uint8Array[],
    options: PutManyOptions = {},
  ): Promise<readonly PutManyResult[]> {
    options.signal?.throwIfAborted();
    const refs = refsForPut(blobs, options.refs);
    const work = refs.map((ref, i) => ({ ref, references: this.#referencesOf(blobs[i] as Uint8Array, ref) })); // as long as refs
    return await this.#protecting(work, options.signal, () =>
      putMany(this.inner, blobs, { ...options, refs }),
    );
  }

  async has(ref: Ref, options: CallOptions = {}): Promise<boolean> {
    options.signal?.throwIfAborted();
    parseRef(ref);
    return await this.#protecting([{ ref, references: [ref] }], options.signal, () =>
      has(this.inner, ref, options),
    );
  }

  async touch(ref: Ref, options: CallOptions = {}): Promise<boolean> {
    const { signal } = options;
    signal?.throwIfAborted();
    parseRef(ref);
    return await this.#protecting([{ ref, references: [ref] }], signal, () => this.#isWhole(ref, signal));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.inner[Symbol.asyncDispose]?.();
  }

  /** For `gc`. What is put or touched from now on is kept in it; `markRecent` is for what was before. */
  begin(limits: { readonly concurrency: number; readonly maxMarked: number }): Marking {
    if (this.#marking) throw new BlobError("conflict", "a gc of this store is running");
    const marking = new Marking(this.inner, this.references, limits);
    this.#marking = marking;
    for (const { ref } of this.#underWay) marking.keep(ref);
    this.#recent = { underWay: [...this.#underWay], generations: this.#closeGenerations() };
    return marking;
  }

  /** For `gc`: marks what was put or touched in the `keepMs` before it began. */
  async markRecent(marking: Marking, signal: AbortSignal | undefined): Promise<void> {
    const { underWay, generations } = this.#recent;
    const options = { strict: false, signal };
    for (const { references } of underWay) await marking.mark(references, options);
    for (const { refs } of generations) {
      let batch: Reference[] = [];
      for (const { ref, flags } of refs.entries()) {
        batch.push({ ref, leaf: (flags & expanded) === 0 });
        if (batch.length < recentAtOnce) continue;
        await marking.mark(batch, options);
        batch = [];
      }
      await marking.mark(batch, options);
    }
    this.#recent = { underWay: [], generations: [] };
  }

  /** For `gc`. */
  end(marking: Marking): void {
    if (this.#marking === marking) this.#marking = undefined;
  }

  /** For `gc`: deletes the blob, unless it is marked by now: then undefined, and the store was not asked. Puts of it wait meanwhile. */
  async sweep(marking: Marking, ref: Ref, signal: AbortSignal): Promise<boolean | undefined> {
    marking.check();
    if (marking.marks.has(ref)) return undefined;
    if (!this.inner.delete) throw new BlobError("unsupported", "this store cannot delete blobs");
    const work = this.inner.delete(ref, { signal });
    this.#deleting.set(ref, work);
    try {
      return await work;
    } finally {
      this.#deleting.delete(ref);
    }
  }

  async #protecting<Result>(
    work: readonly UnderWay[],
    signal: AbortSignal | undefined,
    call: () => Promise<Result>,
  ): Promise<Result> {
    for (const each of work) this.#underWay.add(each);
    try {
      // Kept at once: from here on no sweep begins to delete it. One that has begun is waited for, and then put again.
      await this.#keep(work, signal);
      for (const { ref } of work) await this.#deleting.get(ref)?.catch(() => {});
      signal?.throwIfAborted();
      const result = await call();
      // Once more: from now on `keepMs` count, and a gc that began meanwhile keeps what it refers to, too.
      await this.#keep(work, signal);
      return result;
    } finally {
      for (const each of work) this.#underWay.delete(each);
    }
  }

  async #keep(work: readonly UnderWay[], signal: AbortSignal | undefined): Promise<void> {
    const marking = this.#marking;
    const generation = this.#generation();
    for (const { ref, references } of work) {
      generation.refs.add(ref, references.length === 0 ? kept : kept | expanded);
      marking?.keep(ref);
    }
    if (marking === undefined) return;
    // Not with the signal: what one of them began to mark, another one relies on.
    const marks = work.map(({ references }) => marking.mark(references, { strict: false }));
    await unlessAborted(Promise.all(marks), signal);
  }

  /** What cannot be read as what it seems to be keeps itself only: anybody may put such bytes. */
  #referencesOf(blob: Uint8Array, ref: Ref): readonly Reference[] {
    try {
      const references = [...this.references(blob, ref)];
      for (const each of references) parseRef(typeof each === "string" ? each : each.ref);
      return references;
    } catch {
      return [];
    }
  }

  async #isWhole(root: Ref, signal: AbortSignal | undefined): Promise<boolean> {
    const seen = new RefSet();
    const stack: Reference[] = [root];
    seen.add(root, kept | expanded);
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      signal?.throwIfAborted();
      const { ref, leaf = false } = typeof next === "string" ? { ref: next } : next;
      this.#marking?.keep(ref);
      await this.#deleting.get(ref)?.catch(() => {});
      if (leaf) {
        if (!(await has(this.inner, ref, signalOption(signal)))) return false;
        continue;
      }
      let blob: Uint8Array;
      try {
        blob = await readVerified(this.inner, ref, signal);
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof BlobError && (error.code === "not-found" || error.code === "corrupt"))
          return false;
        throw error;
      }
      for (const reference of this.references(blob, ref)) {
        const child = typeof reference === "string" ? { ref: reference } : reference;
        const flags = child.leaf === true ? kept : kept | expanded;
        if (seen.add(parseRef(child.ref), flags) !== 0) stack.push(child);
      }
    }
    return true;
  }

  #generation(): Generation {
    const nowMs = this.clock.monotonicMs();
    const last = this.#generations.at(-1);
    if (last && nowMs - last.begunMs < this.#keepMs / 2) {
      last.endedMs = nowMs;
      return last;
    }
    this.#dropOld(nowMs);
    const next = { refs: new RefSet(), begunMs: nowMs, endedMs: nowMs };
    this.#generations.push(next);
    return next;
  }

  /** Those that still count. They do not change any more. */
  #closeGenerations(): readonly Generation[] {
    const nowMs = this.clock.monotonicMs();
    this.#dropOld(nowMs);
    const closed = [...this.#generations];
    this.#generations.push({ refs: new RefSet(), begunMs: nowMs, endedMs: nowMs });
    return closed;
  }

  #dropOld(nowMs: number): void {
    this.#generations = this.#generations.filter(({ endedMs }) => nowMs - endedMs < this.#keepMs);
  }
}
