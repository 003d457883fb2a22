import { CoordError } from "@x/coord";
import {
  type CallOptions,
  checkKey,
  type FoundKey,
  type FoundMessage,
  type FrameChunk,
  formatSegmentId,
  type GetManyOptions,
  type LaneTarget,
  MAX_KEYS,
  type PublishBatch,
  type PublishReply,
  parseTopicName,
  type ReadRequest,
  type RefusalCode,
  type Runtime,
  type SegmentStatus,
  sleep,
  TopicError,
} from "@x/topic-gateway/protocol";
import { findKey } from "./find-key.js";
import type { HotSegment } from "./hot-segment.js";
import { type LaneHost, type LaneOwner, publishTo } from "./lanes.js";
import type { BufferNode, BufferStatus, PolledChunk } from "./node-api.js";
import { type BufferOptions, checkOptions, type NodeContext } from "./options.js";
import { TenureRun } from "./run-tenure.js";
import { backoffMs } from "./settle.js";
import { systemRuntime } from "./system.js";

export type { BufferNode, BufferStatus, PolledChunk, RangeStatus } from "./node-api.js";

/** Handing over takes well below a second; what holds it up longer (a store that is away) may last for ever. */
const DRAIN_MS = 3_000;

/**
 * Opens a buffer: registers it and begins to claim ranges. When its session is lost it starts again with a new one by itself;
 * what it held under the old one is never resumed, only taken over.
 * @throws TopicError "invalid-argument"; CoordError when the first session can't be opened; `signal.reason`
 */
export async function openBuffer(
  options: BufferOptions & { readonly signal?: AbortSignal },
): Promise<BufferNode> {
  const runtime = options.runtime ?? systemRuntime;
  const node = new Node(checkOptions(options, runtime), runtime);
  await node.start(options.signal);
  return node;
}

class Node implements BufferNode, LaneHost {
  readonly #context: NodeContext;
  readonly #runtime: Runtime;
  readonly #stop: AbortController = new AbortController();
  #run: TenureRun | undefined;
  readonly #listeners = new Set<(state: BufferStatus["state"]) => void>();
  #state: BufferStatus["state"] = "waiting";
  #running: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;

  constructor(context: NodeContext, runtime: Runtime) {
    this.#context = context;
    this.#runtime = runtime;
  }

  get id(): string {
    return this.#context.id;
  }
  get address(): string {
    return this.#context.address;
  }

  async start(signal: AbortSignal | undefined): Promise<void> {
    const onAbort = (): void => this.#stop.abort(signal?.reason);
    signal?.addEventListener("abort", onAbort);
    try {
      signal?.throwIfAborted();
      const first = await this.#begin();
      this.#running = this.#loop(first);
      // While it told that it has started: the loop ends what was begun.
      if (signal?.aborted) await this.#running;
      signal?.throwIfAborted();
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  async #begin(): Promise<TenureRun> {
    const run = await TenureRun.open(this.#context, this.#runtime, this.#stop.signal);
    this.#run = run;
    this.#become("serving");
    this.#context.emit({ type: "started", leaseId: run.tenure.session.leaseId });
    return run;
  }

  /** One tenure after the other. */
  async #loop(first: TenureRun): Promise<void> {
    const { signal } = this.#stop;
    let run: TenureRun | undefined = first;
    for (let attempt = 0; ; ) {
      let cause: unknown;
      if (run) {
        attempt = 0;
        cause = await run.over();
        this.#run = undefined;
        if (!signal.aborted) {
          this.#become("waiting");
          this.#context.emit({ type: "session-lost", cause });
        }
        await run.stop(cause);
        run = undefined;
      }
      if (signal.aborted) return;
      try {
        // On another history nothing of ours means what it did: somebody has to look before anybody goes on.
        if (hasCode(cause, "history-lost")) throw cause;
        run = await this.#begin();
      } catch (error) {
        if (signal.aborted) return;
        if (hasCode(error, "closed", "fenced", "history-lost")) {
          this.#become("failed");
          this.#context.emit({ type: "failed", cause: error });
          return;
        }
        attempt += 1;
        await sleep(this.#runtime.clock, backoffMs(this.#runtime, attempt, 100, 5_000), signal).catch(
          () => {},
        );
      }
    }
  }

  close({ signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    this.#closing ??= this.#close(signal);
    return this.#closing;
  }

  async #close(signal: AbortSignal | undefined): Promise<void> {
    this.#become("closing");
    const cut = new AbortController();
    const onAbort = (): void => cut.abort();
    const cancel = this.#runtime.clock.setTimer(DRAIN_MS, onAbort);
    signal?.addEventListener("abort", onAbort);
    if (signal?.aborted) onAbort();
    try {
      await this.#run?.drain(cut.signal);
    } catch {
      // Cut short: others take over what is left.
    } finally {
      cancel();
      signal?.removeEventListener("abort", onAbort);
    }
    this.#stop.abort(new TopicError("closed", `the buffer ${this.id} was closed`));
    await this.#running;
    this.#become("closed");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  status(): BufferStatus {
    const { owners, tenure } = this.#run ?? {};
    const ranges = [...(owners?.values() ?? [])].map(({ claim, phase, segment, intake }) => ({
      ...claim,
      phase,
      segment,
      queuedBytes: intake.bytes,
    }));
    return {
      id: this.id,
      address: this.address,
      state: this.#state,
      ranges,
      segments: tenure ? [...tenure.served.all()].length : 0,
      hotBytes: tenure?.served.memory.bytes ?? 0,
    };
  }

  listen(listener: (state: BufferStatus["state"]) => void): () => void {
    const own = (state: BufferStatus["state"]): void => listener(state);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  #become(state: BufferStatus["state"]): void {
    // Whoever closes goes on closing, also when a session comes or goes meanwhile.
    if (this.#state === "closing" && state !== "closed") return;
    this.#state = state;
    for (const listener of [...this.#listeners]) listener(state);
  }

  // --- BufferApi

  ownerOf(target: LaneTarget): LaneOwner | { readonly code: RefusalCode; readonly message: string } {
    if (this.#run) return this.#run.ownerOf(target);
    if (this.#state === "waiting")
      return { code: "not-owner", message: `the buffer ${this.id} holds nothing now` };
    return { code: "shutting-down", message: `the buffer ${this.id} is shutting down` };
  }

  publish(
    batches: AsyncIterable<PublishBatch>,
    options: CallOptions = {},
  ): AsyncGenerator<PublishReply, void, undefined> {
    return publishTo(this, batches, options.signal);
  }

  async *read(
    request: ReadRequest,
    { signal }: CallOptions = {},
  ): AsyncGenerator<FrameChunk, void, undefined> {
    signal?.throwIfAborted();
    yield* this.#served(request).read(request.fromSequence, signal);
  }

  async poll(request: ReadRequest, { signal }: CallOptions = {}): Promise<PolledChunk> {
    signal?.throwIfAborted();
    const segment = this.#served(request);
    if (request.fromSequence > segment.visible) return { chunk: undefined, atEnd: segment.sealed };
    for await (const chunk of segment.read(request.fromSequence, signal)) {
      return { chunk, atEnd: segment.sealed && chunk.firstSequence + chunk.count > segment.visible };
    }
    return { chunk: undefined, atEnd: false };
  }

  #served({ segment, fromSequence }: ReadRequest): HotSegment {
    if (!Number.isSafeInteger(fromSequence) || fromSequence < 1) {
      throw new TopicError(
        "invalid-argument",
        `reading starts at a sequence of at least 1, not ${fromSequence}`,
      );
    }
    const served = this.#run?.tenure.served.find(segment);
    if (!served)
      throw new TopicError(
        "not-owner",
        `the segment ${formatSegmentId(segment)} is not served by ${this.id}`,
      );
    return served;
  }

  async get(topic: string, key: string, options: GetManyOptions = {}): Promise<FoundMessage | undefined> {
    options.signal?.throwIfAborted();
    checkKey(key);
    const run = await this.#upToDate(topic, options);
    return await this.#find(run, { topic, key }, options);
  }

  async *getMany(
    topic: string,
    keys: readonly string[],
    options: GetManyOptions = {},
  ): AsyncGenerator<FoundKey, void, undefined> {
    options.signal?.throwIfAborted();
    if (keys.length > MAX_KEYS) {
      throw new TopicError(
        "invalid-argument",
        `one request asks for ${MAX_KEYS} keys at most, not ${keys.length}`,
      );
    }
    // A bad key fails the request before anything is answered, not in the middle.
    for (const key of keys) checkKey(key);
    const run = await this.#upToDate(topic, options);
    for (const [index, key] of keys.entries())
      yield { index, found: await this.#find(run, { topic, key }, options) };
  }

  /** The tenure of now, when it knows of all that it has to serve. @throws TopicError "not-owner", "unavailable", `signal.reason` */
  async #upToDate(topic: string, { signal, revision = 0n, lease }: GetManyOptions): Promise<TenureRun> {
    const run = this.#run;
    // That it has nothing would be believed, while what it had may be another's by now, or nobody's yet.
    if (!run || (lease !== undefined && lease !== run.tenure.session.leaseId)) throw this.#holdsNothing();
    const name = parseTopicName(topic);
    try {
      await run.seen.reach(name, revision, signal);
    } catch (error) {
      signal?.throwIfAborted();
      throw run.isOver ? this.#holdsNothing() : error;
    }
    run.tenure.served.adoptOurs(name);
    return run;
  }

  /** @throws TopicError "not-owner" when the tenure was over before there was an answer: another may have a newer one */
  async #find(
    { tenure }: TenureRun,
    wanted: { readonly topic: string; readonly key: string },
    options: GetManyOptions,
  ): Promise<FoundMessage | undefined> {
    const found = await findKey(tenure.served, wanted, options);
    if (!tenure.session.isAlive() || tenure.signal.aborted) throw this.#holdsNothing();
    return found;
  }

  #holdsNothing(): TopicError {
    return new TopicError("not-owner", `the buffer ${this.id} holds nothing now, or nothing of what it did`);
  }

  async describe(topic: string, { signal }: CallOptions = {}): Promise<readonly SegmentStatus[]> {
    signal?.throwIfAborted();
    const segments = this.#run?.tenure.served.ofTopic(parseTopicName(topic)) ?? [];
    return segments.map(({ hot, owned }) => ({
      segment: hot.id,
      durableSequence: hot.visible,
      bytes: hot.bytes,
      open: owned,
    }));
  }
}

function hasCode(error: unknown, ...codes: readonly CoordError["code"][]): boolean {
  return error instanceof CoordError && codes.includes(error.code);
}
