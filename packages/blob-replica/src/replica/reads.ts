import { has } from "../capabilities.js";
import { BlobError } from "../errors.js";
import { type Ref, refOf } from "../ref.js";
import type { GetManyResult, GetOptions } from "../store.js";
import { asMemoryStore } from "../stores/memory.js";
import { type Asking, checkContent, type Failed, tellDamage } from "./asking.js";
import { Latencies, type Question } from "./latency.js";
import { readMany } from "./many.js";
import { raceFor } from "./race.js";
import { hasCode, type Settings } from "./settings.js";
import { readStream } from "./streaming.js";

export interface ReadsOptions
  extends Pick<Asking, "onFailure" | "onSuccess" | "onSlow" | "onDamage" | "onLoser"> {
  readonly settings: Pick<Settings, "sync" | "clock" | "hedgeAfterMs" | "attemptTimeoutMs">;
}

const leastHedgeMs = 10;
const shareOfAttempt = 0.9;

/** Reads from the synchronous stores: whole blobs only, whichever store they come from. One that does not answer holds nobody up where another does. */
export class Reads {
  readonly #options: ReadsOptions;
  readonly #latencies: Latencies;

  constructor(options: ReadsOptions) {
    this.#options = options;
    this.#latencies = new Latencies(options.settings.sync.length);
  }

  /** `except`: a store that is not asked, because it is the one to be repaired. */
  #asking(question: Question, except?: number): Asking {
    const { settings, onFailure, onSuccess, onSlow, onDamage, onLoser } = this.#options;
    return {
      onFailure,
      onSuccess,
      onSlow,
      onDamage,
      onLoser,
      stores: settings.sync,
      order: this.#order(except),
      clock: settings.clock,
      latencies: this.#latencies,
      hedgeAfterMs: settings.hedgeAfterMs ?? Math.max(leastHedgeMs, this.#latencies.p95(question)),
      limitMs: settings.attemptTimeoutMs,
    };
  }

  #order(except: number | undefined): number[] {
    const order = this.#latencies.order();
    return except === undefined ? order : order.filter((store) => store !== except);
  }

  /** @throws as `raceFor` */
  async get(ref: Ref, { signal, frozen = false }: GetOptions): Promise<Uint8Array> {
    const asking = this.#asking("content");
    const { stores } = asking;
    let failed: Failed[] | undefined;
    const blob = await raceFor(ref, asking, {
      question: "content",
      signal,
      ask: (store, own) => stores[store]!.store.get(ref, { signal: own, frozen }),
      check: (given, store) => checkContent(given, ref, stores[store]!),
      onFailed: (each) => {
        failed ??= [];
        failed.push(each);
      },
    });
    if (failed) tellDamage(asking, failed, ref, blob.length);
    return blob;
  }

  /**
   * For what is written in the background: the results of `getMany` together, some time before an attempt is over, so that what has come until then is written,
   * and stores that are silent are named. Nobody may change the bytes: they are a store's own, perhaps. `except`: the store to be repaired.
   */
  async getAll(
    refs: readonly Ref[],
    signal: AbortSignal | undefined,
    except?: number,
  ): Promise<readonly GetManyResult[]> {
    signal?.throwIfAborted();
    const results: GetManyResult[] = [];
    let rest: readonly Ref[] = refs;
    const first = this.#order(except)[0];
    const memory =
      first === undefined ? undefined : asMemoryStore(this.#options.settings.sync[first]!.store, "getMany");
    if (first !== undefined && memory) {
      const missed: Ref[] = [];
      for (const ref of refs) {
        const blob = memory.kept(ref);
        // What is not there, or damaged, is looked at more closely.
        if (blob !== undefined && refOf(blob) === ref) results.push({ ref, blob });
        else missed.push(ref);
      }
      if (results.length > 0) this.#options.onSuccess(first);
      rest = missed;
    }
    if (rest.length === 0) return results;
    const options = { frozen: true, ...(signal && { signal }) };
    const asking = this.#asking("content", except);
    const allInMs = asking.limitMs * shareOfAttempt;
    for await (const result of readMany(rest, options, { ...asking, allInMs })) results.push(result);
    return results;
  }

  /** As `readMany`. */
  getMany(refs: readonly Ref[], options: GetOptions): AsyncGenerator<GetManyResult, void, undefined> {
    return readMany(refs, options, this.#asking("content"));
  }

  /** True when a store says so, false when all say no. @throws BlobError "all-failed"; `signal.reason` */
  async has(ref: Ref, signal: AbortSignal | undefined): Promise<boolean> {
    const asking = this.#asking("has");
    const { stores } = asking;
    try {
      return await raceFor(ref, asking, {
        question: "has",
        signal,
        ask: (store, own) => has(stores[store]!.store, ref, { signal: own }),
        check: (there) => {
          if (!there) throw new BlobError("not-found", `there is no blob ${ref}`);
        },
      });
    } catch (error) {
      signal?.throwIfAborted();
      if (hasCode(error, "not-found")) return false;
      throw error;
    }
  }

  /** As `readStream`. */
  stream(ref: Ref, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, void, undefined> {
    return readStream(ref, signal, this.#asking("content"));
  }
}
