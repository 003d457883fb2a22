import { TopicError } from "../errors.js";
import type { BufferApi, IdRun, LaneTarget, PublishBatch, PublishReply } from "../protocol/buffer-api.js";

/**
 * How many lanes a stream is used for. A buffer keeps every lane of a stream until the stream ends, and allows 65,536; a sender opens
 * one for each range and after each refusal, so this is reached now and then.
 */
const MAX_LANES = 16_384;

export interface LaneEvents {
  /** All batches up to this one are durable; the runs are the ids that are new. What it throws ends the stream. */
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
  #retired = false;
  #failure: TopicError | undefined;

  constructor(connect: () => BufferApi, onEnd: () => void) {
    // Not before the caller has opened its first lane, which would hear nothing of a stream that fails at once.
    this.#finished = Promise.resolve()
      .then(() => this.#run(connect))
      .finally(onEnd);
  }

  /** False once it has ended or has had as many lanes as it should. Those that are open go on. */
  get takesLanes(): boolean {
    return !this.#failure && !this.#retired && this.#nextLane <= MAX_LANES;
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
      abandon: () => this.#forget(lane),
    };
  }

  /** Takes no more lanes, and ends with its last one. */
  retire(): void {
    this.#retired = true;
    this.#wake?.();
  }

  #forget(lane: number): void {
    this.#lanes.delete(lane);
    if (this.#retired) this.#wake?.();
  }

  async #run(connect: () => BufferApi): Promise<void> {
    try {
      const replies = connect().publish(this.#batches(), { signal: this.#stop.signal });
      for await (const reply of replies) this.#take(reply);
      this.#fail(new TopicError("unavailable", "the buffer ended the stream of publishing"));
    } catch (error) {
      // Whatever the buffer holds against the stream: none of its lanes is to blame, and all can be opened on another one.
      const why = error instanceof Error ? error.message : String(error);
      const cause = { cause: error };
      this.#fail(
        new TopicError("unavailable", `the stream of publishing to the buffer failed: ${why}`, cause),
      );
    }
  }

  async *#batches(): AsyncGenerator<PublishBatch> {
    for (;;) {
      for (let batch = this.#queue.shift(); batch; batch = this.#queue.shift()) yield batch;
      if (this.#failure || (this.#retired && this.#lanes.size === 0)) return;
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
    this.#forget(reply.lane);
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
