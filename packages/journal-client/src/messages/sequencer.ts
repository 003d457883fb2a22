import { JournalError } from "../errors.js";
import type { Envelope, MessageIterator } from "./message.js";
import type { ProducerId, ProducerState } from "./producer.js";
import { clear, MessageRing, newSequence, type Sequence, take } from "./sequence.js";
import { Flags } from "./uuid.js";

/**
 * What became of a message that was queued:
 * - `outside-already-acked`, `continue-already-acked`: a duplicate of a committed message.
 * - `continue-clock-larger`: a duplicate of a message of the open transaction.
 * - `continue-begin-span`, `continue-extend-span`: it waits for its transaction's acknowledgement.
 * - `ack-rollback`: the open transaction is given up.
 * - `outside-commit`, `ack-empty`, `ack-commit-ring`: messages are committed: `step` gives them.
 * - `ack-commit-replay`: messages are committed, and some of them are no longer held: call `startReplay` over `replayRange()`, then `step`.
 */
export type QueueOutcome =
  | "outside-already-acked"
  | "outside-commit"
  | "continue-already-acked"
  | "continue-clock-larger"
  | "continue-begin-span"
  | "continue-extend-span"
  | "ack-rollback"
  | "ack-empty"
  | "ack-commit-ring"
  | "ack-commit-replay";

export type SequencerWarning =
  /** A flag that is none of the three; the message counts as OUTSIDE_TXN. */
  | "unexpected-flags"
  /** A producer published a message on its own in the middle of its transaction, which is rolled back by that. */
  | "outside-in-transaction"
  /** A producer acknowledged again an older clock: it went back to an older state, and what it does again may come twice. */
  | "ack-went-back";

export interface SequencerOptions {
  /** Where each journal is to be read from; as `checkpoint` gave it. */
  readonly offsets?: ReadonlyMap<string, bigint>;
  /** What was known of producers; as `checkpoint` gave it. */
  readonly states?: Iterable<ProducerState>;
  /** How many messages it holds while they wait for their acknowledgement. Longer transactions are read a second time. Default 4,096. */
  readonly buffer?: number;
  readonly onWarning?: (
    warning: SequencerWarning,
    at: { journal: string; begin: bigint; producer: ProducerId },
  ) => void;
}

export interface Checkpoint {
  /** Where each journal goes on. */
  readonly offsets: ReadonlyMap<string, bigint>;
  readonly states: readonly ProducerState[];
}

/**
 * Turns the messages of journals, as they were written, into those that are committed: duplicates and rolled-back messages are left out,
 * and a transaction's messages come when its acknowledgement is read, at once and in order. Producers do not wait for each other.
 *
 * Feed it with `queueUncommitted`, and after each call `step` until there is nothing. The method and its outcomes are those of Gazette's Go
 * library (message/sequencer.go), whose checkpoints mean the same.
 */
export class Sequencer<M> {
  readonly #offsets: Map<string, bigint>;
  readonly #sequences = new Map<string, Sequence<M>>();
  /** Begun since the last checkpoint. */
  readonly #pending = new Set<Sequence<M>>();
  readonly #ring: MessageRing<M>;
  readonly #onWarning: NonNullable<SequencerOptions["onWarning"]>;
  #emit: Sequence<M> | undefined;
  #replay: MessageIterator<M> | undefined;
  #dequeued: Envelope<M> | undefined;

  /** @throws JournalError "invalid-argument" */
  constructor({ offsets, states = [], buffer = 4096, onWarning = () => {} }: SequencerOptions = {}) {
    if (!Number.isInteger(buffer) || buffer < 1) {
      throw new JournalError(
        "invalid-argument",
        `buffer is a whole number of messages from 1, not ${buffer}`,
      );
    }
    this.#offsets = new Map(offsets);
    this.#ring = new MessageRing(buffer);
    this.#onWarning = onWarning;
    for (const { journal, producer, lastAck, begin } of states) {
      this.#sequences.set(keyOf(journal, producer), newSequence(journal, producer, lastAck, begin));
    }
  }

  /** The message that `step` gave last. */
  get dequeued(): Envelope<M> | undefined {
    return this.#dequeued;
  }

  /** Whether a transaction has begun since the last checkpoint, and has not ended. */
  get hasPending(): boolean {
    return this.#pending.size > 0;
  }

  /** Takes the next message of a journal. @throws JournalError "invalid-argument" when committed messages are still to be taken */
  queueUncommitted(envelope: Envelope<M>): QueueOutcome {
    if (this.#emit !== undefined) {
      throw new JournalError("invalid-argument", "there are committed messages: step until there is none");
    }
    this.#ring.evict();
    const journal = envelope.journal.name;
    const { producer } = envelope.uuid;
    let { clock, flags } = envelope.uuid;
    let sequence: Sequence<M>;
    if (clock === 0n) {
      // Without a UUID there is no order and no transaction: committed, and not remembered.
      sequence = newSequence(journal, producer, 0n);
      clock = 1n;
      flags = Flags.OUTSIDE_TXN;
    } else {
      const key = keyOf(journal, producer);
      sequence = this.#sequences.get(key) ?? newSequence(journal, producer, clock - 1n);
      this.#sequences.set(key, sequence);
    }
    const outcome = this.#judge(envelope, sequence, clock, flags);
    this.#apply(outcome, envelope, sequence, clock);
    return outcome;
  }

  #judge(envelope: Envelope<M>, sequence: Sequence<M>, clock: bigint, flags: number): QueueOutcome {
    const warn = (warning: SequencerWarning): void =>
      this.#onWarning(warning, {
        journal: sequence.journal,
        begin: envelope.begin,
        producer: sequence.producer,
      });
    if (flags === Flags.CONTINUE_TXN) {
      if (clock <= sequence.minClock) return "continue-already-acked";
      if (clock <= sequence.maxClock) return "continue-clock-larger";
      return sequence.begin === -1n ? "continue-begin-span" : "continue-extend-span";
    }
    if (flags === Flags.ACK_TXN) {
      if (clock < sequence.minClock) warn("ack-went-back");
      if (clock <= sequence.minClock) return "ack-rollback";
      if (sequence.begin === -1n) return "ack-empty";
      return sequence.first?.begin === sequence.begin ? "ack-commit-ring" : "ack-commit-replay";
    }
    if (flags !== Flags.OUTSIDE_TXN) warn("unexpected-flags");
    if (clock <= sequence.minClock) return "outside-already-acked";
    if (sequence.begin !== -1n) warn("outside-in-transaction");
    return "outside-commit";
  }

  #apply(outcome: QueueOutcome, envelope: Envelope<M>, sequence: Sequence<M>, clock: bigint): void {
    switch (outcome) {
      case "outside-already-acked":
      case "continue-already-acked":
      case "continue-clock-larger":
        break;
      case "continue-begin-span":
        sequence.begin = envelope.begin;
        this.#pending.add(sequence);
        this.#ring.hold(envelope, sequence);
        sequence.maxClock = clock;
        break;
      case "continue-extend-span":
        this.#ring.hold(envelope, sequence);
        sequence.maxClock = clock;
        break;
      case "ack-rollback":
        clear(sequence, clock);
        this.#pending.delete(sequence);
        break;
      default:
        this.#ring.hold(envelope, sequence);
        if (outcome === "ack-empty") sequence.begin = envelope.begin;
        if (outcome === "outside-commit") {
          // Alone: what was open before it is rolled back.
          sequence.begin = envelope.begin;
          sequence.first = sequence.last;
        }
        sequence.maxClock = clock;
        this.#emit = sequence;
        // The journal's offset moves when the messages were taken: whoever recovers before that reads the acknowledgement again.
        return;
    }
    this.#offsets.set(sequence.journal, envelope.end);
  }

  /**
   * The next committed message, or undefined when all were taken. The one before counts as processed by this call.
   * After an error of the replay, `startReplay` again and go on.
   * @throws JournalError "invalid-argument" when a replay was needed and not started, "bad-message" when it is not of the range
   */
  async step(): Promise<Envelope<M> | undefined> {
    const sequence = this.#emit;
    if (sequence === undefined) return undefined;
    if (
      this.#dequeued === undefined &&
      this.#replay === undefined &&
      sequence.begin !== sequence.first?.begin
    ) {
      throw new JournalError(
        "invalid-argument",
        "the committed messages are no longer held: start a replay of `replayRange()`",
      );
    }
    if (this.#dequeued !== undefined) sequence.minClock = this.#dequeued.uuid.clock;

    let last = this.#dequeued;
    while (sequence.first !== undefined) {
      const envelope =
        this.#replay === undefined ? take(sequence) : await this.#replayed(sequence, this.#replay);
      if (envelope === undefined) continue;
      const { clock } = envelope.uuid;
      // Duplicates are not held, but a replay may bring them, and may bring what the ring has as well.
      if (clock !== 0n && clock <= sequence.minClock) continue;
      if (clock > sequence.maxClock) continue; // rolled back by its acknowledgement
      sequence.begin = envelope.begin;
      last = this.#dequeued = envelope;
      return envelope;
    }
    if (last !== undefined) this.#offsets.set(sequence.journal, last.end);
    clear(sequence, sequence.minClock);
    this.#pending.delete(sequence);
    this.#dequeued = undefined;
    this.#emit = undefined;
    return undefined;
  }

  /** The next message of the sequence from the replay, or undefined for one of another producer, and at the replay's end. */
  async #replayed(sequence: Sequence<M>, replay: MessageIterator<M>): Promise<Envelope<M> | undefined> {
    const envelope = await replay.next();
    if (envelope === undefined) {
      this.#replay = undefined;
      return undefined;
    }
    const end = sequence.first?.begin ?? -1n;
    if (envelope.journal.name !== sequence.journal || envelope.begin < sequence.begin || envelope.end > end) {
      throw new JournalError(
        "bad-message",
        `the replay gave [${envelope.begin}, ${envelope.end}) of ${envelope.journal.name}, which is not in [${sequence.begin}, ${end}) of ${sequence.journal}`,
        { journal: sequence.journal },
      );
    }
    return envelope.uuid.producer === sequence.producer ? envelope : undefined;
  }

  /** What has to be read again before `step`. @throws JournalError "invalid-argument" when nothing is committed */
  replayRange(): { readonly journal: string; readonly begin: bigint; readonly end: bigint } {
    const sequence = this.#committed();
    return {
      journal: sequence.journal,
      begin: sequence.begin,
      end: sequence.first?.begin ?? sequence.begin,
    };
  }

  /** Gives it the messages of `replayRange()`, as they were written. @throws JournalError "invalid-argument" when nothing is committed */
  startReplay(messages: MessageIterator<M>): void {
    this.#committed();
    this.#replay = messages;
  }

  /**
   * What a consumer has to keep to go on from here: a copy. Producers that were silent for `pruneHorizonMs`, measured by the clock of the
   * newest one in their journal, are forgotten. Default: none is.
   */
  checkpoint({ pruneHorizonMs = 0 }: { readonly pruneHorizonMs?: number } = {}): Checkpoint {
    const newest = new Map<string, bigint>();
    for (const { journal, minClock } of this.#sequences.values()) {
      if (minClock > (newest.get(journal) ?? 0n)) newest.set(journal, minClock);
    }
    const horizon = BigInt(Math.round(pruneHorizonMs * 10_000)) << 4n;
    const states: ProducerState[] = [];
    for (const [key, { journal, producer, minClock, maxClock, begin }] of this.#sequences) {
      if (pruneHorizonMs > 0 && maxClock < (newest.get(journal) ?? 0n) - horizon) this.#sequences.delete(key);
      else states.push({ journal, producer, lastAck: minClock, begin });
    }
    this.#pending.clear();
    return { offsets: new Map(this.#offsets), states };
  }

  #committed(): Sequence<M> {
    if (this.#emit === undefined) {
      throw new JournalError("invalid-argument", "there are no committed messages to replay");
    }
    return this.#emit;
  }
}

function keyOf(journal: string, producer: ProducerId): string {
  return producer + journal; // a producer is always 12 digits
}
