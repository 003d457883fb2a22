import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { S3Client } from "@aws-sdk/client-s3";
import { type BlobStore, refOf } from "@x/blob-replica";
import { type S3StoreOptions, s3Store } from "@x/blob-replica/s3";
import { type BlobStoreUnderTest, blobDamageCases, blobStoreCases, testBlob } from "@x/blob-replica/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  buildGoServer,
  goBuildTimeoutMs,
  requireServer,
  startVersitygw,
  type VersitygwServer,
  versitygwBuild,
} from "../src/servers/index.js";

const timeoutMs = 120_000;

describe.skipIf(!requireServer("versitygw"))("s3Store on a real versitygw", { timeout: timeoutMs }, () => {
  let s3: VersitygwServer;
  let client: S3Client;
  let buckets = 0;
  beforeAll(async () => {
    await buildGoServer(versitygwBuild);
    s3 = await startVersitygw();
    client = newClient();
  }, goBuildTimeoutMs);
  afterAll(async () => {
    client?.destroy();
    await s3?.stop();
  });

  function newClient(options: { readonly secretKey?: string; readonly endpoint?: string } = {}): S3Client {
    return new S3Client({
      endpoint: options.endpoint ?? s3.endpoint,
      region: s3.region,
      forcePathStyle: true,
      maxAttempts: 2,
      credentials: { accessKeyId: s3.accessKey, secretAccessKey: options.secretKey ?? s3.secretKey },
    });
  }

  async function newBucket(): Promise<string> {
    buckets += 1;
    const bucket = `blobs-${buckets}`;
    await s3.createBucket(bucket);
    return bucket;
  }

  function underTest(options: Partial<S3StoreOptions> = {}): BlobStoreUnderTest {
    return {
      manyBlobs: 1_200, // more than a page of a listing, and each is a request of its own
      async open() {
        const bucket = await newBucket();
        const all = { client, bucket, prefix: "some/prefix/", ...options };
        return {
          store: s3Store(all),
          reopen: async () => s3Store(all),
          async damage(ref) {
            const file = join(s3.bucketFolder(bucket), all.prefix, ref);
            const bytes = await readFile(file);
            bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 4; // no suite damages an empty one
            await writeFile(file, bytes);
          },
          close: async () => {},
        };
      },
    };
  }

  describe("with conditional puts", () => {
    for (const { name, run } of [...blobStoreCases, ...blobDamageCases]) {
      it(name, () => run(underTest()), timeoutMs);
    }
  });

  describe("without conditional puts and without a prefix", () => {
    const few = new Set([
      "the same blob put many times at once is added once",
      "a blob that is there is not added again",
      "refs are listed in their order, each once",
      "a damaged blob heals when it is put again",
    ]);
    for (const { name, run } of [...blobStoreCases, ...blobDamageCases].filter(({ name }) => few.has(name))) {
      it(name, () => run(underTest({ conditionalPut: false, prefix: "" })), timeoutMs);
    }
  });

  it("says by codes what is wrong, and where", async () => {
    const bucket = await newBucket();
    const blob = testBlob(1, 100);
    const ref = refOf(blob);
    using stranger = disposable(newClient({ secretKey: "wrong" }));
    using lost = disposable(newClient({ endpoint: "http://127.0.0.1:1" }));
    const cases: readonly [string, BlobStore, string][] = [
      ["wrong credentials", s3Store({ client: stranger.client, bucket }), "refused"],
      ["nobody listens", s3Store({ client: lost.client, bucket }), "unavailable"],
      ["no bucket", s3Store({ client, bucket: "there-is-none" }), "unavailable"],
    ];
    for (const [what, store, code] of cases) {
      await expect(store.put(blob), what).rejects.toMatchObject({ name: "BlobError", code });
      await expect(store.get(ref), what).rejects.toMatchObject({ name: "BlobError", code });
    }
    await expect(s3Store({ client, bucket }).put(blob, { ref: refOf(testBlob(2, 1)) })).rejects.toMatchObject(
      {
        code: "corrupt",
      },
    );
    for (const bad of [
      { client, bucket: "" },
      { client: {} as S3Client, bucket },
    ]) {
      expect(() => s3Store(bad)).toThrowError(expect.objectContaining({ code: "invalid-argument" }));
    }
  });

  it("leaves keys alone that are none of its own", async () => {
    const bucket = await newBucket();
    const [mine, below] = [
      s3Store({ client, bucket, prefix: "a/" }),
      s3Store({ client, bucket, prefix: "a/b/" }),
    ];
    const all = s3Store({ client, bucket });
    const one = await mine.put(testBlob(1, 10));
    const two = await below.put(testBlob(2, 10));
    const listed = async (store: BlobStore) => collect(store.listRefs());
    expect([await listed(mine), await listed(below), await listed(all)]).toEqual([[one.ref], [two.ref], []]);
  });

  it("has so many requests in flight as it may, and no more", async () => {
    const blobs = Array.from({ length: 200 }, (_, i) => testBlob(i, 4096));
    let inFlight = 0;
    let most = 0;
    const counting = {
      send: (async (...args: Parameters<S3Client["send"]>) => {
        inFlight += 1;
        most = Math.max(most, inFlight);
        try {
          return await client.send(...args);
        } finally {
          inFlight -= 1;
        }
      }) as S3Client["send"], // of the many overloads, the one that returns a promise
    };
    const counted = s3Store({ client: counting, bucket: await newBucket(), concurrency: 32 });
    await counted.putMany?.(blobs);
    expect(most).toBe(32);
    expect(await collect(counted.listRefs())).toEqual(blobs.map(refOf).sort());
    most = 0;
    const got = await collect(counted.getMany?.(blobs.map(refOf)));
    expect(got.every(({ blob }) => blob?.length === 4096)).toBe(true);
    expect(most).toBe(32);
  });
});

function disposable(client: S3Client): Disposable & { readonly client: S3Client } {
  return { client, [Symbol.dispose]: () => client.destroy() };
}

async function collect<Item>(items: AsyncIterable<Item> | undefined): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items ?? []) all.push(item);
  return all;
}
