import { CoordError } from "../errors.js";
import type { LogRecord } from "./records.js";

const maxGroup = 1024;
const maxGroupBytes = 1_048_576;

/** What a request does when its turn comes. */
export interface Work<Result> {
  /** To be made durable with the rest of the group. */
  readonly records: readonly LogRecord[];
  /** Called when the group is durable, visible, and known to be acknowledged by the owner of the folder. */
  readonly result: () => Result;
}

/** The durable side, in the order of its use for each group. */
export interface CommitSteps {
  /** Not called without records. */
  append(records: readonly LogRecord[]): Promise<void>;
  checkFence(): Promise<void>;
  /** The group is durable and allowed: show it. */
  publish(): void;
  /** After the answers, with nothing in flight. */
  tidy(): Promise<void>;
  onFailure(error: CoordError): void;
}

interface Task {
  readonly begin: () => readonly LogRecord[];
  readonly settle: () => void;
  readonly reject: (error: unknown) => void;
  isCancelled: boolean;
}

/**
 * The one queue of a store: requests of every kind, in order of arrival. What waits while a group is being synced makes the next
 * group, so that many requests share one write, one sync and one look at the fence. Reads go the same way: their
 * answer holds what was acknowledged before they came, and comes from whoever owns the folder.
 */
export class CommitLoop {
  readonly #steps: CommitSteps;
  #queue: Task[] = [];
  #running: Promise<void> | undefined;
  #ended: CoordError | undefined;

  constructor(steps: CommitSteps) {
    this.#steps = steps;
  }

  /**
   * `begin` runs when the request's group is formed, and may throw a refusal: that is told only once what it was based on is durable.
   * @throws signal.reason, or why the loop has ended; then, if `begin` has run, its records may be durable nonetheless
   */
  submit<Result>(begin: () => Work<Result>, signal?: AbortSignal): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason);
      if (this.#ended !== undefined) return reject(this.#ended);
      let work: Work<Result> | undefined;
      let refusal: unknown;
      const onAbort = (): void => {
        task.isCancelled = true;
        reject(signal?.reason);
      };
      const task: Task = {
        isCancelled: false,
        begin() {
          try {
            work = begin();
            return work.records;
          } catch (error) {
            // Anything else is a bug that may have left the state half-changed: that ends the store.
            if (!(error instanceof CoordError)) throw error;
            refusal = error;
            return [];
          }
        },
        settle() {
          signal?.removeEventListener("abort", onAbort);
          if (work === undefined) return reject(refusal);
          try {
            resolve(work.result());
          } catch (error) {
            reject(error);
          }
        },
        reject(error) {
          signal?.removeEventListener("abort", onAbort);
          reject(error);
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#queue.push(task);
      this.#running ??= this.#run();
    });
  }

  /** Answers the group that is being written as it ends, refuses the rest, and comes back when nothing moves any more. */
  async end(error: CoordError): Promise<void> {
    this.#end(error);
    await this.#running;
  }

  #end(error: CoordError): void {
    this.#ended ??= error;
    for (const task of this.#queue.splice(0)) task.reject(this.#ended);
  }

  async #run(): Promise<void> {
    // Whatever the caller submits in the same turn of the event loop belongs to the first group too.
    await undefined;
    const group: Task[] = [];
    try {
      while (this.#queue.length > 0) {
        const records: LogRecord[] = [];
        this.#form(group, records);
        if (records.length > 0) await this.#steps.append(records);
        await this.#steps.checkFence();
        this.#steps.publish();
        for (const task of group.splice(0)) task.settle();
        await this.#steps.tidy();
      }
    } catch (error) {
      this.#fail(error, group);
    }
    this.#running = undefined;
  }

  #form(group: Task[], records: LogRecord[]): void {
    let bytes = 0;
    while (this.#queue.length > 0 && group.length < maxGroup && bytes < maxGroupBytes) {
      const task = this.#queue.shift()!;
      if (task.isCancelled) continue;
      group.push(task);
      for (const record of task.begin()) {
        records.push(record);
        bytes += sizeOf(record);
      }
    }
  }

  /** A disk that failed once is not asked again: what it holds is unknown until somebody opens the folder and reads it. */
  #fail(error: unknown, group: readonly Task[]): void {
    const isFenced = error instanceof CoordError;
    const unknown = isFenced
      ? error
      : new CoordError(
          "unavailable",
          "the store failed while this was under way: it may or may not have happened",
          {
            cause: error,
          },
        );
    for (const task of group) task.reject(unknown);
    const ended = isFenced
      ? error
      : new CoordError("closed", "the store closed itself because it failed, see the cause", {
          cause: error,
        });
    this.#end(ended);
    this.#steps.onFailure(ended);
  }
}

function sizeOf(record: LogRecord): number {
  if (record.type === "compact") return 16;
  let bytes = 16;
  for (const mutation of record.mutations) {
    bytes += 32 + mutation.key.length + (mutation.type === "put" ? mutation.value.byteLength : 0);
  }
  return bytes;
}
