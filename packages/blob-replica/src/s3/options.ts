import type { S3Sender } from "./requests.js";

export interface S3StoreOptions {
  /**
   * The caller's, and its settings: region, endpoint, credentials, `maxAttempts` (the SDK retries; the store does not), timeouts of its request handler, and
   * `requestHandler.httpsAgent.maxSockets`, which is at least `concurrency`. With `responseChecksumValidation: "WHEN_REQUIRED"` what is read is hashed once: the store
   * compares it with its ref anyway.
   */
  readonly client: S3Sender;
  readonly bucket: string;
  /** Before the 64 hex digits of each key, as it is: one that ends with "/" makes a folder. Other keys below it are left alone. Default "". */
  readonly prefix?: string;
  /** Requests in flight of one `getMany` or `putMany`. Default 32. */
  readonly concurrency?: number;
  /**
   * A blob that is larger, or whose end does not come before, is not read any further: "refused". It is for `get`, and for each of the blobs that `getMany` has in memory,
   * at most `concurrency`. `put` and `stream` have no such limit. A replica that gets the blob from another store replaces it when that is no larger than this. Default 1 GiB.
   */
  readonly maxBlobBytes?: number;
  /**
   * Put only when there is nothing (`If-None-Match: *`), so that one of several writers has `added`. Without it, and on servers that turn out not to know it, a put asks
   * first. Default true.
   */
  readonly conditionalPut?: boolean;
}
