/**
 * The ordered way of one client's messages into one hash range, over the range's changing owners.
 *
 * Messages wait in `#pending`, travel in `#sent`, and are answered in order. Whenever a lane dies, everything that was not
 * acknowledged goes back to the front of `#pending`, in order, and is sent again to whoever owns the range by then.
 */
import { TopicError } from "../errors.js";
import type { IdRun } from "../protocol/buffer-api.js";
import { formatHashRange, type HashRange } from "../protocol/hash-range.js";
import type { RangeLease } from "../topics/state.js";
import type { OpenLane } from "./buffer-stream.js";
import { assignIds, encodeEntries, type Outgoing, type SentBatch } from "./outgoing.js";
import type { BufferStreams, SenderOptions } from "./publisher.js";

/** While much of the lane is on its way, batches smaller than this wait for company. */
const FULL_BATCH_BYTES = 128 * 1024;
/**
 * While less than this is on its way, nothing waits: an answer takes a sync, and a message that came just after a batch had left
 * would stand still for the rest of it. The buffer makes one group of what has come meanwhile.
 */
const FEW_BYTES_IN_FLIGHT = 64 * 1024;
const MAX_BATCH_BYTES = 512 * 1024;
const MAX_BATCH_MESSAGES = 4096;
const MAX_BATCHES_IN_FLIGHT = 4;
/** While they are few bytes together. */
const MAX_SMALL_BATCHES_IN_FLIGHT = 16;
const FIRST_BACKOFF_MS = 10;
const MAX_BACKOFF_MS = 500;
/** How long an owner that lost its lease may still answer before its messages go to the next one: spares duplicates. */
const OLD_OWNER_GRACE_MS = 500;

export class RangeSender {
  readonly #topic: string;
  readonly #range: HashRange;
  readonly #owner: () => RangeLease | undefined;
  readonly #streams: BufferStreams;
  readonly #options: SenderOptions;
  readonly #pending: Outgoing[] = [];
  #pendingAt = 0;
  #pendingBytes = 0;
  #sent: SentBatch[] = [];
  /** Of the batches in #sent. */
  #sentBytes = 0;
  #lane: { readonly handle: OpenLane; readonly epoch: bigint } | undefined;
  #nextBatch = 1;
  #backoffMs = FIRST_BACKOFF_MS;
  #cancelBackoff: (() => void) | undefined;
  #cancelGrace: (() => void) | undefined;
  #cancelDeadline: (() => void) | undefined;
  #pumpQueued = false;
  #retired = false;

  constructor(
    topic: string,
    range: HashRange,
    owner: () => RangeLease | undefined,
    streams: BufferStreams,
    options: SenderOptions,
  ) {
    this.#topic = topic;
    this.#range = range;
    this.#owner = owner;
    this.#streams = streams;
    this.#options = options;
  }

  get idle(): boolean {
    return this.#pendingAt === this.#pending.length && this.#sent.length === 0;
  }

  enqueue(message: Outgoing): void {
    this.#pending.push(message);
    this.#pendingBytes += message.body.length;
    this.#watchDeadline();
    if (this.#pumpQueued) return;
    // After the caller's own turn, so that publishes made together travel together.
    this.#pumpQueued = true;
    Promise.resolve().then(() => {
      this.#pumpQueued = false;
      this.#pump();
    });
  }

  /** The owner, or the layout, may have changed. */
  onStateChange(): void {
    if (this.idle) return;
    const owner = this.#owner();
    if (this.#lane && owner && owner.epoch !== this.#lane.epoch && !this.#cancelGrace) {
      this.#cancelGrace = this.#options.clock.setTimer(OLD_OWNER_GRACE_MS, () => {
        this.#laneFailed(new TopicError("not-owner", "the range has another owner"));
      });
    }
    if (!this.#lane) this.#pump();
  }

  /** Sends nothing new any more. What is on its way may still be answered until the lane ends. */
  retire(): void {
    this.#retired = true;
    // Nobody answers any more after a while, whatever the reason.
    this.#cancelGrace ??= this.#options.clock.setTimer(OLD_OWNER_GRACE_MS, () => {
      this.#laneFailed(new TopicError("not-owner", "the topic's ranges have changed"));
    });
  }

  /** Of a retired sender whose lane has ended: everything unanswered, in order. */
  takeUnanswered(): Outgoing[] {
    const left = this.#pending.slice(this.#pendingAt).filter((message) => !message.call.settled);
    this.#lane?.handle.abandon();
    this.#lane = undefined;
    this.#clear();
    return left;
  }

  /** A retired sender whose lane has ended, or that never had one. */
  get quiet(): boolean {
    return this.#sent.length === 0;
  }

  failAll(reason: unknown): void {
    for (const { messages } of this.#sent) for (const message of messages) message.call.fail(reason);
    for (const message of this.#pending.slice(this.#pendingAt)) message.call.fail(reason);
    this.#lane?.handle.abandon();
    this.#lane = undefined;
    this.#sent = [];
    this.#sentBytes = 0;
    this.#clear();
  }

  #clear(): void {
    this.#pending.length = 0;
    this.#pendingAt = 0;
    this.#pendingBytes = 0;
    for (const cancel of [this.#cancelBackoff, this.#cancelGrace, this.#cancelDeadline]) cancel?.();
    this.#cancelBackoff = this.#cancelGrace = this.#cancelDeadline = undefined;
  }

  #pump(): void {
    if (this.#retired || this.#cancelBackoff) return;
    while (this.#pendingAt < this.#pending.length) {
      const few = this.#sentBytes < FEW_BYTES_IN_FLIGHT;
      if (this.#sent.length >= (few ? MAX_SMALL_BATCHES_IN_FLIGHT : MAX_BATCHES_IN_FLIGHT)) return;
      if (!few && this.#pendingBytes < FULL_BATCH_BYTES) return;
      if (this.#lane && this.#cancelGrace) return;
      const lane = this.#lane ?? this.#openLane();
      if (!lane) return;
      const messages = this.#takeBatch();
      if (messages.length === 0) return;
      const batch = this.#nextBatch;
      this.#nextBatch += 1;
      const entries = encodeEntries(messages);
      this.#sent.push({ batch, messages, bytes: entries.length });
      this.#sentBytes += entries.length;
      lane.handle.send(batch, entries);
    }
  }

  #openLane(): { readonly handle: OpenLane; readonly epoch: bigint } | undefined {
    const owner = this.#owner();
    if (owner?.address === undefined) return undefined;
    const sender = this.#options.nextLane();
    const target = { topic: this.#topic, range: this.#range, epoch: owner.epoch, sender };
    const handle = this.#streams.to(owner.address).open(target, {
      onAck: (batch, runs) => this.#acknowledged(batch, runs),
      onFailure: (error) => this.#laneFailed(error),
    });
    this.#nextBatch = 1;
    this.#lane = { handle, epoch: owner.epoch };
    const { emit } = this.#options;
    emit({
      type: "lane-opened",
      topic: this.#topic,
      range: this.#name,
      epoch: owner.epoch,
      address: owner.address,
    });
    return this.#lane;
  }

  #takeBatch(): Outgoing[] {
    const messages: Outgoing[] = [];
    let bytes = 0;
    while (this.#pendingAt < this.#pending.length && messages.length < MAX_BATCH_MESSAGES) {
      const message = this.#pending[this.#pendingAt] as Outgoing;
      if (messages.length > 0 && bytes + message.body.length > MAX_BATCH_BYTES) break;
      this.#pendingAt += 1;
      this.#pendingBytes -= message.body.length;
      if (message.call.settled) continue;
      if (message.attempts >= this.#options.maxAttempts) {
        message.call.fail(this.#givenUp(`${message.attempts} attempts`));
        continue;
      }
      message.attempts += 1;
      bytes += message.body.length;
      messages.push(message);
    }
    if (this.#pendingAt > 1024 && this.#pendingAt * 2 > this.#pending.length) {
      this.#pending.splice(0, this.#pendingAt);
      this.#pendingAt = 0;
    }
    return messages;
  }

  #acknowledged(batch: number, runs: readonly IdRun[]): void {
    const messages: Outgoing[] = [];
    while (this.#sent[0] && this.#sent[0].batch <= batch) {
      const answered = this.#sent.shift() as SentBatch;
      this.#sentBytes -= answered.bytes;
      for (const message of answered.messages) messages.push(message);
    }
    assignIds(messages, runs, this.#range.from);
    this.#backoffMs = FIRST_BACKOFF_MS;
    if (this.#retired && this.#sent.length === 0) this.#options.onQuiet();
    else this.#pump();
  }

  #laneFailed(error: TopicError): void {
    this.#lane?.handle.abandon();
    this.#lane = undefined;
    this.#cancelGrace?.();
    this.#cancelGrace = undefined;
    const again = this.#sent.flatMap(({ messages }) => messages).filter((message) => !message.call.settled);
    this.#sent = [];
    this.#sentBytes = 0;
    this.#pending.splice(0, this.#pendingAt, ...again);
    this.#pendingAt = 0;
    for (const { body } of again) this.#pendingBytes += body.length;
    this.#options.emit({
      type: "lane-failed",
      topic: this.#topic,
      range: this.#name,
      code: error.code,
      message: error.message,
    });
    if (error.code === "closed") {
      this.failAll(error);
      return;
    }
    if (error.code === "invalid-argument") {
      // The buffer will say so again: these messages never go in, the ones behind them are innocent.
      for (const message of again) message.call.fail(error);
    }
    if (this.#retired) {
      this.#options.onQuiet();
      return;
    }
    this.#backOff();
  }

  #backOff(): void {
    const { clock, random } = this.#options;
    const delayMs = this.#backoffMs * (0.5 + random.number() / 2);
    this.#backoffMs = Math.min(this.#backoffMs * 2, MAX_BACKOFF_MS);
    this.#cancelBackoff ??= clock.setTimer(delayMs, () => {
      this.#cancelBackoff = undefined;
      this.#pump();
    });
  }

  /** One timer for the oldest message; messages behind it are not older. */
  #watchDeadline(): void {
    if (this.#cancelDeadline) return;
    const oldest = this.#oldest();
    if (!oldest) return;
    const { clock } = this.#options;
    this.#cancelDeadline = clock.setTimer(Math.max(0, oldest.call.deadlineMs - clock.monotonicMs()), () => {
      this.#cancelDeadline = undefined;
      this.#expire(clock.monotonicMs());
      this.#watchDeadline();
    });
  }

  #oldest(): Outgoing | undefined {
    for (const { messages } of this.#sent) {
      const found = messages.find((message) => !message.call.settled);
      if (found) return found;
    }
    for (let at = this.#pendingAt; at < this.#pending.length; at++) {
      const message = this.#pending[at];
      if (message && !message.call.settled) return message;
    }
    return undefined;
  }

  #expire(nowMs: number): void {
    const expired = new Set<string>();
    const all = [...this.#sent.flatMap(({ messages }) => messages), ...this.#pending.slice(this.#pendingAt)];
    for (const message of all) {
      if (message.call.settled) continue;
      // Behind a failed message of its key a later one must not succeed: the caller would see them swapped.
      if (message.call.deadlineMs > nowMs && !expired.has(message.key)) continue;
      expired.add(message.key);
      message.call.fail(this.#givenUp("its deadline"));
    }
  }

  #givenUp(what: string): TopicError {
    const why = this.#owner()?.address === undefined ? "the range has no owner" : "its owner did not answer";
    return new TopicError(
      "unavailable",
      `the message was not acknowledged within ${what}: ${why} (${this.#topic}, hashes ${this.#name}); it may or may not be in the log`,
    );
  }

  get #name(): string {
    return formatHashRange(this.#range);
  }
}
