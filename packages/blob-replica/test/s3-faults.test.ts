import { describe, expect, it } from "vitest";
import { type BlobError, type BlobStore, getMany, putMany, refOf, streamBlob } from "../src/index.js";
import { type S3StoreOptions, s3Store } from "../src/s3.js";
import { collect, testBlob } from "../src/testing/fixture.js";
import { fails, type S3Call, withS3 } from "./support/s3-server.js";

const timeout = 30_000;
const [a, b] = [testBlob(1, 300_000), testBlob(2, 1000)];
const [refA, refB] = [refOf(a), refOf(b)];

/** Only the first such call is answered in this way. */
function once(method: string, answer: (call: S3Call) => boolean): (call: S3Call) => boolean {
  let done = false;
  return (call) => {
    if (done || call.method !== method) return false;
    done = true;
    return answer(call);
  };
}

const failure = (promise: Promise<unknown>): Promise<BlobError> =>
  promise.then(
    () => expect.unreachable("it should have failed"),
    (error) => error as BlobError, // checked where it is used
  );

describe("s3Store and a server that lies or fails", { timeout }, () => {
  it("serves no content but that of the ref, and overwrites what it has seen to be damaged", async () => {
    await withS3(async (store, s3) => {
      await store.put(a);
      await store.put(b);
      s3.objects.set(refA, Buffer.from(testBlob(3, a.length)));
      await expect(store.get(refA)).rejects.toMatchObject({ code: "corrupt" });
      const pieces: Uint8Array[] = [];
      const streaming = (async () => {
        for await (const piece of store.stream?.(refA) ?? []) pieces.push(piece);
      })();
      await expect(streaming).rejects.toMatchObject({ code: "corrupt" });
      expect(Buffer.concat(pieces).length).toBeLessThan(a.length);
      const found = await collect(getMany(store, [refA, refB]));
      expect(found.map(({ ref, error }) => [ref, (error as BlobError | undefined)?.code]).sort()).toEqual(
        [
          [refA, "corrupt"],
          [refB, undefined],
        ].sort(),
      );
      expect(await store.put(a)).toEqual({ ref: refA, added: true });
      expect(Buffer.from(await store.get(refA)).equals(a)).toBe(true);
    });
  });

  it("overwrites what has another length, also when it has not read it", async () => {
    await withS3(async (store, s3) => {
      s3.objects.set(refA, Buffer.from(a.subarray(1)));
      expect(await store.put(a)).toEqual({ ref: refA, added: true });
      expect(s3.objects.get(refA)?.equals(a)).toBe(true);
      expect(await store.put(a)).toEqual({ ref: refA, added: false });
    });
  });

  it("has no part of a blob for the whole when the connection breaks in the middle", async () => {
    await withS3(async (store, s3) => {
      await store.put(a);
      s3.answer = ({ method, response }) => {
        if (method !== "GET") return false;
        response.writeHead(200, { "content-length": a.length });
        response.write(a.subarray(0, 100_000), () => response.destroy());
        return true;
      };
      await expect(store.get(refA)).rejects.toMatchObject({ code: "unavailable" });
      await expect(collect(streamBlob(store, refA))).rejects.toMatchObject({ code: "unavailable" });
      s3.answer = ({ method, response }) => {
        if (method !== "GET") return false;
        response.writeHead(200, { "content-length": 1000 });
        response.end(a.subarray(0, 1000));
        return true;
      };
      await expect(store.get(refA)).rejects.toMatchObject({ code: "corrupt" });
    });
  });

  it.each([
    [403, "SignatureDoesNotMatch", "refused"],
    [403, "InvalidAccessKeyId", "refused"],
    [403, "AccessDenied", "refused"],
    [401, "Unauthorized", "refused"],
    [404, "NoSuchBucket", "unavailable"],
    [400, "EntityTooLarge", "refused"],
    [507, "XMinioStorageFull", "full"],
    [403, "QuotaExceeded", "full"],
    [503, "SlowDown", "unavailable"],
    [500, "InternalError", "unavailable"],
  ])("has a code of ours for %d %s, and names the bucket", async (status, name, code) => {
    await withS3(async (store, s3) => {
      s3.answer = (call) => fails(call, status, name);
      const batch = async () => {
        throw (await collect(getMany(store, [refB])))[0]?.error;
      };
      const calls = [() => store.get(refB), () => store.put(b), batch, () => collect(store.listRefs())];
      for (const call of calls) {
        const error = await failure(call());
        expect(error).toMatchObject({ name: "BlobError", code });
        expect(error.message).toContain("blobs");
        expect(error.cause).toBeDefined();
      }
      expect((await putMany(store, [b]))[0]?.error).toMatchObject({ code });
      // The answer to a HEAD has no body: of a bucket that is not there it looks as one of a blob that is not.
      if (status !== 404) expect(await failure(store.has?.(refB) as Promise<boolean>)).toBeInstanceOf(Error);
    });
  });

  it("has not-found for what is not there, and never deletes twice", async () => {
    await withS3(async (store, s3) => {
      await expect(store.get(refA)).rejects.toMatchObject({ code: "not-found" });
      expect(await store.has?.(refA)).toBe(false);
      expect(await store.delete?.(refA)).toBe(false);
      await store.put(a);
      expect([await store.delete?.(refA), await store.delete?.(refA)]).toEqual([true, false]);
      expect(s3.calls.filter(({ method }) => method === "DELETE")).toHaveLength(1);
    });
  });

  it("tries again when another writer is at the same key, five times", async () => {
    await withS3(async (store, s3) => {
      s3.answer = once("PUT", (call) => fails(call, 409, "ConditionalRequestConflict"));
      expect(await store.put(a)).toEqual({ ref: refA, added: true });
      expect(s3.calls.filter(({ method }) => method === "PUT")).toHaveLength(2);
      s3.calls.length = 0;
      s3.answer = (call) => fails(call, 409, "ConditionalRequestConflict");
      await expect(store.put(b)).rejects.toMatchObject({ code: "unavailable" });
      expect(s3.calls).toHaveLength(5);
    });
  });

  it("asks first where the server knows no conditions, from then on", async () => {
    await withS3(async (store, s3) => {
      s3.answer = (call) => call.headers["if-none-match"] === "*" && fails(call, 501, "NotImplemented");
      expect(await store.put(a)).toEqual({ ref: refA, added: true });
      expect(await store.put(a)).toEqual({ ref: refA, added: false });
      expect(await store.put(b)).toEqual({ ref: refB, added: true });
      expect(s3.calls.filter(({ headers }) => headers["if-none-match"] === "*")).toHaveLength(1);
    });
  });

  it("sends the ref as both checksums, so that the server refuses what arrives damaged", async () => {
    await withS3(async (store, s3) => {
      await store.put(b);
      const [{ headers, body } = expect.unreachable("no call")] = s3.calls;
      expect(headers["x-amz-checksum-sha256"]).toBe(Buffer.from(refB, "hex").toString("base64"));
      expect(headers["x-amz-content-sha256"]).toBe(refB);
      expect(headers["content-length"]).toBe("1000");
      expect(headers.expect).toBeUndefined();
      expect(body.equals(b)).toBe(true);
      // Nor is another checksum computed of what is read.
      await store.get(refB);
      expect(s3.calls.at(-1)).toMatchObject({ method: "GET", key: refB });
      expect(s3.calls.at(-1)?.headers["x-amz-checksum-mode"]).toBeUndefined();
      await expect(store.put(a, { ref: refOf(testBlob(9, 9)) })).rejects.toMatchObject({ code: "corrupt" });
      expect(s3.objects.size).toBe(1);
    });
  });

  it("is refused or unavailable, and not silent, when nobody gives it credentials or answers", async () => {
    await withS3(async (_store, s3) => {
      const nobody = Object.assign(new Error("no credentials"), { name: "CredentialsProviderError" });
      const without = { send: () => Promise.reject(nobody) } as unknown as S3StoreOptions["client"]; // one method is all
      await expect(s3Store({ client: without, bucket: "blobs" }).get(refA)).rejects.toMatchObject({
        code: "refused",
      });
      s3.answer = ({ response }) => {
        response.destroy();
        return true;
      };
      await expect(s3Store({ client: s3.client, bucket: "blobs" }).put(a)).rejects.toMatchObject({
        code: "unavailable",
      });
    });
  });
});

describe("s3Store and a caller who goes away", { timeout }, () => {
  it.each([
    ["get", (store: BlobStore, signal: AbortSignal) => store.get(refA, { signal })],
    ["stream", (store: BlobStore, signal: AbortSignal) => collect(streamBlob(store, refA, { signal }))],
    ["put", (store: BlobStore, signal: AbortSignal) => store.put(b, { signal })],
    ["has", (store: BlobStore, signal: AbortSignal) => store.has?.(refA, { signal })],
    ["listRefs", (store: BlobStore, signal: AbortSignal) => collect(store.listRefs(undefined, { signal }))],
    ["getMany", (store: BlobStore, signal: AbortSignal) => collect(getMany(store, [refA, refB], { signal }))],
    ["putMany", (store: BlobStore, signal: AbortSignal) => store.putMany?.([a, b], { signal })],
  ] as const)("%s ends the request, and with the reason itself", async (_name, call) => {
    await withS3(async (store, s3) => {
      const reason = new Error("enough");
      const controller = new AbortController();
      const closed: Promise<unknown>[] = [];
      const asked = new Promise<void>((resolve) => {
        s3.answer = ({ method, response }) => {
          closed.push(new Promise((done) => response.once("close", done)));
          if (method === "GET") {
            response.writeHead(200, { "content-length": a.length });
            response.write(a.subarray(0, 1000));
          }
          resolve();
          return true;
        };
      });
      const running = Promise.resolve(call(store, controller.signal));
      running.catch(() => {});
      await asked;
      controller.abort(reason);
      await expect(running).rejects.toBe(reason);
      await Promise.all(closed); // never, if a request were left open
    });
  });

  it("ends the request when the caller of a stream has enough", async () => {
    await withS3(async (store, s3) => {
      const large = testBlob(5, 3_000_000);
      const { ref } = await store.put(large);
      const closed = new Promise<boolean>((resolve) => {
        s3.answer = ({ method, response }) => {
          if (method === "GET") response.once("close", () => resolve(response.writableFinished));
          return false;
        };
      });
      for await (const _ of store.stream?.(ref) ?? []) break;
      await closed;
      expect(Buffer.from(await store.get(ref)).equals(large)).toBe(true);
    });
  });
});
