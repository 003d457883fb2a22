/**
 * Garbage: what puts that failed, and segments that were dropped, have left in the store. Looking for it is safe while this and other
 * processes archive, without any clock:
 *
 * - The blobs of a put are its own (they are salted): nobody names them but this put, and no put relies on a blob that was there before.
 * - A collection first begins another generation, in the names. A put notes the generation before its first blob, and names its manifest in
 *   a transaction that looks whether it is still the same one.
 * - A blob is deleted by a collection only if an earlier one of the same collector had seen it without a name. Its put began before that one
 *   saw it, so in an older generation: either it has named it by now, which this collection sees, or it never will.
 *
 * The puts of the same process need not begin again: what they have put so far counts as named, and they move on to the new generation,
 * unless somebody else's was in between.
 */
import {
  type BlobStore,
  type CandidateStore,
  type GcGuard,
  gc,
  gcGuard,
  memoryCandidateStore,
  type Ref,
  type Reference,
} from "@x/blob-replica";
import { TopicError } from "../errors.js";
import type { Clock } from "../protocol/runtime.js";
import { archiveReferences } from "./manifest.js";
import type { ArchiveNames } from "./names.js";

/** What a collection found and did, in blobs. */
export interface CollectReport {
  /** With a name, or being put by this process. */
  readonly kept: number;
  readonly deleted: number;
  /** Garbage that the next collection deletes, what failed or was skipped included. */
  readonly waiting: number;
  /** Garbage that could not be deleted now. */
  readonly failed: number;
  /** Garbage that was to be deleted, too, when so many deletes had failed one after the other that the store was not asked any more. */
  readonly skipped: number;
  /** Why, for the first of what failed. */
  readonly firstFailure?: unknown;
}

/** A put under way: what it has put so far, and the generation in which it may be named. */
export interface PutUnderWay {
  readonly refs: Set<Ref>;
  generation: bigint;
}

export interface CollectorOptions {
  readonly store: BlobStore;
  readonly names: ArchiveNames;
  readonly clock?: Clock | undefined;
  readonly candidates?: CandidateStore | undefined;
}

export class Collector {
  /** The store, to be used for all that is put. */
  readonly store: GcGuard;
  readonly #names: ArchiveNames;
  readonly #candidates: CandidateStore;
  readonly #puts: Set<PutUnderWay> = new Set();
  #isCollecting = false;
  /** How many new generations this one began, or is about to. */
  #begun = 0;
  #beginning: Promise<unknown> = Promise.resolve();

  constructor({ store, names, clock, candidates = memoryCandidateStore() }: CollectorOptions) {
    // What is under way here is among the roots, so nothing needs to be kept for a time.
    this.store = gcGuard(store, { references: archiveReferences, keepMs: 0, ...(clock && { clock }) });
    this.#names = names;
    this.#candidates = candidates;
  }

  /** To be called before anything is put, and ended when it is named or given up. */
  async beginPut(signal: AbortSignal | undefined): Promise<PutUnderWay> {
    for (;;) {
      const begun = this.#begun;
      await this.#beginning;
      const generation = await this.#names.generation(signal ? { signal } : {});
      if (begun !== this.#begun) continue;
      const put = { refs: new Set<Ref>(), generation };
      this.#puts.add(put);
      return put;
    }
  }

  endPut(put: PutUnderWay): void {
    this.#puts.delete(put);
  }

  /** After a refusal for the sake of the generation: whether it was this collector that began another one, and the put may go on in it. */
  async mayGoOn(put: PutUnderWay, refused: bigint): Promise<boolean> {
    await this.#beginning;
    return put.generation !== refused;
  }

  /** @throws TopicError "unavailable" when one is under way; as `gc`, and as the names */
  async collect(signal: AbortSignal | undefined): Promise<CollectReport> {
    if (this.#isCollecting) throw new TopicError("unavailable", "a collection is under way already");
    this.#isCollecting = true;
    try {
      return await this.#collect(signal);
    } finally {
      this.#isCollecting = false;
    }
  }

  async #collect(signal: AbortSignal | undefined): Promise<CollectReport> {
    const options = signal ? { signal } : {};
    const beginning = this.#beginGeneration(options);
    this.#beginning = beginning.catch(() => {});
    await beginning;
    const report = await gc(this.store, {
      ...options,
      roots: () => this.#roots(options),
      grace: { afterMs: 0, candidates: this.#candidates },
    });
    const { marked: kept, deleted, candidates: waiting, failed, skipped, failures } = report;
    return {
      kept,
      deleted,
      waiting,
      failed,
      skipped,
      ...(failures[0] && { firstFailure: failures[0].error }),
    };
  }

  async #beginGeneration(options: { readonly signal?: AbortSignal }): Promise<void> {
    this.#begun += 1;
    for (;;) {
      const before = await this.#names.generation(options);
      const now = await this.#names.nextGeneration(before, options);
      if (now === undefined) continue;
      for (const put of this.#puts) if (put.generation === before) put.generation = now;
      return;
    }
  }

  async *#roots(options: { readonly signal?: AbortSignal }): AsyncGenerator<Reference, void, undefined> {
    for (const put of [...this.#puts]) for (const ref of put.refs) yield { ref, leaf: true };
    for await (const { manifest } of this.#names.list(options)) yield manifest;
  }
}
