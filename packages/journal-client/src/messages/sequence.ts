import type { Envelope } from "./message.js";
import type { ProducerId } from "./producer.js";

/** A message in the ring, and the next one of its producer there. */
export interface Held<M> {
  envelope: Envelope<M> | undefined;
  next: Held<M> | undefined;
  readonly begin: bigint;
  readonly sequence: Sequence<M>;
}

/** What one producer has in one journal behind its last acknowledgement. */
export interface Sequence<M> {
  readonly journal: string;
  readonly producer: ProducerId;
  /** Messages up to this clock, inclusive, are done with. */
  minClock: bigint;
  /** Messages behind this clock do not belong to the sequence. */
  maxClock: bigint;
  /** Of its first message, -1n when it has none. */
  begin: bigint;
  /** Its messages that are in the ring. */
  first: Held<M> | undefined;
  last: Held<M> | undefined;
}

/** The newest messages that wait for their acknowledgement: so many, of all sequences together. */
export class MessageRing<M> {
  readonly #places: (Held<M> | undefined)[];
  #head = 0;

  constructor(size: number) {
    this.#places = new Array<Held<M> | undefined>(size).fill(undefined);
  }

  /** Makes room for one: the oldest message is no longer held, and its sequence will need a replay. */
  evict(): void {
    const oldest = this.#places[this.#head];
    if (oldest === undefined) return;
    this.#places[this.#head] = undefined;
    const { sequence } = oldest;
    if (sequence.first === oldest) {
      sequence.first = oldest.next;
      if (sequence.first === undefined) sequence.last = undefined;
    }
    oldest.envelope = undefined;
  }

  /** As the last of its sequence. There has to be room. */
  hold(envelope: Envelope<M>, sequence: Sequence<M>): void {
    const held: Held<M> = { envelope, next: undefined, begin: envelope.begin, sequence };
    this.#places[this.#head] = held;
    this.#head = (this.#head + 1) % this.#places.length;
    if (sequence.last === undefined) sequence.first = held;
    else sequence.last.next = held;
    sequence.last = held;
  }
}

/** Empty, unless it begins in what was read before. */
export function newSequence<M>(
  journal: string,
  producer: ProducerId,
  clock: bigint,
  begin = -1n,
): Sequence<M> {
  return { journal, producer, minClock: clock, maxClock: clock, begin, first: undefined, last: undefined };
}

/** Everything up to the clock is done with. */
export function clear<M>(sequence: Sequence<M>, clock: bigint): void {
  sequence.minClock = clock;
  sequence.maxClock = clock;
  sequence.begin = -1n;
  sequence.first = undefined;
  sequence.last = undefined;
}

/** The sequence's next message in the ring, which lets go of it. */
export function take<M>(sequence: Sequence<M>): Envelope<M> | undefined {
  const held = sequence.first;
  if (held === undefined) return undefined;
  sequence.first = held.next;
  const { envelope } = held;
  held.envelope = undefined;
  return envelope;
}
