import type { Clock } from "../clock.js";
import { BlobError, type StoreFailure } from "../errors.js";
import { type Ref, refOf } from "../ref.js";
import { isContentOf } from "../stores/verified.js";
import type { Latencies } from "./latency.js";
import type { NamedStore } from "./options.js";
import { hasCode } from "./settings.js";

export interface RaceOptions {
  readonly stores: readonly NamedStore[];
  /** The stores to ask, by number, in order. */
  readonly order: readonly number[];
  readonly clock: Clock;
  readonly latencies: Latencies;
  readonly hedgeAfterMs: number;
  readonly signal: AbortSignal | undefined;
  readonly frozen: boolean;
  /** Every failure of a store, but for those of the losers. */
  readonly onFailure: (store: number, error: unknown) => void;
  readonly onSuccess: (store: number) => void;
  /** A loser that was told to stop, until it has. */
  readonly onLoser: (settled: Promise<void>) => void;
}

const lost = new BlobError("unavailable", "another store was faster");

/**
 * The blob from the first store that has it whole: another is asked as soon as one has failed, and when one takes long. Who loses is told to stop. On an abort it
 * ends when all of them have.
 * @throws `signal.reason`; BlobError "not-found" when every store said so, else "all-failed"
 */
export function raceFor(ref: Ref, options: RaceOptions): Promise<Uint8Array> {
  const { stores, order, clock, latencies, signal } = options;
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const running = new Map<number, { readonly controller: AbortController; readonly beganMs: number }>();
    const settling: Promise<void>[] = [];
    const failures: StoreFailure[] = [];
    let next = 0;
    let over = false;
    let cancelHedge = () => {};

    const finish = () => {
      over = true;
      cancelHedge();
      signal?.removeEventListener("abort", onAbort);
    };

    const onAbort = () => {
      finish();
      for (const { controller } of running.values()) controller.abort(signal?.reason);
      void Promise.all(settling).then(() => reject(signal?.reason));
    };

    const win = (store: number, blob: Uint8Array, beganMs: number) => {
      finish();
      const nowMs = clock.monotonicMs();
      latencies.took(store, nowMs - beganMs);
      for (const [loser, { controller, beganMs }] of running) {
        if (loser === store) continue;
        latencies.gaveUp(loser, nowMs - beganMs);
        controller.abort(lost);
      }
      options.onSuccess(store);
      if (running.size > 1) options.onLoser(Promise.all(settling).then(() => {}));
      resolve(blob);
    };

    const fail = (store: number, error: unknown) => {
      running.delete(store);
      // These are answers, in time: whoever gives them is asked again, and so finds out what else is to be repaired.
      if (!hasCode(error, "not-found") && !hasCode(error, "corrupt")) latencies.failed(store);
      failures.push({ store: stores[store]!.name, error });
      options.onFailure(store, error);
      cancelHedge();
      if (next < order.length) {
        begin();
      } else if (running.size === 0) {
        finish();
        reject(noneHas(ref, failures));
      }
    };

    const ask = async (store: number, controller: AbortController, beganMs: number) => {
      let blob: Uint8Array;
      try {
        blob = await stores[store]!.store.get(ref, { signal: controller.signal, frozen: options.frozen });
        if (over) return;
        checkContent(blob, ref, stores[store]!);
      } catch (error) {
        if (!over) fail(store, error);
        return;
      }
      win(store, blob, beganMs);
    };

    const begin = () => {
      const store = order[next++]!;
      const controller = new AbortController();
      const beganMs = clock.monotonicMs();
      running.set(store, { controller, beganMs });
      settling.push(ask(store, controller, beganMs));
      if (!over && next < order.length) cancelHedge = clock.setTimer(options.hedgeAfterMs, begin);
    };

    signal?.addEventListener("abort", onAbort, { once: true });
    begin();
  });
}

/** @throws BlobError "corrupt" */
export function checkContent(blob: Uint8Array, ref: Ref, { name, store }: NamedStore): void {
  if (isContentOf(ref, blob, store)) return;
  const is = blob instanceof Uint8Array ? refOf(blob) : "no bytes";
  throw new BlobError("corrupt", `store ${name} has ${is} where ${ref} should be`, { store: name });
}

/** "not-found" only when every store said so. */
export function noneHas(ref: Ref, failures: readonly StoreFailure[]): BlobError {
  if (failures.every(({ error }) => hasCode(error, "not-found"))) {
    return new BlobError("not-found", `no store has the blob ${ref}`, { failures });
  }
  const each = failures.map(
    ({ store, error }) => `${store}: ${error instanceof Error ? error.message : String(error)}`,
  );
  return new BlobError("all-failed", `no store gave the blob ${ref}: ${each.join("; ")}`, { failures });
}
