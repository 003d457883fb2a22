import { BlobError, type StoreFailure } from "../errors.js";
import type { Ref } from "../ref.js";
import type { GetManyResult } from "../store.js";
import { follow, unlessAborted } from "./abort.js";
import type { AsyncSide } from "./async-side.js";
import type { NamedStore } from "./options.js";
import type { RefOrder } from "./ref-order.js";
import { hasCode, type Settings } from "./settings.js";

export interface DeletionOptions {
  readonly settings: Pick<Settings, "sync" | "async" | "clock" | "attemptTimeoutMs">;
  readonly order: RefOrder;
  readonly asyncSide: AsyncSide | undefined;
  /** Nobody repairs the blob until the returned function is called. */
  readonly noRepairs: (ref: Ref) => () => void;
  /** Lets go of what is in memory, and resolves when neither a repair nor a late write of the blob to a synchronous store is under way. */
  readonly quiet: (ref: Ref) => Promise<unknown>;
  /** From the synchronous stores. */
  readonly read: (ref: Ref, signal: AbortSignal | undefined) => Promise<readonly GetManyResult[]>;
}

/** What the stores answered, in their order: whether it was there, or why not. */
interface Answer {
  readonly name: string;
  readonly deleted?: boolean;
  readonly error?: unknown;
}

/**
 * Deletes a blob from every store, the asynchronous ones first: as long as one of them has failed, the synchronous ones keep the blob, so that it is still listed and
 * whoever lists it can try again.
 */
export class Deletion {
  readonly #options: DeletionOptions;

  constructor(options: DeletionOptions) {
    this.#options = options;
  }

  /** @throws `signal.reason`; BlobError "unavailable", "all-failed", "closed" */
  async run(ref: Ref, signal: AbortSignal | undefined): Promise<boolean> {
    const { controller, release } = follow(signal, this.#options.asyncSide?.deposed);
    try {
      return await this.#run(ref, controller.signal);
    } finally {
      release();
    }
  }

  async #run(ref: Ref, signal: AbortSignal): Promise<boolean> {
    const { order, asyncSide, noRepairs } = this.#options;
    return await order.delete(ref, signal, async (written) => {
      const repair = noRepairs(ref);
      try {
        await this.#quiet(ref, written, signal);
        // Of what another process has queued nothing may be deleted but by that one, which would write it again.
        if (asyncSide) await unlessAborted(asyncSide.confirm(), signal);
        return await this.#delete(ref, signal);
      } finally {
        // Of what was not forgotten the store still waits for it.
        asyncSide?.release(ref);
        repair();
      }
    });
  }

  /** Until nothing writes the blob any more: neither a put that had begun, nor a worker. */
  async #quiet(ref: Ref, written: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
    const { asyncSide, quiet, settings } = this.#options;
    const { controller, release } = follow(signal);
    const cancel = settings.clock.setTimer(settings.attemptTimeoutMs, () => {
      const names = asyncSide?.writing(ref) ?? [];
      const where = names.length > 0 ? ` to ${names.join(", ")}` : "";
      const message = `${ref} cannot be deleted: a write of it${where} has not ended after ${settings.attemptTimeoutMs} ms`;
      const [store] = names;
      controller.abort(
        new BlobError("unavailable", message, names.length === 1 && store !== undefined ? { store } : {}),
      );
    });
    try {
      await unlessAborted(written, controller.signal);
      // Only now: the puts that had begun have queued it.
      asyncSide?.hold(ref);
      await unlessAborted(Promise.all([asyncSide?.settled(ref), quiet(ref)]), controller.signal);
    } finally {
      cancel();
      release();
    }
  }

  async #delete(ref: Ref, signal: AbortSignal | undefined): Promise<boolean> {
    const { asyncSide, settings } = this.#options;
    const waiting = asyncSide?.hold(ref) ?? [];
    const far = await this.#deleteFrom(settings.async, ref, signal);
    // Nothing is deleted of what the others are to be asked for again.
    const near = far.some(({ error }) => error !== undefined)
      ? []
      : await this.#deleteFrom(settings.sync, ref, signal);
    const answers = [...far, ...near];
    if (answers.every(({ error }) => error === undefined)) {
      await asyncSide?.forget(ref);
      return answers.some(({ deleted }) => deleted);
    }
    const lacking = far.flatMap(({ deleted }, number) =>
      deleted === false || waiting.includes(number) ? [] : [number],
    );
    await this.#restore(ref, lacking, signal);
    signal?.throwIfAborted();
    throw this.#failure(ref, answers);
  }

  async #deleteFrom(
    stores: readonly NamedStore[],
    ref: Ref,
    signal: AbortSignal | undefined,
  ): Promise<readonly Answer[]> {
    const { clock, attemptTimeoutMs } = this.#options.settings;
    return await Promise.all(
      stores.map(async ({ name, store }) => {
        const { controller, release } = follow(signal);
        const cancel = clock.setTimer(attemptTimeoutMs, () => {
          const message = `store ${name} has not finished a delete after ${attemptTimeoutMs} ms`;
          controller.abort(new BlobError("unavailable", message, { store: name }));
        });
        try {
          return { name, deleted: (await store.delete?.(ref, { signal: controller.signal })) ?? false };
        } catch (error) {
          return { name, error: error ?? new Error("it failed without a word") };
        } finally {
          cancel();
          release();
        }
      }),
    );
  }

  /** The blob may still be in the synchronous stores: then the others have to have it, and some of these lack it now, or may lack it. */
  async #restore(ref: Ref, numbers: readonly number[], signal: AbortSignal | undefined): Promise<void> {
    const { asyncSide, read, settings } = this.#options;
    if (numbers.length === 0) return;
    const { controller, release } = follow(signal);
    const cancel = settings.clock.setTimer(settings.attemptTimeoutMs, () =>
      controller.abort(new BlobError("unavailable", `${ref} could not be read in time`)),
    );
    let bytes = 0;
    try {
      controller.signal.throwIfAborted();
      const [found] = await unlessAborted(read(ref, controller.signal), controller.signal);
      if (found?.blob === undefined && hasCode(found?.error, "not-found")) return;
      bytes = found?.blob?.length ?? 0;
    } catch {
      // Nobody knows: whoever writes it finds out.
    } finally {
      cancel();
      release();
    }
    await asyncSide?.requeue(ref, bytes, numbers);
  }

  #failure(ref: Ref, answers: readonly Answer[]): BlobError {
    const failures: StoreFailure[] = answers.flatMap(({ name, error }) =>
      error === undefined ? [] : [{ store: name, error }],
    );
    const names = failures.map(({ store }) => store).join(", ");
    const { sync, async: far } = this.#options.settings;
    const isFar = far.some(({ name }) => name === failures[0]?.store);
    const rest = isFar ? "; the synchronous stores keep it until these answer" : "";
    return new BlobError(
      failures.length === sync.length + far.length ? "all-failed" : "unavailable",
      `${ref} could not be deleted from every store: it may still be in ${names}${rest}`,
      { failures, ...(failures.length === 1 && { store: names }) },
    );
  }
}
