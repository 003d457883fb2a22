import type { JournalSpec } from "../protocol/journal-spec.js";
import type { UuidParts } from "./uuid.js";

/** How a kind of message holds its UUID. Messages themselves stay plain values. */
export interface MessageType<M> {
  /**
   * 16 bytes, or undefined when the message holds none: it then counts as committed, and duplicates go unseen. What it throws makes the message
   * a "bad-message" of the journal.
   */
  getUuid(message: M): Uint8Array | undefined;
  setUuid(message: M, uuid: Uint8Array): void;
  /** An empty message that can hold a UUID: it is written to say that a transaction committed. */
  newAcknowledgement(journal: string): M;
  /** Throws when a message must not be published. */
  validate?(message: M): void;
}

/** A message, and where it was. */
export interface Envelope<M> {
  /** The journal it was read from; its name keeps the `;meta` of the request. */
  readonly journal: JournalSpec;
  /** Its first byte. */
  readonly begin: bigint;
  /** Behind its last byte. */
  readonly end: bigint;
  readonly message: M;
  /** From its UUID, when it was read; all zero when it has none. */
  readonly uuid: UuidParts;
}

/** Where messages come from one after the other; undefined when there are no more. */
export interface MessageIterator<M> {
  next(): Promise<Envelope<M> | undefined>;
}
