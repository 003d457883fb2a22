/** Content-addressed blobs: stores behind one interface, and replication over them that loses nothing. */

export { BlobError, type BlobErrorCode, type BlobErrorOptions, type StoreFailure } from "./errors.js";
export { parseRef, type Ref, refBytes, refFromBytes, refOf, refToBytes } from "./ref.js";
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
export type {
  BlobStore,
  CallOptions,
  GetManyResult,
  PutManyResult,
  PutOptions,
  PutResult,
} from "./store.js";
