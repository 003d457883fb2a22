import type { AsyncAppend, AsyncJournalClient } from "../append/async-journal-client.js";
import type { Clock, Random } from "../clock.js";
import { JournalError } from "../errors.js";
import { systemClock, systemRandom } from "../system.js";
import { type Framing, framingOf } from "./framing.js";
import type { Mapping } from "./mapping.js";
import type { MessageType } from "./message.js";
import type { ProducerId } from "./producer.js";
import { buildUuid, Flags, MessageClock, newProducerId } from "./uuid.js";

/** The framed message which, appended to the journal, commits what was published there. */
export interface AckIntent {
  readonly journal: string;
  readonly intent: Uint8Array;
}

export interface PublisherOptions<M> {
  readonly type: MessageType<M>;
  /** One for each content type that the mappings give. */
  readonly framings: readonly Framing<M>[];
  /** Who publishes. Default: a random one, as no other may have it. */
  readonly producer?: ProducerId;
  readonly clock?: Clock;
  readonly random?: Random;
}

interface Open<M> {
  readonly framing: Framing<M>;
  readonly acknowledgement: M;
}

/**
 * Gives messages their UUIDs and appends them to the journals that they are mapped to.
 *
 * `publishCommitted` is for messages on their own. A transaction is a number of `publishUncommitted`, to any journals; then
 * `buildAckIntents`, whose result is kept in a safe place; and then `writeAckIntents`, again after a crash if need be. Those who read committed
 * messages see all of it from the moment its acknowledgement is in their journal.
 *
 * Do not publish to one journal in both ways at once: a committed message rolls an open transaction back.
 */
export class Publisher<M> {
  readonly producer: ProducerId;
  readonly #appends: AsyncJournalClient;
  readonly #type: MessageType<M>;
  readonly #framings: readonly Framing<M>[];
  readonly #clock: Clock;
  readonly #ticks = new MessageClock();
  #open = new Map<string, Open<M>>();

  constructor(appends: AsyncJournalClient, options: PublisherOptions<M>) {
    const { type, framings, producer, clock = systemClock, random = systemRandom } = options;
    this.#appends = appends;
    this.#type = type;
    this.#framings = framings;
    this.#clock = clock;
    this.producer = producer ?? newProducerId(random);
  }

  /**
   * Sets the message's UUID and starts to append it; the result's `done` tells when it is committed. What the mapping, the framing or the type's
   * `validate` throws is thrown, and nothing is appended.
   * @throws JournalError "no-journals", "invalid-argument" for a content type without framing, "buffer-full"
   */
  publishCommitted(mapping: Mapping<M>, message: M): AsyncAppend {
    return this.#publish(mapping, message, Flags.OUTSIDE_TXN).append;
  }

  /** As `publishCommitted`, as a part of the open transaction, which the first such call begins. */
  publishUncommitted(mapping: Mapping<M>, message: M): AsyncAppend {
    const { append, journal, framing } = this.#publish(mapping, message, Flags.CONTINUE_TXN);
    if (!this.#open.has(journal)) {
      this.#open.set(journal, { framing, acknowledgement: this.#type.newAcknowledgement(journal) });
    }
    return append;
  }

  /**
   * Ends the transaction: one intent for each journal that was published to since the last call, in the order of their first messages. Nothing is
   * written. Wait until all its appends are done, and keep the intents where they survive, before they are written.
   */
  buildAckIntents(): AckIntent[] {
    const intents: AckIntent[] = [];
    for (const [journal, { framing, acknowledgement }] of this.#open) {
      this.#setUuid(acknowledgement, Flags.ACK_TXN);
      intents.push({ journal, intent: framing.encode(acknowledgement) });
    }
    this.#open = new Map();
    return intents;
  }

  #publish(
    mapping: Mapping<M>,
    message: M,
    flags: number,
  ): { append: AsyncAppend; journal: string; framing: Framing<M> } {
    this.#ticks.update(this.#clock.wallMs());
    this.#type.validate?.(message);
    const { journal, contentType } = mapping(message);
    const framing = framingOf(this.#framings, contentType, journal);
    const append = this.#appends.startAppend({ journal });
    // Only now, in the order of the journal: clocks of a producer must not go back in it.
    try {
      this.#setUuid(message, flags);
      append.writer.write(framing.encode(message));
    } catch (error) {
      append.require(error);
    }
    append.release();
    return { append, journal, framing };
  }

  #setUuid(message: M, flags: number): void {
    const uuid = buildUuid({ producer: this.producer, clock: this.#ticks.tick(), flags });
    this.#type.setUuid(message, uuid);
  }
}

/**
 * Appends intents, each to its journal; resolves when all are committed. Writing them twice does no harm: do it when it is not known whether they were.
 * @throws what the appends failed with; JournalError "aborted" names the journals when there are several
 */
export async function writeAckIntents(
  appends: AsyncJournalClient,
  intents: readonly AckIntent[],
): Promise<void> {
  const started = intents.map(({ journal, intent }) => {
    const append = appends.startAppend({ journal });
    append.writer.write(intent);
    append.release();
    return append;
  });
  const errors = await Promise.all(started.map((append) => append.err()));
  const failed = errors.flatMap((error, index) =>
    error === undefined ? [] : [{ error, journal: intents[index]?.journal ?? "" }],
  );
  const [first] = failed;
  if (first === undefined) return;
  if (failed.length === 1) throw first.error;
  throw new JournalError(
    "aborted",
    `the acknowledgements of ${failed.length} journals were not written: ${failed.map(({ journal }) => journal).join(", ")}`,
    { cause: new AggregateError(failed.map(({ error }) => error)) },
  );
}
