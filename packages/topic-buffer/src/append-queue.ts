import type { RefusalCode } from "@x/topic-gateway/protocol";

/** Who put batches into a queue and is told what became of them. Acknowledgements come in the order of the batches, none after a refusal. */
export interface AppendSender {
  /** Messages of a batch are durable and visible: `count` ids from the given time and sequence on. */
  acknowledge(batch: number, time: bigint, sequence: number, count: number): void;
  /** The owner does not take the batch that it was just given, nor anything more. What it took before is still acknowledged or refused. */
  decline(code: RefusalCode, message: string): void;
  /** The owner takes nothing from this sender any more and will not acknowledge anything either. */
  refuse(code: RefusalCode, message: string): void;
  /** The owner takes nothing more, but what it took before is still acknowledged or refused. */
  refuseLater(code: RefusalCode, message: string): void;
}

interface Waiting {
  readonly sender: AppendSender;
  readonly batch: number;
  readonly bodies: readonly Buffer[];
  readonly bytes: number;
}

/** Batches made durable by one append. */
export interface AppendGroup {
  readonly items: readonly Waiting[];
  readonly bodies: readonly Buffer[];
  readonly bytes: number;
}

/** What a range has accepted and not yet made durable. A group is everything that waits, up to a limit, in whole batches. */
export class AppendQueue {
  /** From #head on; what was taken in front is undefined, so that its messages can go, and cut off now and then. */
  #items: (Waiting | undefined)[] = [];
  #head = 0;
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#head === this.#items.length;
  }

  push(sender: AppendSender, batch: number, bodies: readonly Buffer[], bytes: number): void {
    this.#items.push({ sender, batch, bodies, bytes });
    this.#bytes += bytes;
  }

  /** The next group: at least one batch. The queue must not be empty. */
  take(maxBytes: number): AppendGroup {
    const items: Waiting[] = [];
    let bytes = 0;
    for (; this.#head < this.#items.length; this.#head++) {
      const next = this.#items[this.#head] as Waiting;
      if (bytes > 0 && bytes + next.bytes > maxBytes) break;
      bytes += next.bytes;
      items.push(next);
      this.#items[this.#head] = undefined;
    }
    if (this.isEmpty) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head > 1024) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    this.#bytes -= bytes;
    const [first] = items;
    return {
      items,
      bytes,
      bodies: items.length === 1 && first ? first.bodies : items.flatMap(({ bodies }) => bodies),
    };
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
    this.#bytes = 0;
  }
}
