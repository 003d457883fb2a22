import type { StoreFailure } from "../errors.js";
import type { Ref } from "../ref.js";
import { within } from "./abort.js";
import { type Asking, type Failed, gaveUp, isAnswer, lost, noneHas, silentStore } from "./asking.js";
import type { Question } from "./latency.js";

export interface RaceOptions<T> {
  readonly question: Question;
  readonly signal: AbortSignal | undefined;
  readonly ask: (store: number, signal: AbortSignal) => Promise<T>;
  /** Throws what is wrong with the answer. */
  readonly check: (answer: T, store: number) => void;
  /** A store answered with an error, which may say that it does not have it, or has it damaged. */
  readonly onFailed?: (failed: Failed) => void;
}

/**
 * The answer of the first store that has one: another is asked as soon as one has failed, and when one takes long. Who loses is told to stop. On an abort it
 * ends when all of them have.
 * @throws `signal.reason`; BlobError "not-found" when every store said so, else "all-failed"
 */
export function raceFor<T>(ref: Ref, asking: Asking, options: RaceOptions<T>): Promise<T> {
  const { stores, order, clock, latencies, limitMs } = asking;
  const { signal } = options;
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const running = new Map<number, { readonly controller: AbortController; readonly beganMs: number }>();
    const settling: Promise<void>[] = [];
    const failures: StoreFailure[] = [];
    let next = 0;
    let over = false;
    let cancelTimer = () => {};

    const finish = () => {
      over = true;
      cancelTimer();
      signal?.removeEventListener("abort", onAbort);
    };

    const onAbort = () => {
      finish();
      for (const { controller } of running.values()) controller.abort(signal?.reason);
      void within(Promise.all(settling), limitMs, clock).then(() => reject(signal?.reason));
    };

    const win = (store: number, answer: T, beganMs: number) => {
      finish();
      const nowMs = clock.monotonicMs();
      latencies.took(store, nowMs - beganMs, options.question);
      let before = true;
      for (const [loser, { controller, beganMs }] of running) {
        if (loser === store) {
          before = false;
          continue;
        }
        // Those that were asked after the winner have had no time.
        if (before) gaveUp(asking, loser, nowMs - beganMs);
        else latencies.gaveUp(loser, nowMs - beganMs);
        controller.abort(lost);
      }
      asking.onSuccess(store);
      if (running.size > 1) asking.onLoser(Promise.all(settling).then(() => {}));
      resolve(answer);
    };

    const count = (store: number, error: unknown) => {
      failures.push({ store: stores[store]!.name, error });
      asking.onFailure(store, error);
      options.onFailed?.({ store, error });
      if (!isAnswer(error)) latencies.failed(store);
    };

    const fail = (store: number, error: unknown) => {
      running.delete(store);
      count(store, error);
      cancelTimer();
      if (next < order.length) {
        begin();
      } else if (running.size === 0) {
        finish();
        reject(noneHas(ref, failures));
      } else {
        wait();
      }
    };

    /** There is nobody else to ask. */
    const giveUp = () => {
      finish();
      const nowMs = clock.monotonicMs();
      for (const [store, { controller, beganMs }] of running) {
        const silent = silentStore(stores[store]!, nowMs - beganMs);
        count(store, silent);
        controller.abort(silent);
      }
      asking.onLoser(Promise.all(settling).then(() => {}));
      reject(noneHas(ref, failures));
    };

    const ask = async (store: number, controller: AbortController, beganMs: number) => {
      let answer: T;
      try {
        answer = await options.ask(store, controller.signal);
        if (over) return;
        options.check(answer, store);
      } catch (error) {
        if (!over) fail(store, error);
        return;
      }
      win(store, answer, beganMs);
    };

    const wait = () => {
      if (over) return;
      if (next < order.length) cancelTimer = clock.setTimer(asking.hedgeAfterMs, hedge);
      else if (failures.length > 0) cancelTimer = clock.setTimer(limitMs, giveUp);
    };

    const hedge = () => {
      const nowMs = clock.monotonicMs();
      // Other reads ask them late from now on.
      for (const [store, { beganMs }] of running) latencies.gaveUp(store, nowMs - beganMs);
      begin();
    };

    const begin = () => {
      const store = order[next++]!;
      const controller = new AbortController();
      const beganMs = clock.monotonicMs();
      running.set(store, { controller, beganMs });
      settling.push(ask(store, controller, beganMs));
      wait();
    };

    signal?.addEventListener("abort", onAbort, { once: true });
    begin();
  });
}
