import type { RoutedJournalClient } from "../client/routed-journal-client.js";
import type { ReadRequest } from "../protocol/requests.js";
import type { Envelope, MessageIterator } from "./message.js";
import { type ReadMessagesOptions, ReadUncommitted } from "./read-uncommitted.js";
import { type Checkpoint, Sequencer, type SequencerOptions } from "./sequencer.js";
import { Flags } from "./uuid.js";

export interface ReadCommittedOptions<M> extends ReadMessagesOptions<M> {
  /** Default: a new one that knows nothing. Give one made from a checkpoint to go on where that was taken. */
  readonly sequencer?: Sequencer<M>;
  readonly onWarning?: SequencerOptions["onWarning"];
  /** Whether the messages that commit a transaction are given out too. They have a UUID and no content. Default false. */
  readonly acknowledgements?: boolean;
}

/**
 * The committed messages of a journal, each once and in the order of their producer: those on their own as they come, those of a transaction when its
 * acknowledgement is read. A transaction that is longer than the sequencer's buffer is read a second time by a reader of its own.
 */
export class ReadCommitted<M> implements MessageIterator<M>, AsyncIterable<Envelope<M>> {
  readonly sequencer: Sequencer<M>;
  readonly #request: ReadRequest;
  readonly #options: ReadCommittedOptions<M>;
  readonly #uncommitted: ReadUncommitted<M>;
  #replay: ReadUncommitted<M> | undefined;

  /** Nothing is sent before the first `next`. @throws JournalError "invalid-argument" */
  constructor(client: RoutedJournalClient, request: ReadRequest, options: ReadCommittedOptions<M>) {
    this.#request = request;
    this.#options = options;
    this.sequencer = options.sequencer ?? new Sequencer<M>({ onWarning: options.onWarning });
    this.#uncommitted = new ReadUncommitted(client, request, options);
  }

  /** Undefined when the request's end is reached. Errors as `ReadUncommitted`'s; after one, `next` goes on. */
  async next(): Promise<Envelope<M> | undefined> {
    for (;;) {
      const committed = await this.sequencer.step();
      if (committed !== undefined) {
        if (committed.uuid.flags !== Flags.ACK_TXN || this.#options.acknowledgements === true)
          return committed;
        continue;
      }
      this.#replay?.close();
      this.#replay = undefined;
      const envelope = await this.#uncommitted.next();
      if (envelope === undefined) return undefined;
      if (this.sequencer.queueUncommitted(envelope) === "ack-commit-replay") {
        const { journal, begin, end } = this.sequencer.replayRange();
        const request = { ...this.#request, journal, offset: begin, endOffset: end };
        this.#replay = this.#uncommitted.again(request);
        this.sequencer.startReplay(this.#replay);
      }
    }
  }

  /** Where a consumer that has processed all that `next` gave before the last call goes on: keep it with what was made of the messages. */
  checkpoint(options?: { readonly pruneHorizonMs?: number }): Checkpoint {
    return this.sequencer.checkpoint(options);
  }

  /** Ends the reading, also one that waits. */
  close(): void {
    this.#replay?.close();
    this.#uncommitted.close();
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
