import { BlobError } from "../errors.js";
import { type Ref, refBytes, refFromBytes, refToBytes } from "../ref.js";
import type { CallOptions } from "../store.js";
import { checkCount, signalOption } from "../stores/arguments.js";
import { bounded } from "./bounded.js";
import { CandidateReader, type CandidateStore, CandidateWriter } from "./candidates.js";
import { type GcGuard, GuardedStore } from "./gc-guard.js";
import type { Marking, Reference } from "./marking.js";
import { RefReader } from "./ref-reader.js";

export interface GcOptions extends CallOptions {
  /** Where everything that is to be kept begins. Called several times: each call reads the roots as they are then. */
  readonly roots: () => Iterable<Reference> | AsyncIterable<Reference>;
  /**
   * For stores that other processes write to: garbage is a candidate first, and deleted by the first run that finds it to be garbage still after `afterMs`.
   * Without it, garbage is deleted at once.
   */
  readonly grace?: {
    readonly afterMs: number;
    readonly candidates: CandidateStore;
    /** When the blob was last put, by any process, where the caller can tell (wall time): later than `afterMs` ago keeps it. */
    readonly lastPutMs?: (ref: Ref, options: CallOptions) => Promise<number | undefined>;
    /** What is beyond is left to later runs. 38 bytes of memory each. Default 1,000,000. */
    readonly maxCandidates?: number;
  };
  /** Only counts the garbage. Default false. */
  readonly dryRun?: boolean;
  /** After each page of the sweep and each pass of the marking. What it throws is dropped. */
  readonly onProgress?: (progress: GcProgress) => void;
  /** Blobs that are read, or deleted, at the same time. Default 16. */
  readonly concurrency?: number;
  /**
   * After so many deletes that failed, as they come back, with none between that did not, the store is asked for no more in this run; those under way are waited for.
   * More for a store that keeps many blobs whatever it is asked, so that the others still go. Default 100, or twice `concurrency` where that is more.
   */
  readonly maxConsecutiveFailures?: number;
  /** More than so many to be kept are refused as "full". 47 to 94 bytes of memory each. Default 20,000,000. */
  readonly maxMarked?: number;
}

export interface GcProgress {
  readonly phase: "mark" | "sweep";
  readonly marked: number;
  /** Refs that were looked at by the sweep. */
  readonly listed: number;
  /** Of these, those that nothing refers to. */
  readonly garbage: number;
  readonly deleted: number;
  /** Garbage that was to be deleted, and of which the store gave an error. It may be there still: then the next run tries again, with `grace` without another wait. */
  readonly failed: number;
  /** Garbage whose turn it was, too, when the store was not asked any more: see `maxConsecutiveFailures`. The next run tries, with `grace` without another wait. */
  readonly skipped: number;
}

export interface GcReport extends GcProgress {
  /** Why, for the first 100 of `failed`, in the order in which the store answered. */
  readonly failures: readonly { readonly ref: Ref; readonly error: unknown }[];
  /** Garbage that waits for a later run, what failed or was skipped included: with `grace`, else 0. */
  readonly candidates: number;
  /** Garbage that there was no room for among the candidates. */
  readonly candidatesDropped: number;
}

const maxPasses = 10;
const mostFailures = 100;
const mostInARow = 100;
const maxSinceMs = 2 ** 48 - 1;

/**
 * Deletes the blobs that no root leads to: marks what roots refer to, then deletes of what the store lists all that has no mark.
 *
 * Within this process, where all writes go through the one guard, a blob is never deleted
 * - when it is put, put again, touched or found by `has` after the run began, or in the `keepMs` before it, or is referred to by such a blob;
 * - when a root leads to it, as long as a root is pointed only to blobs that were put or touched in the last `keepMs`, or that another root leads to until this has been done.
 *
 * Of other processes it sees what they write to the roots, and what the store lists. With `grace` a blob that they put is kept when a root leads to it within `afterMs` of
 * the first run that sees it. A blob that was garbage for longer and that another process puts again and points a root to, between the last reading of the roots
 * and the sweep, can be lost, unless `lastPutMs` tells: where that may happen, run `gc` while no other process writes.
 *
 * An error while it marks, also a blob that is referred to and is missing, damaged or of an unknown version, ends it before anything is deleted. One of the listing ends
 * it where it is. A blob that cannot be deleted does not: the others are, and the report says how many failed, and why. Where one after the other fails, the rest of
 * the garbage is only counted, as `skipped`. Two runs at the same time need a lock of the caller's, but for those of one guard.
 * @throws `signal.reason`, BlobError "invalid-argument", "conflict" when a run of the guard is under way, "unsupported", "not-found", "corrupt", "bad-data", "full",
 * "unordered", and as the store
 */
export async function gc(store: GcGuard, options: GcOptions): Promise<GcReport> {
  options.signal?.throwIfAborted();
  if (!(store instanceof GuardedStore)) {
    throw new BlobError(
      "invalid-argument",
      "gc needs a store made by gcGuard, and everybody's puts to go through it",
    );
  }
  return await new Collection(store, options).run();
}

interface Condemned {
  readonly ref: Ref;
  /** Since when it is a candidate, where there are such. */
  readonly sinceMs: number | undefined;
}

class Collection {
  readonly #store: GuardedStore;
  readonly #options: GcOptions;
  readonly #limit: number;
  readonly #mostInARow: number;
  readonly #marking: Marking;
  readonly #beginMs: number;
  readonly #next: CandidateWriter;
  #phase: "mark" | "sweep" = "mark";
  #listed = 0;
  #garbage = 0;
  #deleted = 0;
  #failed = 0;
  #failedInARow = 0;
  #gaveUp = false;
  #skipped = 0;
  readonly #failures: { readonly ref: Ref; readonly error: unknown }[] = [];

  constructor(store: GuardedStore, options: GcOptions) {
    this.#store = store;
    this.#options = options;
    this.#limit = checkCount("concurrency", options.concurrency ?? 16, 1);
    this.#mostInARow = checkCount(
      "maxConsecutiveFailures",
      options.maxConsecutiveFailures ?? Math.max(mostInARow, 2 * this.#limit),
      1,
    );
    const maxMarked = checkCount("maxMarked", options.maxMarked ?? 20_000_000, 1);
    this.#next = new CandidateWriter(
      checkCount("maxCandidates", options.grace?.maxCandidates ?? 1_000_000, 0),
    );
    if (options.grace && !(options.grace.afterMs >= 0)) {
      throw new BlobError("invalid-argument", `afterMs is at least 0, not ${options.grace.afterMs}`);
    }
    if (store.inner.delete === undefined && !options.dryRun) {
      throw new BlobError("unsupported", "this store cannot delete blobs");
    }
    this.#beginMs = Math.min(maxSinceMs, Math.max(0, Math.floor(store.clock.wallMs())));
    this.#marking = store.begin({ concurrency: this.#limit, maxMarked });
  }

  async run(): Promise<GcReport> {
    const { signal, grace, dryRun } = this.#options;
    try {
      await this.#mark();
      this.#phase = "sweep";
      const saved = await grace?.candidates.load(signalOption(signal));
      signal?.throwIfAborted();
      await this.#sweep(new CandidateReader(saved));
      if (grace && !dryRun) await grace.candidates.save(this.#next.bytes, signalOption(signal));
    } finally {
      // Puts under way may still mark.
      await this.#marking.idle();
      this.#store.end(this.#marking);
    }
    return {
      ...this.#progress(),
      failures: this.#failures,
      candidates: this.#next.count,
      candidatesDropped: this.#next.dropped,
    };
  }

  async #mark(): Promise<void> {
    const { signal, roots } = this.#options;
    // Roots that change meanwhile are seen by the next pass; the guard's puts and touches are marked as they come.
    for (let pass = 0, before = -1; pass < maxPasses && before !== this.#marking.marks.size; pass++) {
      before = this.#marking.marks.size;
      for await (const root of roots()) {
        signal?.throwIfAborted();
        await this.#marking.mark([root], { strict: true, signal });
      }
      // After the first roots: what is missing below a root is an error, below what was put it is not.
      if (pass === 0) await this.#store.markRecent(this.#marking, signal);
      this.#tell();
    }
    await this.#marking.idle();
    this.#marking.sweeping = true;
    signal?.throwIfAborted();
    this.#marking.check();
  }

  async #sweep(old: CandidateReader): Promise<void> {
    const { signal } = this.#options;
    await bounded(
      (inner) => this.#condemned(old, inner),
      (condemned, inner) => this.#delete(condemned, inner),
      { limit: this.#limit, signal },
    );
    this.#tell();
  }

  async #delete({ ref, sinceMs }: Condemned, signal: AbortSignal): Promise<void> {
    try {
      const deleted = await this.#store.sweep(this.#marking, ref, signal);
      if (deleted !== undefined) this.#failedInARow = 0;
      if (deleted) this.#deleted++;
    } catch (error) {
      signal.throwIfAborted();
      this.#marking.check();
      // It says so of all blobs.
      if (error instanceof BlobError && error.code === "unsupported") throw error;
      this.#failed++;
      // For good: what was under way may succeed still.
      if (++this.#failedInARow >= this.#mostInARow) this.#gaveUp = true;
      if (this.#failures.length < mostFailures) this.#failures.push({ ref, error });
      // One that was put meanwhile is no garbage, and waits anew when it is again.
      if (sinceMs === undefined || this.#marking.marks.has(ref)) return;
      this.#next.insert(refToBytes(ref), sinceMs);
    }
  }

  /** What is to be deleted now. */
  async *#condemned(old: CandidateReader, signal: AbortSignal): AsyncGenerator<Condemned, void, undefined> {
    const { grace, dryRun } = this.#options;
    const reader = new RefReader(this.#store.inner, "the store", { signal });
    try {
      for (;;) {
        await reader.fill(1);
        const page = reader.bytes;
        if (page.length === 0) return;
        for (let at = 0; at < page.length; at += refBytes) {
          this.#listed++;
          if (this.#marking.marks.hasBytes(page, at)) continue;
          this.#garbage++;
          if (dryRun) continue;
          const sinceMs = grace && old.sinceMs(page, at);
          const isDue = this.#isOldEnough(sinceMs);
          if (isDue && this.#gaveUp) {
            this.#skipped++;
          } else if (isDue) {
            const ref = refFromBytes(page.subarray(at, at + refBytes));
            if (!(await this.#wasPutLately(ref, signal))) {
              yield { ref, sinceMs };
              continue;
            }
          }
          if (grace) this.#next.add(page, at, sinceMs ?? this.#nowMs());
        }
        reader.skip(page.length / refBytes);
        this.#tell();
      }
    } finally {
      await reader.close();
    }
  }

  /** The roots that were read are those after this run began: what was garbage `afterMs` before it. */
  #isOldEnough(sinceMs: number | undefined): boolean {
    const { grace } = this.#options;
    if (grace === undefined) return true;
    return sinceMs !== undefined && this.#beginMs - sinceMs >= grace.afterMs;
  }

  async #wasPutLately(ref: Ref, signal: AbortSignal): Promise<boolean> {
    const { afterMs = 0, lastPutMs } = this.#options.grace ?? {};
    const putMs = await lastPutMs?.(ref, { signal });
    return putMs !== undefined && !(this.#beginMs - putMs >= afterMs);
  }

  #nowMs(): number {
    return Math.min(maxSinceMs, Math.max(this.#beginMs, Math.floor(this.#store.clock.wallMs())));
  }

  #progress(): GcProgress {
    return {
      phase: this.#phase,
      marked: this.#marking.marks.size,
      listed: this.#listed,
      garbage: this.#garbage,
      deleted: this.#deleted,
      failed: this.#failed,
      skipped: this.#skipped,
    };
  }

  #tell(): void {
    try {
      this.#options.onProgress?.(this.#progress());
    } catch {
      // Documented: dropped.
    }
  }
}
