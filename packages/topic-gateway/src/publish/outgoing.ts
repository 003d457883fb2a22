import { TopicError } from "../errors.js";
import type { IdRun } from "../protocol/buffer-api.js";
import { formatMessageId } from "../protocol/message-id.js";

/** One call of publish: its messages may go to several ranges, it is answered once. */
export class PublishCall {
  readonly ids: string[];
  readonly deadlineMs: number;
  #missing: number;
  #settled = false;
  readonly #resolve: (ids: string[]) => void;
  readonly #reject: (reason: unknown) => void;

  constructor(
    count: number,
    deadlineMs: number,
    resolve: (ids: string[]) => void,
    reject: (reason: unknown) => void,
  ) {
    this.ids = new Array<string>(count).fill("");
    this.deadlineMs = deadlineMs;
    this.#missing = count;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  get settled(): boolean {
    return this.#settled;
  }

  acknowledge(index: number, id: string): void {
    this.ids[index] = id;
    this.#missing -= 1;
    if (this.#missing > 0 || this.#settled) return;
    this.#settled = true;
    this.#resolve(this.ids);
  }

  fail(reason: unknown): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#reject(reason);
  }
}

/** A message on its way. */
export interface Outgoing {
  readonly call: PublishCall;
  /** Which message of its call. */
  readonly index: number;
  readonly key: string;
  readonly hash: number;
  readonly body: Buffer;
  /** The order in which the client was given its messages. */
  readonly order: number;
  /** How often it was sent. */
  attempts: number;
}

export interface SentBatch {
  readonly batch: number;
  readonly messages: readonly Outgoing[];
  /** As they travel. */
  readonly bytes: number;
}

/** The entries of one batch on the wire. */
export function encodeEntries(messages: readonly Outgoing[]): Buffer {
  let size = 0;
  for (const { body } of messages) size += 4 + body.length;
  const out = Buffer.allocUnsafeSlow(size);
  let at = 0;
  for (const { body } of messages) {
    out.writeUInt32LE(body.length, at);
    out.set(body, at + 4);
    at += 4 + body.length;
  }
  return out;
}

/** Gives ids to messages in order. @throws TopicError "unavailable" if the runs do not name as many */
export function assignIds(messages: readonly Outgoing[], runs: readonly IdRun[], rangeFrom: number): void {
  let next = 0;
  for (const run of runs) {
    for (let i = 0; i < run.count; i++) {
      const message = messages[next];
      if (!message) break;
      next += 1;
      const time = run.time + BigInt(i);
      message.call.acknowledge(
        message.index,
        formatMessageId({ time, sequence: run.sequence + i, rangeFrom }),
      );
    }
  }
  if (next !== messages.length) {
    throw new TopicError(
      "unavailable",
      `the buffer acknowledged ${next} ids for ${messages.length} messages`,
    );
  }
}
