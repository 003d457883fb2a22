/**
 * Stores over gRPC: `addBlobService` serves one, `grpcStore` is one that a server has. Both speak the wire of bobg/bs v0.4.0's `rpc.Store`, and among themselves
 * `x.blobs.v1.BlobService`. Needs @grpc/grpc-js.
 */
export { addBlobService, type BlobServiceOptions } from "./grpc/add-blob-service.js";
export { type AnchorMap, memoryAnchorMap } from "./grpc/anchor-map.js";
export { grpcStore } from "./grpc/grpc-store.js";
export type {
  GrpcStore,
  GrpcStoreByClient,
  GrpcStoreByEndpoint,
  GrpcStoreCommon,
  GrpcStoreOptions,
} from "./grpc/grpc-store-options.js";
export type { OnError } from "./grpc/server-calls.js";
