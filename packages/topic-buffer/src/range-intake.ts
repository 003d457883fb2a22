import type { LaneSender, RefusalCode } from "@x/topic-gateway/protocol";
import { type AppendGroup, AppendQueue, type AppendSender } from "./append-queue.js";
import type { LaneOwner } from "./lanes.js";

/** Remembered of a range; beyond it the one that was quiet for longest is forgotten. */
const MAX_SENDERS = 10_000;

/** What lanes bring to a range: the lanes themselves, and what waits for the log. */
export class RangeIntake implements LaneOwner {
  readonly #range: string;
  readonly #maxQueuedBytes: number;
  readonly #onBatch: () => void;
  readonly #queue: AppendQueue = new AppendQueue();
  readonly #senders: Set<AppendSender> = new Set();
  /** By its sender, the newest lane that came: also after it has gone, for what the network may still hold of an older one. */
  readonly #newest: Map<string, { readonly attempt: number; lane: AppendSender | undefined }> = new Map();
  readonly #origins: Map<AppendSender, string> = new Map();
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

  attach(sender: AppendSender, from?: LaneSender): void {
    this.#senders.add(sender);
    if (!from) return;
    const known = this.#newest.get(from.id);
    if (known && known.attempt >= from.attempt) {
      sender.refuse("not-owner", `a newer lane of the same sender has come to ${this.#range}`);
      return;
    }
    // What it brought before is appended; what its stream still brings would come too late.
    known?.lane?.refuseLater("not-owner", `a newer lane of the same sender has come to ${this.#range}`);
    this.#newest.delete(from.id);
    this.#newest.set(from.id, { attempt: from.attempt, lane: sender });
    this.#origins.set(sender, from.id);
    const oldest = this.#newest.size > MAX_SENDERS ? this.#newest.keys().next().value : undefined;
    if (oldest !== undefined) this.#newest.delete(oldest);
  }

  detach(sender: AppendSender): void {
    this.#senders.delete(sender);
    const newest = this.#newest.get(this.#origins.get(sender) ?? "");
    if (newest?.lane === sender) newest.lane = undefined;
    this.#origins.delete(sender);
  }

  accept(sender: AppendSender, batch: number, bodies: readonly Buffer[], bytes: number): void {
    if (this.#closed) {
      sender.decline("not-owner", `the range ${this.#range} is no longer here`);
    } else if (this.isHeld && this.#queue.bytes >= this.#maxQueuedBytes) {
      // Waiting for room would hold up the other ranges of the stream for as long.
      const why = `the range ${this.#range} is being taken over and too much waits for it already`;
      sender.decline("overloaded", why);
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
