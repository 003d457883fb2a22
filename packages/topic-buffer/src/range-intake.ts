import type { RefusalCode } from "@x/topic-gateway/protocol";
import { type AppendGroup, AppendQueue, type AppendSender } from "./append-queue.js";
import type { LaneOwner } from "./lanes.js";

/** What lanes bring to a range: the lanes themselves, and what waits for the log. */
export class RangeIntake implements LaneOwner {
  readonly #range: string;
  readonly #maxQueuedBytes: number;
  readonly #onBatch: () => void;
  readonly #queue: AppendQueue = new AppendQueue();
  readonly #senders: Set<AppendSender> = new Set();
  /** Nothing is appended yet, or not just now, for longer than a publisher should be held up. */
  isHeld = true;
  #closed = false;
  #room: { readonly promise: Promise<void>; readonly tell: () => void } | undefined;

  /** `onBatch` is called when there is something to append. */
  constructor(range: string, maxQueuedBytes: number, onBatch: () => void) {
    this.#range = range;
    this.#maxQueuedBytes = maxQueuedBytes;
    this.#onBatch = onBatch;
  }

  get bytes(): number {
    return this.#queue.bytes;
  }
  get isEmpty(): boolean {
    return this.#queue.isEmpty;
  }
  /** Takes no new lanes and no new batches. */
  get isClosed(): boolean {
    return this.#closed;
  }

  attach(sender: AppendSender): void {
    this.#senders.add(sender);
  }

  detach(sender: AppendSender): void {
    this.#senders.delete(sender);
  }

  accept(sender: AppendSender, batch: number, bodies: readonly Buffer[], bytes: number): void {
    if (this.#closed) {
      sender.refuse("not-owner", `the range ${this.#range} is no longer here`);
    } else if (this.isHeld && this.#queue.bytes >= this.#maxQueuedBytes) {
      // Waiting for room would hold up the other ranges of the stream for as long.
      const why = `the range ${this.#range} is being taken over and too much waits for it already`;
      sender.refuse("overloaded", why);
    } else {
      this.#queue.push(sender, batch, bodies, bytes);
      this.#onBatch();
    }
  }

  room(): Promise<void> | undefined {
    if (this.#closed || this.isHeld || this.#queue.bytes < this.#maxQueuedBytes) return undefined;
    if (!this.#room) {
      let tell = (): void => {};
      const promise = new Promise<void>((resolve) => {
        tell = resolve;
      });
      this.#room = { promise, tell };
    }
    return this.#room.promise;
  }

  /** Everything that waits, up to a limit. There must be something. */
  take(maxBytes: number): AppendGroup {
    const group = this.#queue.take(maxBytes);
    if (this.#queue.bytes < this.#maxQueuedBytes) this.#tellRoom();
    return group;
  }

  /** Takes nothing more. What waits is still to be appended; its lanes are refused behind their last acknowledgement. */
  close(code: RefusalCode, message: string): void {
    this.#closed = true;
    for (const sender of [...this.#senders]) sender.refuseLater(code, message);
    this.#tellRoom();
  }

  /** Forgets what waits and refuses all lanes at once. New ones may come, unless it is closed. */
  refuseAll(code: RefusalCode, message: string): void {
    this.#queue.clear();
    const senders = [...this.#senders];
    this.#senders.clear();
    for (const sender of senders) sender.refuse(code, message);
    this.#tellRoom();
  }

  #tellRoom(): void {
    this.#room?.tell();
    this.#room = undefined;
  }
}
