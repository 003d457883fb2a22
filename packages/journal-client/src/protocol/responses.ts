import type { Fragment } from "./fragment.js";
import type { Header, Route } from "./header.js";
import type { JournalSpec } from "./journal-spec.js";
import type { LabelSet } from "./label.js";

/** As on the wire. */
export type Status =
  | "OK"
  | "JOURNAL_NOT_FOUND"
  | "NO_JOURNAL_PRIMARY_BROKER"
  | "NOT_JOURNAL_PRIMARY_BROKER"
  | "INSUFFICIENT_JOURNAL_BROKERS"
  | "NOT_JOURNAL_BROKER"
  | "OFFSET_NOT_YET_AVAILABLE"
  | "WRONG_ROUTE"
  | "PROPOSAL_MISMATCH"
  | "ETCD_TRANSACTION_FAILED"
  | "NOT_ALLOWED"
  | "WRONG_APPEND_OFFSET"
  | "INDEX_HAS_GREATER_OFFSET"
  | "REGISTER_MISMATCH"
  | "SUSPENDED"
  | "FRAGMENT_STORE_UNHEALTHY";

/** Either metadata (`content` is undefined) or a chunk: status OK, `offset` and `content`, and nothing else of its own. */
export interface ReadResponse {
  readonly status: Status;
  readonly header: Header | undefined;
  /** Of the next byte to be read, or of the first byte of `content`. */
  readonly offset: bigint;
  /** Where the next append goes. */
  readonly writeHead: bigint;
  readonly fragment: Fragment | undefined;
  /** Where the fragment can be read directly, or "". */
  readonly fragmentUrl: string;
  /** The receiver owns it. */
  readonly content: Uint8Array | undefined;
}

export interface AppendResponse {
  readonly status: Status;
  readonly header: Header;
  /** With OK: where the append (the whole batch, of an AppendService) is. */
  readonly commit: Fragment | undefined;
  /** With OK and REGISTER_MISMATCH: the registers now. */
  readonly registers: LabelSet | undefined;
  readonly totalChunks: bigint;
  readonly delayedChunks: bigint;
  readonly storeHealthError: string;
}

export interface ListedJournal {
  readonly spec: JournalSpec;
  readonly modRevision: bigint;
  readonly createRevision: bigint;
  readonly route: Route;
}

/** On the wire a listing is several of these; the functions of this package give one with all journals. */
export interface ListResponse {
  readonly status: Status;
  readonly header: Header;
  /** In the order of their names. */
  readonly journals: readonly ListedJournal[];
}

export interface ApplyResponse {
  readonly status: Status;
  readonly header: Header;
}

export interface ListedFragment {
  readonly spec: Fragment;
  /** "" when none was asked for, or the fragment is in no store. */
  readonly signedUrl: string;
}

export interface FragmentsResponse {
  readonly status: Status;
  readonly header: Header;
  readonly fragments: readonly ListedFragment[];
  /** 0n when this was the last page. */
  readonly nextPageToken: bigint;
}

export interface FragmentStoreHealthResponse {
  readonly status: Status;
  readonly header: Header;
  readonly storeHealthError: string;
}
