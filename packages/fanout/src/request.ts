import type { Verdict } from "./errors.js";
import { RequestContext } from "./request-context.js";
import { checkPointValue, checkStep, closeIterator, Misbehaviour, openIterator } from "./returned.js";
import type { Chunk, RpcContext } from "./rpc.js";
import type { SchedulerAction, SchedulerEvent } from "./scheduler/contract.js";

/** What a request tells of itself. */
export type RequestReport = Extract<SchedulerEvent<unknown, unknown>, { readonly request: number }>;

/** The call that a request belongs to, as far as the request sees it. */
export interface RequestOwner<V> {
  readonly perPoint: boolean;
  /** False while the reader is behind. */
  readonly hasRoom: boolean;
  /** `proceed` of the request is called when there is room again. */
  waitForRoom(request: { proceed(): void }): void;
  /** Calls the rpc, which may throw. */
  invoke(view: V, offsets: readonly number[], context: RpcContext<V>): unknown;
  classify(error: unknown, view: V): Verdict;
  nowMs(): number;
  report(event: RequestReport): void;
  /** Something of the rpc runs on its own now, until `closed` is called as often. */
  opened(): void;
  closed(): void;
}

/** One rpc under way: its results are pulled one at a time and reported, and so is its end, unless it was aborted before. */
export class RunningRequest<V, Owner extends RequestOwner<V> = RequestOwner<V>> {
  readonly id: number;
  readonly view: V;
  readonly offsets: readonly number[];
  readonly context: RequestContext<V>;
  readonly owner: Owner;
  /** Made when it is asked for: many an rpc never does, and a signal costs more than all the rest of a request. */
  #controller: AbortController | undefined;
  #aborted: { readonly reason: unknown } | undefined;
  /** Nothing of it is wanted any more. */
  #over = false;
  /** The last result, from its report until it is taken. */
  #result: unknown;
  /** With `perPoint`: whose value that is. */
  #offset: number | undefined;
  #iterator: AsyncIterator<unknown> | undefined;
  #proceed: (() => void) | undefined;

  constructor(
    owner: Owner,
    action: Omit<Extract<SchedulerAction<unknown, V>, { readonly type: "send" }>, "type" | "call">,
  ) {
    this.owner = owner;
    this.id = action.request;
    this.view = action.view;
    // The rpc and the reader get the same array, so neither may change it.
    this.offsets = Object.freeze(action.offsets);
    this.context = new RequestContext(this, action.timeoutMs, action.attempt);
  }

  /** Calls the rpc. Reports everything later than the caller's turn, or into a queue; never throws. */
  start(): void {
    void this.#run();
  }

  /** Before `start`: makes it the second of a pair, or the first of one whose second may follow. */
  tie(other: RunningRequest<V, Owner> | undefined, newId: () => string): void {
    // The first one's server has its id already, even when that one is the second of an earlier pair.
    const id = other?.context.tie?.id ?? newId();
    const begun = (): void => {
      const { owner, id } = this;
      if (!this.#over) owner.report({ type: "begun", nowMs: owner.nowMs(), request: id });
    };
    this.context.tie = { id, view: other?.view, begun };
    if (other?.context.tie !== undefined) other.context.tie.view = this.view;
  }

  /** Says that nothing of it is wanted any more. Does not wait for the rpc to notice. */
  abort(reason: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#result = undefined;
    this.#aborted = { reason };
    this.#controller?.abort(reason);
    this.#close();
    this.proceed();
  }

  signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted.reason);
    }
    return this.#controller.signal;
  }

  proceed(): void {
    this.#proceed?.();
    this.#proceed = undefined;
  }

  /** The result of the last report. */
  takeChunk(duplicates: readonly number[]): Chunk<V, unknown> {
    const offsets = this.#offset === undefined ? this.offsets : [this.#offset];
    const result = this.#result;
    this.#result = undefined;
    return { view: this.view, offsets, result, duplicates };
  }

  async #run(): Promise<void> {
    this.owner.opened();
    try {
      const returned = this.owner.invoke(this.view, this.offsets, this.context);
      const iterator = openIterator(returned);
      if (iterator === undefined) {
        const result: unknown = await returned;
        if (!this.#over) this.#report(result);
      } else {
        this.#iterator = iterator;
        await this.#pull(iterator);
      }
      if (!this.#over) this.#end();
    } catch (caught) {
      if (!this.#over) this.#fail(caught);
    } finally {
      this.owner.closed();
    }
  }

  async #pull(iterator: AsyncIterator<unknown>): Promise<void> {
    while (!this.#over) {
      if (!this.owner.hasRoom) {
        await this.#room();
        continue;
      }
      let step: unknown;
      try {
        step = await iterator.next();
      } catch (error) {
        // It has ended by itself and is not closed.
        this.#iterator = undefined;
        throw error;
      }
      if (this.#over) return;
      const checked = checkStep(step);
      if (checked.done) {
        this.#iterator = undefined;
        return;
      }
      this.#report(checked.value);
    }
  }

  #room(): Promise<void> {
    return new Promise((resolve) => {
      this.#proceed = resolve;
      this.owner.waitForRoom(this);
    });
  }

  #report(result: unknown): void {
    const { owner, id } = this;
    if (owner.perPoint) {
      const { offset, value } = checkPointValue(result);
      this.#offset = offset;
      this.#result = value;
    } else this.#result = result;
    owner.report({ type: "result", nowMs: owner.nowMs(), request: id, offset: this.#offset });
  }

  #fail(caught: unknown): void {
    this.#close();
    const { owner, id, view } = this;
    const { error, verdict } = Misbehaviour.is(caught)
      ? caught
      : { error: caught, verdict: owner.classify(caught, view) };
    this.#forget();
    owner.report({ type: "error", nowMs: owner.nowMs(), request: id, error, verdict });
  }

  #end(): void {
    const { owner, id } = this;
    this.#forget();
    owner.report({ type: "end", nowMs: owner.nowMs(), request: id });
  }

  #forget(): void {
    this.#over = true;
    this.#result = undefined;
  }

  #close(): void {
    const iterator = this.#iterator;
    if (iterator === undefined) return;
    this.#iterator = undefined;
    this.owner.opened();
    void closeIterator(iterator).then(() => this.owner.closed());
  }
}
