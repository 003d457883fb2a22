import { type Begun, begin, type CallArguments } from "./begun.js";
import { checkVerdict } from "./classify.js";
import { Delivery, type Failure } from "./delivery.js";
import { attempt } from "./describe.js";
import type { PointFailure, Verdict } from "./errors.js";
import { failedCall, unsentCall } from "./failed-call.js";
import type { CallRequest, Machine, MachineCall } from "./machine.js";
import { type RequestReport, RunningRequest } from "./request.js";
import type { Chunk, RpcContext } from "./rpc.js";
import { newViews, type ViewSource, type Views } from "./views.js";
import { ViewsReading } from "./views-reading.js";

type ReadViews<V> = Extract<ViewSource<V>, (...args: never) => unknown>;

/** The life of one call, between its reader and the machine of its fanout. */
export class CallRun<V> implements MachineCall<V> {
  /** Resolves when the call is over and all its rpcs have returned. */
  readonly settled: Promise<void>;
  failures: readonly PointFailure<unknown, V>[] = [];
  readonly #openMachine: () => Machine<V>;
  readonly #arguments: CallArguments<V>;
  readonly #delivery: Delivery<Chunk<V, unknown>> = new Delivery((behind) => this.#onPace(behind));
  #begun: Begun<V> | undefined;
  /** "over": there is nothing of it in the machine (any more). */
  #phase: "new" | "reading views" | "live" | "over" = "new";
  /** How it ended, once that is known. The reader learns of it when `waitForLosers` allows. */
  #outcome: { readonly failure: Failure | undefined } | undefined;
  /** How many things of its rpcs run on their own. */
  #open = 0;
  #waiting: { proceed(): void }[] = [];
  #reading: ViewsReading<V> | undefined;
  #cancelDeadline: (() => void) | undefined;
  #notWanted: unknown;
  #settle: () => void = () => {};

  constructor(openMachine: () => Machine<V>, args: CallArguments<V>) {
    this.#openMachine = openMachine;
    this.#arguments = args;
    this.settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  // What the reader does.

  read(): Promise<IteratorResult<Chunk<V, unknown>, void>> {
    if (this.#phase === "new") this.#start();
    // Chunks may wait after the call is over, when the signal is not listened to any more.
    else if (this.#begun?.options.signal?.aborted) this.#onAbort();
    return this.#delivery.read();
  }

  /** The reader wants no more. Resolves at once, or with `waitForLosers` when they have returned. @throws `signal.reason` while it waits for them */
  async leave(): Promise<void> {
    this.#delivery.clear();
    this.#outcome = { failure: undefined };
    this.#stop();
    this.#tellReader();
    if (this.#begun?.options.waitForLosers) await unlessAborted(this.settled, this.#begun.options.signal);
  }

  readonly #onAbort = (): void => {
    const signal = this.#begun?.options.signal;
    if (signal === undefined || this.#delivery.drained) return;
    this.#delivery.clear();
    this.#outcome = { failure: { error: signal.reason } };
    this.#stop();
    signal.removeEventListener("abort", this.#onAbort);
    // Also with `waitForLosers`: this is the way out when one of them never returns.
    this.#delivery.end(this.#outcome.failure);
  };

  // How it begins.

  #start(): void {
    try {
      const { points, views } = this.#arguments;
      const begun = begin(this.#openMachine(), this.#arguments);
      const { signal, maxBufferedChunks } = begun.options;
      this.#begun = begun;
      this.#delivery.mostWaiting = maxBufferedChunks;
      if (signal?.aborted) {
        this.#end({ error: signal.reason });
        return;
      }
      signal?.addEventListener("abort", this.#onAbort);
      if (points.length === 0) this.#goLive(begun, newViews<V>([]));
      else if (typeof views === "function") this.#readFirstViews(begun, views);
      else this.#goLive(begun, views);
    } catch (error) {
      this.#end({ error });
    }
  }

  #goLive({ id, machine, sorted, deadlineMs, options }: Begun<V>, views: Views<V>): void {
    this.#phase = "live";
    const viewsCanBeRead = typeof this.#arguments.views === "function";
    machine.start(this, {
      type: "start",
      nowMs: machine.nowMs(),
      call: id,
      points: sorted,
      views,
      options: { ...options.scheduling, deadlineMs, viewsCanBeRead, sendPartial: options.allowPartial },
    });
  }

  #readFirstViews(begun: Begun<V>, read: ReadViews<V>): void {
    const { machine, deadlineMs } = begun;
    this.#phase = "reading views";
    if (deadlineMs !== Number.POSITIVE_INFINITY) {
      this.#cancelDeadline = machine.setAlarm(deadlineMs, () =>
        this.#failUnsent(begun, "deadline", undefined),
      );
    }
    this.#readViewsWith(
      read,
      (views) => {
        this.#cancelDeadline?.();
        this.#goLive(begun, views);
      },
      (error) => this.#failUnsent(begun, "uncovered", { error }),
    );
  }

  /** There are no views to begin with. The scheduler never hears of the call, so the steps are told here. */
  #failUnsent(
    { id, machine, space, sorted, options }: Begun<V>,
    reason: "uncovered" | "deadline",
    failed: Failure | undefined,
  ): void {
    const { points } = sorted;
    const step = { atMs: machine.nowMs(), call: id };
    machine.tell(this, {
      ...step,
      type: "plan",
      points: points.length,
      requests: 0,
      uncovered: points.length,
    });
    machine.tell(this, { ...step, type: "done", satisfied: 0, failed: points.length });
    this.failures = points.map((point, offset) => ({ offset, point, reason, causes: [] }));
    if (failed === undefined && options.allowPartial) this.#end(undefined);
    else this.#end({ error: unsentCall(space, { code: reason, failures: this.failures }, failed) });
  }

  #readViewsWith(
    read: ReadViews<V>,
    onViews: (views: Views<V>) => void,
    onError: (error: unknown) => void,
  ): void {
    const { machine, options } = this.#get();
    const reading = new ViewsReading<V>({
      read,
      onViews,
      onError,
      nowMs: machine.nowMs(),
      idleTimeoutMs: options.scheduling.idleTimeoutMs,
      setAlarm: (dueMs, ring) => machine.setAlarm(dueMs, ring),
    });
    this.#reading = reading;
    this.runInContext(() => reading.start());
  }

  // What the machine asks for.

  get id(): number {
    return this.#get().id;
  }

  abortReason(): unknown {
    const signal = this.#begun?.options.signal;
    if (signal?.aborted) return signal.reason;
    this.#notWanted ??= new DOMException("The request is not wanted any more.", "AbortError");
    return this.#notWanted;
  }

  prepare(action: ConstructorParameters<typeof RunningRequest<V>>[1]): CallRequest<V> {
    return new RunningRequest<V, MachineCall<V>>(this, action);
  }

  deliver(chunk: Chunk<V, unknown>): void {
    this.#delivery.push(chunk);
  }

  readViews(): void {
    const { views } = this.#arguments;
    const { id, machine } = this.#get();
    if (typeof views !== "function") return;
    this.#readViewsWith(
      views,
      (read) => machine.report({ type: "views", nowMs: machine.nowMs(), call: id, views: read }),
      (error) => machine.report({ type: "views-error", nowMs: machine.nowMs(), call: id, error }),
    );
  }

  finish({ code, failures, viewsError }: Parameters<MachineCall<V>["finish"]>[0]): void {
    const { options, space } = this.#get();
    this.failures = failures as readonly PointFailure<unknown, V>[];
    if (code === "ok" || code === "stopped" || options.allowPartial) this.#end(undefined);
    else this.#end({ error: failedCall(space, { code, failures, viewsError }) });
  }

  crash(error: unknown): void {
    this.#end({ error });
  }

  runInContext(task: () => void): void {
    this.#get().context.runInAsyncScope(task);
  }

  // What its requests need.

  get perPoint(): boolean {
    return this.#get().options.scheduling.perPoint;
  }

  get hasRoom(): boolean {
    return !this.#delivery.behind;
  }

  waitForRoom(request: { proceed(): void }): void {
    this.#waiting.push(request);
  }

  invoke(view: V, offsets: readonly number[], context: RpcContext<V>): unknown {
    const { rpc } = this.#arguments;
    return rpc(view, offsets, context);
  }

  classify(error: unknown, view: V): Verdict {
    const { classify } = this.#get().machine.options;
    return checkVerdict(attempt(() => classify(error, view)));
  }

  nowMs(): number {
    return this.#get().machine.nowMs();
  }

  report(event: RequestReport): void {
    this.#get().machine.report(event);
  }

  opened(): void {
    this.#open += 1;
  }

  closed(): void {
    this.#open -= 1;
    if (this.#open > 0 || this.#phase !== "over") return;
    this.#settle();
    this.#tellReader();
  }

  #onPace(behind: boolean): void {
    if (this.#phase !== "live") return;
    const { id, machine } = this.#get();
    machine.report({ type: behind ? "pause" : "resume", nowMs: machine.nowMs(), call: id });
    if (!behind) for (const request of this.#waiting.splice(0)) request.proceed();
  }

  // How it ends.

  #get(): Begun<V> {
    if (this.#begun === undefined)
      throw new Error("A call that has not begun has neither requests nor views.");
    return this.#begun;
  }

  #stop(): void {
    if (this.#phase !== "live") {
      this.#end(undefined);
      return;
    }
    const { id, machine } = this.#get();
    machine.report({ type: "stop", nowMs: machine.nowMs(), call: id });
  }

  /** It is over. An outcome that is known already stays. */
  #end(failure: Failure | undefined): void {
    this.#outcome ??= { failure };
    this.#phase = "over";
    this.#reading?.cancel(this.abortReason());
    this.#cancelDeadline?.();
    if (this.#open === 0) this.#settle();
    this.#tellReader();
  }

  #tellReader(): void {
    if (this.#outcome === undefined) return;
    if (this.#open > 0 && this.#begun?.options.waitForLosers) return;
    this.#begun?.options.signal?.removeEventListener("abort", this.#onAbort);
    this.#delivery.end(this.#outcome.failure);
  }
}

/** @throws `signal.reason` when it is aborted before that */
async function unlessAborted(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal?.reason);
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort);
  });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}
