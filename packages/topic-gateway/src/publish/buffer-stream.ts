import { TopicError } from "../errors.js";
import type { BufferApi, IdRun, LaneTarget, PublishBatch, PublishReply } from "../protocol/buffer-api.js";

export interface LaneEvents {
  /** All batches up to this one are durable; the runs are the ids that are new. */
  onAck(batch: number, runs: readonly IdRun[]): void;
  /** Called once, last: the lane is dead, by refusal or because the stream ended. */
  onFailure(error: TopicError): void;
}

export interface OpenLane {
  send(batch: number, entries: Buffer): void;
  /** Forgets the lane: neither of its events is called any more. */
  abandon(): void;
}

/** One publish stream to a buffer, shared by all lanes of a client to it. */
export class BufferStream {
  readonly #lanes = new Map<number, LaneEvents>();
  readonly #queue: PublishBatch[] = [];
  readonly #stop = new AbortController();
  readonly #finished: Promise<void>;
  #wake: (() => void) | undefined;
  #nextLane = 1;
  #failure: TopicError | undefined;

  constructor(buffer: BufferApi, onEnd: () => void) {
    this.#finished = this.#run(buffer).finally(onEnd);
  }

  /** Undefined while batches can be sent. */
  get failure(): TopicError | undefined {
    return this.#failure;
  }

  open(target: LaneTarget, events: LaneEvents): OpenLane {
    const lane = this.#nextLane;
    this.#nextLane += 1;
    this.#lanes.set(lane, events);
    return {
      send: (batch, entries) => {
        this.#queue.push(batch === 1 ? { lane, open: target, batch, entries } : { lane, batch, entries });
        this.#wake?.();
      },
      abandon: () => {
        this.#lanes.delete(lane);
      },
    };
  }

  async #run(buffer: BufferApi): Promise<void> {
    try {
      for await (const reply of buffer.publish(this.#batches(), { signal: this.#stop.signal }))
        this.#take(reply);
      this.#fail(new TopicError("unavailable", "the buffer ended the stream of publishing"));
    } catch (error) {
      this.#fail(
        error instanceof TopicError
          ? error
          : new TopicError("unavailable", "the stream to the buffer failed", { cause: error }),
      );
    }
  }

  async *#batches(): AsyncGenerator<PublishBatch> {
    for (;;) {
      for (let batch = this.#queue.shift(); batch; batch = this.#queue.shift()) yield batch;
      if (this.#failure) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #take(reply: PublishReply): void {
    const lane = this.#lanes.get(reply.lane);
    if (!lane) return;
    if (reply.type === "ack") {
      lane.onAck(reply.batch, reply.runs);
      return;
    }
    this.#lanes.delete(reply.lane);
    const code = reply.code === "overloaded" || reply.code === "invalid-argument" ? reply.code : "not-owner";
    lane.onFailure(new TopicError(code, reply.message));
  }

  #fail(error: TopicError): void {
    if (this.#failure) return;
    this.#failure = error;
    this.#wake?.();
    const lanes = [...this.#lanes.values()];
    this.#lanes.clear();
    for (const lane of lanes) lane.onFailure(error);
  }

  async close(): Promise<void> {
    const error = new TopicError("closed", "the client was closed");
    this.#fail(error);
    this.#stop.abort(error);
    await this.#finished;
  }
}
