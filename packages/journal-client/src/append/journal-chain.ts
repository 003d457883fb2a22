import { JournalError } from "../errors.js";
import type { AppendRequest } from "../protocol/requests.js";
import { Barrier, Batch } from "./batch.js";
import { ChunkList } from "./chunk-list.js";
import { isCovered, listOf, pendingOf, pendingSet } from "./dependencies.js";
import type { OpFuture } from "./op-future.js";
import { type AppendQueue, QueuedAppend } from "./queued-append.js";
import { copyRequest, isSameRequest } from "./same-request.js";
import type { BatchOutcome, ChainService } from "./send-batch.js";

/**
 * The appends of one journal, in order: those that were not folded into a batch yet (the first of them is still being written), and
 * behind the scenes the batches, of which the first is under way. An append is folded when everything before it is released.
 */
export class JournalChain implements AppendQueue {
  readonly journal: string;
  readonly #service: ChainService;
  /** The first append that is not folded, and the last. */
  #head: QueuedAppend | undefined;
  #tail: QueuedAppend | undefined;
  /** The batch that `#head` writes into, when it does. */
  #direct: Batch | undefined;
  #first: Batch | undefined;
  #last: Batch | undefined;
  /** Whether appends may still join `#last`. */
  #growing = false;
  #running = false;
  /** What a wait of the run waits for can be cut short by this. */
  #wake: (() => void) | undefined;
  /** A request that was checked and copied; mostly all of a journal are the same. */
  #request: AppendRequest | undefined;
  /** How much the last batch held: the next will hold about as much. */
  #lastBytes = 0;

  constructor(journal: string, service: ChainService) {
    this.journal = journal;
    this.#service = service;
  }

  start(request: AppendRequest, dependencies: ReadonlySet<OpFuture> | undefined): QueuedAppend {
    let known = this.#request;
    if (known === undefined || !isSameRequest(known, request)) {
      this.#service.check(request);
      known = copyRequest(request);
      this.#request = known;
    }
    const append = new QueuedAppend(this, known, listOf(dependencies));
    if (this.#tail === undefined) this.#head = append;
    else this.#tail.next = append;
    this.#tail = append;
    return append;
  }

  /** Done when everything started before now is; undefined when there is nothing. */
  pending(): OpFuture | undefined {
    if (this.#tail === undefined) return this.#last;
    this.#tail.barrier ??= new Barrier();
    return this.#tail.barrier;
  }

  contentFor(append: QueuedAppend): ChunkList {
    if (append !== this.#head) return this.#newContent(0);
    const batch = this.#batchFor(append);
    this.#direct = batch;
    append.start = batch.content.length;
    return batch.content;
  }

  ended(append: QueuedAppend): void {
    if (append === this.#head) this.#fold();
    else if (append.state === "rolled-back") append.content?.clear();
  }

  /** The service was told to give up: nobody is waited for any more, not even those who still write. */
  giveUp(reason: unknown): void {
    let writing = false;
    for (let append = this.#head; append !== undefined; append = append.next) {
      if (append.state !== "writing") continue;
      append.giveUp(reason);
      writing = true;
    }
    if (writing) this.#fold();
    this.#wake?.();
  }

  /** Folds appends up to the first that is still being written. */
  #fold(): void {
    let append = this.#head;
    while (append !== undefined && append.state !== "writing") {
      let batch = this.#direct;
      this.#direct = undefined;
      if (append.state === "rolled-back") {
        if (batch !== undefined) batch.content.truncate(append.start);
        else append.content?.clear();
      } else {
        if (batch === undefined) {
          batch = this.#batchFor(append);
          if (append.content !== undefined) batch.content.append(append.content);
        }
        batch.appends++;
        append.bind(batch);
      }
      append.barrier?.bind(this.#last);
      append = append.forget();
    }
    this.#head = append;
    if (append === undefined) this.#tail = undefined;
    if (this.#running) return;
    this.#running = true;
    void this.#run();
  }

  #batchFor({ request, dependencies }: QueuedAppend): Batch {
    const last = this.#last;
    if (
      last !== undefined &&
      this.#growing &&
      last.content.length <= this.#service.cutoffBytes &&
      isSameRequest(last.request, request) &&
      isCovered(dependencies, last.dependencies)
    ) {
      return last;
    }
    const batch = new Batch(request, pendingSet(dependencies), this.#newContent(this.#lastBytes));
    if (last === undefined) this.#first = batch;
    else last.next = batch;
    this.#last = batch;
    this.#growing = true;
    return batch;
  }

  #newContent(expectedBytes: number): ChunkList {
    const { memory, observe } = this.#service;
    return new ChunkList(memory, observe, expectedBytes);
  }

  async #run(): Promise<void> {
    // What is appended in the same turn goes with the same RPC.
    await undefined;
    for (;;) {
      const batch = this.#first;
      if (batch === undefined) break;
      if (batch.appends === 0) {
        // Either it is being written for the first time, or all of it was rolled back.
        if (batch === this.#direct) break;
        this.#shift(batch);
        batch.settle(undefined, undefined);
        continue;
      }
      let outcome: BatchOutcome = { error: this.#service.failureOf(this.journal), response: undefined };
      if (outcome.error === undefined && batch.dependencies !== undefined) {
        outcome = { error: await this.#dependencies(batch.dependencies), response: undefined };
      }
      this.#seal(batch);
      if (outcome.error === undefined) outcome = await this.#service.send(batch, this.#pause);
      this.#shift(batch);
      batch.content.clear();
      if (outcome.error !== undefined) this.#service.fail(this.journal, outcome.error);
      batch.settle(outcome.error, outcome.response);
    }
    this.#running = false;
    if (this.#head === undefined && this.#first === undefined) this.#service.idle(this);
  }

  /** Takes the first batch out. */
  #shift(batch: Batch): void {
    this.#first = batch.next;
    if (this.#last === batch) {
      this.#last = undefined;
      this.#growing = false;
    }
    batch.next = undefined;
  }

  /** Nothing may join it any more. Who is just writing into it goes on in a list of his own. */
  #seal(batch: Batch): void {
    if (this.#last === batch) this.#growing = false;
    const head = this.#head;
    if (this.#direct === batch && head !== undefined) {
      const rest = batch.content.splitOff(head.start);
      head.content = rest.length === 0 ? undefined : rest;
      this.#direct = undefined;
    }
    this.#lastBytes = batch.content.length;
  }

  /** Waits for all of them; gives the error of the first that failed. */
  async #dependencies(dependencies: ReadonlySet<OpFuture>): Promise<unknown> {
    for (const dependency of dependencies) {
      try {
        const { done } = dependency;
        await this.#pause((resolve) => {
          done.then(resolve, resolve);
          return () => {};
        });
        const aborted = this.#service.failureOf(this.journal);
        if (aborted !== undefined) return aborted;
        if (pendingOf(dependency) === undefined) continue;
        const error = await dependency.err();
        if (error !== undefined) return dependencyFailed(this.journal, error);
      } catch (rejected) {
        // It was made by somebody else, and badly.
        return dependencyFailed(this.journal, rejected);
      }
    }
    return undefined;
  }

  /** Waits until `begin` calls back, or the service is told to give up. */
  readonly #pause = async (begin: (resolve: () => void) => () => void): Promise<void> => {
    if (this.#service.aborted) return;
    let cancel = (): void => {};
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      cancel = begin(resolve);
    });
    this.#wake = undefined;
    cancel();
  };
}

function dependencyFailed(journal: string, cause: unknown): JournalError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new JournalError("dependency-failed", `what an append to ${journal} waited for has failed: ${why}`, {
    cause,
    journal,
  });
}
