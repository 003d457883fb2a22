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
  /** Who publishes. Default: a random one, as no other may have it, nor have had: the last append of one that crashed may still come in. */
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
    const { journal, framing } = this.#place(mapping, message);
    return this.#append(journal, framing, message, Flags.OUTSIDE_TXN);
  }

  /** As `publishCommitted`, as a part of the open transaction, which the first such call begins. */
  publishUncommitted(mapping: Mapping<M>, message: M): AsyncAppend {
    const { journal, framing } = this.#place(mapping, message);
    // Made before the append: a message whose acknowledgement cannot be made would never be committed.
    const open = this.#open.get(journal) ?? {
      framing,
      acknowledgement: this.#type.newAcknowledgement(journal),
    };
    const append = this.#append(journal, framing, message, Flags.CONTINUE_TXN);
    this.#open.set(journal, open);
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

  #place(mapping: Mapping<M>, message: M): { readonly journal: string; readonly framing: Framing<M> } {
    this.#ticks.update(this.#clock.wallMs());
    this.#type.validate?.(message);
    const { journal, contentType } = mapping(message);
    return { journal, framing: framingOf(this.#framings, contentType, journal) };
  }

  #append(journal: string, framing: Framing<M>, message: M, flags: number): AsyncAppend {
    const append = this.#appends.startAppend({ journal });
    // Only now, in the order of the journal: clocks of a producer must not go back in it.
    try {
      this.#setUuid(message, flags);
      append.writer.write(framing.encode(message));
    } catch (error) {
      append.require(error);
    }
    append.release();
    return append;
  }

  #setUuid(message: M, flags: number): void {
    const uuid = buildUuid({ producer: this.producer, clock: this.#ticks.tick(), flags });
    this.#type.setUuid(message, uuid);
  }
}

/** Gives what it failed with. None keeps the others from being written, nor is one left behind that is started and not released. */
async function appendIntent(appends: AsyncJournalClient, { journal, intent }: AckIntent): Promise<unknown> {
  let append: AsyncAppend;
  try {
    append = appends.startAppend({ journal });
  } catch (error) {
    return error;
  }
  try {
    append.writer.write(intent);
  } catch (error) {
    append.require(error);
  }
  try {
    append.release();
  } catch {
    // That of the write, which the append gives, too.
  }
  return append.err();
}

/**
 * Appends intents, each to its journal; resolves when all are committed. Writing them twice does no harm: do it when it is not known whether they were.
 * @throws what the appends failed with; JournalError "aborted" names the journals when there are several
 */
export async function writeAckIntents(
  appends: AsyncJournalClient,
  intents: readonly AckIntent[],
): Promise<void> {
  const errors = await Promise.all(intents.map((intent) => appendIntent(appends, intent)));
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
