/** A client of Gazette journals: append-only byte streams, replicated by brokers and kept in object stores. */

export type {
  AppendStream,
  CallOptions,
  DispatchRouter,
  FragmentFile,
  FragmentTransport,
  RoutedJournalClient,
} from "./client/routed-journal-client.js";
export type { Clock, Random } from "./clock.js";
export { isJournalError, JournalError, type JournalErrorCode, type StatusErrorCode } from "./errors.js";
export type { Fragment } from "./protocol/fragment.js";
export type { Header, ProcessId, Route } from "./protocol/header.js";
export type {
  CompressionCodec,
  FragmentSpec,
  JournalFlag,
  JournalSpec,
  Suspension,
} from "./protocol/journal-spec.js";
export type { Label, LabelSelector, LabelSet } from "./protocol/label.js";
export type {
  AppendRequest,
  AppendSuspend,
  ApplyChange,
  ApplyRequest,
  FragmentsRequest,
  ListRequest,
  ReadRequest,
} from "./protocol/requests.js";
export type {
  AppendResponse,
  ApplyResponse,
  FragmentStoreHealthResponse,
  FragmentsResponse,
  ListedFragment,
  ListedJournal,
  ListResponse,
  ReadResponse,
  Status,
} from "./protocol/responses.js";
