import { TopicError } from "../errors.js";
import type { IdRun } from "../protocol/buffer-api.js";
import type { Outgoing } from "./outgoing.js";

interface SentBatch {
  readonly batch: number;
  readonly messages: readonly Outgoing[];
  /** As they travel. */
  readonly bytes: number;
}

/** What is on its way on a lane, oldest first. */
export class SentBatches {
  #batches: SentBatch[] = [];
  #bytes = 0;

  get length(): number {
    return this.#batches.length;
  }

  /** As they travel. */
  get bytes(): number {
    return this.#bytes;
  }

  push(batch: SentBatch): void {
    this.#batches.push(batch);
    this.#bytes += batch.bytes;
  }

  /** Up to this batch, oldest first. */
  messagesUpTo(batch: number): Outgoing[] {
    const found: Outgoing[] = [];
    for (const sent of this.#batches) {
      if (sent.batch > batch) break;
      for (const message of sent.messages) found.push(message);
    }
    return found;
  }

  dropUpTo(batch: number): void {
    while (this.#batches[0] && this.#batches[0].batch <= batch) {
      this.#bytes -= this.#batches[0].bytes;
      this.#batches.shift();
    }
  }

  firstUnsettled(): Outgoing | undefined {
    for (const { messages } of this.#batches) {
      const found = messages.find((message) => !message.call.settled);
      if (found) return found;
    }
    return undefined;
  }

  forEach(visit: (message: Outgoing) => void): void {
    for (const { messages } of this.#batches) for (const message of messages) visit(message);
  }

  clear(): void {
    this.#batches = [];
    this.#bytes = 0;
  }
}

/** @throws TopicError "unavailable" if the runs do not name exactly one id for each of so many messages */
export function checkRuns(runs: readonly IdRun[], messages: number): void {
  let ids = 0;
  for (const { count } of runs) ids += count;
  if (ids === messages) return;
  throw new TopicError("unavailable", `the buffer acknowledged ${ids} ids for ${messages} messages`);
}
