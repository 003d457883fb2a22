/** Content-addressed blobs: stores behind one interface, and replication over them that loses nothing. */

export {
  type ConcurrencyOptions,
  deleteBlob,
  getMany,
  has,
  listRefPages,
  putMany,
  streamBlob,
} from "./capabilities.js";
export {
  type AnchorStore,
  type FileAnchorStoreOptions,
  fileAnchorStore,
  memoryAnchorStore,
} from "./content/anchor-store.js";
export {
  type Anchor,
  type Anchors,
  type AnchorsOptions,
  anchorReferences,
  anchors,
} from "./content/anchors.js";
export {
  type BlobTree,
  type BlobTreeOptions,
  type BlobTreeStreamOptions,
  join,
  openBlobTree,
  treeReferences,
} from "./content/blob-tree.js";
export type { ChunkerOptions } from "./content/fast-cdc.js";
export { type SplitOptions, split } from "./content/split.js";
export { BlobError, type BlobErrorCode, type BlobErrorOptions, type StoreFailure } from "./errors.js";
export { type CandidateStore, fileCandidateStore, memoryCandidateStore } from "./maintenance/candidates.js";
export { type GcOptions, type GcProgress, type GcReport, gc } from "./maintenance/gc.js";
export { type GcGuard, type GcGuardOptions, gcGuard } from "./maintenance/gc-guard.js";
export type { Reference, References } from "./maintenance/marking.js";
export { prefixDigests } from "./maintenance/prefix-digests.js";
export {
  type ReconcileReport,
  type Resume,
  reconcile,
  type SyncOptions,
  type SyncProgress,
  type SyncReport,
  sync,
} from "./maintenance/sync.js";
export {
  type BadBlob,
  type BlobProblem,
  type VerifyOptions,
  type VerifyProgress,
  type VerifyReport,
  verify,
} from "./maintenance/verify.js";
export { parseRef, type Ref, refBytes, refFromBytes, refOf, refToBytes } from "./ref.js";
export { createReplica } from "./replica/create-replica.js";
export type {
  AsyncReplicaOptions,
  AsyncStoreState,
  NamedStore,
  Replica,
  ReplicaCommon,
  ReplicaEvent,
  ReplicaOptions,
  ReplicaState,
  SyncReplicaOptions,
} from "./replica/options.js";
export type { QueueFiles } from "./replica/queue/files.js";
export type {
  BlobStore,
  CallOptions,
  GetManyResult,
  GetOptions,
  ListOptions,
  PrefixDigest,
  PutManyResult,
  PutOptions,
  PutResult,
} from "./store.js";
export { aesGcm, type EncryptionKey, type KeyProvider } from "./stores/aes-gcm.js";
export { type BlobCodec, brotli, type CompressionOptions, chain, gzip } from "./stores/codecs.js";
export { type DirectoryStoreOptions, directoryStore } from "./stores/directory.js";
export { directoryRefMap } from "./stores/directory-ref-map.js";
export { type LruCacheOptions, lruCache } from "./stores/lru.js";
export { type MemoryStoreOptions, memoryStore } from "./stores/memory.js";
export {
  type CallMeasurement,
  metered,
  type StoreMetrics,
  type StoreOperation,
} from "./stores/metered.js";
export { memoryRefMap, type RefMap } from "./stores/ref-map.js";
export { type RebuildOptions, rebuildRefMap, type TransformOptions, transform } from "./stores/transform.js";
export { verifying } from "./stores/verifying.js";
