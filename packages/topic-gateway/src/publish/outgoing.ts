import type { IdRun } from "../protocol/buffer-api.js";
import { formatMessageId } from "../protocol/message-id.js";

/** Whoever has to know that a call failed. */
export interface CallOwner {
  /** Called once, after the caller was told. */
  callFailed(call: PublishCall, reason: unknown): void;
}

/** One call of publish: its messages may go to several ranges, it is answered once. */
export class PublishCall {
  readonly ids: string[];
  readonly deadlineMs: number;
  #missing: number;
  #settled = false;
  readonly #owner: CallOwner;
  readonly #resolve: (ids: string[]) => void;
  readonly #reject: (reason: unknown) => void;

  constructor(
    count: number,
    deadlineMs: number,
    owner: CallOwner,
    resolve: (ids: string[]) => void,
    reject: (reason: unknown) => void,
  ) {
    this.ids = new Array<string>(count).fill("");
    this.deadlineMs = deadlineMs;
    this.#missing = count;
    this.#owner = owner;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** While one of its messages is still on its way, this says that it failed. */
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
    this.#owner.callFailed(this, reason);
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

/** Gives ids to messages in order. The runs are such as `checkRuns` allows. */
export function assignIds(messages: readonly Outgoing[], runs: readonly IdRun[], rangeFrom: number): void {
  let next = 0;
  for (const run of runs) {
    for (let i = 0; i < run.count; i++) {
      const message = messages[next];
      if (!message) return;
      next += 1;
      const time = run.time + BigInt(i);
      message.call.acknowledge(
        message.index,
        formatMessageId({ time, sequence: run.sequence + i, rangeFrom }),
      );
    }
  }
}
