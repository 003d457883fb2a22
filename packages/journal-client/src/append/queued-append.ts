import { JournalError } from "../errors.js";
import type { AppendRequest } from "../protocol/requests.js";
import type { AppendResponse } from "../protocol/responses.js";
import type { AppendWriter, AsyncAppend } from "./async-journal-client.js";
import type { Barrier, Batch } from "./batch.js";
import type { ChunkList } from "./chunk-list.js";
import type { OpFuture } from "./op-future.js";
import { Settlement } from "./settlement.js";

/** What an append needs of the chain of its journal. */
export interface AppendQueue {
  /** Where the bytes of an append that has none yet go: the batch itself when everything before it is released, else a list of its own. */
  contentFor(append: QueuedAppend): ChunkList;
  /** The append was released or has given up. */
  ended(append: QueuedAppend): void;
}

interface Failure {
  readonly error: unknown;
  /** Its service ended it, before it was released. */
  readonly givenUp?: boolean;
}

/** Its own writer, to spare an object per append. */
export class QueuedAppend implements AsyncAppend, AppendWriter {
  readonly request: AppendRequest;
  dependencies: readonly OpFuture[] | undefined;
  state: "writing" | "released" | "rolled-back" = "writing";
  content: ChunkList | undefined;
  /** Of a content that is shared with its batch: where it begins. */
  start = 0;
  /** What it goes with, as soon as that is known. */
  batch: Batch | undefined = undefined;
  /** Started after this one, in the same journal. */
  next: QueuedAppend | undefined = undefined;
  /** Whoever waits for everything up to this one. */
  barrier: Barrier | undefined = undefined;
  readonly #queue: AppendQueue;
  #failure: Failure | undefined = undefined;
  #end: Settlement | undefined = undefined;

  constructor(queue: AppendQueue, request: AppendRequest, dependencies: readonly OpFuture[] | undefined) {
    this.#queue = queue;
    this.request = request;
    this.dependencies = dependencies;
  }

  get writer(): AppendWriter {
    return this;
  }

  write(content: Uint8Array | string): void {
    if (this.state !== "writing") throw this.#tooLate("written to");
    try {
      let list = this.content;
      if (list === undefined) {
        list = this.#queue.contentFor(this);
        this.content = list;
      }
      if (typeof content === "string") list.writeText(content);
      else if (content instanceof Uint8Array) list.write(content);
      else throw new JournalError("invalid-argument", "what is written has to be a Uint8Array or a string");
    } catch (error) {
      this.#failure ??= { error };
      throw error;
    }
  }

  require(error: unknown): this {
    if (this.#failure?.givenUp) return this;
    if (this.state !== "writing") throw this.#tooLate("required of");
    if (error !== undefined && error !== null) this.#failure ??= { error };
    return this;
  }

  release(): void {
    if (this.state !== "writing") throw this.#tooLate("released");
    const failure = this.#failure;
    this.state = failure === undefined ? "released" : "rolled-back";
    this.#queue.ended(this);
    if (failure === undefined) return;
    this.#end?.settle();
    throw failure.error;
  }

  /**
   * Ends it although it is not released: whoever writes it is told so when he goes on. To all others it has failed, as if it had been
   * released; unless it was to be rolled back anyway.
   */
  giveUp(reason: unknown): void {
    const failure = this.#failure;
    this.#failure = { error: failure === undefined ? reason : failure.error, givenUp: true };
    this.state = failure === undefined ? "released" : "rolled-back";
    if (failure !== undefined) this.#end?.settle();
  }

  get done(): Promise<void> {
    if (this.batch !== undefined && this.#end === undefined) return this.batch.done;
    if (this.#end === undefined) {
      this.#end = new Settlement();
      if (this.state === "rolled-back") this.#end.settle();
    }
    return this.#end.promise;
  }

  async err(): Promise<unknown> {
    await this.done;
    return this.#failure === undefined ? this.batch?.error : this.#failure.error;
  }

  get response(): AppendResponse | undefined {
    return this.batch?.response;
  }

  /** Whether it is no reason to wait, or to fail: an append that was rolled back concerns nobody else. */
  get succeeded(): boolean {
    return this.state === "rolled-back" || this.batch?.succeeded === true;
  }

  /** Lets go of what an append that somebody keeps must not keep alive, and gives the next one. */
  forget(): QueuedAppend | undefined {
    const { next } = this;
    this.next = undefined;
    this.content = undefined;
    this.dependencies = undefined;
    this.barrier = undefined;
    return next;
  }

  bind(batch: Batch): void {
    this.batch = batch;
    const end = this.#end;
    if (end !== undefined) void batch.done.then(() => end.settle());
  }

  #tooLate(what: string): unknown {
    if (this.#failure?.givenUp) return this.#failure.error;
    const { journal } = this.request;
    return new JournalError("invalid-argument", `an append to ${journal} was ${what} after its release`, {
      journal,
    });
  }
}
