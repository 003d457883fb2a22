import type { Header } from "./header.js";
import type { JournalSpec } from "./journal-spec.js";
import type { LabelSelector, LabelSet } from "./label.js";

export interface ReadRequest {
  /** The name may end in `;meta`, which brokers ignore. */
  readonly journal: string;
  /** The first byte wanted; -1n is the write head. Default 0n. */
  readonly offset?: bigint;
  /** Wait at the write head. Without it a read ends there with `offset-not-yet-available`. Default false. */
  readonly block?: boolean;
  /** Brokers give a URL for a fragment that is in a store, and the client reads it there. Default false. */
  readonly doNotProxy?: boolean;
  /** Only tell about fragments. Default false. */
  readonly metadataOnly?: boolean;
  /** Exclusive; 0n is no end. Default 0n. */
  readonly endOffset?: bigint;
  /** Seconds since the epoch: fragments of stores that were written before are skipped. Default 0n. */
  readonly beginModTime?: bigint;
  /** Only from a broker that proxies, or to read at a revision at least. */
  readonly header?: Header;
}

/** What becomes of a suspended journal, or of one that shall be. */
export type AppendSuspend = "SUSPEND_RESUME" | "SUSPEND_NO_RESUME" | "SUSPEND_IF_FLUSHED" | "SUSPEND_NOW";

export interface AppendRequest {
  readonly journal: string;
  /** Where the append must begin; 0n is the write head, wherever that is. Default 0n. */
  readonly offset?: bigint;
  readonly doNotProxy?: boolean;
  /** The append is refused with `register-mismatch` unless the journal's registers match, or are empty. */
  readonly checkRegisters?: LabelSelector;
  /** Added to the registers, when at least a byte is appended. */
  readonly unionRegisters?: LabelSet;
  /** Taken from the registers, when at least a byte is appended. */
  readonly subtractRegisters?: LabelSet;
  /** Default "SUSPEND_RESUME". */
  readonly suspend?: AppendSuspend;
  readonly header?: Header;
}

export interface ListRequest {
  /** As text (`parseLabelSelector`) or parsed. The names `name` and `prefix` are the journal's own name. Default: all journals. */
  readonly selector?: string | LabelSelector;
  /** Send the whole listing again whenever it changes. Default false. */
  readonly watch?: boolean;
  /** The header of the last listing seen: only newer ones are sent. */
  readonly watchResume?: Header;
}

/** Create (`expectModRevision` 0n), update or delete a journal. -1n for any revision. */
export type ApplyChange =
  | { readonly expectModRevision: bigint; readonly upsert: JournalSpec; readonly delete?: undefined }
  | { readonly expectModRevision: bigint; readonly delete: string; readonly upsert?: undefined };

export interface ApplyRequest {
  readonly changes: readonly ApplyChange[];
}

export interface FragmentsRequest {
  readonly journal: string;
  /** Seconds since the epoch, inclusive. Default 0n. */
  readonly beginModTime?: bigint;
  /** Seconds since the epoch, exclusive; 0n is no end. Default 0n. */
  readonly endModTime?: bigint;
  readonly nextPageToken?: bigint;
  /** 0 to 10,000; 0 is the broker's default, 1,000. Default 0. */
  readonly pageLimit?: number;
  /** Ask for signed URLs that are good for so long. */
  readonly signatureTtlMs?: number;
  readonly doNotProxy?: boolean;
  readonly header?: Header;
}
