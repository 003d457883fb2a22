import { join } from "node:path";
import type { S3Client } from "@aws-sdk/client-s3";
import { type BlobStore, createReplica, directoryStore, memoryStore, verifying } from "@x/blob-replica";
import type { Places, S3Place, StoreSpec } from "./call.js";

/** New and empty stores, each in a place of its own. */
export class Stores implements Disposable {
  readonly #places: Places;
  readonly #clients: S3Client[] = [];
  #count = 0;

  constructor(places: Places) {
    this.#places = places;
  }

  /** A path that nobody else has. */
  newPath(): string {
    return join(this.#places.folder, `${process.pid}-${this.#count++}`);
  }

  async open({ kind, replicas }: StoreSpec): Promise<BlobStore> {
    if (replicas === undefined) return this.#openOne(kind);
    const sync = [];
    for (let i = 0; i < replicas; i++) sync.push({ name: `store ${i}`, store: await this.#openOne(kind) });
    return createReplica({ sync });
  }

  async #openOne(kind: StoreSpec["kind"]): Promise<BlobStore> {
    switch (kind) {
      case "memory":
        return memoryStore();
      case "verifying memory":
        return verifying(memoryStore());
      case "directory":
        return directoryStore(this.newPath());
      case "s3":
        return await this.#openS3((s3) => s3.endpoint);
      case "distant s3":
        return await this.#openS3((s3) => s3.distantEndpoint);
    }
  }

  async #openS3(endpointOf: (s3: S3Place) => string): Promise<BlobStore> {
    const { s3 } = this.#places;
    if (s3 === undefined) throw new Error("this load needs a server for S3");
    // The SDK takes half a second to load, which most windows can do without.
    const { s3Store } = await import("@x/blob-replica/s3");
    const client = await newClient({ ...s3, endpoint: endpointOf(s3) });
    this.#clients.push(client);
    const prefix = `${process.pid}-${this.#count++}/`;
    return s3Store({ client, bucket: s3.bucket, prefix });
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients) client.destroy();
  }
}

async function newClient({ endpoint, region, accessKey, secretKey }: S3Place): Promise<S3Client> {
  const { S3Client } = await import("@aws-sdk/client-s3");
  return new S3Client({
    endpoint,
    region,
    forcePathStyle: true,
    // The store compares what it reads with its ref: a checksum beside it would be a second one.
    responseChecksumValidation: "WHEN_REQUIRED",
    credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
  });
}
