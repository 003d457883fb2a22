import type { Ref } from "../ref.js";
import type { CallOptions, GetManyResult } from "../store.js";
import type { NamedStore, ReplicaState } from "./options.js";
import { Backlog } from "./queue/backlog.js";
import { hasCode, type Settings } from "./settings.js";
import { Worker } from "./worker.js";

const mostRepairs = 10_000;

interface Side {
  readonly target: NamedStore;
  readonly backlog: Backlog;
  readonly worker: Worker;
  failures: number;
  slow: number;
  lastError: unknown;
  repairs: number;
  dropped: number;
}

/** How the synchronous stores fare, and the repair of what they lack: the same worker that writes to asynchronous ones, with a queue in memory. */
export class SyncSide {
  readonly #settings: Settings;
  readonly #bump: () => void;
  readonly #sides: readonly Side[];
  readonly #deleting = new Map<Ref, number>();
  #nextSeq = 1;
  #stopped = false;

  constructor(
    settings: Settings,
    bump: () => void,
    source: (refs: readonly Ref[], options: CallOptions, except: number) => Promise<readonly GetManyResult[]>,
  ) {
    this.#settings = settings;
    this.#bump = bump;
    this.#sides = settings.sync.map((target, number) => {
      const backlog = new Backlog();
      const side: Side = {
        target,
        backlog,
        worker: new Worker({
          target,
          backlog,
          settings,
          source: (refs, options) => source(refs, options, number),
          onDone: (entries) => {
            for (const entry of entries) {
              if (!backlog.remove(entry)) continue;
              side.repairs++;
              settings.emit({ event: "repaired", store: target.name, ref: entry.ref });
            }
            bump();
          },
          onLost: (entry, error) => {
            if (!backlog.remove(entry)) return;
            settings.emit({ event: "repair-failed", store: target.name, ref: entry.ref, error });
            bump();
          },
          onFailed: (ref, error) => {
            settings.emit({ event: "repair-failed", store: target.name, ref, error });
            bump();
          },
        }),
        failures: 0,
        slow: 0,
        lastError: undefined,
        repairs: 0,
        dropped: 0,
      };
      return side;
    });
  }

  readonly succeeded = (number: number): void => {
    const side = this.#sides[number]!;
    if (side.failures === 0 && side.slow === 0) return;
    side.failures = 0;
    side.slow = 0;
    side.lastError = undefined;
    this.#bump();
  };

  /** Not having a blob is no failure. */
  readonly failed = (number: number, error: unknown, ref?: Ref): void => {
    if (hasCode(error, "not-found")) return;
    const side = this.#sides[number]!;
    side.failures++;
    side.lastError = error;
    const event = hasCode(error, "corrupt") ? "corrupt" : "sync-failed";
    this.#settings.emit({ event, store: side.target.name, error, ...(ref && { ref }) });
    this.#bump();
  };

  /** A read went to another store as well, which was faster. It is told and no more: slow may be by chance, and it is what asking another is for. */
  readonly slow = (number: number): void => {
    this.#sides[number]!.slow++;
    this.#bump();
  };

  readonly repair = (number: number, ref: Ref, bytes: number): void => {
    const side = this.#sides[number]!;
    if (this.#stopped || this.#deleting.has(ref) || side.backlog.find(ref)) return;
    if (side.backlog.size >= mostRepairs) {
      side.dropped++;
    } else {
      side.backlog.add(this.#nextSeq++, ref, bytes, this.#settings.clock.wallMs());
      side.worker.kick();
    }
    this.#bump();
  };

  /** Until the returned function is called nobody repairs what is being deleted. */
  noRepairs(ref: Ref): () => void {
    this.#deleting.set(ref, (this.#deleting.get(ref) ?? 0) + 1);
    return () => {
      const left = this.#deleting.get(ref)! - 1;
      if (left > 0) this.#deleting.set(ref, left);
      else this.#deleting.delete(ref);
    };
  }

  async forget(ref: Ref): Promise<void> {
    for (const { backlog } of this.#sides) {
      const entry = backlog.find(ref);
      if (entry) backlog.remove(entry);
    }
    await Promise.all(this.#sides.map(({ worker }) => worker.settled(ref)));
  }

  state(): ReplicaState["sync"] {
    return this.#sides.map(({ target, failures, slow, lastError, repairs, backlog, dropped }) => ({
      name: target.name,
      failures,
      slow,
      lastError,
      repairs,
      repairBacklog: backlog.size,
      repairsDropped: dropped,
    }));
  }

  async stop(reason: unknown): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#sides.map(({ worker }) => worker.stop(reason)));
  }
}
