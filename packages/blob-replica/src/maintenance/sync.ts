import { BlobError } from "../errors.js";
import { parseRef, type Ref } from "../ref.js";
import type { BlobStore, CallOptions } from "../store.js";
import { checkCount } from "../stores/arguments.js";
import { bounded } from "./bounded.js";
import { copyBatch } from "./copy-batch.js";
import { type DifferenceOptions, differences } from "./differences.js";
import { refBefore } from "./ref-reader.js";
import type { Side } from "./side-digests.js";

/** Where a run that was not complete goes on. Plain data, for JSON. */
export interface Resume {
  /** All refs up to this one were looked at. */
  readonly after?: Ref | undefined;
  /** But for these, which failed and are tried again. */
  readonly again: readonly Ref[];
}

export interface SyncProgress {
  /** Refs of `from` that were compared, by their digests or one by one. */
  readonly compared: number;
  /** Refs of `from` that `to` did not have. */
  readonly missing: number;
  readonly copied: number;
  readonly copiedBytes: number;
  /** Refs that were listed by `from` and deleted before they were copied. */
  readonly gone: number;
  readonly failures: number;
  readonly resume: Resume;
}

export interface SyncReport extends SyncProgress {
  /** `store` of a BlobError tells which side it was. */
  readonly failed: readonly { readonly ref: Ref; readonly error: unknown }[];
  /** Every ref that `from` had when it began was compared, and what was missing was copied. Never true when something failed, or a listing was cut. */
  readonly complete: boolean;
  /** Why it ended early: a store could not be listed, listed out of order ("unordered"), or too many blobs failed. */
  readonly stopped?: unknown;
}

export interface SyncOptions extends CallOptions {
  readonly resume?: Resume;
  /** After each blob and after each part that was compared. What it throws is dropped. */
  readonly onProgress?: (progress: SyncProgress) => void;
  /** Blobs that are copied at the same time, in two batches; each is in memory meanwhile. Default 64. */
  readonly concurrency?: number;
  /** A batch is written as soon as it has so many bytes, so that about twice as many are in memory, and what the stores read ahead. Default 8 MiB. */
  readonly batchBytes?: number;
  /** It stops when so many have failed. Default 1000. */
  readonly maxFailed?: number;
  /** "listings": do not believe `prefixDigests`. Default "digests", where one of the stores has them. */
  readonly compare?: "digests" | "listings";
  /** What the stores are called in errors. Default "from" and "to". */
  readonly names?: { readonly from: string; readonly to: string };
}

/**
 * Copies to `to` what `from` has and `to` has not, and deletes nothing. When one of the stores has `prefixDigests`, only what differs is listed: the other one, if
 * it has none, is listed once. Else both listings are merged. The content of what is copied is verified; that of what both have is not (`verify` does).
 * @throws `signal.reason`, BlobError "invalid-argument", "invalid-ref". All else that goes wrong is in the report.
 */
export async function sync(from: BlobStore, to: BlobStore, options: SyncOptions = {}): Promise<SyncReport> {
  options.signal?.throwIfAborted();
  return await new Run(from, to, options).run();
}

export interface ReconcileReport {
  readonly toSecond: SyncReport;
  readonly toFirst: SyncReport;
  readonly complete: boolean;
}

/** `sync` from the first store to the second, then from the second to the first: afterwards both have what either had. */
export async function reconcile(
  first: BlobStore,
  second: BlobStore,
  options: Omit<SyncOptions, "resume" | "names"> = {},
): Promise<ReconcileReport> {
  const toSecond = await sync(first, second, { ...options, names: { from: "first", to: "second" } });
  const toFirst = await sync(second, first, { ...options, names: { from: "second", to: "first" } });
  return { toSecond, toFirst, complete: toSecond.complete && toFirst.complete };
}

interface Pending {
  readonly ref: Ref;
  done: boolean;
}

/** One is read while the other is written. */
const batchesAtOnce = 2;
/** What is missing waits for company no longer than for so many refs that are not. */
const refsToWait = 16_384;

class Run {
  readonly #from: Side;
  readonly #to: Side;
  readonly #options: SyncOptions;
  readonly #batchBlobs: number;
  readonly #batchBytes: number;
  readonly #maxFailed: number;
  readonly #failed: { readonly ref: Ref; readonly error: unknown }[] = [];
  /** What is under way, in the order of the refs: the first one that is not done holds the resume position back. */
  #pending: Pending[] = [];
  /** Of the last run, and not tried again yet. */
  readonly #again: Set<Ref>;
  /** All up to here were compared. */
  #reached: Ref | undefined;
  #compared = 0;
  #missing = 0;
  #copied = 0;
  #copiedBytes = 0;
  #gone = 0;

  constructor(from: BlobStore, to: BlobStore, options: SyncOptions) {
    this.#from = { store: from, name: options.names?.from ?? "from" };
    this.#to = { store: to, name: options.names?.to ?? "to" };
    this.#options = options;
    const blobs = checkCount("concurrency", options.concurrency ?? 64, 1);
    this.#batchBlobs = Math.max(1, Math.floor(blobs / batchesAtOnce));
    this.#batchBytes = checkCount("batchBytes", options.batchBytes ?? 8 * 1024 * 1024, 1);
    this.#maxFailed = checkCount("maxFailed", options.maxFailed ?? 1000, 1);
    this.#again = new Set((options.resume?.again ?? []).map(parseRef));
    this.#reached = options.resume?.after === undefined ? undefined : parseRef(options.resume.after);
  }

  async run(): Promise<SyncReport> {
    const { signal } = this.#options;
    let stopped: { readonly error: unknown } | undefined;
    try {
      await bounded(
        (inner) => this.#batches(inner),
        (batch, inner) => this.#copy(batch, inner),
        { limit: Math.min(batchesAtOnce, this.#options.concurrency ?? batchesAtOnce), signal },
      );
    } catch (error) {
      signal?.throwIfAborted();
      stopped = { error };
    }
    return {
      ...this.#progress(),
      failed: this.#failed,
      complete: stopped === undefined && this.#failed.length === 0,
      ...(stopped && { stopped: stopped.error }),
    };
  }

  async *#batches(signal: AbortSignal): AsyncGenerator<Pending[], void, undefined> {
    let batch: Pending[] = [];
    let due = 0;
    for await (const pending of this.#work(signal)) {
      if (pending !== undefined) batch.push(pending);
      if (batch.length === 1 && pending !== undefined) due = this.#compared + refsToWait;
      if (batch.length < this.#batchBlobs && (batch.length === 0 || this.#compared < due)) continue;
      yield batch;
      batch = [];
    }
    if (batch.length > 0) yield batch;
  }

  /** Undefined: a part was compared. */
  async *#work(signal: AbortSignal): AsyncGenerator<Pending | undefined, void, undefined> {
    for (const ref of [...this.#again]) yield { ref, done: false };
    const how: DifferenceOptions = {
      after: this.#reached,
      signal,
      listings: this.#options.compare === "listings",
    };
    for await (const step of differences(this.#from, this.#to, how)) {
      if (step.missing === undefined) {
        this.#compared += step.compared;
        this.#reached = step.upTo;
        this.#tell();
        yield undefined;
      } else {
        this.#missing++;
        const pending = { ref: step.missing, done: false };
        this.#pending.push(pending);
        yield pending;
      }
    }
  }

  async #copy(batch: readonly Pending[], signal: AbortSignal): Promise<void> {
    // One ref may be here twice: it failed in the last run, and was found missing again.
    const byRef = new Map<Ref, Pending[]>();
    for (const pending of batch) byRef.set(pending.ref, [...(byRef.get(pending.ref) ?? []), pending]);
    await copyBatch(this.#from, this.#to, [...byRef.keys()], {
      signal,
      concurrency: this.#batchBlobs,
      batchBytes: this.#batchBytes,
      onDone: (ref, outcome) => {
        if (outcome.error !== undefined) {
          this.#failed.push({ ref, error: outcome.error });
        } else if (outcome.bytes === undefined) {
          this.#gone++;
        } else {
          this.#copied++;
          this.#copiedBytes += outcome.bytes;
        }
        for (const pending of byRef.get(ref) ?? []) pending.done = true;
        this.#again.delete(ref);
        this.#tell();
      },
    });
    if (this.#failed.length >= this.#maxFailed) {
      const message = `${this.#failed.length} blobs could not be copied; see maxFailed`;
      throw new BlobError("unavailable", message, { cause: this.#failed.at(-1)?.error });
    }
  }

  #progress(): SyncProgress {
    const resume = () => this.#resume();
    return {
      compared: this.#compared,
      missing: this.#missing,
      copied: this.#copied,
      copiedBytes: this.#copiedBytes,
      gone: this.#gone,
      failures: this.#failed.length,
      // Only for those who look.
      get resume() {
        return resume();
      },
    };
  }

  #resume(): Resume {
    this.#settle();
    const first = this.#pending[0];
    return {
      after: first === undefined ? this.#reached : refBefore(first.ref),
      // Failures that are not before `after` are found again; it does no harm to have them here, too.
      again: [...this.#failed.map(({ ref }) => ref), ...this.#again],
    };
  }

  #settle(): void {
    let done = 0;
    while (this.#pending[done]?.done) done++;
    if (done > 0) this.#pending = this.#pending.slice(done);
  }

  #tell(): void {
    const { onProgress } = this.#options;
    this.#settle();
    try {
      onProgress?.(this.#progress());
    } catch {
      // Documented: dropped.
    }
  }
}
