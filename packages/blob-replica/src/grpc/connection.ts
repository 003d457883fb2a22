import { type ChannelOptions, Client, credentials } from "@grpc/grpc-js";
import { BlobError } from "../errors.js";
import { StoreClient } from "../gen/rpc/store.js";
import { BlobServiceClient } from "../gen/x/blobs/v1/blobs.js";
import { checkCount } from "../stores/arguments.js";
import type { GrpcStoreOptions } from "./grpc-store-options.js";
import { bytesPerMessage } from "./wire.js";

const largestMessage = 65 * 1024 * 1024;

const channelDefaults: ChannelOptions = {
  // The default window of 64 KiB limits a stream to a fraction of what loopback can carry.
  "grpc-node.flow_control_window": 4 * 1024 * 1024,
  // A server that is stopped or cut off sends nothing: only a ping finds out.
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 1_000,
};

export interface Connection {
  readonly bs: StoreClient;
  readonly blobs: BlobServiceClient;
  /** Nothing, where the connection is the caller's. */
  close(): void;
}

/** Two services on one connection. @throws BlobError "invalid-argument" */
export function connect(options: GrpcStoreOptions): Connection {
  const { client, own } = clientOf(options);
  // The addresses and credentials are the connection's.
  const sharing = { channelOverride: client.getChannel() };
  return {
    bs: new StoreClient("", credentials.createInsecure(), sharing),
    blobs: new BlobServiceClient("", credentials.createInsecure(), sharing),
    close: () => {
      if (own) client.close();
    },
  };
}

function clientOf(options: GrpcStoreOptions): { client: Client; own: boolean } {
  if (options.client !== undefined) {
    if (typeof options.client.getChannel !== "function") {
      throw new BlobError("invalid-argument", "client is a client of @grpc/grpc-js, which has a channel");
    }
    return { client: options.client, own: false };
  }
  if (typeof options.endpoint !== "string" || options.endpoint === "") {
    throw new BlobError("invalid-argument", "a gRPC store needs an endpoint, HOST:PORT, or a client");
  }
  const maxMessageBytes = checkCount("maxMessageBytes", options.maxMessageBytes ?? largestMessage, 1);
  const client = new Client(options.endpoint, options.credentials ?? credentials.createInsecure(), {
    ...channelDefaults,
    "grpc.max_receive_message_length": Math.max(maxMessageBytes, 2 * bytesPerMessage),
    ...options.channelOptions,
  });
  return { client, own: true };
}
