/** A client of Gazette journals: append-only byte streams, replicated by brokers and kept in object stores. */

export { type AppendContent, type AppendOptions, append } from "./append/append.js";
export { AppendService, type AppendServiceOptions, type SpillOptions } from "./append/append-service.js";
export { Appender, type AppenderOptions } from "./append/appender.js";
export type { AppendWriter, AsyncAppend, AsyncJournalClient } from "./append/async-journal-client.js";
export type { AppendRetryEvent, AppendServiceEvent, SpillFailedEvent } from "./append/events.js";
export { AsyncOperation, finishedOperation, type OpFuture, OpFutures } from "./append/op-future.js";
export type { SpillFile, SpillFiles } from "./append/spill-files.js";
export {
  type AuthorizeOptions,
  type Authorizer,
  bearerAuth,
  Capability,
  type Claims,
  keyedAuth,
} from "./client/auth.js";
export type { ClientEvent } from "./client/events.js";
export type { GrpcClientOptions } from "./client/grpc-client.js";
export { JournalClient, type JournalClientOptions } from "./client/journal-client.js";
export { RouteCache, type RouteCacheOptions } from "./client/route-cache.js";
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
export {
  type ApplyInBatchesOptions,
  type ApplyProgress,
  applyJournals,
  applyJournalsInBatches,
  PartialApplyError,
} from "./list/apply-journals.js";
export { fragmentStoreHealth } from "./list/fragment-store-health.js";
export { listAllFragments } from "./list/list-fragments.js";
export { getJournal, listAllJournals } from "./list/list-journals.js";
export { type ListUpdate, ListUpdates } from "./list/list-updates.js";
export { readListResponse } from "./list/read-list-response.js";
export { WatchedList, type WatchedListOptions } from "./list/watched-list.js";
export type { Fragment } from "./protocol/fragment.js";
export { fragmentName, fragmentPath, parseFragmentPath } from "./protocol/fragment-name.js";
export type { Header, ProcessId, Route } from "./protocol/header.js";
export { checkJournalName, stripMeta } from "./protocol/journal-name.js";
export type {
  CompressionCodec,
  FragmentSpec,
  JournalFlag,
  JournalSpec,
  Suspension,
} from "./protocol/journal-spec.js";
export type { Label, LabelSelector, LabelSet } from "./protocol/label.js";
export { formatLabelSelector, matchesSelector, parseLabelSelector } from "./protocol/label-selector.js";
export { labelSet, labelValue, labelValues } from "./protocol/label-set.js";
export { type JournalSpecFields, journalSpec } from "./protocol/make-journal-spec.js";
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
export { checkJournalSpec } from "./protocol/spec-rules.js";
export { BufferedReader, type BufferedReaderOptions, type Buffering } from "./read/buffered-reader.js";
export { type ByteSource, ByteStream } from "./read/byte-stream.js";
export { type FileTransportOptions, fileTransport } from "./read/file-transport.js";
export {
  FragmentReader,
  type FragmentReaderOptions,
  type OpenFragmentOptions,
  openFragmentUrl,
} from "./read/fragment-reader.js";
export { FragmentTransports, fragmentTransports } from "./read/fragment-transports.js";
export { type HttpTransportOptions, httpTransport } from "./read/http-transport.js";
export type { FragmentFiles, OpenFile } from "./read/node-files.js";
export { OffsetJumpError } from "./read/offset-jump.js";
export { Reader, type ReaderOptions } from "./read/reader.js";
export { RetryReader } from "./read/retry-reader.js";
export type { ReadRetryEvent, RetryReaderOptions } from "./read/retry-reader-options.js";
export type { Whence } from "./read/seek-target.js";
