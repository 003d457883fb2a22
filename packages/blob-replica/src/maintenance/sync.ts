import { BlobError } from "../errors.js";
import { parseRef, type Ref, refOf } from "../ref.js";
import type { BlobStore, CallOptions } from "../store.js";
import { checkCount } from "../stores/arguments.js";
import { bounded } from "./bounded.js";
import { type DifferenceOptions, differences, type Side } from "./differences.js";
import { namedError, refBefore } from "./ref-reader.js";

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
  /** Blobs that are copied at the same time; each is in memory meanwhile. Default 16. */
  readonly concurrency?: number;
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

class Run {
  readonly #from: Side;
  readonly #to: Side;
  readonly #options: SyncOptions;
  readonly #limit: number;
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
    this.#limit = checkCount("concurrency", options.concurrency ?? 16, 1);
    this.#maxFailed = checkCount("maxFailed", options.maxFailed ?? 1000, 1);
    this.#again = new Set((options.resume?.again ?? []).map(parseRef));
    this.#reached = options.resume?.after === undefined ? undefined : parseRef(options.resume.after);
  }

  async run(): Promise<SyncReport> {
    const { signal } = this.#options;
    let stopped: { readonly error: unknown } | undefined;
    try {
      await bounded(
        (inner) => this.#work(inner),
        (pending, inner) => this.#copy(pending, inner),
        { limit: this.#limit, signal },
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

  async *#work(signal: AbortSignal): AsyncGenerator<Pending, void, undefined> {
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
      } else {
        this.#missing++;
        const pending = { ref: step.missing, done: false };
        this.#pending.push(pending);
        yield pending;
      }
    }
  }

  async #copy(pending: Pending, signal: AbortSignal): Promise<void> {
    const { ref } = pending;
    try {
      const blob = await this.#read(ref, signal);
      if (blob === undefined) {
        this.#gone++;
      } else {
        await this.#write(ref, blob, signal);
        this.#copied++;
        this.#copiedBytes += blob.length;
      }
    } catch (error) {
      signal.throwIfAborted();
      this.#failed.push({ ref, error });
    }
    pending.done = true;
    this.#again.delete(ref);
    this.#tell();
    if (this.#failed.length >= this.#maxFailed) {
      const message = `${this.#failed.length} blobs could not be copied; see maxFailed`;
      throw new BlobError("unavailable", message, { cause: this.#failed.at(-1)?.error });
    }
  }

  /** Undefined when it is not there, and not listed any more. */
  async #read(ref: Ref, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const { store, name } = this.#from;
    let blob: Uint8Array;
    try {
      blob = await store.get(ref, { signal });
    } catch (error) {
      signal.throwIfAborted();
      const missing = error instanceof BlobError && error.code === "not-found";
      if (missing && !(await isListed(store, ref, signal))) return undefined;
      throw namedError(error, name, `reading ${ref} from`);
    }
    if (refOf(blob) !== ref) {
      throw new BlobError("corrupt", `${name} has another content under ${ref}`, { store: name });
    }
    return blob;
  }

  async #write(ref: Ref, blob: Uint8Array, signal: AbortSignal): Promise<void> {
    const { store, name } = this.#to;
    try {
      const result = await store.put(blob, { ref, frozen: true, signal });
      if (result.ref !== ref) {
        throw new BlobError("corrupt", `it put ${ref} under ${result.ref}`);
      }
    } catch (error) {
      signal.throwIfAborted();
      throw namedError(error, name, `writing ${ref} to`);
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

/** Whether the store still lists the ref: it says that it has what it cannot give. */
export async function isListed(store: BlobStore, ref: Ref, signal: AbortSignal): Promise<boolean> {
  for await (const first of store.listRefs(refBefore(ref), { signal })) return first === ref;
  signal.throwIfAborted();
  return false;
}
