// Where the examples keep backups: on two disks, which have everything when a backup is done, and in a bucket, which gets it in the background.
import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { BlobError, directoryStore, fileAnchorStore } from "@x/blob-replica";

/**
 * @param {string} first
 * @param {string} second
 * @param {string} [bucketAndPrefix]  BUCKET, or BUCKET/PREFIX; the rest is in the environment, as the AWS SDK has it: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, ...
 */
export async function openPlace(first, second, bucketAndPrefix) {
  // A disk that is not mounted is an error: a new folder in its place would fill up another one.
  const disks = [first, second].map((folder, i) => ({
    name: `disk ${i + 1}`,
    store: directoryStore(resolve(folder), { create: false }),
  }));
  const bucket = bucketAndPrefix === undefined ? undefined : await openBucket(bucketAndPrefix);
  return {
    disks,
    remote: bucket ? [{ name: "bucket", store: bucket.store }] : [],
    /** What the bucket does not have yet. One process at a time has it open. */
    queue: { dir: join(resolve(first), "queue") },
    /** The names of the backups, on both disks. */
    names: [first, second].map((folder) => fileAnchorStore(join(resolve(folder), "names"))),
    close: () => bucket?.close(),
  };
}

/** @param {string} bucketAndPrefix */
async function openBucket(bucketAndPrefix) {
  // Who has no bucket needs no client for it.
  const { S3Client } = await import("@aws-sdk/client-s3");
  const { s3Store } = await import("@x/blob-replica/s3");
  // Servers other than that of AWS have buckets in paths, not in host names.
  const endpoint = process.env.AWS_ENDPOINT_URL;
  const client = new S3Client({ maxAttempts: 2, ...(endpoint && { endpoint, forcePathStyle: true }) });
  const [bucket = "", ...rest] = bucketAndPrefix.split("/");
  const prefix = rest.filter((part) => part !== "").join("/");
  const store = s3Store({ client, bucket, prefix: prefix === "" ? "" : `${prefix}/` });
  return { store, close: () => client.destroy() };
}

/** @param {string} folder */
export async function expectFolder(folder) {
  const found = await stat(folder).catch(() => undefined);
  if (!found?.isDirectory()) throw new BlobError("invalid-argument", `${folder} is no folder`);
}
