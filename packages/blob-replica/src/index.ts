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
export { BlobError, type BlobErrorCode, type BlobErrorOptions, type StoreFailure } from "./errors.js";
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
