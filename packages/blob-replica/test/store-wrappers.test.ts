import { createCipheriv } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, expect, it, vi } from "vitest";
import {
  aesGcm,
  type BlobStore,
  brotli,
  type CallMeasurement,
  chain,
  getMany,
  gzip,
  lruCache,
  memoryRefMap,
  memoryStore,
  metered,
  putMany,
  type Ref,
  rebuildRefMap,
  refOf,
  streamBlob,
  transform,
  verifying,
} from "../src/index.js";
import { assertSameBytes, collect, testBlob, testBlobs } from "../src/testing/fixture.js";
import { bare, damageThrough } from "./support/stores.js";

describe("lruCache", () => {
  it("reads a blob once, and never one that was written through it", async () => {
    const memory = memoryStore();
    const read = vi.spyOn(memory, "get");
    const store = lruCache(memory, { maxBytes: 1000 });
    const { ref } = await memory.put(testBlob(1, 100));
    for (let i = 0; i < 3; i++) assertSameBytes(await store.get(ref), testBlob(1, 100));
    expect(read).toHaveBeenCalledTimes(1);
    const put = await store.put(testBlob(2, 100));
    assertSameBytes(await store.get(put.ref), testBlob(2, 100));
    expect(read).toHaveBeenCalledTimes(1);
  });

  it("lets go of those that were used longest ago, and never keeps more than it may", async () => {
    const memory = memoryStore();
    const read = vi.spyOn(memory, "get");
    const store = lruCache(memory, { maxBytes: 300 });
    const refs = await Promise.all([1, 2, 3].map(async (i) => (await store.put(testBlob(i, 100))).ref));
    await store.get(refs[0] as Ref);
    await store.put(testBlob(4, 100)); // the second goes
    await store.get(refs[0] as Ref);
    await store.get(refs[2] as Ref);
    expect(read).not.toHaveBeenCalled();
    await store.get(refs[1] as Ref);
    expect(read).toHaveBeenCalledTimes(1);
    await store.put(testBlob(5, 301)); // too large: nothing goes for it
    await store.get(refs[1] as Ref);
    expect(read).toHaveBeenCalledTimes(1);
    await store.put(testBlob(6, 300)); // all the others go
    await store.get(refs[1] as Ref);
    expect(read).toHaveBeenCalledTimes(2);
  });

  it("does not keep what is damaged, what was refused and what was deleted", async () => {
    const memory = memoryStore({ maxBytes: 250 });
    const store = lruCache(memory, { maxBytes: 1000 });
    const { ref } = await memory.put(testBlob(1, 100));
    await damageThrough(memory, ref);
    await store.get(ref);
    await memory.put(testBlob(1, 100));
    assertSameBytes(await store.get(ref), testBlob(1, 100));
    await store.delete?.(ref);
    await expect(store.get(ref)).rejects.toMatchObject({ code: "not-found" });
    await expect(store.put(testBlob(2, 251))).rejects.toMatchObject({ code: "full" });
    await expect(store.get(refOf(testBlob(2, 251)))).rejects.toMatchObject({ code: "not-found" });
  });

  it("does not bring back a blob that was deleted while it was read", async () => {
    const memory = memoryStore();
    const { ref } = await memory.put(testBlob(1, 100));
    let goOn = () => {};
    const slow: BlobStore = {
      ...bare(memory),
      async get(wanted) {
        const blob = await memory.get(wanted);
        await new Promise<void>((resolve) => {
          goOn = resolve;
        });
        return blob;
      },
      delete: (wanted) => memory.delete?.(wanted) as Promise<boolean>,
    };
    const store = lruCache(slow, { maxBytes: 1000 });
    const reading = store.get(ref);
    await Promise.resolve();
    await Promise.resolve();
    await store.delete?.(ref);
    goOn();
    await reading;
    const again = store.get(ref);
    await expect(again).rejects.toMatchObject({ code: "not-found" });
  });

  it("asks the store only for what it does not have, in a batch", async () => {
    const memory = memoryStore();
    const { blobs } = testBlobs(10, 100);
    await putMany(memory, blobs);
    const store = lruCache(memory, { maxBytes: 10_000 });
    const refs = blobs.map(refOf);
    await collect(getMany(store, refs.slice(0, 6)));
    const asked = vi.spyOn(memory, "getMany");
    expect((await collect(getMany(store, refs))).length).toBe(10);
    expect(asked.mock.calls.map(([some]) => some.length)).toEqual([4]);
  });

  it("needs a size", () => {
    for (const maxBytes of [-1, 0.5, Number.NaN]) {
      const make = () => lruCache(memoryStore(), { maxBytes });
      expect(make).toThrowError(expect.objectContaining({ code: "invalid-argument" }));
    }
  });
});

describe("wrappers", () => {
  it("have the digests of the store that they wrap, and none where it has none", async () => {
    const digests = [{ count: 1, digest: new Uint8Array(32) }];
    const inner: BlobStore = { ...bare(memoryStore()), prefixDigests: async () => digests };
    const measured: CallMeasurement[] = [];
    const metrics = { callEnded: (each: CallMeasurement) => void measured.push(each) };
    for (const wrap of [
      (store: BlobStore) => verifying(store),
      (store: BlobStore) => lruCache(store, { maxBytes: 10 }),
      (store: BlobStore) => metered(store, metrics),
    ]) {
      expect(await wrap(inner).prefixDigests?.([""])).toEqual(digests);
      expect(wrap(bare(inner)).prefixDigests).toBeUndefined();
    }
    expect(measured).toMatchObject([{ operation: "prefixDigests", outcome: "ok", items: 1 }]);
  });
});

describe("verifying", () => {
  it("hashes nothing twice: a store that says it has done so is believed, by it and by a cache", async () => {
    const given = testBlob(9, 10);
    const ref = refOf(testBlob(1, 10));
    const inner: BlobStore = {
      ...bare(memoryStore()),
      verified: true,
      get: async () => given,
      async *stream() {
        yield given;
      },
    };
    for (const store of [verifying(inner), lruCache(inner, { maxBytes: 1000 })]) {
      expect(await store.get(ref)).toEqual(given);
      expect((await collect(getMany(store, [ref])))[0]?.blob).toEqual(given);
      expect(await collect(streamBlob(store, ref))).toEqual([given]);
    }
    expect([verifying(inner).verified, verifying(bare(inner)).verified]).toEqual([true, true]);
    expect(lruCache(inner, { maxBytes: 0 }).verified).toBeUndefined(); // it keeps what was put
    const untold = { callEnded: () => {} };
    expect([metered(inner, untold).verified, metered(bare(inner), untold).verified]).toEqual([
      true,
      undefined,
    ]);
  });

  it("never believes a store that lies", async () => {
    const blob = testBlob(1, 600_000);
    const other = testBlob(2, 600_000);
    const ref = refOf(blob);
    const liar: BlobStore = {
      ...bare(memoryStore()),
      get: async () => other,
      put: async () => ({ ref: refOf(other), added: true }),
    };
    const store = verifying(liar);
    await expect(store.get(ref)).rejects.toMatchObject({ code: "corrupt" });
    await expect(store.put(blob)).rejects.toMatchObject({ code: "corrupt" });
    expect((await collect(getMany(store, [ref])))[0]?.error).toMatchObject({ code: "corrupt" });
    expect((await putMany(store, [blob]))[0]).toMatchObject({ ref, error: { code: "corrupt" } });
    let streamed = 0;
    const stream = async () => {
      for await (const piece of streamBlob(store, ref)) streamed += piece.length;
    };
    await expect(stream()).rejects.toMatchObject({ code: "corrupt" });
    expect(streamed).toBeLessThan(blob.length);
    const text = verifying({ ...liar, get: async () => "text" as never });
    await expect(text.get(ref)).rejects.toMatchObject({ code: "corrupt" });
  });
});

describe("metered", () => {
  function measured(inner: BlobStore): { store: BlobStore; ended: CallMeasurement[] } {
    const ended: CallMeasurement[] = [];
    let now = 0;
    const clock = { wallMs: () => 0, monotonicMs: () => (now += 5), setTimer: () => () => {} };
    return { store: metered(inner, { callEnded: (each) => ended.push(each) }, { clock }), ended };
  }

  it("tells what every call did, how long it took and how it ended", async () => {
    const { store, ended } = measured(memoryStore({ maxBytes: 1000 }));
    const { blobs } = testBlobs(3, 100);
    const missing = refOf(testBlob(99, 1));
    const { ref } = await store.put(blobs[0] as Uint8Array);
    await putMany(store, blobs);
    await store.get(ref);
    await collect(getMany(store, [ref, missing]));
    await collect(store.listRefs());
    await collect(streamBlob(store, ref));
    await store.has?.(ref);
    await store.delete?.(ref);
    await store.get(ref).catch(() => {});
    await store.put(testBlob(5, 2000)).catch(() => {});
    await putMany(store, [testBlob(5, 2000)]);
    const rows = ended.map((each) => [each.operation, each.outcome, each.bytes, each.items, each.failures]);
    expect(rows).toEqual([
      ["put", "ok", 100, 1, 0],
      ["putMany", "ok", 300, 3, 0],
      ["get", "ok", 100, 1, 0],
      ["getMany", "ok", 100, 1, 1],
      ["list", "ok", 0, 3, 0],
      ["stream", "ok", 100, 1, 0],
      ["has", "ok", 0, 0, 0],
      ["delete", "ok", 0, 1, 0],
      ["get", "not-found", 0, 0, 0],
      ["put", "full", 0, 0, 0],
      ["putMany", "ok", 0, 0, 1],
    ]);
    for (const { durationMs } of ended) expect(durationMs).toBe(5);
  });

  it("tells an abort, a loop that was left, and what is no error of ours apart", async () => {
    const { store, ended } = measured({
      ...bare(memoryStore()),
      get: () => Promise.reject(new Error("not one of ours")),
    });
    await store.put(testBlob(1, 1));
    const { ref } = await store.put(testBlob(2, 2));
    ended.length = 0;
    await store.get(ref).catch(() => {});
    await store.put(testBlob(3, 3), { signal: AbortSignal.abort({}) }).catch(() => {});
    for await (const _ of store.listRefs()) break;
    expect(ended.map(({ operation, outcome, items }) => [operation, outcome, items])).toEqual([
      ["get", "error", 0],
      ["put", "aborted", 0],
      ["list", "left", 1],
    ]);
  });

  it("does not let its metrics fail a call", async () => {
    const metrics = {
      callEnded() {
        throw new Error("the metrics are broken");
      },
    };
    const store = metered(memoryStore(), metrics);
    const { ref } = await store.put(testBlob(1, 10));
    expect((await store.get(ref)).length).toBe(10);
    expect(await collect(store.listRefs())).toEqual([ref]);
  });
});

describe("gzip and brotli", () => {
  const text = new TextEncoder().encode("to be or not to be, ".repeat(1000));

  it("make text small, and gzip is what others read and write", async () => {
    for (const codec of [gzip(), brotli(), gzip({ level: 9 }), brotli({ level: 11 })]) {
      const encoded = await codec.encode(text);
      expect(encoded.length).toBeLessThan(500);
      assertSameBytes(await codec.decode(encoded), text);
    }
    expect(gunzipSync(await gzip().encode(text)).equals(text)).toBe(true);
    assertSameBytes(await gzip().decode(gzipSync(text)), text);
  });

  it("take no bomb, no torn and no other bytes", async () => {
    for (const make of [gzip, brotli]) {
      const bomb = await make().encode(new Uint8Array(1_000_000));
      expect(bomb.length).toBeLessThan(2000);
      await expect(make({ maxBytes: 999_999 }).decode(bomb)).rejects.toMatchObject({ code: "bad-data" });
      expect((await make({ maxBytes: 1_000_000 }).decode(bomb)).length).toBe(1_000_000);
      for (const bad of [new Uint8Array(0), testBlob(1, 100), bomb.subarray(0, bomb.length - 1)]) {
        await expect(make().decode(bad)).rejects.toMatchObject({ code: "bad-data" });
      }
    }
  });

  it("refuse levels that there are not", () => {
    for (const make of [() => gzip({ level: 10 }), () => brotli({ level: 12 }), () => gzip({ level: -1 })]) {
      expect(make).toThrowError(expect.objectContaining({ code: "invalid-argument" }));
    }
  });
});

describe("aesGcm", () => {
  const keys = new Map([
    ["old", new Uint8Array(32).fill(1)],
    ["new", new Uint8Array(32).fill(2)],
  ]);
  const using = (id: string) =>
    aesGcm({ current: () => ({ id, key: keys.get(id) as Uint8Array }), find: (name) => keys.get(name) });
  const blob = testBlob(1, 1000);

  it("never gives the same bytes twice, and shows nothing but the key's id and the length", async () => {
    const [one, two] = await Promise.all([using("old").encode(blob), using("old").encode(blob)]);
    expect(Buffer.from(one).equals(two)).toBe(false);
    expect(one.length).toBe(1000 + 4 + 1 + 3 + 12 + 16);
    expect(Buffer.from(one).includes(Buffer.from(blob.subarray(0, 16)))).toBe(false);
  });

  it("is AES-256-GCM as others do it", async () => {
    const encoded = Buffer.from(await using("old").encode(blob));
    const nonce = encoded.subarray(8, 20);
    const cipher = createCipheriv("aes-256-gcm", keys.get("old") as Uint8Array, nonce);
    cipher.setAAD(Buffer.from("xbe1\x03old", "latin1"));
    const content = Buffer.concat([cipher.update(blob), cipher.final()]);
    expect(encoded.subarray(20).equals(Buffer.concat([content, cipher.getAuthTag()]))).toBe(true);
  });

  it("reads with the key that a blob was written with, after a new one has come", async () => {
    assertSameBytes(await using("new").decode(await using("old").encode(blob)), blob);
  });

  it("notices every changed bit and every length", async () => {
    const encoded = await using("old").encode(testBlob(2, 20));
    for (let i = 0; i < encoded.length; i++) {
      const changed = new Uint8Array(encoded);
      changed[i] = (changed[i] as number) ^ 1;
      const error = await using("old")
        .decode(changed)
        .catch((failure: unknown) => failure);
      // A changed id is another key.
      expect(error).toMatchObject({
        code: i > 4 && i < 8 ? "refused" : expect.stringMatching(/bad-data|refused/),
      });
      await expect(using("old").decode(encoded.subarray(0, i))).rejects.toMatchObject({
        code: expect.stringMatching(/bad-data|refused/),
      });
    }
  });

  it("says which key is missing, and refuses keys that are none", async () => {
    const without = aesGcm({
      current: () => ({ id: "new", key: new Uint8Array(16) }),
      find: () => undefined,
    });
    await expect(without.decode(await using("old").encode(blob))).rejects.toMatchObject({
      code: "refused",
      message: expect.stringContaining('"old"'),
    });
    await expect(without.encode(blob)).rejects.toMatchObject({ code: "invalid-argument" });
    for (const id of ["", "x".repeat(256)]) {
      const named = aesGcm({ current: () => ({ id, key: new Uint8Array(32) }), find: () => undefined });
      await expect(named.encode(blob)).rejects.toMatchObject({ code: "invalid-argument" });
    }
  });
});

describe("transform", () => {
  const key = new Uint8Array(32).fill(3);
  const codec = chain(gzip(), aesGcm({ current: () => ({ id: "k", key }), find: () => key }));

  it("keeps under refs of their own what a verifying store can verify without the key", async () => {
    const memory = memoryStore();
    const store = transform(memory, { codec, refs: memoryRefMap() });
    const { blobs, refs } = testBlobs(20, 300);
    await putMany(store, blobs);
    expect(await collect(store.listRefs())).toEqual(refs);
    const inner = await collect(memory.listRefs());
    expect(inner.length).toBe(20);
    for (const ref of inner) {
      expect(refs).not.toContain(ref);
      await verifying(memory).get(ref);
    }
  });

  it("gives its map back from the blobs alone", async () => {
    const memory = memoryStore();
    const { blobs, refs } = testBlobs(20, 300);
    await putMany(transform(memory, { codec, refs: memoryRefMap() }), blobs);
    const { ref: stranger } = await memory.put(testBlob(5, 100));
    const map = memoryRefMap();
    const failures: Ref[] = [];
    const report = await rebuildRefMap(memory, {
      codec,
      refs: map,
      onFailure: (inner) => failures.push(inner),
    });
    expect([report, failures]).toEqual([{ mapped: 20, failed: 1 }, [stranger]]);
    const store = transform(memory, { codec, refs: map });
    expect(await collect(store.listRefs())).toEqual(refs);
    for (const blob of blobs) assertSameBytes(await store.get(refOf(blob)), blob);
    const reason = { why: "enough" };
    const aborted = rebuildRefMap(memory, { codec, refs: map, signal: AbortSignal.abort(reason) });
    await expect(aborted).rejects.toBe(reason);
  });

  it("serves no blob for another when the map is mixed up", async () => {
    const refs = memoryRefMap();
    const store = transform(memoryStore(), { codec, refs });
    const one = await store.put(testBlob(1, 100));
    const two = await store.put(testBlob(2, 100));
    await refs.set(one.ref, (await refs.get(two.ref)) as Ref);
    await expect(store.get(one.ref)).rejects.toMatchObject({ code: "corrupt" });
    expect((await store.put(testBlob(1, 100))).added).toBe(true);
    assertSameBytes(await store.get(one.ref), testBlob(1, 100));
  });

  it("heals a blob whose inner one is gone, and leaves no second one behind", async () => {
    const memory = memoryStore();
    const refs = memoryRefMap();
    const store = transform(memory, { codec, refs });
    const { ref } = await store.put(testBlob(1, 100));
    await memory.delete?.((await refs.get(ref)) as Ref);
    await expect(store.get(ref)).rejects.toMatchObject({ code: "corrupt" });
    await store.put(testBlob(1, 100));
    assertSameBytes(await store.get(ref), testBlob(1, 100));
    await damageThrough(memory, (await refs.get(ref)) as Ref);
    await store.put(testBlob(1, 100));
    expect((await collect(memory.listRefs())).length).toBe(1);
    await store.delete?.(ref);
    expect(await collect(memory.listRefs())).toEqual([]);
  });

  it("passes on that a key is missing, and does not take it for damage", async () => {
    const refs = memoryRefMap();
    const memory = memoryStore();
    const { ref } = await transform(memory, { codec, refs }).put(testBlob(1, 100));
    const keyless = aesGcm({ current: () => ({ id: "k", key }), find: () => undefined });
    const store = transform(memory, { codec: chain(gzip(), keyless), refs });
    await expect(store.get(ref)).rejects.toMatchObject({ code: "refused" });
    await expect(store.put(testBlob(1, 100))).rejects.toMatchObject({ code: "refused" });
    assertSameBytes(await transform(memory, { codec, refs }).get(ref), testBlob(1, 100));
  });

  it("has no ref without a blob when the store fails", async () => {
    const refs = memoryRefMap();
    const store = transform(memoryStore({ maxBytes: 50 }), { codec, refs });
    await expect(store.put(testBlob(1, 100))).rejects.toMatchObject({ code: "full" });
    expect(await collect(store.listRefs())).toEqual([]);
    expect(await store.has?.(refOf(testBlob(1, 100)))).toBe(false);
  });
});
