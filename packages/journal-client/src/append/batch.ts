import type { AppendRequest } from "../protocol/requests.js";
import type { AppendResponse } from "../protocol/responses.js";
import type { ChunkList } from "./chunk-list.js";
import type { OpFuture } from "./op-future.js";
import { Settlement } from "./settlement.js";

/** Appends of a journal that go with one RPC. */
export class Batch implements OpFuture {
  readonly request: AppendRequest;
  /** What has to be done before; those that had succeeded already are left out. */
  dependencies: ReadonlySet<OpFuture> | undefined;
  readonly content: ChunkList;
  /** How many appends are in it. One without any is never sent. */
  appends = 0;
  next: Batch | undefined;
  error: unknown;
  response: AppendResponse | undefined;
  readonly #end = new Settlement();

  constructor(request: AppendRequest, dependencies: ReadonlySet<OpFuture> | undefined, content: ChunkList) {
    this.request = request;
    this.dependencies = dependencies;
    this.content = content;
  }

  get done(): Promise<void> {
    return this.#end.promise;
  }

  async err(): Promise<unknown> {
    await this.#end.promise;
    return this.error;
  }

  get succeeded(): boolean {
    return this.#end.settled && this.error === undefined;
  }

  settle(error: unknown, response: AppendResponse | undefined): void {
    this.error = error;
    this.response = response;
    // Or whoever keeps an append would keep all that it waited for, and what that waited for.
    this.dependencies = undefined;
    this.#end.settle();
  }
}

/** Stands for a batch that is not known yet. */
export class Barrier implements OpFuture {
  #batch: Batch | undefined;
  readonly #end = new Settlement();

  get done(): Promise<void> {
    return this.#end.promise;
  }

  async err(): Promise<unknown> {
    await this.#end.promise;
    return this.#batch?.error;
  }

  /** The batch; undefined while it is not known. */
  get batch(): Batch | undefined {
    return this.#batch;
  }

  get succeeded(): boolean {
    return this.#end.settled && this.#batch?.error === undefined;
  }

  /** To a batch, or to nothing: then it is done. */
  bind(batch: Batch | undefined): void {
    this.#batch = batch;
    if (batch === undefined) this.#end.settle();
    else void batch.done.then(() => this.#end.settle());
  }
}
