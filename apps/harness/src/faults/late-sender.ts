import type { BufferConnection, LaneTarget, PublishBatch } from "@x/topic-gateway/protocol";
import { encodeBody, formatMessageId } from "@x/topic-gateway/protocol";
import type { HistoryRecorder, OpenPublish } from "../checker/index.js";

const EVERY_MS = 10;
const PER_BATCH = 4;

/**
 * A sender that holds on to one lane of one buffer whatever the records say, as a client would that is cut off from them. What the
 * buffer acknowledges counts as acknowledged: an owner that lives on after its time is caught by this.
 */
export class LateSender {
  readonly #recorder: HistoryRecorder;
  readonly #open: OpenPublish[][] = [];
  readonly #target: LaneTarget;
  readonly #key: string;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #number = 0;
  #refusal: string | undefined;
  #acked = 0;

  constructor(
    connection: BufferConnection,
    target: LaneTarget,
    options: { readonly key: string; readonly recorder: HistoryRecorder },
  ) {
    this.#recorder = options.recorder;
    this.#target = target;
    this.#key = options.key;
    this.#done = this.#run(connection);
  }

  get acked(): number {
    return this.#acked;
  }

  /** How the buffer ended the lane. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #run(connection: BufferConnection): Promise<void> {
    try {
      for await (const reply of connection.publish(this.#batches(), { signal: this.#stop.signal })) {
        if (reply.type === "refused") {
          this.#refusal = `${reply.code}: ${reply.message}`;
          return;
        }
        const ids = reply.runs.flatMap(({ time, sequence, count }) =>
          Array.from({ length: count }, (_, i) =>
            formatMessageId({
              time: time + BigInt(i),
              sequence: sequence + i,
              rangeFrom: this.#target.range.from,
            }),
          ),
        );
        const acked = this.#open.splice(0, ids.length / PER_BATCH).flat();
        acked.forEach((op, i) => {
          op.acked(ids[i] as string);
        });
        this.#acked += acked.length;
      }
    } catch (error) {
      this.#refusal ??= String(error);
    } finally {
      this.#stop.abort();
    }
  }

  async *#batches(): AsyncGenerator<PublishBatch> {
    for (let batch = 1; !this.#stop.signal.aborted; batch++) {
      const parts: Buffer[] = [];
      const ops: OpenPublish[] = [];
      for (let i = 0; i < PER_BATCH; i++) {
        this.#number += 1;
        const stamp = { producer: this.#key, number: this.#number };
        ops.push(this.#recorder.publish({ ...stamp, topic: this.#target.topic, key: this.#key }));
        const body = encodeBody({
          key: this.#key,
          data: Buffer.from(`${stamp.producer}|${stamp.number}|late`),
          time: 0,
        });
        const length = Buffer.alloc(4);
        length.writeUInt32LE(body.length);
        parts.push(length, body);
      }
      this.#open.push(ops);
      yield { lane: 1, batch, entries: Buffer.concat(parts), ...(batch === 1 && { open: this.#target }) };
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  }
}
