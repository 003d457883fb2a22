import type { RoutedJournalClient } from "../client/routed-journal-client.js";
import { isJournalError, JournalError } from "../errors.js";
import type { JournalSpec } from "../protocol/journal-spec.js";
import { argument, checkArray, checkObject } from "../protocol/refusal.js";
import type { ReadRequest } from "../protocol/requests.js";
import { BufferedReader } from "../read/buffered-reader.js";
import { RetryReader } from "../read/retry-reader.js";
import type { RetryReaderOptions } from "../read/retry-reader-options.js";
import { Turns } from "../read/turns.js";
import { askedSpec } from "./asked-spec.js";
import { type Framing, framingOf } from "./framing.js";
import { contentTypeLabel, labelValue } from "./mapping.js";
import type { Envelope, MessageIterator, MessageType } from "./message.js";
import type { ProducerId } from "./producer.js";
import { parseUuid, type UuidParts } from "./uuid.js";

export interface ReadMessagesOptions<M> extends Omit<RetryReaderOptions, "onOffsetJump"> {
  readonly type: MessageType<M>;
  /** The one for the journal's content type is used. */
  readonly framings: readonly Framing<M>[];
  /** Told when bytes of the journal are gone; reading goes on behind them. */
  readonly onOffsetJump?: (from: bigint, to: bigint) => void;
  /**
   * Told of bytes that are no message; reading goes on behind them. Without it the iteration ends with that error, and a further `next` goes on.
   */
  readonly onBadMessage?: (error: JournalError, at: { readonly begin: bigint; readonly end: bigint }) => void;
}

interface OpenedJournal<M> {
  readonly spec: JournalSpec;
  readonly framing: Framing<M>;
}

const noUuid: UuidParts = { producer: "000000000000" as ProducerId, clock: 0n, flags: 0 };

/** The messages of a journal as they were written: duplicates, open and rolled-back transactions, and acknowledgements among them. */
export class ReadUncommitted<M> implements MessageIterator<M>, AsyncIterable<Envelope<M>> {
  readonly reader: RetryReader;
  readonly #client: RoutedJournalClient;
  readonly #options: ReadMessagesOptions<M>;
  readonly #buffered: BufferedReader;
  #journal: OpenedJournal<M> | undefined;
  /** While the journal is asked for. */
  #opening: Turns | undefined;

  /** Nothing is sent before the first `next`. @throws JournalError "invalid-argument" */
  constructor(client: RoutedJournalClient, request: ReadRequest, options: ReadMessagesOptions<M>) {
    checkObject(argument("ReadMessagesOptions"), options);
    const { type, framings, onOffsetJump, onBadMessage, ...reading } = options;
    checkObject(argument("ReadMessagesOptions.type"), type);
    checkArray(argument("ReadMessagesOptions.framings"), framings);
    this.#client = client;
    this.#options = options;
    this.reader = new RetryReader(client, request, reading);
    this.#buffered = new BufferedReader(this.reader);
  }

  /** Where the next message begins. */
  get offset(): bigint {
    return this.reader.adjustedOffset(this.#buffered);
  }

  /**
   * Undefined when the request's end is reached.
   * @throws JournalError "bad-message" (the next call goes on behind it), "invalid-argument" without a framing for the journal, "unexpected-eof" when the
   * request ends in the middle of a message, and what RetryReader throws
   */
  async next(): Promise<Envelope<M> | undefined> {
    this.#journal ??= await this.#open();
    const { spec, framing } = this.#journal;
    for (;;) {
      const begin = this.offset;
      try {
        const message = await framing.decode(this.#buffered);
        if (message === undefined) return undefined;
        return { journal: spec, begin, end: this.offset, message, uuid: this.#uuidOf(message) };
      } catch (error) {
        if (isJournalError(error, "offset-jump")) {
          this.#buffered.reset(); // the beginning of a message whose rest is gone
          this.#options.onOffsetJump?.(begin, this.offset);
        } else if (isJournalError(error, "bad-message") && this.#options.onBadMessage !== undefined) {
          this.#options.onBadMessage(error, { begin, end: this.offset });
        } else {
          throw error;
        }
      }
    }
  }

  /** Whatever goes wrong here, the bytes of the journal are to blame, which anybody may have written. */
  #uuidOf(message: M): UuidParts {
    try {
      const uuid = this.#options.type.getUuid(message);
      return uuid === undefined ? noUuid : parseUuid(uuid);
    } catch (cause) {
      if (isJournalError(cause, "bad-message")) throw cause;
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new JournalError("bad-message", `a message's UUID cannot be read: ${why}`, {
        cause,
        journal: this.reader.journal,
      });
    }
  }

  async #open(): Promise<OpenedJournal<M>> {
    const { framings, clock, random, onRetry, signal } = this.#options;
    const name = this.reader.journal;
    const opening = new Turns(signal);
    this.#opening = opening;
    const options = {
      signal: opening.signal,
      ...(clock && { clock }),
      ...(random && { random }),
      ...(onRetry && { onRetry }),
    };
    let spec: JournalSpec;
    try {
      spec = await askedSpec(this.#client, this.reader.request, options);
    } finally {
      this.#opening = undefined;
      opening.cancel(undefined);
    }
    const framing = framingOf(framings, labelValue(spec.labels, contentTypeLabel), name);
    // With the `;meta` of the request, which tells two readers of one journal apart.
    return { spec: { ...spec, name }, framing };
  }

  /** Ends the reading, also one that waits. */
  close(): void {
    this.reader.cancel();
    this.#opening?.cancel(undefined);
  }

  /** Another reader of the same journal, which need not ask for it again. */
  again(request: ReadRequest): ReadUncommitted<M> {
    const other = new ReadUncommitted(this.#client, request, this.#options);
    if (other.reader.journal === this.reader.journal) other.#journal = this.#journal;
    return other;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Envelope<M>, void, void> {
    try {
      for (;;) {
        const envelope = await this.next();
        if (envelope === undefined) return;
        yield envelope;
      }
    } finally {
      this.close();
    }
  }
}
