import type { ClientContext } from "../client/context.js";
import { TopicError } from "../errors.js";
import type { MessageIdParts } from "../protocol/message-id.js";
import type { SegmentId, SegmentName } from "../protocol/segment-id.js";
import { segmentName } from "../protocol/segment-id.js";
import { type CommitResult, Committer } from "./committer.js";
import { DeliveryQueue } from "./delivery-queue.js";
import { IdTimes } from "./id-times.js";
import { commitBookmark, type LeasePort, type SegmentLease } from "./lease-txns.js";
import { DeliveredMessage, type MessageOrigin } from "./message.js";
import { readSegment } from "./segment-reader.js";

export interface HeldSegmentOptions {
  readonly context: ClientContext;
  readonly port: LeasePort;
  readonly lease: SegmentLease;
  /** Its session has held the segment before. */
  readonly isAgain: boolean;
  readonly incarnation: bigint;
  /** The id time at the lease's position, 0n if it has none. */
  readonly positionTime: bigint;
  readonly prefetchBytes: number;
  readonly commitIntervalMs: number;
  readonly on: {
    /** There is something to take. */
    messages(held: HeldSegment): void;
    acknowledged(): void;
    finished(held: HeldSegment): void;
    lost(held: HeldSegment): void;
  };
}

/**
 * One lease on one segment: what was read ahead, what was delivered, what is acknowledged.
 * `position <= committed <= acknowledged <= delivered`, all of them sequences.
 */
export class HeldSegment implements MessageOrigin {
  readonly id: SegmentId;
  readonly name: SegmentName;
  readonly session: string;
  readonly lease: string;
  readonly createRevision: bigint;
  readonly subscriptionRevision: bigint;
  readonly incarnation: bigint;
  readonly isAgain: boolean;
  /** The revision of the lease's latest change by us that is known. */
  revision: bigint;
  /** Whether whoever takes from several segments has it on his list. */
  isListed = false;
  readonly #options: HeldSegmentOptions;
  readonly #queue: DeliveryQueue;
  readonly #times = new IdTimes();
  readonly #committer: Committer;
  readonly #reading = new AbortController();
  #positionTime: bigint;
  #delivered: number;
  #end = Number.POSITIVE_INFINITY;
  #onDrained: (() => void) | undefined;

  constructor(options: HeldSegmentOptions) {
    const { lease, port } = options;
    const { subject, position } = lease;
    this.#options = options;
    this.id = subject.segment;
    this.name = segmentName(subject.segment);
    this.session = subject.session;
    this.lease = String(lease.createRevision);
    this.createRevision = lease.createRevision;
    this.subscriptionRevision = subject.subscriptionRevision;
    this.incarnation = options.incarnation;
    this.isAgain = options.isAgain;
    this.revision = lease.revision;
    this.#positionTime = options.positionTime;
    this.#delivered = position;
    this.#queue = new DeliveryQueue(options.prefetchBytes);
    this.#committer = new Committer({
      clock: port.clock,
      start: position,
      intervalMs: options.commitIntervalMs,
      write: (sequence, finished) => this.#write(sequence, finished),
      onFinished: () => options.on.finished(this),
      onLost: () => options.on.lost(this),
    });
  }

  get delivered(): number {
    return this.#delivered;
  }

  get committed(): number {
    return this.#committer.committed;
  }

  /** The commit that finishes it is on its way. */
  get isFinishing(): boolean {
    return this.#committer.isFinishing;
  }

  get state(): "open" | "finished" | "lost" {
    return this.#committer.state;
  }

  /** Starts to read ahead. */
  start(): void {
    void this.#read();
  }

  /** The segment's record says where it ends. */
  setEnd(lastSequence: number): void {
    if (this.#end === lastSequence) return;
    this.#end = lastSequence;
    this.#committer.setEnd(lastSequence);
  }

  /** The next message, or undefined when none is there now. The caller has made sure that the session lives. */
  take(): DeliveredMessage | undefined {
    const chunk = this.#queue.first;
    if (!chunk || this.#queue.next > this.#end) return undefined;
    const sequence = this.#queue.next;
    this.#queue.advance();
    this.#delivered = sequence;
    return new DeliveredMessage(this, chunk, sequence);
  }

  /** @throws TopicError "invalid-ack" */
  checkDelivered(sequence: number): void {
    if (sequence <= this.#delivered) return;
    throw new TopicError(
      "invalid-ack",
      `sequence ${sequence} of ${this.name} was not delivered: up to ${this.#delivered} can be acknowledged`,
    );
  }

  /** Of one that was delivered. */
  acknowledge(sequence: number): Promise<void> {
    this.#options.on.acknowledged();
    const done = this.#committer.acknowledge(sequence);
    if (this.#committer.acknowledged >= this.#delivered) this.#onDrained?.();
    return done;
  }

  /** Whether the id is that of a message of this segment that was delivered, as far as that is still known. */
  hasDelivered({ time, sequence }: MessageIdParts): boolean {
    if (sequence < 1 || sequence > this.#delivered || time < this.id.startTime) return false;
    return (
      sequence <= Math.max(this.committed, this.#times.forgotten) || this.#times.timeOf(sequence) === time
    );
  }

  /** Nothing more is delivered or read. */
  stopDelivering(): void {
    this.#reading.abort(stopped());
    this.#queue.clear();
  }

  /** Resolves when everything delivered is acknowledged. */
  async drained(): Promise<void> {
    if (this.#committer.acknowledged >= this.#delivered) return;
    await new Promise<void>((resolve) => {
      this.#onDrained = resolve;
    });
  }

  /** Resolves when everything acknowledged is committed, or can't be any more. */
  async flush(): Promise<void> {
    await this.#committer.flush();
  }

  /** It is not ours any more. */
  lose(): void {
    this.stopDelivering();
    this.#committer.lose();
    this.#onDrained?.();
  }

  async #read(): Promise<void> {
    const { context, on } = this.#options;
    const { signal } = this.#reading;
    try {
      const after = this.#delivered;
      for await (const chunk of readSegment(context, this.id, {
        after,
        incarnation: this.incarnation,
        signal,
      })) {
        if (signal.aborted) return;
        this.#times.push(chunk.runs);
        this.#queue.push(chunk);
        on.messages(this);
        await this.#queue.room();
        if (signal.aborted) return;
      }
    } catch {
      // Stopped, or the view of the topics ended, which ends the whole consumer.
    }
  }

  async #write(sequence: number, finished: boolean): Promise<CommitResult> {
    const { port, lease } = this.#options;
    const time = this.#times.timeOf(sequence) ?? this.#positionTime;
    const { result, revision } = await commitBookmark(port, lease, { sequence, time, finished });
    this.revision = revision;
    this.#positionTime = time;
    this.#times.dropThrough(sequence);
    return result;
  }
}

function stopped(): TopicError {
  return new TopicError("closed", "the segment is not read any more");
}
