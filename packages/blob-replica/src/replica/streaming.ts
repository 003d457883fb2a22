import { createHash, type Hash } from "node:crypto";
import { streamBlob } from "../capabilities.js";
import { BlobError, type StoreFailure } from "../errors.js";
import type { Ref } from "../ref.js";
import {
  type Asking,
  type Failed,
  gaveUp,
  isAnswer,
  lost,
  noneHas,
  silentStore,
  tellDamage,
} from "./asking.js";
import { type Lane, Lanes } from "./lanes.js";

/** Another store would have to begin at the beginning, so that a pause in the middle is a longer one. */
const pauseMs = 1000;

/**
 * When a store fails in the middle, or pauses, another goes on where it stopped. What came before cannot be taken back, so the last piece is given only when the
 * whole is right: nobody gets all the bytes of a blob that is damaged.
 * @throws as `raceFor`; BlobError "corrupt" when what was given is no part of the blob
 */
export async function* readStream(
  ref: Ref,
  signal: AbortSignal | undefined,
  asking: Asking,
): AsyncGenerator<Uint8Array, void, undefined> {
  signal?.throwIfAborted();
  const reading = new StreamReading(ref, asking, signal);
  let left = true;
  let last: Uint8Array | undefined;
  try {
    for (;;) {
      const next = reading.next();
      if (next === undefined) break;
      const lane = await next;
      signal?.throwIfAborted();
      if (lane === undefined && !reading.goOn()) break;
      const piece = lane && reading.take(lane);
      if (reading.state !== "going") {
        last = piece;
        break;
      }
      if (piece && piece.length > 0) yield piece;
    }
    reading.settle();
    left = false;
  } finally {
    const ending = reading.end(signal?.aborted ? signal.reason : lost);
    if (ending && left) await ending.inTime();
    else if (ending) asking.onLoser(ending.settled);
  }
  if (reading.state !== "whole") throw reading.error();
  if (last && last.length > 0) yield last;
}

/** What one store has given of the blob. */
interface Progress {
  at: number;
  /** The last piece, or what of it nobody had given before: it counts when the next is here. Until then another store could give it. */
  held: Uint8Array | undefined;
  heldAt: number;
  /** Of all that this store has given, where others have given some of it as well. */
  own: Hash | undefined;
}

class StreamReading {
  readonly #ref: Ref;
  readonly #asking: Asking;
  readonly #lanes: Lanes<Uint8Array>;
  readonly #progress = new Map<Lane<Uint8Array>, Progress>();
  readonly #failures: StoreFailure[] = [];
  readonly #failed: Failed[] = [];
  /** Of what the caller has. */
  readonly #hash = createHash("sha256");
  #given = 0;
  /** "spoilt": the caller has bytes that are no part of it. */
  state: "going" | "whole" | "spoilt" = "going";

  constructor(ref: Ref, asking: Asking, signal: AbortSignal | undefined) {
    this.#ref = ref;
    this.#asking = asking;
    this.#lanes = new Lanes(asking, signal);
  }

  get #patienceMs(): number {
    const { hedgeAfterMs } = this.#asking;
    const inTheMiddle = this.#given > 0 || [...this.#progress.values()].some(({ at }) => at > 0);
    return inTheMiddle ? Math.max(pauseMs, hedgeAfterMs) : hedgeAfterMs;
  }

  /** As of `Lanes`; undefined when all stores have ended. */
  next(): Promise<Lane<Uint8Array> | undefined> | undefined {
    if (this.#lanes.allEnded && !this.#begin()) return undefined;
    if (this.#lanes.anyLeft || this.#lanes.anyPaused) return this.#lanes.next(this.#patienceMs);
    return this.#lanes.next(this.#failures.length > 0 ? this.#asking.limitMs : Number.POSITIVE_INFINITY);
  }

  /** Nobody said anything for long enough. False when there is nobody else to ask, and no time to wait. */
  goOn(): boolean {
    this.#lanes.noteSilent(this.#asking.latencies);
    // Those that were left behind may have what this one does not.
    if (this.#lanes.resume() || this.#begin() || this.#failures.length === 0) return true;
    this.#giveUp();
    return false;
  }

  /** Asks the next store, where there is one. */
  #begin(): boolean {
    if (!this.#lanes.anyLeft) return false;
    const { stores } = this.#asking;
    for (const progress of this.#progress.values()) {
      // Until now there was no other, and what was given is its own.
      progress.own ??= this.#hash.copy().update(progress.held ?? new Uint8Array(0));
    }
    const alone = this.#progress.size === 0 && this.#given === 0;
    const lane = this.#lanes.begin((store, signal) =>
      streamBlob(stores[store]!.store, this.#ref, { signal }),
    );
    this.#progress.set(lane, {
      at: 0,
      held: undefined,
      heldAt: 0,
      own: alone ? undefined : createHash("sha256"),
    });
    return true;
  }

  /** What can be given now. */
  take(lane: Lane<Uint8Array>): Uint8Array | undefined {
    const progress = this.#progress.get(lane)!;
    if (lane.failure) {
      this.#fail(lane, lane.failure.error);
      return undefined;
    }
    if (lane.result?.done !== false) return this.#ended(lane, progress);
    const piece = lane.result.value;
    if (progress.at === 0) {
      const { clock, latencies } = this.#asking;
      latencies.took(lane.store, clock.monotonicMs() - lane.beganMs);
    }
    const start = progress.at;
    progress.at += piece.length;
    progress.own?.update(piece);
    if (progress.at <= this.#given) return undefined;
    // It is in front: the others wait until it pauses.
    if (this.#lanes.size > 1) this.#lanes.pauseAllBut(lane);
    const sure = this.#sure(progress);
    if (sure) {
      this.#hash.update(sure);
      this.#given += sure.length;
    }
    progress.heldAt = Math.max(start, this.#given);
    progress.held = piece.subarray(progress.heldAt - start);
    return sure;
  }

  /** What is held and nobody has given meanwhile. */
  #sure({ held, heldAt }: Progress): Uint8Array | undefined {
    return held?.subarray(Math.min(held.length, this.#given - heldAt));
  }

  #ended(lane: Lane<Uint8Array>, progress: Progress): Uint8Array | undefined {
    const { stores, onSuccess } = this.#asking;
    const { store } = lane;
    const { name } = stores[store]!;
    const last = this.#sure(progress);
    const all = this.#hash.copy();
    if (last) all.update(last);
    const whole = all.digest("hex");
    // What another store gave may be what is wrong: this one is judged by its own bytes.
    const is = progress.own?.digest("hex") ?? whole;
    if (is !== this.#ref) {
      const message = `store ${name} has ${is} where ${this.#ref} should be`;
      this.#fail(lane, new BlobError("corrupt", message, { store: name }));
      return undefined;
    }
    this.#progress.delete(lane);
    onSuccess(store);
    tellDamage(this.#asking, this.#failed, this.#ref, progress.at);
    this.state = whole === this.#ref ? "whole" : "spoilt";
    return this.state === "whole" ? last : undefined;
  }

  #fail(lane: Lane<Uint8Array>, error: unknown): void {
    const { stores, latencies, onFailure } = this.#asking;
    this.#progress.delete(lane);
    this.#failures.push({ store: stores[lane.store]!.name, error });
    this.#failed.push({ store: lane.store, error });
    if (!isAnswer(error)) latencies.failed(lane.store);
    onFailure(lane.store, error);
    if (!this.#lanes.resume() && this.#lanes.allSilentFor(this.#patienceMs)) this.#begin();
  }

  /** There is nobody else to ask. */
  #giveUp(): void {
    const nowMs = this.#asking.clock.monotonicMs();
    for (const lane of [...this.#progress.keys()]) {
      this.#fail(lane, silentStore(this.#asking.stores[lane.store]!, nowMs - lane.beganMs));
    }
  }

  /** It is over: who has been silent until now, while another was asked, was slow. */
  settle(): void {
    if (this.state === "going") return;
    for (const [{ store }, ms] of this.#lanes.silent()) {
      if (ms >= this.#asking.hedgeAfterMs) gaveUp(this.#asking, store, ms);
    }
  }

  end(reason: unknown): ReturnType<Lanes<Uint8Array>["end"]> {
    return this.#lanes.end(reason);
  }

  error(): BlobError {
    if (this.state !== "spoilt") return noneHas(this.#ref, this.#failures);
    const failed = this.#failures.map(({ store }) => store);
    // Those that were left behind have not failed, and gave it, perhaps.
    const others = [...this.#progress.keys()].map(({ store }) => this.#asking.stores[store]!.name);
    const names = [...failed, ...others].join(", ");
    const message = `what was given of ${this.#ref} before another store went on (${names}) is no part of it`;
    return new BlobError("corrupt", message, { failures: this.#failures });
  }
}
