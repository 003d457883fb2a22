import { TopicError } from "../errors.js";
import type { Clock } from "../protocol/runtime.js";

export type CommitResult =
  /** It is durable. */
  | "done"
  /** It is not, and won't be: the lease is gone or the subscription changed. */
  | "lost"
  /** It is durable, and the lease is gone. */
  | "done-and-lost";

export interface CommitterOptions {
  readonly clock: Clock;
  /** What is committed already. */
  readonly start: number;
  /** The least time from one commit to the next while acknowledgements keep coming. */
  readonly intervalMs: number;
  /** One at a time. Rejects as "lost". */
  write(sequence: number, finished: boolean): Promise<CommitResult>;
  onFinished(): void;
  onLost(): void;
}

/**
 * The acknowledgements of one leased segment on their way into its bookmark. One commit is on its way at a time and takes along all
 * that was acknowledged by then; those who acknowledge meanwhile share one promise, the next commit's. Only moves forward.
 *
 * A lone acknowledgement is written at once. When others come while one is being written, the next commit waits for its turn:
 * a busy consumer commits every `intervalMs`, not as fast as the store can take it.
 */
export class Committer {
  readonly #options: CommitterOptions;
  #acknowledged: number;
  #committed: number;
  /** The end of the segment, once that is known. */
  #end = Number.POSITIVE_INFINITY;
  #state: "open" | "finished" | "lost" = "open";
  #running = false;
  #onItsWay: { readonly sequence: number; readonly isLast: boolean; readonly batch: Batch } | undefined;
  #next: Batch | undefined;
  #hurry = false;
  #endPause: (() => void) | undefined;

  constructor(options: CommitterOptions) {
    this.#options = options;
    this.#acknowledged = options.start;
    this.#committed = options.start;
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  get committed(): number {
    return this.#committed;
  }

  get isFinishing(): boolean {
    return this.#onItsWay?.isLast ?? false;
  }

  get state(): "open" | "finished" | "lost" {
    return this.#state;
  }

  /**
   * Resolves when everything up to the sequence is committed. Ignoring the promise is fine.
   * @throws TopicError "lease-lost"
   */
  acknowledge(sequence: number): Promise<void> {
    if (sequence <= this.#committed) return DONE;
    if (this.#state !== "open") return handled(Promise.reject(leaseLost()));
    if (sequence > this.#acknowledged) this.#acknowledged = sequence;
    if (this.#onItsWay && sequence <= this.#onItsWay.sequence) return this.#onItsWay.batch.promise;
    this.#next ??= new Batch();
    this.#start();
    if (this.#isLast) this.#endPause?.();
    return this.#next.promise;
  }

  /** The segment ends with this sequence: when it is acknowledged, the segment is finished. */
  setEnd(lastSequence: number): void {
    this.#end = lastSequence;
    if (this.#isDue) this.#start();
    if (this.#isLast) this.#endPause?.();
  }

  /** Resolves when nothing acknowledged waits any more, committed or lost. */
  async flush(): Promise<void> {
    this.#hurry = true;
    this.#endPause?.();
    while (this.#state === "open" && (this.#running || this.#isDue)) {
      this.#next ??= new Batch();
      const { promise } = this.#next;
      this.#start();
      await promise.catch(() => {});
    }
  }

  /** What no commit has taken along yet is rejected; the one that is on its way is answered by its result. */
  lose(): void {
    if (this.#state !== "open") return;
    this.#state = "lost";
    this.#endPause?.();
    this.#next?.reject(leaseLost());
    this.#next = undefined;
  }

  get #isLast(): boolean {
    return this.#acknowledged >= this.#end;
  }

  get #isDue(): boolean {
    return this.#acknowledged > this.#committed || this.#isLast;
  }

  #start(): void {
    if (this.#running || this.#state !== "open") return;
    this.#running = true;
    void this.#run();
  }

  async #run(): Promise<void> {
    // A turn later, so that a whole batch that is acknowledged in one go is one commit.
    await undefined;
    while (this.#state === "open" && this.#isDue) {
      const startedMs = this.#options.clock.monotonicMs();
      const isLast = this.#isLast;
      const sequence = Math.min(this.#acknowledged, this.#end);
      const batch = this.#takeNext();
      this.#onItsWay = { sequence, isLast, batch };
      const result = await this.#options.write(sequence, isLast).catch((): CommitResult => "lost");
      this.#onItsWay = undefined;
      if (result !== "lost") {
        this.#committed = Math.max(this.#committed, sequence);
        batch.resolve();
      } else {
        batch.reject(leaseLost());
      }
      if (this.#state !== "open") break;
      if (result !== "done") {
        this.lose();
        this.#options.onLost();
      } else if (isLast) {
        this.#state = "finished";
        this.#options.onFinished();
      } else if (this.#isDue && !this.#isLast && !this.#hurry) {
        await this.#pauseUntil(startedMs + this.#options.intervalMs);
      }
    }
    this.#running = false;
    // Asked for by a flush that found nothing to do, or behind the end of the segment.
    this.#takeNext().resolve();
  }

  #takeNext(): Batch {
    const batch = this.#next ?? new Batch();
    this.#next = undefined;
    return batch;
  }

  async #pauseUntil(untilMs: number): Promise<void> {
    const { clock } = this.#options;
    const delayMs = untilMs - clock.monotonicMs();
    if (delayMs <= 0) return;
    await new Promise<void>((resolve) => {
      const cancel = clock.setTimer(delayMs, resolve);
      this.#endPause = () => {
        cancel();
        resolve();
      };
    });
    this.#endPause = undefined;
  }
}

/** The shared promise of all acknowledgements that one commit takes along. */
class Batch {
  readonly promise: Promise<void>;
  resolve!: () => void;
  reject!: (error: unknown) => void;

  constructor() {
    this.promise = handled(
      new Promise<void>((resolve, reject) => {
        this.resolve = resolve;
        this.reject = reject;
      }),
    );
  }
}

const DONE: Promise<void> = Promise.resolve();

/** A rejection that nobody looks at must not end the process. */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

export function leaseLost(): TopicError {
  return new TopicError(
    "lease-lost",
    "this consumer no longer holds the segment: what is not committed will be delivered again, perhaps to another one",
  );
}
