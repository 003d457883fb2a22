import { type ServerWritableStream, status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { pickPorts } from "../../../apps/harness/src/servers/ports.js";
import { addBlobService, type GrpcStore } from "../src/grpc.js";
import { type BlobStore, memoryStore, refToBytes } from "../src/index.js";
import { collect } from "../src/testing/fixture.js";
import { a, b, bytes, c, inOrder, raw, refA, refB, refC, withServer } from "./grpc-raw.js";
import { listen, serve } from "./grpc-support.js";

const timeout = 30_000;

describe("grpcStore and a server that goes away", { timeout }, () => {
  /** Lists a page, and gives the first blob of a batch and the first piece of a content, then nothing until the caller goes away. */
  function stalling(): { store: BlobStore; stalled: Promise<void>; ended: () => number } {
    let tell = () => {};
    const stalled = new Promise<void>((resolve) => {
      tell = resolve;
    });
    let ended = 0;
    const forever = (signal: AbortSignal | undefined) =>
      new Promise<never>((_resolve, reject) => {
        tell();
        signal?.addEventListener("abort", () => {
          ended++;
          reject(signal.reason);
        });
      });
    return {
      stalled,
      ended: () => ended,
      store: {
        get: (_ref, options) => forever(options?.signal),
        put: (_blob, options) => forever(options?.signal),
        has: (_ref, options) => forever(options?.signal),
        delete: (_ref, options) => forever(options?.signal),
        prefixDigests: (_prefixes, options) => forever(options?.signal),
        async *listRefs(_after, options) {
          yield await forever(options?.signal);
        },
        async *listRefPages(_after, options) {
          yield bytes(...inOrder);
          await forever(options?.signal);
        },
        async *stream(_ref, options) {
          yield c.subarray(0, 1000);
          yield c.subarray(1000, 2000);
          await forever(options?.signal);
        },
        async *getMany(refs, options) {
          yield { ref: refs[0]!, blob: a };
          await forever(options?.signal);
        },
        putMany: (_blobs, options) => forever(options?.signal),
      },
    };
  }

  const calls: readonly (readonly [string, (store: GrpcStore, signal?: AbortSignal) => Promise<unknown>])[] =
    [
      ["get", (store, signal) => store.get(refC, { ...(signal && { signal }) })],
      ["stream", (store, signal) => collect(store.stream(refC, { ...(signal && { signal }) }))],
      ["put", (store, signal) => store.put(a, { ...(signal && { signal }) })],
      ["has", (store, signal) => store.has(refA, { ...(signal && { signal }) })],
      ["delete", (store, signal) => store.delete(refA, { ...(signal && { signal }) })],
      ["listRefs", (store, signal) => collect(store.listRefs(undefined, { ...(signal && { signal }) }))],
      ["getMany", (store, signal) => collect(store.getMany([refA, refB], { ...(signal && { signal }) }))],
      ["prefixDigests", (store, signal) => store.prefixDigests([""], { ...(signal && { signal }) })],
    ];

  it.each(calls)(
    "%s fails as unavailable when the server dies in the middle, and is never cut short",
    async (_name, call) => {
      const { store: kept, stalled } = stalling();
      await withServer(serve(kept), async (store, server) => {
        const running = call(store);
        running.catch(() => {});
        await stalled;
        await server[Symbol.asyncDispose]();
        await expect(running).rejects.toMatchObject({ name: "BlobError", code: "unavailable" });
      });
    },
  );

  it("answers those of a batch of puts that the server had answered, and says that it does not know of the others", async () => {
    const results = [{ ref: Buffer.from(refToBytes(refA)), added: true, failure: undefined }];
    const putMany = (call: ServerWritableStream<unknown, unknown>) => {
      call.write({ results });
      setImmediate(() => call.emit("error", { code: status.UNAVAILABLE, details: "going away" }));
    };
    await withServer(raw({ putMany }), async (store) => {
      const [one, two] = await store.putMany([a, b]);
      expect(one).toMatchObject({ ref: refA, added: true });
      expect(two).toMatchObject({ ref: refB, error: { code: "unavailable" } });
    });
  });

  // All at once: the time is long, so that the calls come to the server before, also over connections that are made slowly.
  it.concurrent.each(calls)(
    "%s gives up a server that says nothing, and the server hears of it",
    async (_name, call) => {
      const { store: kept, ended } = stalling();
      await withServer(
        serve(kept),
        async (store) => {
          await expect(call(store)).rejects.toMatchObject({ name: "BlobError", code: "unavailable" });
          while (ended() === 0) await new Promise((resolve) => setImmediate(resolve));
        },
        { timeoutMs: 3_000 },
      );
    },
  );

  it.each(calls)("%s ends with the caller's reason, and on the server too", async (_name, call) => {
    const { store: kept, stalled, ended } = stalling();
    await withServer(serve(kept), async (store) => {
      const controller = new AbortController();
      const reason = new Error("enough");
      const running = call(store, controller.signal);
      running.catch(() => {});
      await stalled;
      controller.abort(reason);
      await expect(running).rejects.toBe(reason);
      while (ended() === 0) await new Promise((resolve) => setImmediate(resolve));
      expect(ended()).toBe(1);
    });
  });

  it("ends on the server when the caller wants no more of it", async () => {
    const { store: kept, stalled, ended } = stalling();
    await withServer(serve(kept), async (store) => {
      for await (const ref of store.listRefs()) {
        expect(ref).toBe(inOrder[0]);
        await stalled;
        break;
      }
      while (ended() === 0) await new Promise((resolve) => setImmediate(resolve));
    });
  });

  it("works again with a new server at the same place", async () => {
    const kept = memoryStore();
    await kept.put(a);
    // Not one that the system gives out: it could be another's before the second server is there.
    const [port = 0] = await pickPorts(1);
    const open = () => listen((to) => addBlobService(to, kept), {}, port);
    await withServer(open(), async (store, server) => {
      await store.get(refA);
      await server[Symbol.asyncDispose]();
      await expect(store.get(refA)).rejects.toMatchObject({ code: "unavailable" });
      await using again = await open();
      expect(again.endpoint).toBe(server.endpoint);
      for (;;) {
        const blob = await store.get(refA).catch((error: unknown) => {
          expect(error).toMatchObject({ code: "unavailable" }); // until it has connected again
        });
        if (blob) break;
      }
    });
  });
});
