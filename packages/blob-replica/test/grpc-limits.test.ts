import { status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { addBlobService, grpcStore } from "../src/grpc.js";
import { type BlobError, type BlobStore, memoryStore } from "../src/index.js";
import { collect, testBlob } from "../src/testing/fixture.js";
import { a, b, c, outcomes, raw, refA, refB, withServer } from "./grpc-raw.js";
import { listen, onlyBs, serve } from "./grpc-support.js";

const timeout = 30_000;

describe("grpcStore, limits and rights", { timeout }, () => {
  it("is told that a blob is too large, one by one and in a batch, and the others are taken", async () => {
    const kept = memoryStore();
    await withServer(serve(kept, { maxBlobBytes: 600_000 }), async (store) => {
      await expect(store.put(c)).rejects.toMatchObject({ code: "refused" });
      const results = await store.putMany([a, b, c]);
      expect(results.map(({ added }) => added)).toEqual([true, true, undefined]);
      expect(results[2]?.error).toMatchObject({ code: "refused" });
      expect(await collect(kept.listRefs())).toEqual([refA, refB].sort());
    });
  });

  it("says refused, not full, when a server of bobg/bs or the client has no room for a message", async () => {
    const kept = memoryStore();
    const large = testBlob(7, 5_000_000);
    const { ref } = await kept.put(large);
    const bs = () => listen((server) => addBlobService(onlyBs(server), kept));
    await withServer(bs(), async (store) => {
      await expect(store.put(testBlob(8, 5_000_000))).rejects.toMatchObject({ code: "refused" });
      expect((await store.get(ref)).length).toBe(large.length);
    });
    await withServer(
      bs(),
      async (store) => {
        await expect(store.get(ref)).rejects.toMatchObject({ code: "refused" });
        await expect(store.has(ref)).rejects.toMatchObject({ code: "refused" });
      },
      { maxMessageBytes: 2_000_000 },
    );
  });

  it.each([
    [status.UNAUTHENTICATED, "refused"],
    [status.PERMISSION_DENIED, "refused"],
    [status.RESOURCE_EXHAUSTED, "full"],
    [status.INTERNAL, "unavailable"],
  ])("has a code of ours for the status %s of a server", async (code, ours) => {
    const fails = (
      call: { emit?: (event: string, error: unknown) => void },
      done?: (error: unknown) => void,
    ) => {
      const error = { code, details: "no" };
      if (done) done(error);
      else call.emit?.("error", error);
    };
    const all = {
      read: fails,
      has: fails,
      put: fails,
      list: fails,
      getMany: fails,
      putMany: fails,
      prefixDigests: fails,
    };
    await withServer(raw(all), async (store) => {
      await expect(store.get(refA)).rejects.toMatchObject({ code: ours });
      await expect(store.has(refA)).rejects.toMatchObject({ code: ours });
      await expect(store.put(a)).rejects.toMatchObject({ code: ours });
      await expect(collect(store.listRefs())).rejects.toMatchObject({ code: ours });
      await expect(store.prefixDigests([""])).rejects.toMatchObject({ code: ours });
      expect((await store.putMany([a]))[0]?.error).toMatchObject({ code: ours });
      expect(await outcomes(store, [refA])).toEqual(new Map([[refA, ours]]));
    });
  });

  it("tells the server's owner of what is no error of a store, and the client only that there was one", async () => {
    const told: unknown[] = [];
    const secret = new Error("the password is xyzzy");
    const fails = () => Promise.reject(secret);
    const kept: BlobStore = {
      get: fails,
      put: fails,
      // biome-ignore lint/correctness/useYield: it fails before
      async *listRefs() {
        throw secret;
      },
    };
    const onError = (error: unknown): never => {
      told.push(error);
      throw new Error("dropped");
    };
    await withServer(serve(kept, { onError }), async (store) => {
      const failures = [
        await store.get(refA).catch((error: unknown) => error),
        await store.put(a).catch((error: unknown) => error),
        await collect(store.listRefs()).catch((error: unknown) => error),
        (await store.putMany([a]))[0]?.error,
        (await collect(store.getMany([refA])))[0]?.error,
      ];
      for (const failure of failures) {
        expect(failure).toMatchObject({ name: "BlobError", code: "unavailable" });
        expect((failure as BlobError).message).not.toContain("xyzzy");
      }
      expect(told).toEqual([secret, secret, secret, secret, secret]);
    });
  });

  it("ends what runs as closed", async () => {
    const never = () => new Promise<never>(() => {});
    const kept: BlobStore = { get: never, put: never, listRefs: (after) => memoryStore().listRefs(after) };
    const server = await serve(kept);
    const store = grpcStore({ endpoint: server.endpoint });
    const running = store.put(a);
    running.catch(() => {});
    await store[Symbol.asyncDispose]();
    await expect(running).rejects.toMatchObject({ code: "closed" });
    await expect(store.get(refA)).rejects.toMatchObject({ code: "closed" });
    await server[Symbol.asyncDispose]();
  });
});
