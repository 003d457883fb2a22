import { credentials } from "@grpc/grpc-js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BlobServiceClient } from "../src/gen/x/blobs/v1/blobs.js";
import { addBlobService, type GrpcStore, grpcStore } from "../src/grpc.js";
import {
  type BlobStore,
  memoryStore,
  type PrefixDigest,
  prefixDigests,
  refBytes,
  refOf,
  sync,
} from "../src/index.js";
import { collect } from "../src/testing/fixture.js";
import { type Listening, listen, onlyBs, serve } from "./grpc-support.js";

const timeout = 60_000;
const blob = (n: number): Uint8Array => new TextEncoder().encode(`blob ${n}`);

async function storeOf(numbers: Iterable<number>): Promise<BlobStore> {
  const store = memoryStore();
  for (const n of numbers) await store.put(blob(n));
  return store;
}

/** As servers of an earlier version are: with the service, and without that call. */
function withoutDigests(store: BlobStore): Promise<Listening> {
  return listen((server) =>
    addBlobService(
      {
        addService(definition, implementation) {
          const calls = Object.entries(definition).filter(([name]) => name !== "prefixDigests");
          server.addService(Object.fromEntries(calls), implementation);
        },
      },
      store,
    ),
  );
}

const servers = {
  ours: serve,
  older: withoutDigests,
  "bobg/bs's": (store: BlobStore) => listen((server) => addBlobService(onlyBs(server), store)),
};

async function behind<Result>(
  store: BlobStore,
  kind: keyof typeof servers,
  work: (remote: GrpcStore, server: Listening) => Promise<Result>,
): Promise<Result> {
  const server = await servers[kind](store);
  const remote = grpcStore({ endpoint: server.endpoint });
  try {
    return await work(remote, server);
  } finally {
    await remote[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  }
}

/** For comparisons: which kind of array the bytes are in does not matter. */
const shown = (digests: readonly PrefixDigest[]): string[] =>
  digests.map(({ count, digest }) => `${count} ${Buffer.from(digest).toString("hex")}`);

/** Counts what comes over the wire. */
function counting(store: GrpcStore): {
  store: BlobStore;
  counts: { refs: number; digests: number; calls: number };
} {
  const counts = { refs: 0, digests: 0, calls: 0 };
  return {
    counts,
    store: {
      get: (ref, options) => store.get(ref, options),
      put: (bytes, options) => store.put(bytes, options),
      getMany: (refs, options) => store.getMany(refs, options),
      putMany: (blobs, options) => store.putMany(blobs, options),
      listRefs: (after, options) => store.listRefs(after, options),
      async *listRefPages(after, options) {
        counts.calls++;
        for await (const page of store.listRefPages(after, options)) {
          counts.refs += page.length / refBytes;
          yield page;
        }
      },
      async prefixDigests(prefixes, options) {
        counts.calls++;
        const digests = await store.prefixDigests(prefixes, options);
        counts.digests += digests.length;
        return digests;
      },
    },
  };
}

describe("sync over gRPC", { timeout }, () => {
  it("transfers what differs: 10 of 50,000 refs", async () => {
    const all = Array.from({ length: 50_000 }, (_, n) => n);
    const ours = await storeOf(all);
    const theirs = await storeOf(all.filter((n) => n % 5000 !== 77));
    for (const [from, to] of [
      [ours, theirs],
      [theirs, ours],
    ] as const) {
      await behind(from, "ours", (first) =>
        behind(to, "ours", async (second) => {
          const sides = [counting(first), counting(second)] as const;
          const report = await sync(sides[0].store, sides[1].store);
          const missing = from === ours ? 10 : 0;
          expect(report).toMatchObject({ complete: true, missing, copied: missing });
          for (const { counts } of sides) {
            // 16 prefixes for each of the levels that differ, and a listing of less than 256 refs for each difference.
            expect(counts.digests).toBeLessThanOrEqual(missing === 0 ? 1 : 1 + 16 + 10 * 16 + 10 * 16);
            expect(counts.refs).toBeLessThanOrEqual(missing * 257);
            expect(counts.calls).toBeLessThanOrEqual(missing === 0 ? 1 : 4 + missing);
          }
        }),
      );
    }
    expect(await collect(theirs.listRefs())).toEqual(await collect(ours.listRefs()));
  });

  it("makes the second store the union, whichever side is remote and whatever its server can do", async () => {
    const numbers = fc.uniqueArray(fc.nat(3000), { maxLength: 1200 });
    const kinds = fc.constantFrom("local", ...(Object.keys(servers) as (keyof typeof servers)[]));
    await fc.assert(
      fc.asyncProperty(numbers, numbers, kinds, kinds, async (ours, theirs, one, two) => {
        const [from, to] = [await storeOf(ours), await storeOf(theirs)];
        const opened = async <R>(
          store: BlobStore,
          kind: typeof one,
          work: (side: BlobStore) => Promise<R>,
        ) => (kind === "local" ? await work(store) : await behind(store, kind, work));
        const report = await opened(from, one, (first) => opened(to, two, (second) => sync(first, second)));
        const copied = ours.filter((n) => !theirs.includes(n)).length;
        expect(report).toMatchObject({ complete: true, compared: ours.length, copied, failed: [] });
        const union = [...new Set([...ours, ...theirs])].map((n) => refOf(blob(n))).sort();
        expect(await collect(to.listRefs())).toEqual(union);
      }),
      { numRuns: 25 },
    );
  });

  it.each(["older", "bobg/bs's"] as const)(
    "falls back to listings with a server that has no digests: %s",
    async (kind) => {
      const [from, to] = [await storeOf([1, 2, 3, 4]), await storeOf([3])];
      await behind(from, kind, async (remote) => {
        await expect(remote.prefixDigests([""])).rejects.toMatchObject({ code: "unsupported" });
        expect(shown(await prefixDigests(remote, ["", "a"]))).toEqual(
          shown(await prefixDigests(from, ["", "a"])),
        );
        expect(await sync(remote, to)).toMatchObject({ complete: true, compared: 4, copied: 3 });
        // What the server can do it is still asked for.
        expect(await remote.has(refOf(blob(1)))).toBe(true);
        expect((await collect(remote.getMany([refOf(blob(1))])))[0]?.blob).toBeDefined();
      });
    },
  );

  it("is not complete when the server that is compared with goes away", async () => {
    const [from, to] = [await storeOf(Array.from({ length: 2000 }, (_, n) => n)), memoryStore()];
    await behind(from, "ours", async (remote, server) => {
      const report = await sync(remote, to, {
        onProgress: ({ copied }) => {
          if (copied === 64) void server[Symbol.asyncDispose]();
        },
      });
      expect(report.complete).toBe(false);
      expect(report.stopped ?? report.failed[0]?.error).toMatchObject({ code: "unavailable", store: "from" });
      expect((await collect(to.listRefs())).length).toBe(report.copied);
      await behind(from, "ours", async (again) => {
        expect(await sync(again, to, { resume: report.resume })).toMatchObject({ complete: true });
      });
    });
    expect(await collect(to.listRefs())).toEqual(await collect(from.listRefs()));
  });
});

describe("PrefixDigests", { timeout }, () => {
  it("are those that the function of the same name computes, for more prefixes than a request takes", async () => {
    const store = await storeOf(Array.from({ length: 3000 }, (_, n) => n));
    const prefixes = [
      "",
      ..."0123456789abcdef",
      ...Array.from({ length: 4096 + 10 }, (_, n) => n.toString(16).padStart(4, "0")),
    ];
    await behind(store, "ours", async (remote) => {
      expect(shown(await remote.prefixDigests(prefixes))).toEqual(
        shown(await prefixDigests(store, prefixes)),
      );
      expect(await remote.prefixDigests([])).toEqual([]);
      await expect(remote.prefixDigests(["x"])).rejects.toMatchObject({ code: "invalid-argument" });
    });
  });

  it("come from the store itself where it has them", async () => {
    const asked: string[] = [];
    const digest = new Uint8Array(32).fill(7);
    const store: BlobStore = {
      ...(await storeOf([])),
      get: () => Promise.reject(new Error("not asked")),
      put: () => Promise.reject(new Error("not asked")),
      listRefs: () => {
        throw new Error("not asked");
      },
      async prefixDigests(prefixes) {
        asked.push(...prefixes);
        return prefixes.map(() => ({ count: 2 ** 53 - 1, digest }));
      },
    };
    await behind(store, "ours", async (remote) => {
      const one = { count: 2 ** 53 - 1, digest };
      expect(shown(await remote.prefixDigests(["", "ab"]))).toEqual(shown([one, one]));
      expect(asked).toEqual(["", "ab"]);
    });
  });

  it("of a long listing come after signs of life, and too many prefixes at once are refused", async () => {
    const page = Buffer.alloc(1000 * refBytes);
    const store: BlobStore = {
      ...(await storeOf([])),
      get: () => Promise.reject(new Error("not asked")),
      put: () => Promise.reject(new Error("not asked")),
      listRefs: () => {
        throw new Error("not asked");
      },
      async *listRefPages() {
        for (let n = 0; n < 120; n++) {
          for (let i = 0; i < 1000; i++) page.writeUInt32BE(n * 1000 + i + 1, i * refBytes);
          yield Buffer.from(page);
        }
      },
    };
    await behind(store, "ours", async (_remote, { endpoint }) => {
      const client = new BlobServiceClient(endpoint, credentials.createInsecure());
      const answers = await collect(
        client.prefixDigests({ prefixes: [""] }) as AsyncIterable<{ digests: { count: bigint }[] }>,
      ); // typed as of anything
      expect(answers.slice(0, -1).map(({ digests }) => digests.length)).toEqual([0, 0]);
      expect(answers.at(-1)?.digests[0]?.count).toBe(120_000n);
      const many = client.prefixDigests({ prefixes: new Array<string>(4097).fill("") });
      await expect(collect(many as AsyncIterable<unknown>)).rejects.toMatchObject({
        details: expect.stringContaining("4097"),
      });
      client.close();
    });
  });

  it("and listings with a limit send no more refs than that, though the store does not stop by itself", async () => {
    const kept = await storeOf(Array.from({ length: 100 }, (_, n) => n));
    const all = await collect(kept.listRefs());
    let read = 0;
    const store: BlobStore = {
      get: (ref) => kept.get(ref),
      put: (bytes) => kept.put(bytes),
      listRefs: (after) => kept.listRefs(after),
      async *listRefPages(after) {
        for await (const ref of kept.listRefs(after)) {
          read++;
          yield Buffer.from(ref, "hex");
        }
      },
    };
    await behind(store, "ours", async (remote) => {
      for (const limit of [1, 7, 100, 1000]) {
        const pages = await collect(remote.listRefPages(all[3], { limit }));
        const refs = Buffer.concat(pages).toString("hex").match(/.{64}/g) ?? [];
        expect(refs).toEqual(all.slice(4, 4 + limit));
        expect(read).toBe(refs.length);
        read = 0;
      }
    });
  });
});
