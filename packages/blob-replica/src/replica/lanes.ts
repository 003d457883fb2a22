import type { Clock } from "../clock.js";
import { within } from "./abort.js";
import type { Asking } from "./asking.js";
import type { Latencies } from "./latency.js";

/** One store's answers. */
export interface Lane<Item> {
  readonly store: number;
  readonly beganMs: number;
  /** Nothing more is asked of it for now. */
  paused: boolean;
  /** What `next` came back with, to be looked at by whom it is given to. */
  result: IteratorResult<Item, unknown> | undefined;
  /** Instead of a result. */
  failure: { readonly error: unknown } | undefined;
}

interface Running<Item> extends Lane<Item> {
  readonly controller: AbortController;
  readonly iterator: AsyncIterator<Item, unknown>;
  /** When it was asked for what it has not given yet. */
  askedMs: number | undefined;
  pending: Promise<void> | undefined;
  readonly onResult: (result: IteratorResult<Item, unknown>) => void;
  readonly onError: (error: unknown) => void;
}

/**
 * The answers of several stores, as they come. The stores are begun with in the order, each once, when whoever reads says so. Each is asked for the next answer when
 * somebody wants one, so that at most one of each is held; the timer that tells when all of them are silent is set once for many answers that come in time.
 */
export class Lanes<Item> {
  readonly #order: readonly number[];
  readonly #clock: Clock;
  readonly #limitMs: number;
  readonly #signal: AbortSignal | undefined;
  #begun = 0;
  readonly #running = new Set<Running<Item>>();
  readonly #ready: Running<Item>[] = [];
  #wake: ((lane: Running<Item> | undefined) => void) | undefined;
  /** Of who waits: when it has been long enough. */
  #dueMs = Number.POSITIVE_INFINITY;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #cancelTimer = () => {};

  constructor(
    { order, clock, limitMs }: Pick<Asking, "order" | "clock" | "limitMs">,
    signal: AbortSignal | undefined,
  ) {
    this.#order = order;
    this.#clock = clock;
    this.#limitMs = limitMs;
    this.#signal = signal;
    signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  readonly #onAbort = (): void => {
    for (const { controller } of this.#running) controller.abort(this.#signal?.reason);
    this.#give(undefined);
  };

  get size(): number {
    return this.#running.size;
  }

  /** How many of the order. */
  get begun(): number {
    return this.#begun;
  }

  /** Whether there is another to begin with. */
  get anyLeft(): boolean {
    return this.#begun < this.#order.length;
  }

  /** All that have begun, and nothing is left of what they gave. */
  get allEnded(): boolean {
    return this.#running.size === 0 && this.#ready.length === 0;
  }

  /** One that could be asked: not one that has not answered yet, which is waited for anyhow. */
  get anyPaused(): boolean {
    for (const { paused, askedMs } of this.#running) if (paused && askedMs === undefined) return true;
    return false;
  }

  /** With the next store of the order: only where there is one, see `anyLeft`. */
  begin(ask: (store: number, signal: AbortSignal) => AsyncIterable<Item>): Lane<Item> {
    const store = this.#order[this.#begun++]!;
    const controller = new AbortController();
    const lane: Running<Item> = {
      store,
      beganMs: this.#clock.monotonicMs(),
      paused: false,
      result: undefined,
      failure: undefined,
      controller,
      iterator: ask(store, controller.signal)[Symbol.asyncIterator](),
      askedMs: undefined,
      pending: undefined,
      onResult: (result) => {
        lane.result = result;
        this.#arrived(lane, result.done === true);
      },
      onError: (error) => {
        lane.failure = { error };
        this.#arrived(lane, true);
      },
    };
    this.#running.add(lane);
    return lane;
  }

  #arrived(lane: Running<Item>, ended: boolean): void {
    lane.askedMs = undefined;
    if (ended) this.#running.delete(lane);
    if (this.#wake) this.#give(lane);
    else this.#ready.push(lane);
  }

  #give(lane: Running<Item> | undefined): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.(lane);
  }

  /** Asks all that are not paused. The first that has something, or has ended; undefined after an abort, or when none has for `patienceMs`. */
  next(patienceMs: number): Promise<Lane<Item> | undefined> {
    if (this.#signal?.aborted) return Promise.resolve(undefined);
    const nowMs = this.#clock.monotonicMs();
    for (const lane of this.#running) {
      if (lane.paused || lane.askedMs !== undefined || this.#ready.includes(lane)) continue;
      lane.askedMs = nowMs;
      lane.result = undefined;
      lane.pending = lane.iterator.next().then(lane.onResult, lane.onError);
    }
    const ready = this.#ready.shift();
    if (ready) return Promise.resolve(ready);
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#dueMs = nowMs + patienceMs;
      if (this.#dueMs < this.#timerAtMs) this.#setTimer(nowMs);
    });
  }

  #setTimer(nowMs: number): void {
    this.#cancelTimer();
    this.#timerAtMs = this.#dueMs;
    this.#cancelTimer = this.#clock.setTimer(this.#dueMs - nowMs, this.#onTimer);
  }

  readonly #onTimer = (): void => {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    if (!this.#wake || this.#dueMs === Number.POSITIVE_INFINITY) return;
    const nowMs = this.#clock.monotonicMs();
    // What came meanwhile has moved it on.
    if (nowMs < this.#dueMs) this.#setTimer(nowMs);
    else this.#give(undefined);
  };

  /** Those that were asked and have said nothing since, with for how long. */
  *silent(): Generator<readonly [Lane<Item>, number], void, undefined> {
    const nowMs = this.#clock.monotonicMs();
    for (const lane of this.#running) if (lane.askedMs !== undefined) yield [lane, nowMs - lane.askedMs];
  }

  /** Other reads ask them late from now on. */
  noteSilent(latencies: Latencies): void {
    for (const [{ store }, ms] of this.silent()) latencies.gaveUp(store, ms);
  }

  /** Whether nobody is left to wait for but those that have been silent for so long. */
  allSilentFor(ms: number): boolean {
    if (this.#ready.length > 0) return false;
    const latestMs = this.#clock.monotonicMs() - ms;
    for (const { askedMs } of this.#running) if (askedMs === undefined || askedMs > latestMs) return false;
    return true;
  }

  /** Lets those that were paused go on. Whether there were any. */
  resume(): boolean {
    const any = this.anyPaused;
    for (const lane of this.#running) lane.paused = false;
    return any;
  }

  pauseAllBut(leader: Lane<Item>): void {
    for (const lane of this.#running) lane.paused = lane !== leader;
  }

  /** Tells what still runs to stop; resolves when it has, or `limitMs` later. Undefined where nothing runs. It never rejects. */
  end(
    reason: unknown,
  ): { readonly settled: Promise<void>; readonly inTime: () => Promise<void> } | undefined {
    this.#cancelTimer();
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#ready.length = 0;
    if (this.#running.size === 0) return undefined;
    const settled = Promise.all([...this.#running].map((lane) => stop(lane, reason))).then(() => {});
    this.#running.clear();
    return { settled, inTime: () => within(settled, this.#limitMs, this.#clock) };
  }
}

async function stop<Item>(lane: Running<Item>, reason: unknown): Promise<void> {
  lane.controller.abort(reason);
  await Promise.allSettled([lane.pending, (async () => await lane.iterator.return?.())()]);
}
