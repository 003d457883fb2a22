import { createHash } from "node:crypto";
import { getMany, has, streamBlob } from "../capabilities.js";
import { BlobError, type StoreFailure } from "../errors.js";
import { parseRef, type Ref, refOf } from "../ref.js";
import type { GetManyResult, GetOptions } from "../store.js";
import { keptInMemory } from "../stores/memory.js";
import { follow } from "./abort.js";
import { Latencies } from "./latency.js";
import { checkContent, noneHas, raceFor } from "./race.js";
import { hasCode, type Settings } from "./settings.js";

export interface ReadsOptions {
  readonly settings: Pick<Settings, "sync" | "clock" | "hedgeAfterMs">;
  readonly onFailure: (store: number, error: unknown) => void;
  readonly onSuccess: (store: number) => void;
  /** The store lacks a blob that another has, or has it damaged. */
  readonly onDamage: (store: number, ref: Ref, bytes: number) => void;
  readonly onLoser: (settled: Promise<void>) => void;
}

const leastHedgeMs = 10;

/** Reads from the synchronous stores: whole blobs only, whichever store they come from. */
export class Reads {
  readonly #options: ReadsOptions;
  readonly #latencies: Latencies;

  constructor(options: ReadsOptions) {
    this.#options = options;
    this.#latencies = new Latencies(options.settings.sync.length);
  }

  /** `except`: a store that is not asked, because it is the one to be repaired. @throws as `raceFor` */
  async get(ref: Ref, { signal, frozen = false }: GetOptions, except?: number): Promise<Uint8Array> {
    const { settings, onFailure, onSuccess, onLoser } = this.#options;
    const damaged = new Set<number>();
    const blob = await raceFor(ref, {
      stores: settings.sync,
      order: this.#order(except),
      clock: settings.clock,
      latencies: this.#latencies,
      hedgeAfterMs: settings.hedgeAfterMs ?? Math.max(leastHedgeMs, this.#latencies.p95()),
      signal,
      frozen,
      onFailure: (store, error) => {
        if (isDamage(error)) damaged.add(store);
        onFailure(store, error);
      },
      onSuccess,
      onLoser,
    });
    for (const store of damaged) this.#options.onDamage(store, ref, blob.length);
    return blob;
  }

  #order(except: number | undefined): number[] {
    return this.#latencies.order().filter((store) => store !== except);
  }

  /** The results of `getMany` together. Nobody may change the bytes: they are a store's own, perhaps. */
  async getAll(
    refs: readonly Ref[],
    signal: AbortSignal | undefined,
    except?: number,
  ): Promise<readonly GetManyResult[]> {
    signal?.throwIfAborted();
    const results: GetManyResult[] = [];
    let rest: readonly Ref[] = refs;
    const first = this.#order(except)[0];
    const kept = first === undefined ? undefined : keptInMemory(this.#options.settings.sync[first]!.store);
    if (first !== undefined && kept) {
      const missed: Ref[] = [];
      for (const ref of refs) {
        const blob = kept(ref);
        // What is not there, or damaged, is looked at more closely.
        if (blob !== undefined && refOf(blob) === ref) results.push({ ref, blob });
        else missed.push(ref);
      }
      if (results.length > 0) this.#options.onSuccess(first);
      rest = missed;
    }
    if (rest.length === 0) return results;
    const options = { frozen: true, ...(signal && { signal }) };
    for await (const result of this.getMany(rest, options, except)) results.push(result);
    return results;
  }

  /** Asks the fastest store for all of them, the next for what that one did not give, and so on. Every ref once for each time that it is there. */
  async *getMany(
    refs: readonly Ref[],
    options: GetOptions,
    except?: number,
  ): AsyncGenerator<GetManyResult, void, undefined> {
    options.signal?.throwIfAborted();
    const { settings, onFailure, onSuccess, onDamage } = this.#options;
    const wanted = new Map<
      Ref,
      { times: number; readonly failures: StoreFailure[]; readonly damaged: number[] }
    >();
    for (const ref of refs) {
      const known = wanted.get(ref);
      if (known) {
        known.times++;
        continue;
      }
      wanted.set(ref, { times: 1, failures: [], damaged: [] });
    }
    for (const [text, { times }] of [...wanted]) {
      try {
        parseRef(text);
      } catch (error) {
        wanted.delete(text);
        for (let i = 0; i < times; i++) yield { ref: text, error };
      }
    }
    for (const store of this.#order(except)) {
      if (wanted.size === 0) return;
      const { name } = settings.sync[store]!;
      for await (const result of getMany(settings.sync[store]!.store, [...wanted.keys()], options)) {
        const { ref } = result;
        const want = wanted.get(ref);
        if (want === undefined) continue;
        try {
          if (result.blob === undefined) throw result.error;
          checkContent(result.blob, ref, settings.sync[store]!);
        } catch (error) {
          want.failures.push({ store: name, error });
          if (isDamage(error)) want.damaged.push(store);
          if (!hasCode(error, "not-found")) this.#latencies.failed(store);
          onFailure(store, error);
          continue;
        }
        wanted.delete(ref);
        onSuccess(store);
        for (const damaged of want.damaged) onDamage(damaged, ref, result.blob.length);
        for (let i = 1; i < want.times; i++)
          yield { ref, blob: options.frozen ? result.blob : new Uint8Array(result.blob) };
        yield { ref, blob: result.blob };
      }
    }
    for (const [ref, { times, failures }] of wanted) {
      for (let i = 0; i < times; i++) yield { ref, error: noneHas(ref, failures) };
    }
  }

  /** True when a store says so, false when all say no. @throws BlobError "all-failed" */
  async has(ref: Ref, signal: AbortSignal | undefined): Promise<boolean> {
    const failures: StoreFailure[] = [];
    for (const number of this.#order(undefined)) {
      signal?.throwIfAborted();
      const { name, store } = this.#options.settings.sync[number]!;
      try {
        if (await has(store, ref, { ...(signal && { signal }) })) return true;
      } catch (error) {
        signal?.throwIfAborted();
        failures.push({ store: name, error });
        this.#options.onFailure(number, error);
      }
    }
    if (failures.length === 0) return false;
    throw noneHas(ref, failures);
  }

  /**
   * When a store fails in the middle, the next goes on where it stopped. What came before cannot be taken back, so the last piece is given only when the whole is
   * right: nobody gets all the bytes of a blob that is damaged.
   * @throws as `get`; BlobError "corrupt" when what was given is no part of the blob
   */
  async *stream(ref: Ref, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, void, undefined> {
    signal?.throwIfAborted();
    const failures: StoreFailure[] = [];
    const damaged: number[] = [];
    const hash = createHash("sha256");
    let given = 0;
    let spoilt = false;
    for (const number of this.#order(undefined)) {
      const { name, store } = this.#options.settings.sync[number]!;
      const followed = follow(signal);
      let at = 0;
      let held: Uint8Array | undefined;
      // What an earlier store gave may be what is wrong: this one is judged by its own bytes.
      const own = given > 0 ? createHash("sha256") : undefined;
      try {
        for await (const piece of streamBlob(store, ref, { signal: followed.controller.signal })) {
          signal?.throwIfAborted();
          const fresh = piece.subarray(Math.min(piece.length, Math.max(0, given - at)));
          at += piece.length;
          own?.update(piece);
          if (fresh.length === 0) continue;
          // Counted when the next one is here: until then another store could give it.
          if (held) {
            hash.update(held);
            given += held.length;
            yield held;
          }
          held = fresh;
        }
        signal?.throwIfAborted();
        const all = hash.copy();
        if (held) all.update(held);
        const whole = all.digest("hex");
        const is = own?.digest("hex") ?? whole;
        if (is !== ref) {
          throw new BlobError("corrupt", `store ${name} has ${is} where ${ref} should be`, { store: name });
        }
        if (whole !== ref) spoilt = true;
        this.#options.onSuccess(number);
        for (const other of damaged) this.#options.onDamage(other, ref, at);
        if (spoilt) break;
        if (held) yield held;
        return;
      } catch (error) {
        signal?.throwIfAborted();
        failures.push({ store: name, error });
        if (isDamage(error)) damaged.push(number);
        this.#options.onFailure(number, error);
      } finally {
        followed.release();
        followed.controller.abort(new BlobError("unavailable", "nobody waits for this any more"));
      }
    }
    if (spoilt) {
      const names = failures.map(({ store }) => store).join(", ");
      throw new BlobError(
        "corrupt",
        `what was given of ${ref} before a store failed (${names}) is no part of it`,
        { failures },
      );
    }
    throw noneHas(ref, failures);
  }
}

function isDamage(error: unknown): boolean {
  return hasCode(error, "not-found") || hasCode(error, "corrupt");
}
