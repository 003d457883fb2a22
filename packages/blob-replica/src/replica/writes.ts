import { BlobError, type BlobErrorCode, type StoreFailure } from "../errors.js";
import type { Ref } from "../ref.js";
import type { PutManyResult } from "../store.js";
import { follow } from "./abort.js";
import { putChecked } from "./copy.js";
import { type Settings, saying } from "./settings.js";
import { Stragglers } from "./stragglers.js";

export interface WritesOptions {
  readonly settings: Pick<Settings, "sync" | "writeQuorum" | "clock" | "attemptTimeoutMs">;
  readonly onFailure: (store: number, error: unknown, ref: Ref) => void;
  readonly onSuccess: (store: number) => void;
  /** The write counts, and this store does not have it. */
  readonly onMissed: (store: number, ref: Ref, bytes: number) => void;
}

/** Writes to the synchronous stores. */
export class Writes {
  readonly #options: WritesOptions;
  readonly #stragglers: readonly Stragglers[];

  constructor(options: WritesOptions) {
    this.#options = options;
    this.#stragglers = options.settings.sync.map(() => new Stragglers());
  }

  /**
   * Resolves as soon as every blob is in `writeQuorum` stores, or cannot be; a blob that cannot be is an error only when every store has answered, with the cause
   * of each that failed. What was written to the others stays: it is harmless, and the put can be made again.
   * @throws `signal.reason`, when every store has answered
   */
  put(
    blobs: readonly Uint8Array[],
    refs: readonly Ref[],
    signal: AbortSignal | undefined,
  ): Promise<readonly PutManyResult[]> {
    const { sync, writeQuorum } = this.#options.settings;
    signal?.throwIfAborted();
    if (blobs.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      // Where every store must answer nothing goes on behind the caller's back, and his own signal will do.
      const followed = writeQuorum < sync.length ? sync.map(() => follow(signal)) : undefined;
      const results: (readonly PutManyResult[] | undefined)[] = sync.map(() => undefined);
      const firsts: PutManyResult[] = [];
      const counts = refs.map(() => 0);
      const missed: { readonly store: number; readonly at: number }[] = [];
      let unanswered = sync.length;
      let over = false;

      const miss = ({ store, at }: { readonly store: number; readonly at: number }) => {
        if (counts[at]! >= writeQuorum) this.#options.onMissed(store, refs[at]!, blobs[at]!.length);
      };

      const settle = () => {
        if (over) return;
        const enough = counts.every((count) => count >= writeQuorum);
        if (unanswered > 0 && (signal?.aborted || !enough)) return;
        over = true;
        for (const { release } of followed ?? []) release();
        if (signal?.aborted && !enough) {
          reject(signal.reason);
          return;
        }
        results.forEach((result, store) => {
          const controller = followed?.[store]?.controller;
          if (!result && controller) this.#leave(store, refs, blobs, controller, writing[store]!);
        });
        for (const each of missed) miss(each);
        resolve(
          refs.map((ref, at) =>
            counts[at]! >= writeQuorum
              ? firsts[at]!
              : {
                  ref,
                  error: this.#tooFew(
                    ref,
                    counts[at]!,
                    results.map((result) => result?.[at]),
                  ),
                },
          ),
        );
      };

      const write = async (store: number, own: AbortSignal | undefined) => {
        let answer: readonly PutManyResult[];
        try {
          answer = await putChecked(sync[store]!, blobs, refs, own);
        } catch (error) {
          answer = refs.map((ref) => ({ ref, error }));
        }
        unanswered--;
        results[store] = answer;
        const aborted = !over && signal?.aborted === true;
        answer.forEach((result, at) => {
          if (result.error === undefined) {
            counts[at]!++;
            firsts[at] ??= result;
            return;
          }
          if (!aborted) this.#options.onFailure(store, result.error, refs[at]!);
          if (over) miss({ store, at });
          else missed.push({ store, at });
        });
        if (answer.some(({ error }) => error === undefined)) this.#options.onSuccess(store);
        settle();
      };

      const writing = sync.map((_, store) => write(store, followed?.[store]?.controller.signal ?? signal));
    });
  }

  /** The caller has its answer: what still runs is bounded in time and number. */
  #leave(
    store: number,
    refs: readonly Ref[],
    blobs: readonly Uint8Array[],
    controller: AbortController,
    done: Promise<void>,
  ): void {
    const { sync, clock, attemptTimeoutMs } = this.#options.settings;
    const cancel = clock.setTimer(attemptTimeoutMs, () => {
      const { name } = sync[store]!;
      const message = `store ${name} has not finished a write after ${attemptTimeoutMs} ms`;
      controller.abort(new BlobError("unavailable", message, { store: name }));
    });
    const bytes = blobs.reduce((sum, blob) => sum + blob.length, 0);
    this.#stragglers[store]!.add(refs, bytes, controller, done.then(cancel));
  }

  #tooFew(ref: Ref, count: number, results: readonly (PutManyResult | undefined)[]): BlobError {
    const { sync, writeQuorum } = this.#options.settings;
    const failures: StoreFailure[] = [];
    results.forEach((result, store) => {
      if (result?.error !== undefined) failures.push({ store: sync[store]!.name, error: result.error });
    });
    const each = failures.map(({ store, error }) => `${store}: ${saying(error)}`).join("; ");
    const message = `${ref} was written to ${count} of ${sync.length} stores, and ${writeQuorum} are asked for: ${each}`;
    if (failures.length === sync.length && sync.length > 1)
      return new BlobError("all-failed", message, { failures });
    const [first] = failures;
    const same = failures.every(({ error }) => codeOf(error) === codeOf(first?.error));
    return new BlobError(same ? codeOf(first?.error) : "unavailable", message, {
      failures,
      cause: first?.error,
      ...(failures.length === 1 && first && { store: first.store }),
    });
  }

  /** Resolves when nothing is being written under the ref. */
  async settled(ref: Ref): Promise<void> {
    await Promise.all(this.#stragglers.map((stragglers) => stragglers.settled(ref)));
  }

  async stop(reason: unknown): Promise<void> {
    await Promise.all(this.#stragglers.map((stragglers) => stragglers.stop(reason)));
  }
}

function codeOf(error: unknown): BlobErrorCode {
  return error instanceof BlobError ? error.code : "unavailable";
}
