import type { CompressionCodec } from "./journal-spec.js";

/** A span of a journal, named by its content. */
export interface Fragment {
  readonly journal: string;
  /** Inclusive. */
  readonly begin: bigint;
  /** Exclusive. */
  readonly end: bigint;
  /** SHA-1 of the content: 20 bytes, all zero when there is none. */
  readonly sum: Uint8Array;
  readonly compressionCodec: CompressionCodec;
  /** The URL of the store; empty while only the brokers have the fragment. */
  readonly backingStore: string;
  /** Seconds since the epoch, as the store tells them; 0 when it does not. */
  readonly modTime: bigint;
  readonly pathPostfix: string;
}
