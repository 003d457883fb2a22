import type { CallOptions } from "../client/routed-journal-client.js";
import type { WatchedList } from "./watched-list.js";

/** What happened to a watched list. */
export interface ListUpdate {
  readonly list: WatchedList;
  /** Why the watch had to begin anew, for logs: it goes on by itself. Undefined when there is a new listing. */
  readonly error: unknown;
}

/**
 * Tells that watched lists have changed. One may be shared by many lists, by those who look at all of them when any changes. Holds the last
 * update alone: each wakes one of those who wait, and those that nobody waited for become one.
 */
export class ListUpdates implements AsyncIterable<ListUpdate> {
  #latest: ListUpdate | undefined;
  readonly #waiting = new Set<(update: ListUpdate) => void>();

  /** Resolves with the next update, or with the last one if nobody got it. */
  async next({ signal }: CallOptions = {}): Promise<ListUpdate> {
    signal?.throwIfAborted();
    const latest = this.#latest;
    if (latest !== undefined) {
      this.#latest = undefined;
      return latest;
    }
    let stop = (): void => {};
    try {
      return await new Promise<ListUpdate>((resolve, reject) => {
        this.#waiting.add(resolve);
        stop = () => {
          this.#waiting.delete(resolve);
          reject(signal?.reason);
        };
        signal?.addEventListener("abort", stop, { once: true });
      });
    } finally {
      signal?.removeEventListener("abort", stop);
    }
  }

  notify(update: ListUpdate): void {
    for (const resolve of this.#waiting) {
      this.#waiting.delete(resolve);
      resolve(update);
      return;
    }
    this.#latest = update;
  }

  /** Without an end: for one who leaves the loop, or passes a signal to `next`. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ListUpdate, void> {
    for (;;) yield await this.next();
  }
}
