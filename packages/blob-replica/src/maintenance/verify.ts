import type { Clock } from "../clock.js";
import { BlobError, isDamage } from "../errors.js";
import { parseRef, type Ref, refBytes, refFromBytes, refOf } from "../ref.js";
import type { BlobStore, CallOptions } from "../store.js";
import { checkCount } from "../stores/arguments.js";
import { systemClock } from "../system.js";
import { bounded } from "./bounded.js";
import { isListed } from "./copy-batch.js";
import { ReadPacer } from "./read-pacer.js";
import { RefReader, refBefore } from "./ref-reader.js";
import type { Resume } from "./sync.js";

/**
 * - `corrupt`: another content, or part of it.
 * - `missing`: listed, and not there.
 * - `unreadable`: the store gave an error; what it has is not known.
 */
export type BlobProblem = "corrupt" | "missing" | "unreadable";

export interface BadBlob {
  readonly ref: Ref;
  readonly problem: BlobProblem;
  readonly error: unknown;
  /** A copy of `repairFrom` was written over it, and read back. */
  readonly repaired: boolean;
  /** Why not, where there is a `repairFrom`. */
  readonly repairError?: unknown;
}

export interface VerifyProgress {
  readonly checked: number;
  readonly checkedBytes: number;
  /** How many were found that were not as they should be. */
  readonly bad: number;
  readonly repaired: number;
  /** Goes on after what was checked; `again` are those that are bad and not repaired. */
  readonly resume: Resume;
}

export interface VerifyReport extends Omit<VerifyProgress, "bad"> {
  /** In the order of their refs, however the reads ended. */
  readonly bad: readonly BadBlob[];
  /** Every ref that the store listed was read; `bad` tells how that went. */
  readonly complete: boolean;
  /** Complete, and nothing bad is left. */
  readonly sound: boolean;
  /** Why it ended early: the store could not be listed, listed out of order, or too many blobs are bad. */
  readonly stopped?: unknown;
}

export interface VerifyOptions extends CallOptions {
  /**
   * Of everything that is read, also to repair and to read back, on average: a blob is read in one go, and the next one waits until it is paid for. A read that fails, as
   * those of damaged blobs do where the store looks at them itself, does not tell how much it was: it counts as what the others were on average. Default: no limit.
   */
  readonly bytesPerSecond?: number;
  /** Where to get blobs that are corrupt or missing, and those that the store has as something too large for it to read, when they are not that large. */
  readonly repairFrom?: BlobStore;
  readonly resume?: Resume;
  /** After each blob. What it throws is dropped. */
  readonly onProgress?: (progress: VerifyProgress) => void;
  /** Blobs that are read at the same time. Default 4. */
  readonly concurrency?: number;
  /** It stops when so many are bad and not repaired. Default 10,000. */
  readonly maxBad?: number;
  readonly clock?: Clock;
}

/**
 * Reads everything back and compares it with its ref. Of a replica or a cache it would read the best copy, not each: verify the stores themselves.
 * @throws `signal.reason`, BlobError "invalid-argument", "invalid-ref". All else that goes wrong is in the report.
 */
export async function verify(store: BlobStore, options: VerifyOptions = {}): Promise<VerifyReport> {
  options.signal?.throwIfAborted();
  return await new Verification(store, options).run();
}

interface Pending {
  readonly ref: Ref;
  done: boolean;
}

class Verification {
  readonly #store: BlobStore;
  readonly #options: VerifyOptions;
  readonly #limit: number;
  readonly #maxBad: number;
  readonly #pacer: ReadPacer;
  readonly #again: Set<Ref>;
  readonly #after: Ref | undefined;
  readonly #bad: BadBlob[] = [];
  #last: Ref | undefined;
  #pending: Pending[] = [];
  #checked = 0;
  #checkedBytes = 0;
  #repaired = 0;

  constructor(store: BlobStore, options: VerifyOptions) {
    this.#store = store;
    this.#options = options;
    this.#limit = checkCount("concurrency", options.concurrency ?? 4, 1);
    this.#maxBad = checkCount("maxBad", options.maxBad ?? 10_000, 1);
    const perSecond = options.bytesPerSecond ?? Number.POSITIVE_INFINITY;
    if (!(perSecond > 0)) {
      throw new BlobError("invalid-argument", `bytesPerSecond is more than 0, not ${perSecond}`);
    }
    this.#pacer = new ReadPacer(options.clock ?? systemClock, perSecond);
    this.#again = new Set((options.resume?.again ?? []).map(parseRef));
    this.#after = options.resume?.after === undefined ? undefined : parseRef(options.resume.after);
    this.#last = this.#after;
  }

  async run(): Promise<VerifyReport> {
    const { signal } = this.#options;
    let stopped: { readonly error: unknown } | undefined;
    try {
      await bounded(
        (inner) => this.#refs(inner),
        (pending, inner) => this.#check(pending, inner),
        { limit: this.#limit, signal },
      );
    } catch (error) {
      signal?.throwIfAborted();
      stopped = { error };
    }
    const complete = stopped === undefined;
    return {
      ...this.#progress(),
      bad: this.#bad.sort((a, b) => (a.ref < b.ref ? -1 : 1)),
      complete,
      sound: complete && this.#bad.every((each) => each.repaired),
      ...(stopped && { stopped: stopped.error }),
    };
  }

  async *#refs(signal: AbortSignal): AsyncGenerator<Pending, void, undefined> {
    for (const ref of [...this.#again]) {
      await this.#pacer.ready(signal);
      yield { ref, done: false };
    }
    const reader = new RefReader(this.#store, "the store", { after: this.#after, signal });
    try {
      for (;;) {
        await reader.fill(1);
        if (reader.bytes.length === 0) return;
        await this.#pacer.ready(signal);
        const pending = { ref: refFromBytes(reader.bytes.subarray(0, refBytes)), done: false };
        reader.skip(1);
        this.#pending.push(pending);
        this.#last = pending.ref;
        yield pending;
      }
    } finally {
      await reader.close();
    }
  }

  async #check(pending: Pending, signal: AbortSignal): Promise<void> {
    const { ref } = pending;
    const found = await this.#read(ref, signal);
    if (found !== undefined) this.#bad.push(await this.#repair(ref, found, signal));
    this.#checked++;
    pending.done = true;
    this.#again.delete(ref);
    this.#tell();
    const left = this.#bad.length - this.#repaired;
    if (left >= this.#maxBad) throw new BlobError("corrupt", `${left} blobs are bad; see maxBad`);
  }

  async #read(
    ref: Ref,
    signal: AbortSignal,
  ): Promise<{ readonly problem: BlobProblem; readonly error: unknown } | undefined> {
    try {
      const blob = await this.#pacer.get(this.#store, ref, signal);
      this.#checkedBytes += blob.length;
      if (refOf(blob) === ref) return undefined;
      return {
        problem: "corrupt",
        error: new BlobError("corrupt", `the store has another content under ${ref}`),
      };
    } catch (error) {
      signal.throwIfAborted();
      const code = error instanceof BlobError ? error.code : undefined;
      if (code === "corrupt") return { problem: "corrupt", error };
      if (code !== "not-found") return { problem: "unreadable", error };
      try {
        // Deleted since it was listed: then all is well.
        if (!(await isListed(this.#store, ref, signal))) return undefined;
      } catch {
        signal.throwIfAborted();
      }
      return { problem: "missing", error };
    }
  }

  async #repair(
    ref: Ref,
    found: { readonly problem: BlobProblem; readonly error: unknown },
    signal: AbortSignal,
  ): Promise<BadBlob> {
    const { repairFrom } = this.#options;
    const tooLarge = found.error instanceof BlobError && found.error.moreThanBytes !== undefined;
    if (repairFrom === undefined || (found.problem === "unreadable" && !tooLarge)) {
      return { ref, ...found, repaired: false };
    }
    let { problem } = found;
    try {
      const blob = await this.#pacer.get(repairFrom, ref, signal);
      if (refOf(blob) !== ref) {
        throw new BlobError("corrupt", `repairFrom has another content under ${ref}, too`);
      }
      // The store may have it whole, and not read what is so large.
      if (tooLarge && !isDamage(found.error, blob.length)) return { ref, ...found, repaired: false };
      if (tooLarge) problem = "corrupt";
      await this.#store.put(blob, { ref, frozen: true, signal });
      if (refOf(await this.#pacer.get(this.#store, ref, signal)) !== ref) {
        throw new BlobError("corrupt", `${ref} was put and is still another content`);
      }
      this.#repaired++;
      return { ref, ...found, problem, repaired: true };
    } catch (repairError) {
      signal.throwIfAborted();
      return { ref, ...found, problem, repaired: false, repairError };
    }
  }

  #progress(): VerifyProgress {
    const resume = () => this.#resume();
    return {
      checked: this.#checked,
      checkedBytes: this.#checkedBytes,
      bad: this.#bad.length,
      repaired: this.#repaired,
      // Only for those who look.
      get resume() {
        return resume();
      },
    };
  }

  #resume(): Resume {
    this.#settle();
    const first = this.#pending[0];
    const open = this.#bad.filter((each) => !each.repaired).map(({ ref }) => ref);
    return {
      after: first === undefined ? this.#last : refBefore(first.ref),
      again: [...open, ...this.#again],
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
