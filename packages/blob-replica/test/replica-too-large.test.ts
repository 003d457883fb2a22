import { appendFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { grpcStore } from "../src/grpc.js";
import {
  BlobError,
  type BlobStore,
  createReplica,
  directoryStore,
  getMany,
  gzip,
  memoryRefMap,
  memoryStore,
  type Replica,
  type ReplicaEvent,
  refOf,
  streamBlob,
  transform,
  verify,
} from "../src/index.js";
import { s3Store } from "../src/s3.js";
import type { StoreFiles } from "../src/stores/files.js";
import { localNodeFiles } from "../src/stores/node-files.js";
import { collect, testBlob } from "../src/testing/fixture.js";
import { serve } from "./grpc-support.js";
import { blobOf, FaultyStore, settle } from "./replica-fakes.js";
import { fakeS3 } from "./support/s3-server.js";
import { fileOf } from "./support/stores.js";

const limit = 10_000;
const blob = testBlob(1, limit);
const ref = refOf(blob);
const larger = testBlob(2, limit + 1);
const garbage = Buffer.alloc(1_000_000, "x");

interface Place extends AsyncDisposable {
  readonly store: BlobStore;
  /** Behind the store's back, what it has of the blob becomes larger than it takes. */
  grow(): Promise<void>;
}

async function s3(): Promise<Place> {
  const server = await fakeS3("blobs");
  return {
    store: s3Store({ client: server.client, bucket: "blobs", maxBlobBytes: limit }),
    grow: async () => void server.objects.set(ref, Buffer.concat([blob, garbage])),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** Files of a folder; one that has grown says that it has more bytes than there can be in memory. */
function filesWithGrown(): StoreFiles {
  const told = <File extends { readonly bytes: number }>(file: File): File =>
    file.bytes > blob.length + 1 ? { ...file, bytes: 2 ** 52 } : file;
  return {
    ...localNodeFiles,
    openForReading: async (path) => told(await localNodeFiles.openForReading(path)),
    openNow: (path) => {
      const file = localNodeFiles.openNow(path);
      return file && told(file);
    },
    readNow: (path, into) => {
      const length = localNodeFiles.readNow(path, into);
      return length > blob.length + 1 ? into.length : length; // there is more
    },
  };
}

async function directory(): Promise<Place> {
  const dir = await mkdtemp(join(tmpdir(), "blob-too-large-"));
  return {
    store: directoryStore(dir, { ports: { files: filesWithGrown() } }),
    grow: () => appendFile(fileOf(dir, ref), garbage),
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  };
}

/** The store of another place, behind a server. */
async function behindGrpc(open: () => Promise<Place>): Promise<Place> {
  const place = await open();
  const server = await serve(place.store);
  const store = grpcStore({ endpoint: server.endpoint, maxBlobBytes: limit });
  return {
    store,
    grow: () => place.grow(),
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
      await place[Symbol.asyncDispose]();
    },
  };
}

/** What a replica gives, which asks the store first. */
const reads: Record<string, (replica: Replica) => Promise<Uint8Array | undefined>> = {
  get: (replica) => replica.get(ref),
  getMany: async (replica) => (await collect(getMany(replica, [ref])))[0]?.blob,
};

async function replicaOver(store: BlobStore, good: BlobStore = memoryStore()) {
  const events: ReplicaEvent[] = [];
  let wake = () => {};
  const replica = await createReplica({
    sync: [
      { name: "first", store },
      { name: "good", store: good },
    ],
    // No other store is asked for being slow.
    hedgeAfterMs: 20_000,
    onEvent: (event) => {
      events.push(event);
      wake();
    },
  });
  const repaired = async () => {
    while (!events.some(({ event }) => event === "repaired")) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { replica, events, repaired };
}

describe("what a store has under a blob's name that is larger than it takes", () => {
  describe.each([
    ["in a bucket", s3],
    ["in a directory", directory],
    ["in a bucket behind gRPC", () => behindGrpc(s3)],
    ["in a directory behind gRPC", () => behindGrpc(directory)],
  ] as const)("%s", (_where, open) => {
    it.each(Object.keys(reads))("is replaced by the blob that another store has, after a %s", async (how) => {
      await using place = await open();
      const { replica, repaired } = await replicaOver(place.store);
      await replica.put(blob);
      await place.grow();
      expect(refOf((await reads[how]?.(replica)) as Uint8Array)).toBe(ref);
      await repaired();
      expect(refOf(await place.store.get(ref))).toBe(ref);
      await replica[Symbol.asyncDispose]();
    });

    it("is refused, and says what it is larger than; a batch gives the others", async () => {
      await using place = await open();
      await place.store.put(blob);
      const { ref: other } = await place.store.put(blobOf("another"));
      await place.grow();
      for (let time = 0; time < 2; time++) {
        const error = await place.store.get(ref).catch((each: unknown) => each);
        expect(error).toMatchObject({ code: "refused", moreThanBytes: expect.any(Number) });
        expect((error as BlobError).moreThanBytes).toBeGreaterThanOrEqual(limit);
      }
      const found = await collect(getMany(place.store, [ref, other]));
      expect(found.find((each) => each.ref === other)?.blob).toEqual(blobOf("another"));
      expect(found.find((each) => each.ref === ref)?.error).toMatchObject({ code: "refused" });
    });
  });

  it("is told over gRPC, unless a store of the server says what is no size", async () => {
    for (const moreThanBytes of [0, 2 ** 53 - 1, -1, 1.5, Number.POSITIVE_INFINITY]) {
      const store = new FaultyStore();
      store.faults.set("get", new BlobError("refused", "it is too large", { moreThanBytes }));
      await using server = await serve(store);
      await using client = grpcStore({ endpoint: server.endpoint });
      const [found] = await collect(getMany(client, [ref]));
      const told = Number.isSafeInteger(moreThanBytes) && moreThanBytes >= 0 ? moreThanBytes : undefined;
      expect(found?.error).toMatchObject({ code: "refused", moreThanBytes: told });
    }
  });

  it.each(Object.keys(reads))("is left alone where the blob is that large, after a %s", async (how) => {
    await using server = await fakeS3("blobs");
    const far = s3Store({ client: server.client, bucket: "blobs", maxBlobBytes: limit });
    const { replica, events } = await replicaOver(far);
    const { ref: largerRef } = await replica.put(larger);
    server.calls.length = 0;
    const got =
      how === "get" ? await replica.get(largerRef) : (await collect(getMany(replica, [largerRef])))[0]?.blob;
    expect(refOf(got as Uint8Array)).toBe(largerRef);
    expect(replica.state().sync[0]).toMatchObject({ repairs: 0, repairBacklog: 0 });
    expect(events.map(({ event, store }) => [event, store])).toEqual([["sync-failed", "first"]]);
    expect(server.calls.map(({ method }) => method)).toEqual(["GET"]);
    await replica[Symbol.asyncDispose]();
  });

  it("is left alone where no store has the blob whole", async () => {
    const good = new FaultyStore();
    await using place = await s3();
    const { replica } = await replicaOver(place.store, good);
    await replica.put(blob);
    await place.grow();
    good.lies.set(ref, larger);
    await expect(replica.get(ref)).rejects.toMatchObject({
      code: "all-failed",
      failures: [{ error: { code: "refused" } }, { error: { code: "corrupt" } }],
    });
    expect(replica.state().sync[0]).toMatchObject({ repairs: 0, repairBacklog: 0 });
    await replica[Symbol.asyncDispose]();
  });

  it.each([
    [limit, 1],
    [limit - 1, 0],
  ])(
    "counts as damaged after every kind of read when it has more than %i bytes: %i",
    async (moreThanBytes, repairs) => {
      const all = {
        ...reads,
        stream: async (replica: Replica) => Buffer.concat(await collect(streamBlob(replica, ref))),
      };
      for (const read of Object.values(all)) {
        const store = new FaultyStore();
        const { replica } = await replicaOver(store);
        await replica.put(blob);
        store.faults.set("get", new BlobError("refused", "it is too large", { moreThanBytes }));
        expect(refOf((await read(replica)) as Uint8Array)).toBe(ref);
        await settle();
        expect(replica.state().sync[0]).toMatchObject({ repairs });
        await replica[Symbol.asyncDispose]();
      }
    },
  );

  it("says nothing of the content, where it is kept in another form", async () => {
    const inner = new FaultyStore();
    const store = transform(inner, { codec: gzip(), refs: memoryRefMap() });
    await store.put(blob);
    inner.faults.set("get", new BlobError("refused", "it is too large", { moreThanBytes: 1_000_000 }));
    const errors = [
      await store.get(ref).catch((error: unknown) => error),
      (await collect(getMany(store, [ref])))[0]?.error,
    ];
    for (const error of errors) expect(error).toMatchObject({ code: "refused", moreThanBytes: undefined });
  });

  it("is repaired by verify, where the blob is not that large", async () => {
    await using place = await s3();
    const good = memoryStore();
    for (const store of [place.store, good]) {
      await store.put(blob);
      await store.put(larger);
    }
    await place.grow();
    const { bad } = await verify(place.store, { repairFrom: good });
    expect(bad.map(({ ref: of, problem, repaired }) => [of, problem, repaired]).sort()).toEqual(
      [
        [ref, "corrupt", true],
        [refOf(larger), "unreadable", false],
      ].sort(),
    );
    expect(refOf(await place.store.get(ref))).toBe(ref);
  });
});
