/**
 * `Append` of the published wire: one message a request, each answered once. Underneath they go in batches, on lanes of one stream
 * of `publish`. A message that fails fails those of its range that came before its answer was made, so also the later ones
 * of its key that are in flight.
 */
import { status } from "@grpc/grpc-js";
import {
  encodeBody,
  formatHashRange,
  formatMessageId,
  inRange,
  type PublishBatch,
  type PublishReply,
  type RefusalCode,
  TopicError,
} from "@x/topic-gateway/protocol";
import { type ntail, statusOf } from "@x/topic-gateway/wire";
import { keyHash } from "../entries.js";
import type { BufferNode, RangeStatus } from "../node.js";

/** Requests whose answer was not taken, before no more are read. */
const MAX_UNANSWERED = 10_000;
const MAX_UNANSWERED_BYTES = 32 * 1024 * 1024;
/** A batch is what came in one turn, but not more than this. */
const MAX_BATCH_BYTES = 1024 * 1024;

const REFUSAL_STATUS: Readonly<Record<RefusalCode, status>> = {
  "not-owner": status.FAILED_PRECONDITION,
  overloaded: status.RESOURCE_EXHAUSTED,
  "invalid-argument": status.INVALID_ARGUMENT,
  "shutting-down": status.UNAVAILABLE,
  failed: status.UNAVAILABLE,
};

interface Lane {
  readonly number: number;
  readonly held: RangeStatus;
  batch: number;
  /** Of the batch that is forming. */
  parts: Buffer[];
  bytes: number;
  /** By batch, in order. */
  readonly waiting: { readonly batch: number; readonly reqIds: bigint[]; readonly bytes: number }[];
  forming: bigint[];
}

export class NtailAppend {
  readonly #buffer: BufferNode;
  readonly #wallMs: () => number;
  readonly #lanes: Map<string, Lane> = new Map();
  readonly #byNumber: Map<number, Lane> = new Map();
  readonly #answers: ntail.AppendResponse[] = [];
  readonly #batches: PublishBatch[] = [];
  #nextLane = 1;
  #unanswered = 0;
  #unansweredBytes = 0;
  #inputEnded = false;
  #failure: { readonly error: unknown } | undefined;
  #flushing = false;
  #wakeAnswers: () => void = () => {};
  #wakeBatches: () => void = () => {};
  #wakeRequests: () => void = () => {};

  constructor(buffer: BufferNode, wallMs: () => number) {
    this.#buffer = buffer;
    this.#wallMs = wallMs;
  }

  /** Answers, in the order in which they come to be. Ends when the requests have ended and all are answered. */
  async *run(
    requests: AsyncIterable<ntail.AppendRequest>,
    signal: AbortSignal,
  ): AsyncGenerator<ntail.AppendResponse> {
    void this.#readRequests(requests);
    void this.#readReplies(signal);
    try {
      for (;;) {
        for (let answer = this.#answers.shift(); answer; answer = this.#answers.shift()) {
          yield answer;
          this.#unanswered -= 1;
          this.#wakeRequests();
        }
        if (this.#failure) throw this.#failure.error;
        if (this.#inputEnded && this.#unanswered === 0) return;
        await new Promise<void>((resolve) => {
          this.#wakeAnswers = resolve;
        });
      }
    } finally {
      this.#inputEnded = true;
      this.#wakeBatches();
      this.#wakeRequests();
    }
  }

  async #readRequests(requests: AsyncIterable<ntail.AppendRequest>): Promise<void> {
    try {
      for await (const request of requests) {
        if (this.#inputEnded) return;
        this.#take(request);
        while (this.#unanswered >= MAX_UNANSWERED || this.#unansweredBytes >= MAX_UNANSWERED_BYTES) {
          if (this.#inputEnded) return;
          await new Promise<void>((resolve) => {
            this.#wakeRequests = resolve;
          });
        }
      }
    } catch (error) {
      this.#failure = { error };
    }
    this.#inputEnded = true;
    this.#wakeAnswers();
    this.#wakeBatches();
  }

  #take({ reqId, topic, key, data }: ntail.AppendRequest): void {
    this.#unanswered += 1;
    try {
      const body = encodeBody({ key, data, time: this.#wallMs() * 1000 });
      const lane = this.#laneFor(topic, key);
      const length = Buffer.allocUnsafe(4);
      length.writeUInt32LE(body.length);
      lane.parts.push(length, body);
      lane.bytes += 4 + body.length;
      this.#unansweredBytes += 4 + body.length;
      lane.forming.push(reqId);
      if (lane.bytes >= MAX_BATCH_BYTES) this.#form(lane);
      else this.#flushSoon();
    } catch (error) {
      this.#answer(reqId, { errorCode: statusOf(error) });
    }
  }

  /** @throws TopicError "not-owner" */
  #laneFor(topic: string, key: string): Lane {
    const hash = keyHash(key);
    for (const lane of this.#lanes.values()) {
      if (lane.held.topic === topic && inRange(hash, lane.held.range)) return lane;
    }
    const held = this.#buffer.status().ranges.find((one) => one.topic === topic && inRange(hash, one.range));
    if (!held) throw new TopicError("not-owner", `the range of the key is not held by ${this.#buffer.id}`);
    const lane: Lane = {
      number: this.#nextLane,
      held,
      batch: 0,
      parts: [],
      bytes: 0,
      waiting: [],
      forming: [],
    };
    this.#nextLane += 1;
    this.#lanes.set(`${topic}/${formatHashRange(held.range)}`, lane);
    this.#byNumber.set(lane.number, lane);
    return lane;
  }

  /** At the end of the turn: requests that are decoded together go together. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    void Promise.resolve().then(() => {
      this.#flushing = false;
      for (const lane of this.#lanes.values()) if (lane.forming.length > 0) this.#form(lane);
    });
  }

  #form(lane: Lane): void {
    const { topic, range, epoch } = lane.held;
    lane.batch += 1;
    this.#batches.push({
      lane: lane.number,
      batch: lane.batch,
      entries: Buffer.concat(lane.parts, lane.bytes),
      ...(lane.batch === 1 && { open: { topic, range, epoch } }),
    });
    lane.waiting.push({ batch: lane.batch, reqIds: lane.forming, bytes: lane.bytes });
    lane.parts = [];
    lane.bytes = 0;
    lane.forming = [];
    this.#wakeBatches();
  }

  async *#outgoing(): AsyncGenerator<PublishBatch> {
    for (;;) {
      for (let batch = this.#batches.shift(); batch; batch = this.#batches.shift()) yield batch;
      if (this.#inputEnded && !this.#flushing) return;
      await new Promise<void>((resolve) => {
        this.#wakeBatches = resolve;
      });
    }
  }

  async #readReplies(signal: AbortSignal): Promise<void> {
    try {
      for await (const reply of this.#buffer.publish(this.#outgoing(), { signal })) this.#onReply(reply);
    } catch (cause) {
      // What goes on that stream is made here: a fault of it is not the caller's.
      const error = new TopicError("unavailable", "the stream of publishing ended", { cause });
      this.#failure = { error: signal.aborted ? cause : error };
      this.#wakeAnswers();
    }
  }

  #onReply(reply: PublishReply): void {
    const lane = this.#byNumber.get(reply.lane);
    if (!lane) return;
    if (reply.type === "refused") {
      this.#byNumber.delete(lane.number);
      for (const [key, one] of this.#lanes) if (one === lane) this.#lanes.delete(key);
      const errorCode = REFUSAL_STATUS[reply.code];
      for (const { reqIds, bytes } of lane.waiting) {
        this.#unansweredBytes -= bytes;
        for (const reqId of reqIds) this.#answer(reqId, { errorCode });
      }
      this.#unansweredBytes -= lane.bytes;
      for (const reqId of lane.forming) this.#answer(reqId, { errorCode });
      return;
    }
    const ids = idsOf(reply.runs, lane.held.range.from);
    while (lane.waiting[0] && lane.waiting[0].batch <= reply.batch) {
      const { reqIds, bytes } = lane.waiting.shift() as Lane["waiting"][number];
      this.#unansweredBytes -= bytes;
      for (const reqId of reqIds) this.#answer(reqId, { msgId: ids.next().value ?? "" });
    }
    this.#wakeRequests();
  }

  #answer(reqId: bigint, result: { readonly msgId: string } | { readonly errorCode: number }): void {
    this.#answers.push({ reqId, msgId: undefined, errorCode: undefined, ...result });
    this.#wakeAnswers();
  }
}

function* idsOf(
  runs: readonly { time: bigint; sequence: number; count: number }[],
  rangeFrom: number,
): Generator<string, undefined> {
  for (const { time, sequence, count } of runs) {
    for (let i = 0; i < count; i++)
      yield formatMessageId({ time: time + BigInt(i), sequence: sequence + i, rangeFrom });
  }
}
