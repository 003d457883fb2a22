import { CoordError } from "../errors.js";
import type { KeySelector, WatchBatch, WatchEvent } from "../port.js";
import { selects } from "../selector.js";
import { copyKv } from "./apply-txn.js";

/** What a watcher reads from: the history, and how far of it is durable. */
export interface WatchSource {
  /** The newest revision that may be told. */
  readonly visibleRevision: bigint;
  readonly compactRevision: bigint;
  eventsOf(revision: bigint): readonly WatchEvent[];
}

/**
 * All watchers of a store. A watcher has no queue of its own, only a position in the history: a slow one costs nothing, and
 * learns that it was too slow when the history before its position is gone.
 */
export class WatchHub {
  readonly source: WatchSource;
  readonly #watchers: Set<Watcher> = new Set();
  readonly #onFirst: () => void;
  #failure: CoordError | undefined;

  /** `onFirst` is called when there was no watcher and now there is one. */
  constructor(source: WatchSource, onFirst: () => void) {
    this.source = source;
    this.#onFirst = onFirst;
  }

  get size(): number {
    return this.#watchers.size;
  }

  get failure(): CoordError | undefined {
    return this.#failure;
  }

  add(watcher: Watcher): void {
    this.#watchers.add(watcher);
    if (this.#watchers.size === 1) this.#onFirst();
  }

  remove(watcher: Watcher): void {
    this.#watchers.delete(watcher);
  }

  /** More revisions are visible. */
  notify(): void {
    for (const watcher of this.#watchers) watcher.advance();
  }

  /** Nothing will be visible any more. */
  fail(error: CoordError): void {
    this.#failure = error;
    for (const watcher of [...this.#watchers]) watcher.fail(error);
  }
}

interface Waiting {
  readonly resolve: (result: IteratorResult<WatchBatch, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

export interface WatcherOptions {
  readonly fromRevision: bigint;
  readonly signal: AbortSignal | undefined;
}

/** One watch. Costs nothing until the first `next`. */
export class Watcher implements AsyncIterableIterator<WatchBatch, undefined> {
  readonly #hub: WatchHub;
  readonly #selector: KeySelector;
  readonly #signal: AbortSignal | undefined;
  readonly #waiting: Waiting[] = [];
  #next: bigint;
  #state: "new" | "open" | "done" = "new";
  /** What ended the watch while nobody waited: told to the next who asks. */
  #untold: { readonly error: unknown } | undefined;

  constructor(hub: WatchHub, selector: KeySelector, options: WatcherOptions) {
    this.#hub = hub;
    this.#selector = selector;
    this.#next = options.fromRevision;
    this.#signal = options.signal;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  next(): Promise<IteratorResult<WatchBatch, undefined>> {
    return new Promise((resolve, reject) => {
      if (this.#untold !== undefined) {
        reject(this.#untold.error);
        this.#untold = undefined;
        return;
      }
      if (this.#state === "done") {
        resolve({ done: true, value: undefined });
        return;
      }
      this.#waiting.push({ resolve, reject });
      if (this.#state === "new") this.#open();
      else this.advance();
    });
  }

  async return(): Promise<IteratorResult<WatchBatch, undefined>> {
    this.#untold = undefined;
    this.#finish();
    return { done: true, value: undefined };
  }

  /** Serves whoever waits; without anybody, passes over what would not be told anyway, so that compaction can't hit it. */
  advance(): void {
    try {
      for (;;) {
        const events = this.#seek();
        const waiting = events === undefined ? undefined : this.#waiting.shift();
        if (events === undefined || waiting === undefined) return;
        const batch = { revision: this.#next, events: events.map(copyEvent) };
        this.#next += 1n;
        waiting.resolve({ done: false, value: batch });
      }
    } catch (error) {
      this.fail(error);
    }
  }

  fail(error: unknown): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#untold = { error };
    else waiting.reject(error);
    this.#finish();
  }

  #open(): void {
    this.#state = "open";
    if (this.#signal?.aborted === true) {
      this.fail(this.#signal.reason);
    } else if (this.#hub.failure !== undefined) {
      this.fail(this.#hub.failure);
    } else {
      this.#signal?.addEventListener("abort", this.#onAbort);
      this.#hub.add(this);
      this.advance();
    }
  }

  readonly #onAbort = (): void => this.fail(this.#signal?.reason);

  #finish(): void {
    this.#state = "done";
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#hub.remove(this);
    for (const { resolve } of this.#waiting.splice(0)) resolve({ done: true, value: undefined });
  }

  /** Moves to the next revision with events for this watcher and gives them; undefined at the end of what is visible. */
  #seek(): WatchEvent[] | undefined {
    const { source } = this.#hub;
    for (; this.#next <= source.visibleRevision; this.#next += 1n) {
      if (this.#next < source.compactRevision) {
        const compactRevision = source.compactRevision;
        throw new CoordError(
          "compacted",
          `revision ${this.#next} is gone, the oldest one left is ${compactRevision}`,
          {
            compactRevision,
          },
        );
      }
      const events = source.eventsOf(this.#next).filter((event) => selects(this.#selector, keyOf(event)));
      if (events.length > 0) return events;
    }
    return undefined;
  }
}

function keyOf(event: WatchEvent): string {
  return event.type === "put" ? event.kv.key : event.key;
}

function copyEvent(event: WatchEvent): WatchEvent {
  return event.type === "put" ? { type: "put", kv: copyKv(event.kv) } : { ...event };
}
