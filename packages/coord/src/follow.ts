import type { Clock } from "./clock.js";
import { CoordError } from "./errors.js";
import type { Coord, KeySelector, WatchBatch, WatchEvent } from "./port.js";
import { compareKeys } from "./selector.js";
import { systemClock } from "./system.js";

export interface FollowBatch {
  /** What is known after this batch is the state of the store at this revision. Grows from batch to batch. */
  readonly revision: bigint;
  /** True for the first batch only: every key, as puts in key order. */
  readonly snapshot: boolean;
  /**
   * Behind the first batch: the events of one revision, in order. After a gap in the history they are instead the
   * difference between what was told and `revision`: deletes first, then puts, each in key order.
   */
  readonly events: readonly WatchEvent[];
}

export interface FollowOptions {
  readonly signal?: AbortSignal;
  /** For the pauses between attempts. Default: the process's clock. */
  readonly clock?: Clock;
}

const firstPauseMs = 50;
const longestPauseMs = 2000;

/**
 * Keeps a copy of some keys current: a snapshot, then what happens after it, without gaps and without repetition.
 *
 * When the store forgets history faster than the reader takes it, the reader is told the difference to a new snapshot. While the store
 * is unavailable nothing is told, and it is tried again after 50 ms, doubling up to 2 s. Leaving the loop ends everything.
 *
 * @throws signal.reason, CoordError "history-lost" if the store is not the one it was, and every other code but
 * "compacted" and "unavailable"
 */
export function follow(
  coord: Coord,
  selector: KeySelector,
  options: FollowOptions = {},
): AsyncIterableIterator<FollowBatch, undefined> {
  const leaving = new AbortController();
  let hasLeft = false;
  const { clock = systemClock, signal } = options;
  const batches = untilAborted(
    new Follower(coord, { ...selector }, { clock, signal: leaving.signal }),
    signal,
    leaving,
  );
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      try {
        return await batches.next();
      } catch (error) {
        if (hasLeft) return { done: true, value: undefined };
        throw error;
      }
    },
    async return() {
      // Also gets a `next` to come back that waits for something to happen.
      hasLeft = true;
      leaving.abort(new CoordError("closed", "the loop was left"));
      await batches.return(undefined);
      return { done: true, value: undefined };
    },
  };
}

async function* untilAborted(
  follower: Follower,
  signal: AbortSignal | undefined,
  leaving: AbortController,
): AsyncGenerator<FollowBatch, undefined, undefined> {
  const onAbort = (): void => leaving.abort(signal?.reason);
  signal?.throwIfAborted();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    return yield* follower.batches();
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

interface Known {
  /** Up to here everything was told. */
  readonly revision: bigint;
  readonly clusterId: string;
}

class Follower {
  readonly #coord: Coord;
  readonly #selector: KeySelector;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  /** The revision of each key's last change, as told. */
  readonly #told: Map<string, bigint> = new Map();
  #pauseMs = firstPauseMs;

  constructor(
    coord: Coord,
    selector: KeySelector,
    options: { readonly clock: Clock; readonly signal: AbortSignal },
  ) {
    this.#coord = coord;
    this.#selector = selector;
    this.#clock = options.clock;
    this.#signal = options.signal;
  }

  async *batches(): AsyncGenerator<FollowBatch, undefined, undefined> {
    let known: Known | undefined;
    for (;;) {
      try {
        const snapshot = await this.#snapshot(known);
        if (known === undefined || snapshot.events.length > 0) yield this.#tell(snapshot);
        known = { revision: snapshot.revision, clusterId: snapshot.clusterId };
        for (;;) {
          try {
            for await (const batch of this.#watch(known)) {
              this.#pauseMs = firstPauseMs;
              yield this.#tell({ revision: batch.revision, snapshot: false, events: batch.events });
              known = { ...known, revision: batch.revision };
            }
            throw new CoordError("closed", "the watch ended");
          } catch (error) {
            await this.#pauseIfUnavailable(error);
          }
        }
      } catch (error) {
        if (known !== undefined && hasCode(error, "compacted")) continue;
        await this.#pauseIfUnavailable(error);
      }
    }
  }

  #watch(known: Known): AsyncIterable<WatchBatch> {
    return this.#coord.watch(this.#selector, { fromRevision: known.revision + 1n, signal: this.#signal });
  }

  /** Everything at one revision, or what is different there from what was told. */
  async #snapshot(known: Known | undefined): Promise<FollowBatch & { readonly clusterId: string }> {
    const clusterId = await this.#coord.clusterId({ signal: this.#signal });
    const { revision, kvs } = await this.#coord.get(this.#selector, { signal: this.#signal });
    this.#pauseMs = firstPauseMs;
    if (known !== undefined && known.clusterId !== clusterId) {
      throw new CoordError("history-lost", `cluster ${known.clusterId} was replaced by ${clusterId}`);
    }
    if (known !== undefined && revision < known.revision) {
      throw new CoordError(
        "history-lost",
        `revision ${known.revision} was told, and now the newest is ${revision}`,
      );
    }
    const gone = new Set(this.#told.keys());
    const puts: WatchEvent[] = [];
    for (const kv of kvs) {
      gone.delete(kv.key);
      if (this.#told.get(kv.key) !== kv.modRevision) puts.push({ type: "put", kv });
    }
    const deletes = [...gone]
      .sort(compareKeys)
      .map((key): WatchEvent => ({ type: "delete", key, modRevision: revision }));
    return { revision, clusterId, snapshot: known === undefined, events: [...deletes, ...puts] };
  }

  #tell({ revision, snapshot, events }: FollowBatch): FollowBatch {
    for (const event of events) {
      if (event.type === "put") this.#told.set(event.kv.key, event.kv.modRevision);
      else this.#told.delete(event.key);
    }
    return { revision, snapshot, events };
  }

  async #pauseIfUnavailable(error: unknown): Promise<void> {
    this.#signal.throwIfAborted();
    if (!hasCode(error, "unavailable")) throw error;
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(pauseMs * 2, longestPauseMs);
    await this.#pause(pauseMs);
  }

  async #pause(ms: number): Promise<void> {
    let finish: () => void = () => undefined;
    const over = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const cancel = this.#clock.setTimer(ms, finish);
    this.#signal.addEventListener("abort", finish, { once: true });
    try {
      await over;
    } finally {
      cancel();
      this.#signal.removeEventListener("abort", finish);
    }
    this.#signal.throwIfAborted();
  }
}

function hasCode(error: unknown, code: CoordError["code"]): boolean {
  return error instanceof CoordError && error.code === code;
}
