import type { ChannelCredentials, ChannelOptions, Client } from "@grpc/grpc-js";
import type { Clock } from "../clock.js";
import type { BlobStore } from "../store.js";
import type { AnchorMap } from "./anchor-map.js";

export interface GrpcStoreCommon {
  /**
   * What a call may take that carries no content or one small blob; and how long a call that carries more may be without progress while the caller
   * waits. Then it has failed as "unavailable". Default 60,000.
   */
  readonly timeoutMs?: number;
  /** Whether what a server gives is hashed, so that it is the blob that was asked for or "corrupt". Default true. */
  readonly verify?: boolean;
  /**
   * A server that gives more than that for one blob is not listened to any further: "refused". `stream` has no such limit. A replica that gets the blob from another store
   * replaces it when that is no larger than this. Default 1 GiB.
   */
  readonly maxBlobBytes?: number;
  readonly clock?: Clock;
}

/** A connection of the store's own. */
export interface GrpcStoreByEndpoint extends GrpcStoreCommon {
  /** `HOST:PORT`, or whatever else gRPC resolves. */
  readonly endpoint: string;
  readonly client?: undefined;
  /** Default: insecure. */
  readonly credentials?: ChannelCredentials;
  /** Of one message, which only matters for servers of bobg/bs: those send a blob as one. Default 65 MiB. */
  readonly maxMessageBytes?: number;
  /** Laid over ours. */
  readonly channelOptions?: ChannelOptions;
}

/** The connection of a gRPC client, of any service, that stays the caller's; so do its limits. */
export interface GrpcStoreByClient extends GrpcStoreCommon {
  readonly client: Client;
  readonly endpoint?: undefined;
  readonly credentials?: undefined;
  readonly maxMessageBytes?: undefined;
  readonly channelOptions?: undefined;
}

export type GrpcStoreOptions = GrpcStoreByEndpoint | GrpcStoreByClient;

export interface GrpcStore extends Required<Omit<BlobStore, typeof Symbol.asyncDispose>>, AsyncDisposable {
  /** Of the server's store: see `AnchorMap`. */
  readonly anchorMap: AnchorMap;
  /** Ends what runs as "closed", and the connection, if it is the store's own. */
  [Symbol.asyncDispose](): Promise<void>;
}
