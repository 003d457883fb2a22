import {
  type IdRun,
  type LaneSender,
  type LaneTarget,
  type PublishBatch,
  type PublishReply,
  type RefusalCode,
  TopicError,
} from "@x/topic-gateway/protocol";
import type { AppendSender } from "./append-queue.js";
import { parseEntries } from "./entries.js";

/** The lanes that one stream may have opened in its life. A sender opens one for a range and after each refusal. */
const MAX_LANES = 65_536;
/**
 * Batches of one stream that were accepted and whose answers nobody has taken, before no more are read: those that wait for the log, too,
 * since all of them may be answered at once. As many as a client of ours has on its way in a thousand ranges at most.
 */
const MAX_UNTOLD = 16_384;

/** The owner of a range, as lanes see it. */
export interface LaneOwner {
  /** From now on the sender is told when the owner ends, or when a newer lane comes from where this one does. */
  attach(sender: AppendSender, from: LaneSender | undefined): void;
  detach(sender: AppendSender): void;
  /** Takes a batch, or says by `sender.decline` that it takes neither this nor anything else of the sender. */
  accept(sender: AppendSender, batch: number, bodies: readonly Buffer[], bytes: number): void;
  /** Undefined if there is room for more; else resolves when there is, or when the owner ends. */
  room(): Promise<void> | undefined;
}

export interface LaneHost {
  /** Whoever takes appends for the lane, or why nobody does. */
  ownerOf(target: LaneTarget): LaneOwner | { readonly code: RefusalCode; readonly message: string };
}

class Lane implements AppendSender {
  readonly number: number;
  readonly target: LaneTarget;
  readonly #onNews: (lane: Lane) => void;
  owner: LaneOwner | undefined;
  nextBatch = 1;
  /** Batches accepted and neither acknowledged nor given up. */
  outstanding = 0;
  /** Batches accepted whose answer nobody has taken yet: the outstanding ones, and those answered since. */
  untold = 0;
  #acked = 0;
  #runs: IdRun[] = [];
  #refusal: { readonly code: RefusalCode; readonly message: string } | undefined;

  constructor(number: number, target: LaneTarget, onNews: (lane: Lane) => void) {
    this.number = number;
    this.target = target;
    this.#onNews = onNews;
  }

  acknowledge(batch: number, time: bigint, sequence: number, count: number): void {
    this.outstanding -= 1;
    this.#acked = batch;
    const last = this.#runs.at(-1);
    if (last && last.sequence + last.count === sequence && last.time + BigInt(last.count) === time) {
      this.#runs[this.#runs.length - 1] = {
        time: last.time,
        sequence: last.sequence,
        count: last.count + count,
      };
    } else {
      this.#runs.push({ time, sequence, count });
    }
    this.#onNews(this);
  }

  decline(code: RefusalCode, message: string): void {
    this.outstanding -= 1;
    this.refuseLater(code, message);
  }

  refuse(code: RefusalCode, message: string): void {
    this.outstanding = 0;
    this.refuseLater(code, message);
  }

  /** Batches that were accepted are answered first. */
  refuseLater(code: RefusalCode, message: string): void {
    this.#refusal ??= { code, message };
    this.#onNews(this);
  }

  get isRefused(): boolean {
    return this.#refusal !== undefined;
  }

  /** What there is to say, and forgets it. */
  takeReplies(): PublishReply[] {
    const replies: PublishReply[] = [];
    if (this.#runs.length > 0) {
      replies.push({ type: "ack", lane: this.number, batch: this.#acked, runs: this.#runs });
      this.#runs = [];
    }
    if (this.#refusal && this.outstanding === 0 && this.owner) {
      this.owner.detach(this);
      this.owner = undefined;
      replies.push({ type: "refused", lane: this.number, ...this.#refusal });
    }
    return replies;
  }
}

/** Owns the lane of a target that nobody holds: so that a refusal is told by the same way as any other. */
const nobody: LaneOwner = { attach() {}, detach() {}, accept() {}, room: () => undefined };

/** One call of `publish`. */
class PublishStream {
  readonly #host: LaneHost;
  readonly #lanes: Map<number, Lane> = new Map();
  /** Lanes that have something to say, in the order in which it came up. */
  readonly #news: Set<Lane> = new Set();
  #wake: () => void = () => {};
  /** The sum of that of the lanes. */
  #untold = 0;
  /** Wakes the pump that waits for a reader of the replies. */
  #resume: () => void = () => {};
  #inputEnded = false;
  #failure: { readonly error: unknown } | undefined;
  #stopped = false;

  constructor(host: LaneHost) {
    this.#host = host;
  }

  /** @throws TopicError "invalid-argument" if the stream makes no sense any more */
  accept(request: PublishBatch): LaneOwner | undefined {
    const lane = this.#laneOf(request);
    if (request.batch !== lane.nextBatch) {
      throw invalid(`lane ${lane.number} sent batch ${request.batch}: ${lane.nextBatch} comes next`);
    }
    lane.nextBatch += 1;
    // Sent before its sender heard of the refusal, which answers it too.
    if (lane.isRefused || !lane.owner) return undefined;
    let bodies: Buffer[];
    try {
      bodies = parseEntries(request.entries, lane.target.range);
    } catch (error) {
      lane.refuseLater("invalid-argument", error instanceof Error ? error.message : String(error));
      return undefined;
    }
    lane.outstanding += 1;
    lane.untold += 1;
    this.#untold += 1;
    lane.owner.accept(lane, request.batch, bodies, request.entries.length);
    return lane.owner;
  }

  #laneOf(request: PublishBatch): Lane {
    const known = this.#lanes.get(request.lane);
    if (known && !request.open) return known;
    if (known) throw invalid(`lane ${request.lane} was opened twice`);
    if (!request.open)
      throw invalid(`lane ${request.lane} was never opened: its first batch must say for what it is`);
    if (this.#lanes.size >= MAX_LANES)
      throw invalid(`a stream may open ${MAX_LANES} lanes: start another one`);
    const lane = new Lane(request.lane, request.open, (one) => this.#onNews(one));
    this.#lanes.set(request.lane, lane);
    const owner = this.#host.ownerOf(request.open);
    if ("code" in owner) {
      lane.owner = nobody;
      lane.refuse(owner.code, owner.message);
    } else {
      lane.owner = owner;
      owner.attach(lane, request.open.sender);
    }
    return lane;
  }

  #onNews(lane: Lane): void {
    this.#news.add(lane);
    this.#wake();
  }

  /**
   * Reads until the input ends, makes no sense, or the stream is stopped; then replies end by themselves. Waits while a range has no room,
   * and while too many replies were not taken.
   */
  async pump(batches: AsyncIterator<PublishBatch>): Promise<void> {
    try {
      for (;;) {
        const { done, value } = await batches.next();
        if (done || this.#stopped) break;
        const room = this.accept(value)?.room();
        if (room) await room;
        while (this.#untold >= MAX_UNTOLD && !this.#stopped) {
          await new Promise<void>((resolve) => {
            this.#resume = resolve;
          });
        }
        if (this.#stopped) break;
      }
    } catch (error) {
      this.#failure = { error };
    }
    this.#inputEnded = true;
    this.#wake();
  }

  async *replies(signal: AbortSignal | undefined): AsyncGenerator<PublishReply, void, undefined> {
    const onAbort = (): void => this.#wake();
    signal?.addEventListener("abort", onAbort);
    try {
      for (;;) {
        signal?.throwIfAborted();
        if (this.#failure) throw this.#failure.error;
        for (const lane of this.#news) {
          this.#news.delete(lane);
          const replies = lane.takeReplies();
          this.#untold -= lane.untold - lane.outstanding;
          lane.untold = lane.outstanding;
          this.#resume();
          yield* replies;
        }
        if (this.#inputEnded && !this.#failure && !this.#isOwed()) return;
        if (this.#news.size > 0 || this.#failure || signal?.aborted) continue;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.stop();
    }
  }

  #isOwed(): boolean {
    if (this.#news.size > 0) return true;
    for (const { outstanding } of this.#lanes.values()) if (outstanding > 0) return true;
    return false;
  }

  stop(): void {
    this.#stopped = true;
    this.#resume();
    for (const lane of this.#lanes.values()) lane.owner?.detach(lane);
  }
}

/** `BufferApi.publish` over whatever owns the ranges. */
export async function* publishTo(
  host: LaneHost,
  batches: AsyncIterable<PublishBatch>,
  signal: AbortSignal | undefined,
): AsyncGenerator<PublishReply, void, undefined> {
  signal?.throwIfAborted();
  const stream = new PublishStream(host);
  const iterator = batches[Symbol.asyncIterator]();
  // Never rejects; not awaited at the end, since a source that gives nothing would hold up whoever leaves.
  void stream.pump(iterator);
  try {
    yield* stream.replies(signal);
  } finally {
    void iterator.return?.()?.catch(() => {});
  }
}

function invalid(message: string): TopicError {
  return new TopicError("invalid-argument", message);
}
