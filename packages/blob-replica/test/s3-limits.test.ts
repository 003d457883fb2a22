import { describe, expect, it } from "vitest";
import { type BlobError, type BlobStore, getMany, refOf, streamBlob } from "../src/index.js";
import { type S3StoreOptions, s3Store } from "../src/s3.js";
import { collect, testBlob } from "../src/testing/fixture.js";
import { type S3Call, withS3 } from "./support/s3-server.js";

const timeout = 30_000;
const maxBlobBytes = 1_000_000;
const blob = testBlob(1, maxBlobBytes);
const ref = refOf(blob);
const small = testBlob(2, 1000);
const piece = Buffer.alloc(64 * 1024, "x");

/** What the server could send until the client had closed the connection. */
interface Sent {
  bytes: number;
}

/** Sends for as long as the client takes it. Resolves when the connection is closed. */
async function sendWithoutEnd({ response }: S3Call, sent: Sent): Promise<void> {
  const closed = new Promise<void>((resolve) => response.once("close", resolve));
  while (!response.destroyed) {
    sent.bytes += piece.length;
    if (response.write(piece)) await new Promise((resolve) => setImmediate(resolve));
    else await Promise.race([closed, new Promise((resolve) => response.once("drain", resolve))]);
  }
  await closed;
}

describe("s3Store and the size of what it is sent", { timeout }, () => {
  it("takes as much as it may, and refuses one byte more before it reads it", async () => {
    await withS3(
      async (store, s3) => {
        await store.put(blob);
        expect(refOf(await store.get(ref))).toBe(ref);
        const larger = testBlob(1, maxBlobBytes + 1);
        const { ref: largerRef } = await store.put(larger);
        const closed = new Promise<void>((resolve) => {
          s3.answer = ({ response }) => {
            response.once("close", resolve);
            response.writeHead(200, { "content-length": larger.length });
            response.write(larger.subarray(0, 1));
            return true;
          };
        });
        const error = await store.get(largerRef).catch((each: BlobError) => each);
        expect(error).toMatchObject({ code: "refused" });
        expect((error as Error).message).toMatch(/blobs.*1000000 bytes.*maxBlobBytes/);
        await closed; // never, if the rest were awaited
        s3.answer = () => false;
        // Who takes it piece by piece, needs no memory for it.
        expect(refOf(Buffer.concat(await collect(streamBlob(store, largerRef))))).toBe(largerRef);
      },
      { maxBlobBytes },
    );
  });

  it("reads no further, and closes the connection, where the end does not come", async () => {
    await withS3(
      async (store, s3) => {
        const { ref: smallRef } = await store.put(small);
        const sent: Sent = { bytes: 0 };
        const sendings: Promise<void>[] = [];
        s3.answer = (call) => {
          if (call.method !== "GET" || call.key === smallRef) return false;
          call.response.writeHead(200); // of unknown length
          sendings.push(sendWithoutEnd(call, sent));
          return true;
        };
        await expect(store.get(ref)).rejects.toMatchObject({ code: "refused" });
        await Promise.all(sendings);
        const found = await collect(getMany(store, [ref, smallRef]));
        expect(new Map(found.map((each) => [each.ref, (each.error as BlobError | undefined)?.code]))).toEqual(
          new Map([
            [ref, "refused"],
            [smallRef, undefined],
          ]),
        );
        await Promise.all(sendings);
        expect(sendings).toHaveLength(2);
        // Beyond the limit, only what was in buffers on the way.
        expect(sent.bytes).toBeLessThan(2 * (maxBlobBytes + 16_000_000));
      },
      { maxBlobBytes },
    );
  });

  it.each([
    ["get", 404, (store: BlobStore) => store.get(ref)],
    ["stream", 403, (store: BlobStore) => collect(streamBlob(store, ref))],
    ["put", 403, (store: BlobStore) => store.put(small)],
    ["a put that was done", 200, (store: BlobStore) => store.put(small)],
    ["delete", 202, (store: BlobStore) => store.delete?.(ref)],
    ["a listing", 200, (store: BlobStore) => collect(store.listRefs())],
    ["a listing that is refused", 403, (store: BlobStore) => collect(store.listRefs())],
  ] as const)("reads no answer without an end: to %s, with status %i", async (_call, status, call) => {
    await withS3(async (store, s3) => {
      const sent: Sent = { bytes: 0 };
      const sendings: Promise<void>[] = [];
      s3.answer = (each) => {
        if (each.method === "HEAD") {
          each.response.writeHead(200, { "content-length": 5 }).end();
          return true;
        }
        each.response.writeHead(status, { "content-type": "application/xml" });
        each.response.write("<Error><Code>Strange</Code><Message>");
        sendings.push(sendWithoutEnd(each, sent));
        return true;
      };
      const error = await Promise.resolve(call(store)).catch((each: BlobError) => each);
      expect(error).toMatchObject({ name: "BlobError", code: "unavailable" });
      expect((error as Error).message).toMatch(/blobs: the answer has more than 16777216 bytes/);
      await Promise.all(sendings);
      expect(sent.bytes).toBeLessThan(16_777_216 + 16_000_000);
    });
  });

  it("takes content that is larger than any other answer may be", async () => {
    await withS3(async (store) => {
      const large = testBlob(3, 17_000_000);
      const { ref: largeRef } = await store.put(large);
      expect(refOf(await store.get(largeRef))).toBe(largeRef);
    });
  });

  it("needs no more memory than the limit for pieces of one byte", async () => {
    const pieces = 300_000;
    const before = process.memoryUsage();
    let most = 0;
    const sender = {
      send: async () => ({
        Body: (async function* () {
          for (let n = 0; n < 2 * pieces; n++) {
            yield Buffer.alloc(1, n);
            if (n % 10_000 !== 0) continue;
            const { heapUsed, external } = process.memoryUsage();
            most = Math.max(most, heapUsed + external - before.heapUsed - before.external);
          }
        })(),
      }),
    } as unknown as S3StoreOptions["client"]; // one method is all
    const store = s3Store({ client: sender, bucket: "blobs", maxBlobBytes: pieces });
    await expect(store.get(ref)).rejects.toMatchObject({ code: "refused" });
    expect(most).toBeLessThan(25_000_000);
  });

  it("gives a blob that keeps no more in memory than itself", async () => {
    for (const each of [small, blob, new Uint8Array(0)]) {
      const sender = {
        // Parts of what a socket has read at once.
        send: async () => ({
          Body: (async function* () {
            const read = Buffer.concat([Buffer.alloc(500), each, Buffer.alloc(500)]);
            for (let at = 500; at < 500 + each.length; at += 300_000) {
              yield read.subarray(at, Math.min(at + 300_000, 500 + each.length));
            }
          })(),
        }),
      } as unknown as S3StoreOptions["client"]; // one method is all
      const got = await s3Store({ client: sender, bucket: "blobs" }).get(refOf(each));
      expect(refOf(got)).toBe(refOf(each));
      expect(got.buffer.byteLength).toBe(each.length);
      expect(got.constructor).toBe(Uint8Array);
    }
  });

  it.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])("refuses %d as a limit", (wrong) => {
    const client = {
      send: () => Promise.reject(new Error("not asked")),
    } as unknown as S3StoreOptions["client"]; // one method is all
    expect(() => s3Store({ client, bucket: "blobs", maxBlobBytes: wrong })).toThrow(
      expect.objectContaining({ code: "invalid-argument" }),
    );
  });
});
