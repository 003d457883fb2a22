import type { Server } from "@grpc/grpc-js";
import { BlobError } from "../errors.js";
import { StoreService } from "../gen/rpc/store.js";
import { BlobServiceService } from "../gen/x/blobs/v1/blobs.js";
import type { BlobStore } from "../store.js";
import { checkCount } from "../stores/arguments.js";
import type { AnchorMap } from "./anchor-map.js";
import { blobHandlers } from "./blob-service.js";
import { bsHandlers, type Serving } from "./bs-service.js";
import type { OnError } from "./server-calls.js";
import { describeFailure, toServiceError } from "./status.js";

export interface BlobServiceOptions {
  /** For the anchors of clients of bobg/bs. Without it they are told that the store has none. */
  readonly anchorMap?: AnchorMap;
  /** A larger one is refused; each that is on its way to the store is in memory. Default 1 GiB. */
  readonly maxBlobBytes?: number;
  /** Told what is no BlobError; clients learn only that there was one. What it throws is dropped. */
  readonly onError?: OnError;
}

/**
 * Serves a store: `rpc.Store`, which clients of bobg/bs v0.4.0 speak, and beside it `x.blobs.v1.BlobService` with batches and large blobs, which `grpcStore` speaks. No
 * message of the latter is larger than about 1 MiB. `Get` and `Put` of the former carry a blob in one message: for those above 4 MiB the server needs
 * `grpc.max_receive_message_length`, and the client, too. The store stays the caller's.
 * A call that asks for more than 131,072 refs at once, or sends more than 1,000 messages or pieces in a row with nothing in them, ends as "invalid-argument"; the others go on.
 * @throws BlobError "invalid-argument"
 */
export function addBlobService(
  server: Pick<Server, "addService">,
  store: BlobStore,
  options: BlobServiceOptions = {},
): void {
  if (typeof store?.get !== "function" || typeof store.put !== "function") {
    throw new BlobError(
      "invalid-argument",
      "addBlobService serves a store: something with get, put and listRefs",
    );
  }
  const serving: Serving = {
    store,
    anchorMap: options.anchorMap,
    maxBlobBytes: checkCount("maxBlobBytes", options.maxBlobBytes ?? 1024 ** 3, 0),
    fail(error) {
      tell(options.onError, error);
      return toServiceError(error);
    },
    failOne(error) {
      tell(options.onError, error);
      return describeFailure(error);
    },
  };
  server.addService(StoreService, bsHandlers(serving));
  server.addService(BlobServiceService, blobHandlers(serving));
}

function tell(onError: OnError | undefined, error: unknown): void {
  if (error instanceof BlobError) return;
  try {
    onError?.(error);
  } catch {
    // whoever looks on breaks no call
  }
}
