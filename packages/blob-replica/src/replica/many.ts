import { getMany } from "../capabilities.js";
import { BlobError, type StoreFailure } from "../errors.js";
import { copyOf } from "../own-bytes.js";
import { parseRef, type Ref } from "../ref.js";
import type { GetManyResult, GetOptions } from "../store.js";
import {
  type Asking,
  checkContent,
  type Failed,
  gaveUp,
  lost,
  noneHas,
  silentStore,
  tellDamage,
} from "./asking.js";
import { type Lane, Lanes } from "./lanes.js";
import { hasCode } from "./settings.js";

export interface ManyOptions extends Asking {
  /** It ends so long after its begin, with errors for what no store has given until then. Default: it ends when the stores do. */
  readonly allInMs?: number;
}

interface Want {
  times: number;
  readonly failures: StoreFailure[];
  /** Stores that said something of this very blob. */
  readonly failed: Failed[];
}

/**
 * Asks the first store for all of them, the next for what that one did not give, and so on; when nothing comes for long, the next at once. Every ref once for each
 * time that it is there.
 * @throws `signal.reason`
 */
export async function* readMany(
  refs: readonly Ref[],
  { signal, frozen = false }: GetOptions,
  asking: ManyOptions,
): AsyncGenerator<GetManyResult, void, undefined> {
  signal?.throwIfAborted();
  const wanted = wantedOf(refs);
  for (const [text, { times }] of [...wanted]) {
    try {
      parseRef(text);
    } catch (error) {
      wanted.delete(text);
      for (let i = 0; i < times; i++) yield { ref: text, error };
    }
  }
  const reading = new ManyReading(wanted, frozen, asking, signal);
  let left = true;
  try {
    while (wanted.size > 0) {
      const next = reading.next();
      if (next === undefined) break;
      const lane = await next;
      signal?.throwIfAborted();
      if (lane === undefined && !reading.goOn()) break;
      const given = lane && reading.take(lane);
      if (given === undefined) continue;
      const { ref, blob, times } = given;
      for (let i = 1; i < times; i++) yield { ref, blob: frozen ? blob : copyOf(blob) };
      yield { ref, blob };
    }
    await reading.settle();
    left = false;
  } finally {
    // Who leaves early or aborts is told so when nothing runs any more; who has everything waits for nobody.
    const ending = reading.end(signal?.aborted ? signal.reason : lost);
    if (ending && left) await ending.inTime();
    else if (ending) asking.onLoser(ending.settled);
  }
  for (const [ref, { times, failures }] of wanted) {
    for (let i = 0; i < times; i++) yield { ref, error: noneHas(ref, failures) };
  }
}

function wantedOf(refs: readonly Ref[]): Map<Ref, Want> {
  const wanted = new Map<Ref, Want>();
  for (const ref of refs) {
    const known = wanted.get(ref);
    if (known) known.times++;
    else wanted.set(ref, { times: 1, failures: [], failed: [] });
  }
  return wanted;
}

class ManyReading {
  readonly #wanted: Map<Ref, Want>;
  readonly #frozen: boolean;
  readonly #asking: ManyOptions;
  readonly #lanes: Lanes<GetManyResult>;
  readonly #answered = new Set<Lane<GetManyResult>>();
  readonly #beganMs: number;
  readonly #untilMs: number;

  constructor(wanted: Map<Ref, Want>, frozen: boolean, asking: ManyOptions, signal: AbortSignal | undefined) {
    this.#wanted = wanted;
    this.#frozen = frozen;
    this.#asking = asking;
    this.#lanes = new Lanes(asking, signal);
    const { allInMs = Number.POSITIVE_INFINITY } = asking;
    this.#beganMs = asking.clock.monotonicMs();
    this.#untilMs = this.#beganMs + allInMs;
  }

  /** As of `Lanes`; undefined when all stores have ended. */
  next(): Promise<Lane<GetManyResult> | undefined> | undefined {
    const { clock, hedgeAfterMs, limitMs } = this.#asking;
    if (this.#lanes.allEnded && !this.#begin()) return undefined;
    let patienceMs = this.#anyEnded ? limitMs : Number.POSITIVE_INFINITY;
    if (this.#lanes.anyLeft) patienceMs = hedgeAfterMs;
    if (this.#untilMs < Number.POSITIVE_INFINITY) {
      patienceMs = Math.min(patienceMs, this.#untilMs - clock.monotonicMs());
      if (patienceMs <= 0) return Promise.resolve(undefined);
    }
    return this.#lanes.next(patienceMs);
  }

  /** One that has ended is no help for what it did not give. */
  get #anyEnded(): boolean {
    return this.#lanes.begun > this.#lanes.size;
  }

  /** Nobody said anything for long enough. False when there is nobody else to ask, and no time to wait. */
  goOn(): boolean {
    this.#lanes.noteSilent(this.#asking.latencies);
    const inTime = this.#asking.clock.monotonicMs() < this.#untilMs;
    if (inTime && (this.#begin() || !this.#anyEnded)) return true;
    this.#giveUp();
    return false;
  }

  /** Asks the next store, where there is one. */
  #begin(): boolean {
    if (!this.#lanes.anyLeft) return false;
    const { stores } = this.#asking;
    const refs = [...this.#wanted.keys()];
    // Where another goes on after all, they meet in the middle.
    if (this.#lanes.size > 0) refs.reverse();
    this.#lanes.begin((store, signal) =>
      getMany(stores[store]!.store, refs, { signal, ...(this.#frozen && { frozen: true }) }),
    );
    return true;
  }

  /** What the lane has given, where it is whole and still wanted. */
  take(lane: Lane<GetManyResult>): { ref: Ref; blob: Uint8Array; times: number } | undefined {
    const { stores, clock, latencies, onFailure, onSuccess } = this.#asking;
    const { store, failure, result } = lane;
    if (failure) this.#failed(store, failure.error);
    if (result === undefined || result.done) {
      if (this.#wanted.size > 0 && this.#lanes.allSilentFor(this.#asking.hedgeAfterMs)) this.#begin();
      return undefined;
    }
    const { ref, blob, error } = result.value;
    const want = this.#wanted.get(ref);
    if (want === undefined) return undefined;
    try {
      if (blob === undefined) throw error;
      checkContent(blob, ref, stores[store]!);
    } catch (error) {
      want.failures.push({ store: stores[store]!.name, error });
      want.failed.push({ store, error });
      if (!hasCode(error, "not-found")) latencies.failed(store);
      onFailure(store, error);
      return undefined;
    }
    this.#wanted.delete(ref);
    if (!this.#answered.has(lane)) {
      this.#answered.add(lane);
      latencies.took(store, clock.monotonicMs() - lane.beganMs);
    }
    onSuccess(store);
    tellDamage(this.#asking, want.failed, ref, blob.length);
    return { ref, blob, times: want.times };
  }

  /** Of everything that it has said nothing about. */
  #failed(store: number, error: unknown): void {
    const { stores, latencies, onFailure } = this.#asking;
    this.#blame(stores[store]!.name, error);
    latencies.failed(store);
    onFailure(store, error);
  }

  #blame(name: string, error: unknown): void {
    for (const { failures } of this.#wanted.values()) {
      if (!failures.some(({ store }) => store === name)) failures.push({ store: name, error });
    }
  }

  #giveUp(): void {
    const { stores, order, latencies, onFailure } = this.#asking;
    for (const [{ store }, ms] of this.#lanes.silent()) {
      latencies.failed(store);
      onFailure(store, silentStore(stores[store]!, ms));
    }
    // Every store is named for what it has not answered: what is in one of them must not look as if it were nowhere.
    const nowMs = this.#asking.clock.monotonicMs();
    for (const [i, store] of order.entries()) {
      const { name } = stores[store]!;
      const error =
        i < this.#lanes.begun
          ? silentStore(stores[store]!, nowMs - this.#beganMs)
          : new BlobError("unavailable", `there was no time left to ask store ${name}`, { store: name });
      this.#blame(name, error);
    }
  }

  /** Everything is there that will be. */
  async settle(): Promise<void> {
    if (this.#wanted.size > 0) return;
    const { hedgeAfterMs } = this.#asking;
    for (const [{ store }, ms] of this.#lanes.silent()) {
      // Another was asked meanwhile, and answered.
      if (ms >= hedgeAfterMs) gaveUp(this.#asking, store, ms);
    }
    // One that has given everything ends by itself, as a rule: there is nothing to stop.
    if (this.#lanes.size === 1) await this.#lanes.next(hedgeAfterMs);
  }

  end(reason: unknown): ReturnType<Lanes<GetManyResult>["end"]> {
    return this.#lanes.end(reason);
  }
}
