import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { type BlobStore, createReplica, directoryStore, memoryStore, refOf } from "@x/blob-replica";
import { addBlobService, grpcStore, memoryAnchorMap } from "@x/blob-replica/grpc";
import { testBlob, testBlobs } from "@x/blob-replica/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  askBsPeer,
  type BsPeerFigures,
  bsPeerBuild,
  buildGoServer,
  goBuildTimeoutMs,
  requireServer,
  runBsPeer,
  startBsServer,
} from "../src/servers/index.js";

interface Listed {
  readonly ref: string;
}

/** A real server of ours over a replica of two, as bs's clients meet it. */
async function serveReplica(): Promise<AsyncDisposable & { readonly endpoint: string }> {
  return serve(
    await createReplica({
      sync: [
        { name: "one", store: memoryStore() },
        { name: "two", store: memoryStore() },
      ],
    }),
  );
}

/** Disposes of the store, too, where that can be. */
async function serve(store: BlobStore): Promise<AsyncDisposable & { readonly endpoint: string }> {
  const server = new Server({ "grpc.max_receive_message_length": 65 * 1024 * 1024 });
  addBlobService(server, store, { anchorMap: memoryAnchorMap() });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return {
    endpoint: `127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
      await store[Symbol.asyncDispose]?.();
    },
  };
}

async function refsOf(store: BlobStore): Promise<string[]> {
  const refs: string[] = [];
  for await (const ref of store.listRefs()) refs.push(ref);
  return refs;
}

describe.skipIf(!requireServer("bs-peer"))("bobg/bs v0.4.0", { timeout: 120_000 }, () => {
  let folder = "";
  beforeAll(async () => {
    await buildGoServer(bsPeerBuild);
    folder = mkdtempSync(join(tmpdir(), "x-harness-test-"));
  }, goBuildTimeoutMs);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("finds by its own checks that our service over a replica is a store, with anchors", async () => {
    await using server = await serveReplica();
    expect(await askBsPeer(["check", "-addr", server.endpoint, "-anchors"])).toEqual([
      { check: "ReadWrite", ok: true },
      { check: "AllRefs", ok: true },
      { check: "Anchors", ok: true },
    ]);
  });

  it("finds by the same checks that a store is none which gives other bytes than it was given", async () => {
    const honest = memoryStore();
    const lying: BlobStore = {
      put: (blob, options) => honest.put(blob, options),
      listRefs: (after, options) => honest.listRefs(after, options),
      get: async (ref, options) => Uint8Array.from(await honest.get(ref, options), (byte) => byte ^ 1),
    };
    await using server = await serve(lying);
    const { stdout } = await runBsPeer(["check", "-addr", server.endpoint], { mayFail: true });
    expect(stdout.toString()).toContain('{"check":"ReadWrite","ok":false}');
  });

  it("reads by its client what ours wrote, and ours what it wrote", async () => {
    await using server = await serveReplica();
    await using store = grpcStore({ endpoint: server.endpoint });
    for (const size of [0, 1, 100_000, 8_000_000]) {
      const blob = testBlob(size, size);
      const { ref } = await store.put(blob);
      const { stdout } = await runBsPeer(["get", "-addr", server.endpoint, "-ref", ref]);
      expect(stdout.equals(blob)).toBe(true);
      expect(await askBsPeer(["put", "-addr", server.endpoint], { input: blob })).toEqual([
        { ref, added: false },
      ]);
    }
    const blob = testBlob(7, 1000);
    expect(await askBsPeer(["put", "-addr", server.endpoint], { input: blob })).toEqual([
      { ref: refOf(blob), added: true },
    ]);
    expect(Buffer.compare(await store.get(refOf(blob)), blob)).toBe(0);
    const listed = await askBsPeer<Listed>(["list", "-addr", server.endpoint]);
    expect(listed.map(({ ref }) => ref)).toEqual(await refsOf(store));
    const after = listed[1]?.ref ?? "";
    expect(await askBsPeer(["list", "-addr", server.endpoint, "-after", after])).toEqual(listed.slice(2));
    const missing = runBsPeer(["get", "-addr", server.endpoint, "-ref", refOf(testBlob(1, 5))]);
    await expect(missing).rejects.toThrow(/not found/);
  });

  it("is spoken by our client to its own server", async () => {
    await using server = await startBsServer();
    await using store = grpcStore({ endpoint: server.endpoint });
    const { blobs, refs } = testBlobs(50, 300);
    const large = testBlob(3, 8_000_000);
    const results = await store.putMany([...blobs, blobs[0] as Uint8Array, large]);
    expect(results.filter(({ added }) => added).length).toBe(51);
    expect(await refsOf(store)).toEqual([...refs, refOf(large)].sort());
    for await (const { ref, blob } of store.getMany(refs)) expect(refOf(blob ?? large)).toBe(ref);
    expect(refOf(await store.get(refOf(large)))).toBe(refOf(large));
    expect((await store.put(large)).added).toBe(false);
    expect(await store.has(refOf(large))).toBe(true);
    const missing = refOf(testBlob(9, 9));
    expect(await store.has(missing)).toBe(false);
    await expect(store.get(missing)).rejects.toMatchObject({ code: "not-found" });
    await expect(store.delete(missing)).rejects.toMatchObject({ code: "unsupported" });
    expect(await store.anchorMap.read()).toBeUndefined();
    await store.anchorMap.update(undefined, refOf(large));
    expect(await store.anchorMap.read()).toBe(refOf(large));
  });

  it("reads our folders, and we read its", async () => {
    const dir = join(folder, "shared");
    await using ours = disposable(directoryStore(dir));
    const { blobs, refs } = testBlobs(40, 500);
    for (const blob of blobs.slice(0, 20)) await ours.store.put(blob);
    for (const blob of blobs.slice(0, 20)) {
      const { stdout } = await runBsPeer(["get", "-dir", dir, "-ref", refOf(blob)]);
      expect(stdout.equals(blob)).toBe(true);
    }
    for (const [i, blob] of blobs.entries()) {
      const [put] = await askBsPeer(["put", "-dir", dir], { input: blob });
      expect(put).toEqual({ ref: refOf(blob), added: i >= 20 });
    }
    for (const blob of blobs) expect(Buffer.compare(await ours.store.get(refOf(blob)), blob)).toBe(0);
    expect(await refsOf(ours.store)).toEqual(refs);
    expect((await askBsPeer<Listed>(["list", "-dir", dir])).map(({ ref }) => ref)).toEqual(refs);
  });

  it("is measured", async () => {
    const modes = [
      ["sha256", "-size", "100000", "-count", "20"],
      ["replica-put", "-size", "100000", "-count", "20"],
      ["replica-list", "-refs", "1000", "-seconds", "10"],
      ["file-put", "-size", "4096", "-count", "20", "-dir", join(folder, "measured")],
    ];
    for (const mode of modes) {
      const [figures] = await askBsPeer<BsPeerFigures>(["bench", ...mode]);
      expect(figures).toMatchObject({ mode: mode[0] });
      expect(figures?.seconds).toBeGreaterThan(0);
      expect(figures?.ops).toBeGreaterThan(0);
      expect(figures?.cpuSeconds).toBeGreaterThan(0);
    }
  });

  it("says what went wrong", async () => {
    await expect(runBsPeer(["nonsense"])).rejects.toThrow(/no command "nonsense"/);
  });
});

function disposable(store: BlobStore): AsyncDisposable & { readonly store: BlobStore } {
  return { store, [Symbol.asyncDispose]: async () => store[Symbol.asyncDispose]?.() };
}
