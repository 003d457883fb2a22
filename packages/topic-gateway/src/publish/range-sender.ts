/**
 * The ordered way of one client's messages into one hash range, over the range's changing owners.
 *
 * Messages wait in `#pending`, travel in `#sent`, and are answered in order. Whenever a lane dies, everything that was not
 * acknowledged goes back to the front of `#pending`, in order, and is sent again to whoever owns the range by then.
 */
import type { TopicEvent } from "../client/events.js";
import { TopicError } from "../errors.js";
import type { IdRun, LaneSender } from "../protocol/buffer-api.js";
import { formatHashRange, type HashRange } from "../protocol/hash-range.js";
import type { Clock, Random } from "../protocol/runtime.js";
import type { RangeLease } from "../topics/state.js";
import type { OpenLane } from "./buffer-stream.js";
import type { BufferStreams } from "./buffer-streams.js";
import { assignIds, encodeEntries, type Outgoing } from "./outgoing.js";
import { OutgoingQueue } from "./outgoing-queue.js";
import { checkRuns, SentBatches } from "./sent-batches.js";

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

export interface SenderOptions {
  /** Who a new lane comes from: of all senders of the client together, since a range may get another one. */
  readonly nextLane: () => LaneSender;
  readonly clock: Clock;
  readonly random: Random;
  readonly maxAttempts: number;
  readonly emit: (event: TopicEvent) => void;
  /** A retired sender has nothing on its way any more. */
  readonly onQuiet: () => void;
  /**
   * Makes fail what is behind a message of its key that failed, if that has not been done yet. Called before anything is sent,
   * acknowledged or forgotten, and at once for those that fail here.
   */
  readonly failFollowers: () => void;
}

export class RangeSender {
  readonly #topic: string;
  readonly #range: HashRange;
  readonly #owner: () => RangeLease | undefined;
  readonly #streams: BufferStreams;
  readonly #options: SenderOptions;
  readonly #pending = new OutgoingQueue();
  readonly #sent = new SentBatches();
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
    return this.#pending.isEmpty && this.#sent.length === 0;
  }

  enqueue(message: Outgoing): void {
    this.#pending.push(message);
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

  /** Ends a sender that is quiet. Gives what was not sent, in order. */
  takeUnsent(): Outgoing[] {
    const left: Outgoing[] = [];
    this.#pending.forEach((message) => {
      if (!message.call.settled) left.push(message);
    });
    this.end();
    return left;
  }

  /** A retired sender whose lane has ended, or that never had one. */
  get quiet(): boolean {
    return this.#sent.length === 0;
  }

  /** Everything that is not acknowledged, oldest first. */
  forEach(visit: (message: Outgoing) => void): void {
    this.#sent.forEach(visit);
    this.#pending.forEach(visit);
  }

  /** Lets go of what waits and has failed meanwhile. */
  dropSettled(): void {
    this.#pending.dropSettled();
  }

  failAll(reason: unknown): void {
    this.forEach(({ call }) => {
      call.fail(reason);
    });
    this.end();
  }

  /** Lets go of everything. What is unanswered is somebody else's by now, or failed. */
  end(): void {
    this.#dropLane();
    this.#pending.clear();
    for (const cancel of [this.#cancelBackoff, this.#cancelDeadline]) cancel?.();
    this.#cancelBackoff = this.#cancelDeadline = undefined;
  }

  /** Forgets what is on its way: nobody answers it any more. */
  #dropLane(): void {
    this.#lane?.handle.abandon();
    this.#lane = undefined;
    this.#cancelGrace?.();
    this.#cancelGrace = undefined;
    this.#sent.clear();
  }

  #pump(): void {
    if (this.#retired || this.#cancelBackoff) return;
    while (!this.#pending.isEmpty) {
      const few = this.#sent.bytes < FEW_BYTES_IN_FLIGHT;
      if (this.#sent.length >= (few ? MAX_SMALL_BATCHES_IN_FLIGHT : MAX_BATCHES_IN_FLIGHT)) return;
      if (!few && this.#pending.bytes < FULL_BATCH_BYTES) return;
      if (this.#lane && this.#cancelGrace) return;
      const lane = this.#lane ?? this.#openLane();
      if (!lane) return;
      this.#options.failFollowers();
      const messages = this.#takeBatch();
      if (messages.length === 0) return;
      const batch = this.#nextBatch;
      this.#nextBatch += 1;
      const entries = encodeEntries(messages);
      this.#sent.push({ batch, messages, bytes: entries.length });
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
    for (let next = this.#pending.peek(); next; next = this.#pending.peek()) {
      if (messages.length === MAX_BATCH_MESSAGES) break;
      if (messages.length > 0 && bytes + next.body.length > MAX_BATCH_BYTES) break;
      this.#pending.take();
      if (next.call.settled) continue;
      next.attempts += 1;
      bytes += next.body.length;
      messages.push(next);
    }
    return messages;
  }

  /** @throws TopicError "unavailable" and leaves everything as it is, if the answer makes no sense */
  #acknowledged(batch: number, runs: readonly IdRun[]): void {
    const messages = this.#sent.messagesUpTo(batch);
    checkRuns(runs, messages.length);
    this.#options.failFollowers();
    this.#sent.dropUpTo(batch);
    assignIds(messages, runs, this.#range.from);
    this.#backoffMs = FIRST_BACKOFF_MS;
    if (this.#retired && this.#sent.length === 0) this.#options.onQuiet();
    else this.#pump();
  }

  #laneFailed(error: TopicError): void {
    this.#options.failFollowers();
    const again: Outgoing[] = [];
    this.#sent.forEach((message) => {
      if (!message.call.settled) again.push(message);
    });
    this.#dropLane();
    this.#pending.putBack(again);
    this.#options.emit({
      type: "lane-failed",
      topic: this.#topic,
      range: this.#name,
      code: error.code,
      message: error.message,
    });
    const { maxAttempts } = this.#options;
    for (const { attempts, call } of again) {
      // The buffer will say so again: these messages never go in, those of other keys behind them are innocent.
      if (error.code === "invalid-argument") call.fail(error);
      else if (attempts >= maxAttempts) call.fail(this.#givenUp(`${attempts} attempts`));
    }
    this.#options.failFollowers();
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
    const oldest = this.#sent.firstUnsettled() ?? this.#pending.peek();
    if (!oldest) return;
    const { clock } = this.#options;
    this.#cancelDeadline = clock.setTimer(Math.max(0, oldest.call.deadlineMs - clock.monotonicMs()), () => {
      this.#cancelDeadline = undefined;
      this.#expire(clock.monotonicMs());
      this.#watchDeadline();
    });
  }

  #expire(nowMs: number): void {
    this.forEach(({ call }) => {
      if (!call.settled && call.deadlineMs <= nowMs) call.fail(this.#givenUp("its deadline"));
    });
    this.#options.failFollowers();
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
