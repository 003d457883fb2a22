/** The bucket of the archive. Loaded only when there is one: the S3 client is large. */
import { S3Client } from "@aws-sdk/client-s3";
import type { BlobStore } from "@x/blob-replica";
import { s3Store } from "@x/blob-replica/s3";
import type { S3Config } from "./archive-config.js";

export interface S3Archive extends Disposable {
  readonly store: BlobStore;
}

const CONNECT_WITHIN_MS = 5_000;
const ANSWER_WITHIN_MS = 30_000;

/** Credentials come from where the SDK looks for them: first the environment. Nothing is asked of the server yet. */
export function openS3({ bucket, prefix, endpoint, region }: S3Config): S3Archive {
  const client = new S3Client({
    region,
    // Servers that are not Amazon's seldom have a host name for each bucket.
    ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
    // The replica tries again by itself, for ever.
    maxAttempts: 2,
    // What is read is compared with its ref anyway.
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: { connectionTimeout: CONNECT_WITHIN_MS, requestTimeout: ANSWER_WITHIN_MS },
  });
  return { store: s3Store({ client, bucket, prefix }), [Symbol.dispose]: () => client.destroy() };
}
