import { type Server, type ServerWritableStream, status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { StoreService } from "../src/gen/rpc/store.js";
import { BlobServiceService } from "../src/gen/x/blobs/v1/blobs.js";
import { addBlobService, type GrpcStore, type GrpcStoreOptions, grpcStore } from "../src/grpc.js";
import {
  type BlobError,
  type BlobStore,
  createReplica,
  getMany,
  memoryStore,
  type Ref,
  refOf,
  refToBytes,
} from "../src/index.js";
import { collect, testBlob } from "../src/testing/fixture.js";
import { type Listening, listen, onlyBs, serve } from "./grpc-support.js";

const timeout = 30_000;

/** A store and the server that it is behind, until the work is done. */
async function withServer<Result>(
  server: Promise<Listening>,
  work: (store: GrpcStore, server: Listening) => Promise<Result>,
  options: Partial<GrpcStoreOptions> = {},
): Promise<Result> {
  const listening = await server;
  const store = grpcStore({ endpoint: listening.endpoint, ...options } as GrpcStoreOptions); // by endpoint
  try {
    return await work(store, listening);
  } finally {
    await store[Symbol.asyncDispose]();
    await listening[Symbol.asyncDispose]();
  }
}

/** A server of which some calls are as they are told here; it has no others. */
function raw(calls: Record<string, unknown>): Promise<Listening> {
  const handlers = (definition: object) =>
    Object.fromEntries(Object.entries(calls).filter(([name]) => Object.hasOwn(definition, name)));
  return listen((server: Server) => {
    server.addService(BlobServiceService, handlers(BlobServiceService) as never);
    server.addService(StoreService, handlers(StoreService) as never);
  });
}

/** Sends these messages, whatever is asked for. */
function sends(...messages: unknown[]): (call: ServerWritableStream<unknown, unknown>) => void {
  return (call) => {
    for (const message of messages) call.write(message);
    call.end();
  };
}

async function outcomes(store: BlobStore, refs: readonly Ref[]): Promise<Map<Ref, string>> {
  const found = new Map<Ref, string>();
  for (const { ref, blob, error } of await collect(getMany(store, refs))) {
    found.set(ref, blob ? "whole" : (error as BlobError).code);
  }
  return found;
}

const [a, b, c] = [testBlob(1, 100), testBlob(2, 100), testBlob(3, 700_000)];
const [refA, refB, refC] = [refOf(a), refOf(b), refOf(c)];
const bytes = (...refs: Ref[]) => Buffer.concat(refs.map(refToBytes));
const inOrder = [refA, refB, refC].sort();

describe("grpcStore and a server that lies", { timeout }, () => {
  /** Has another content under `refA`, of both sizes of answers. */
  function lying(): BlobStore {
    const store = memoryStore();
    return {
      put: (blob, options) => store.put(blob, options),
      listRefs: (after) => store.listRefs(after),
      get: async (ref) =>
        ref === refA ? testBlob(9, 100) : ref === refC ? testBlob(9, c.length) : await store.get(ref),
    };
  }

  it.each([
    ["ours", (store: BlobStore) => serve(store)],
    ["bobg/bs's", (store: BlobStore) => listen((server) => addBlobService(onlyBs(server), store))],
  ])("serves no content but that of the ref: a server of %s", async (_kind, start) => {
    const kept = lying();
    await kept.put(b);
    await withServer(start(kept), async (store) => {
      for (const ref of [refA, refC]) {
        await expect(store.get(ref)).rejects.toMatchObject({ code: "corrupt" });
        const pieces: Uint8Array[] = [];
        const streamed = (async () => {
          for await (const piece of store.stream(ref)) pieces.push(piece);
        })();
        await expect(streamed).rejects.toMatchObject({ code: "corrupt" });
        expect(Buffer.concat(pieces).length).toBeLessThan(ref === refA ? 100 : c.length);
      }
      expect(await outcomes(store, [refA, refB, refC])).toEqual(
        new Map([
          [refA, "corrupt"],
          [refB, "whole"],
          [refC, "corrupt"],
        ]),
      );
      expect(store.verified).toBe(true);
    });
  });

  it("is not believed by a replica either when the store does not hash", async () => {
    await withServer(
      serve(lying()),
      async (remote) => {
        expect(remote.verified).toBe(false);
        expect((await remote.get(refA)).length).toBe(100);
        const good = memoryStore();
        await good.put(a);
        await using replica = await createReplica({
          sync: [
            { name: "remote", store: remote },
            { name: "good", store: good },
          ],
        });
        expect(Buffer.from(await replica.get(refA)).equals(a)).toBe(true);
      },
      { verify: false },
    );
  });

  it("notices a put that was stored as something else, or answered as another's", async () => {
    const put = (_call: unknown, done: (error: null, response: unknown) => void) =>
      done(null, { ref: Buffer.from(refToBytes(refB)), added: true });
    await withServer(raw({ put }), async (store) => {
      await expect(store.put(a)).rejects.toMatchObject({ code: "corrupt" });
      const results = await store.putMany([a, b]); // one by one: it has no call for many
      expect(results.map(({ error }) => (error as BlobError | undefined)?.code)).toEqual([
        "corrupt",
        undefined,
      ]);
    });
    const result = (ref: Ref) => ({ ref: Buffer.from(refToBytes(ref)), added: true, failure: undefined });
    const answers = { results: [result(refA), result(refC)] };
    await withServer(raw({ putMany: sends(answers) }), async (store) => {
      const results = await store.putMany([a, b, c]);
      expect(results.map(({ added }) => added)).toEqual([true, undefined, undefined]);
      for (const { error } of results.slice(1)) expect(error).toMatchObject({ code: "unavailable" });
    });
    const tooMany = { results: [refA, refB, refC].map(result) };
    await withServer(raw({ putMany: sends(tooMany) }), async (store) => {
      const [one, two] = await store.putMany([a, b]);
      expect([one?.added, two?.added]).toEqual([true, true]);
    });
  });

  it.each([
    ["out of order", [bytes(inOrder[1]!, inOrder[0]!)], "unordered"],
    ["one twice", [bytes(inOrder[0]!, inOrder[0]!)], "unordered"],
    ["a page again", [bytes(inOrder[0]!, inOrder[1]!), bytes(inOrder[0]!, inOrder[1]!)], "unordered"],
    ["the last of a page again", [bytes(inOrder[0]!), bytes(inOrder[0]!, inOrder[1]!)], "unordered"],
    ["parts of refs", [bytes(inOrder[0]!).subarray(0, 31)], "bad-data"],
  ])("ends a listing that has %s", async (_what, pages, code) => {
    const list = sends(...pages.map((refs) => ({ refs })));
    await withServer(raw({ list }), async (store) => {
      await expect(collect(store.listRefs())).rejects.toMatchObject({ code });
    });
    const refs = pages.flatMap((page) =>
      Array.from({ length: Math.ceil(page.length / 32) }, (_, i) => ({
        ref: page.subarray(i * 32, i * 32 + 32),
      })),
    );
    await withServer(raw({ listRefs: sends(...refs) }), async (store) => {
      await expect(collect(store.listRefs())).rejects.toMatchObject({ code });
    });
  });

  it("ends a listing that begins before the ref that it is to start after", async () => {
    await withServer(raw({ list: sends({ refs: bytes(inOrder[1]!) }) }), async (store) => {
      await expect(collect(store.listRefs(inOrder[1]))).rejects.toMatchObject({ code: "unordered" });
      await expect(collect(store.listRefs(inOrder[2]))).rejects.toMatchObject({ code: "unordered" });
    });
  });

  it("answers every ref of a batch once, though the server leaves one out, adds one and cuts one short", async () => {
    const blob = (ref: Ref, data: Uint8Array, more = false) => ({
      ref: Buffer.from(refToBytes(ref)),
      data: Buffer.from(data),
      more,
      failure: undefined,
    });
    const strange = refOf(testBlob(4, 1));
    const message = {
      blobs: [blob(strange, testBlob(4, 1)), blob(refB, b), blob(refC, c.subarray(0, 1000), true)],
    };
    await withServer(raw({ getMany: sends(message) }), async (store) => {
      expect(await outcomes(store, [refA, refB, refC])).toEqual(
        new Map([
          [refA, "unavailable"],
          [refB, "whole"],
          [refC, "unavailable"],
        ]),
      );
    });
    const noRef = { blobs: [{ ...blob(refA, a), ref: Buffer.alloc(5) }] };
    await withServer(raw({ getMany: sends(noRef) }), async (store) => {
      expect(await outcomes(store, [refA])).toEqual(new Map([[refA, "bad-data"]]));
    });
  });

  it("reads no more of a blob without an end than it may", async () => {
    let sent = 0;
    const endless =
      (message: (data: Buffer) => unknown) => (call: ServerWritableStream<unknown, unknown>) => {
        const more = () => {
          if (call.cancelled) return;
          sent += 100_000;
          if (call.write(message(Buffer.alloc(100_000)))) setImmediate(more);
          else call.once("drain", more);
        };
        more();
      };
    const read = endless((data) => ({ data }));
    const many = endless((data) => ({
      blobs: [{ ref: Buffer.from(refToBytes(refA)), data, more: true, failure: undefined }],
    }));
    await withServer(
      raw({ read, getMany: many }),
      async (store) => {
        await expect(store.get(refA)).rejects.toMatchObject({ code: "refused" });
        expect(await outcomes(store, [refA])).toEqual(new Map([[refA, "refused"]]));
        expect(sent).toBeLessThan(100_000_000);
      },
      { maxBlobBytes: 1_000_000 },
    );
  });

  it("takes no digests that are none", async () => {
    const digest = { count: 1n, digest: Buffer.alloc(32) };
    for (const digests of [
      [],
      [digest, digest],
      [{ ...digest, digest: Buffer.alloc(31) }],
      [{ ...digest, count: 2n ** 60n }],
    ]) {
      await withServer(raw({ prefixDigests: sends({ digests }) }), async (store) => {
        await expect(store.prefixDigests([""])).rejects.toMatchObject({ code: "bad-data" });
      });
    }
  });
});

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

  it.each(calls)(
    "%s gives up a server that says nothing, and the server hears of it",
    async (_name, call) => {
      const { store: kept, ended } = stalling();
      await withServer(
        serve(kept),
        async (store) => {
          await expect(call(store)).rejects.toMatchObject({ name: "BlobError", code: "unavailable" });
          while (ended() === 0) await new Promise((resolve) => setImmediate(resolve));
        },
        { timeoutMs: 100 },
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
    await withServer(serve(kept), async (store, server) => {
      await store.get(refA);
      await server[Symbol.asyncDispose]();
      await expect(store.get(refA)).rejects.toMatchObject({ code: "unavailable" });
      const port = Number(server.endpoint.split(":")[1]);
      await using again = await listen((to) => addBlobService(to, kept), {}, port);
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
