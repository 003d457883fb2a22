import { describe } from "./describe.js";
import { FanoutError, type Verdict } from "./errors.js";
import type { PointValue, RpcContext, Tie } from "./rpc.js";
import type { SchedulerEvent } from "./scheduler/contract.js";

/** What a request tells of itself; the time is added by who passes it on. */
export type RequestReport =
  | { readonly type: "result"; readonly request: number; readonly offset?: number }
  | { readonly type: "end" | "begun"; readonly request: number }
  | Omit<Extract<SchedulerEvent<unknown, unknown>, { type: "error" }>, "nowMs">;

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
  report(event: RequestReport): void;
  /** Something of the rpc runs on its own now, until `closed` is called as often. */
  opened(): void;
  closed(): void;
}

/** Thrown within this file: the rpc did what it must not do. */
class Misbehaviour {
  readonly error: FanoutError;
  readonly verdict: Verdict;
  readonly #ours = true;

  constructor(message: string, verdict: Verdict["class"]) {
    this.error = new FanoutError("bad-result", message);
    this.verdict = { class: verdict };
  }

  /** Not `instanceof`: an rpc may throw a proxy that does not stand being looked at. */
  static is(thrown: unknown): thrown is Misbehaviour {
    return typeof thrown === "object" && thrown !== null && #ours in thrown;
  }
}

/** What the rpc is told. */
class RequestContext<V> implements RpcContext<V> {
  declare readonly signal: AbortSignal;
  readonly timeoutMs: number;
  readonly attempt: number;
  declare tie?: { -readonly [K in keyof Tie<V>]: Tie<V>[K] };
  readonly #request: { signal(): AbortSignal };

  constructor(request: { signal(): AbortSignal }, timeoutMs: number, attempt: number) {
    this.#request = request;
    this.timeoutMs = timeoutMs;
    this.attempt = attempt;
    // Its own, so that a copy by `{ ...context }` has it. One function for all, or each context would be of a shape of its own.
    Object.defineProperty(this, "signal", RequestContext.#signal);
  }

  static readonly #signal: PropertyDescriptor & ThisType<RequestContext<unknown>> = {
    enumerable: true,
    get() {
      return this.#request.signal();
    },
  };
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
  #offset: number | undefined;
  #iterator: AsyncIterator<unknown> | undefined;
  #proceed: (() => void) | undefined;
  /** The offsets as a set, with `perPoint` only. */
  #own: ReadonlySet<unknown> | undefined;

  constructor(
    owner: Owner,
    {
      request,
      view,
      offsets,
      timeoutMs,
      attempt,
    }: {
      readonly request: number;
      readonly view: V;
      readonly offsets: readonly number[];
      readonly timeoutMs: number;
      readonly attempt: number;
    },
  ) {
    this.owner = owner;
    this.id = request;
    this.view = view;
    // The rpc and the reader get the same array, so neither may change it.
    this.offsets = Object.freeze(offsets);
    this.context = new RequestContext(this, timeoutMs, attempt);
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
      if (!this.#over) this.owner.report({ type: "begun", request: this.id });
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

  /** The result of the last report; `offset` with `perPoint`. */
  takeResult(): { readonly result: unknown; readonly offset: number | undefined } {
    const result = this.#result;
    this.#result = undefined;
    return { result, offset: this.#offset };
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
      if (!this.#over) this.#end({ type: "end", request: this.id });
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
      const step: unknown = await this.#next(iterator);
      if (this.#over) return;
      if (typeof step !== "object" || step === null) {
        throw new Misbehaviour(
          `The rpc's iterator gave ${describe(step)} instead of a result object.`,
          "retryable",
        );
      }
      if ("done" in step && step.done) {
        this.#iterator = undefined;
        return;
      }
      this.#report("value" in step ? step.value : undefined);
    }
  }

  async #next(iterator: AsyncIterator<unknown>): Promise<unknown> {
    try {
      return await iterator.next();
    } catch (error) {
      // It has ended by itself and is not closed.
      this.#iterator = undefined;
      throw error;
    }
  }

  #room(): Promise<void> {
    return new Promise((resolve) => {
      this.#proceed = resolve;
      this.owner.waitForRoom(this);
    });
  }

  #report(result: unknown): void {
    if (this.owner.perPoint) {
      const { offset, value } = this.#pointValue(result);
      this.#result = value;
      this.#offset = offset;
      this.owner.report({ type: "result", request: this.id, offset });
    } else {
      this.#result = result;
      this.owner.report({ type: "result", request: this.id });
    }
  }

  #pointValue(result: unknown): PointValue<unknown> {
    if (typeof result !== "object" || result === null || !("offset" in result && "value" in result)) {
      throw new Misbehaviour(
        `With perPoint an rpc yields { offset, value }, and this one gave ${describe(result)}.`,
        "retryable",
      );
    }
    const { offset, value } = result;
    this.#own ??= new Set<unknown>(this.offsets);
    if (typeof offset !== "number" || !this.#own.has(offset)) {
      throw new Misbehaviour(
        `With perPoint an rpc yields the offsets of its request, and this one gave the offset ${describe(offset)}.`,
        "retryable",
      );
    }
    return { offset, value };
  }

  #fail(caught: unknown): void {
    this.#close();
    const { error, verdict } = Misbehaviour.is(caught)
      ? caught
      : { error: caught, verdict: this.owner.classify(caught, this.view) };
    this.#end({ type: "error", request: this.id, error, verdict });
  }

  #end(event: RequestReport): void {
    this.#over = true;
    this.#result = undefined;
    this.owner.report(event);
  }

  #close(): void {
    const iterator = this.#iterator;
    if (iterator === undefined) return;
    this.#iterator = undefined;
    this.owner.opened();
    void closeIterator(iterator).then(() => this.owner.closed());
  }
}

/** The iterator of what an rpc returned, or undefined when that is a promise. */
function openIterator(returned: unknown): AsyncIterator<unknown> | undefined {
  if ((typeof returned !== "object" && typeof returned !== "function") || returned === null) {
    throw badReturn(returned);
  }
  const open: unknown = Reflect.get(returned, Symbol.asyncIterator);
  if (typeof open === "function") {
    const iterator: unknown = open.call(returned);
    if (isIterator(iterator)) return iterator;
    throw badReturn(returned);
  }
  if (returned instanceof Promise || typeof Reflect.get(returned, "then") === "function") return undefined;
  throw badReturn(returned);
}

function isIterator(value: unknown): value is AsyncIterator<unknown> {
  return typeof value === "object" && value !== null && typeof Reflect.get(value, "next") === "function";
}

function badReturn(returned: unknown): Misbehaviour {
  return new Misbehaviour(
    `An rpc returns a promise or an async iterable, and this one returned ${describe(returned)}.`,
    // It is the program that is wrong: another server would do no better.
    "not-retryable",
  );
}

/** Resolves when the iterator has cleaned up, however that went. */
async function closeIterator(iterator: AsyncIterator<unknown>): Promise<void> {
  try {
    await iterator.return?.();
  } catch {
    // Whoever is not wanted any more has nobody to complain to.
  }
}
