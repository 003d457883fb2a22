import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { join, openBlobTree, treeReferences } from "../src/content/blob-tree.js";
import { Chunker, gearTable } from "../src/content/fast-cdc.js";
import { split } from "../src/content/split.js";
import { decodeTreeNode, encodeTreeNode, type TreeChild } from "../src/content/tree-node.js";
import { type BlobStore, memoryStore, type Ref, refOf } from "../src/index.js";

/** Bytes that do not compress, the same ones each time: xorshift32 (Marsaglia 2003). */
function noise(length: number, seed = 1): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  let x = seed;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  return new Uint8Array(words.buffer, 0, length);
}

async function read(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) parts.push(piece);
  return Buffer.concat(parts);
}

async function refsOf(store: BlobStore): Promise<Ref[]> {
  const refs: Ref[] = [];
  for await (const ref of store.listRefs()) refs.push(ref);
  return refs;
}

function counted(store: BlobStore): { store: BlobStore; gets: Ref[] } {
  const gets: Ref[] = [];
  return {
    gets,
    store: {
      async get(ref, options) {
        gets.push(ref);
        return await store.get(ref, options);
      },
      put: (bytes, options) => store.put(bytes, options),
      listRefs: (after, options) => store.listRefs(after, options),
    },
  };
}

async function* inPieces(bytes: Uint8Array, lengths: Iterable<number>): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(bytes.length + 1); // used again for each piece
  let at = 0;
  for (const length of lengths) {
    if (at >= bytes.length) return;
    buffer.fill(0xee);
    buffer.set(bytes.subarray(at, at + length));
    yield buffer.subarray(0, Math.min(length, bytes.length - at));
    at += length;
  }
}

describe("the chunker", () => {
  it("has the gear table and the cuts that it has always had", () => {
    // Computed by a second implementation, in Python.
    const table = gearTable();
    expect([...table.subarray(0, 2)].map((word) => word.toString(16))).toEqual(["5d5015a5", "ad6ae7cd"]);
    expect(createHash("sha256").update(table).digest("hex")).toBe(
      "a3b98c2f069a067907c8767c685c6987d9dda6b975dd9a2f8352e9b2bfa7da52",
    );
    const chunker = new Chunker({ averageBytes: 1024 });
    const lengths = [...chunker.push(noise(10_000))].map((chunk) => chunk.length);
    expect(lengths).toEqual([1096, 1083, 360, 703, 1042, 1157, 1084, 1428, 1436]);
  });

  it("cuts the same wherever the pieces end, within its limits, and loses nothing", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 60_000 }),
        fc.array(fc.integer({ min: 1, max: 9000 }), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 1, max: 1000 }),
        fc.boolean(),
        (length, pieces, seed, flat) => {
          const bytes = flat ? new Uint8Array(length) : noise(length, seed);
          const whole = new Chunker({ averageBytes: 1024 });
          const expected = [...whole.push(bytes)];
          const last = whole.end();
          if (last) expected.push(last);
          const chunker = new Chunker({ averageBytes: 1024 });
          const chunks: Uint8Array[] = [];
          for (let at = 0, i = 0; at < length; i++) {
            const size = pieces[i % pieces.length]!;
            chunks.push(...chunker.push(bytes.subarray(at, at + size)));
            at += size;
          }
          const rest = chunker.end();
          if (rest) chunks.push(rest);
          expect(chunks.map((chunk) => chunk.length)).toEqual(expected.map((chunk) => chunk.length));
          expect(Buffer.compare(Buffer.concat(chunks), bytes)).toBe(0);
          for (const [i, chunk] of chunks.entries()) {
            expect(chunk.length).toBeLessThanOrEqual(4096);
            if (i < chunks.length - 1) expect(chunk.length).toBeGreaterThanOrEqual(256);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it("makes chunks of about the average", () => {
    const chunker = new Chunker({ averageBytes: 4096 });
    const chunks = [...chunker.push(noise(4 * 1024 * 1024))];
    const average = chunks.reduce((sum, chunk) => sum + chunk.length, 0) / chunks.length;
    expect(average).toBeGreaterThan(4096 * 0.75);
    expect(average).toBeLessThan(4096 * 1.5);
  });

  it.each([0, 1000, 1023, 512, 2 ** 25, Number.NaN])("refuses an average of %s", (averageBytes) => {
    expect(() => new Chunker({ averageBytes })).toThrowError(
      expect.objectContaining({ code: "invalid-argument" }),
    );
  });
});

describe("split and join", () => {
  it("give back any content, from any pieces, under the same ref", { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.integer({ min: 0, max: 3000 }), fc.integer({ min: 0, max: 300_000 })),
        fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 9 }),
        async (length, pieces, concurrency) => {
          const bytes = noise(length, length + 1);
          const store = memoryStore();
          const ref = await split(store, bytes, { averageBytes: 1024 });
          const every = (function* () {
            for (;;) yield* pieces;
          })();
          expect(await split(store, inPieces(bytes, every), { averageBytes: 1024, concurrency })).toBe(ref);
          expect(Buffer.compare(await read(join(store, ref)), bytes)).toBe(0);
          expect((await openBlobTree(store, ref)).size).toBe(length);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("share at least nine tenths of the bytes of chunks after a byte is put in front of 16 MiB", {
    timeout: 30_000,
  }, async () => {
    const bytes = noise(16 * 1024 * 1024);
    const store = memoryStore();
    await split(store, bytes);
    const before = new Set(await refsOf(store));
    await split(store, Buffer.concat([Uint8Array.of(7), bytes]));
    let fresh = 0;
    for (const ref of await refsOf(store)) if (!before.has(ref)) fresh += (await store.get(ref)).length;
    expect(fresh).toBeGreaterThan(0);
    expect(fresh).toBeLessThan(bytes.length * 0.1);
  });

  it("read any part, and few blobs for it", { timeout: 60_000 }, async () => {
    const bytes = noise(8 * 1024 * 1024);
    const inner = memoryStore();
    const ref = await split(inner, bytes, { averageBytes: 1024 });
    const { store, gets } = counted(inner);
    const tree = await openBlobTree(store, ref);
    const { level } = decodeTreeNode(await inner.get(ref));
    expect(level).toBeGreaterThanOrEqual(2);
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length + 10), fc.nat(20_000), async (offset, length) => {
        gets.length = 0;
        const part = await tree.read(offset, length);
        expect(Buffer.compare(part, bytes.subarray(offset, offset + length))).toBe(0);
        // Two paths, and the chunks: of at least 256 bytes, but about 1024.
        expect(gets.length).toBeLessThanOrEqual(2 * level + 2 + length / 256);
      }),
      { numRuns: 100 },
    );
    gets.length = 0;
    const fresh = await openBlobTree(store, ref);
    await fresh.read(5_000_000, 1);
    expect(gets.length).toBe(level + 1);
  });

  it("fetch ahead within their bound, and stop when the reader leaves", async () => {
    const bytes = noise(400_000);
    const inner = memoryStore();
    const ref = await split(inner, bytes, { averageBytes: 1024 });
    let running = 0;
    let most = 0;
    let aborted = 0;
    const slow: BlobStore = {
      ...counted(inner).store,
      async get(blobRef, options) {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setImmediate(resolve));
        running--;
        if (options?.signal?.aborted) aborted++;
        return await inner.get(blobRef);
      },
    };
    const tree = await openBlobTree(slow, ref);
    most = 0;
    expect(Buffer.compare(await read(tree.stream({ prefetchBytes: 16_384 })), bytes)).toBe(0);
    expect(most).toBeGreaterThan(3);
    expect(most).toBeLessThanOrEqual(16_384 / 256);
    most = 0;
    expect(
      (await read(tree.stream({ start: 100, end: 200, prefetchBytes: 0 }))).equals(bytes.subarray(100, 200)),
    ).toBe(true);
    expect(most).toBe(1);
    for await (const _ of tree.stream({ prefetchBytes: 100_000 })) break;
    expect(running).toBe(0);
    expect(aborted).toBeGreaterThan(0);
    const controller = new AbortController();
    const reason = new Error("enough");
    const loop = (async () => {
      for await (const _ of tree.stream({ signal: controller.signal })) controller.abort(reason);
    })();
    await expect(loop).rejects.toBe(reason);
    expect(running).toBe(0);
  });

  it("hold a bounded number of chunks while they store, and stop at the first failure", {
    timeout: 20_000,
  }, async () => {
    const inner = memoryStore();
    let running = 0;
    let most = 0;
    let puts = 0;
    const slow: BlobStore = {
      ...counted(inner).store,
      async put(bytes, options) {
        most = Math.max(most, ++running);
        puts++;
        await new Promise((resolve) => setImmediate(resolve));
        running--;
        if (puts > 100) throw new Error("the disk is gone");
        return await inner.put(bytes, options);
      },
    };
    let pulled = 0;
    const source = (async function* () {
      for (; pulled < 1000; pulled++) yield noise(4096, pulled + 1);
    })();
    await expect(split(slow, source, { averageBytes: 1024, concurrency: 3 })).rejects.toThrow(
      "the disk is gone",
    );
    expect(most).toBe(3);
    expect(running).toBe(0);
    expect(pulled).toBeLessThan(100);
  });

  it("end with the caller's reason", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const source = (async function* () {
      for (let i = 1; i < 10_000; i++) {
        if (i === 20) controller.abort(reason);
        yield noise(4096, i);
      }
    })();
    await expect(split(memoryStore(), source, { signal: controller.signal })).rejects.toBe(reason);
  });
});

describe("trees of others", () => {
  async function put(store: BlobStore, level: number, children: readonly TreeChild[]): Promise<TreeChild> {
    const { ref } = await store.put(encodeTreeNode(level, children));
    return { ref, size: children.reduce((sum, child) => sum + child.size, 0) };
  }

  it("are refused when a size is not what is there", async () => {
    const store = memoryStore();
    const { ref: chunk } = await store.put(noise(10));
    for (const size of [9, 11, 60_000_000]) {
      const root = await put(store, 1, [{ ref: chunk, size }]);
      await expect(read(join(store, root.ref))).rejects.toMatchObject({ code: "bad-data" });
    }
    const node = await put(store, 1, [{ ref: chunk, size: 10 }]);
    const root = await put(store, 2, [{ ...node, size: 11 }]);
    await expect(read(join(store, root.ref))).rejects.toMatchObject({ code: "bad-data" });
  });

  it("are refused when a node is not of the level below", async () => {
    const store = memoryStore();
    const { ref: chunk } = await store.put(noise(10));
    const one = await put(store, 1, [{ ref: chunk, size: 10 }]);
    const three = await put(store, 3, [one]);
    await expect(read(join(store, three.ref))).rejects.toMatchObject({ code: "bad-data" });
    const onChunk = await put(store, 2, [{ ref: chunk, size: 10 }]);
    await expect(read(join(store, onChunk.ref))).rejects.toMatchObject({ code: "bad-data" });
  });

  it("are refused when they say that they are huge, and cost nothing", async () => {
    const store = memoryStore();
    const { ref: chunk } = await store.put(noise(10));
    let child: TreeChild = { ref: chunk, size: 10 };
    for (let level = 1; level <= 8; level++)
      child = await put(store, level, new Array<TreeChild>(64).fill(child));
    await expect(openBlobTree(store, child.ref, { maxBytes: 10_000_000 })).rejects.toMatchObject({
      code: "bad-data",
    });
    const tree = await openBlobTree(store, child.ref);
    expect(tree.size).toBe(10 * 64 ** 8);
    await expect(tree.read(0, tree.size)).rejects.toMatchObject({ code: "invalid-argument" });
    expect(await tree.read(tree.size - 5, 100)).toEqual(noise(10).subarray(5));
    const overflow = new Array<TreeChild>(40).fill({ ref: chunk, size: 2 ** 48 });
    const { ref } = await store.put(encodeTreeNode(2, overflow));
    await expect(openBlobTree(store, ref)).rejects.toMatchObject({ code: "bad-data" });
    const large = await put(store, 1, [{ ref: chunk, size: 2 ** 30 }]);
    await expect(openBlobTree(store, large.ref)).rejects.toMatchObject({ code: "bad-data" });
  });

  it("are refused as bad-data, whatever the bytes are, or are what they encode", () => {
    const good = encodeTreeNode(1, [
      { ref: refOf(noise(3)), size: 3 },
      { ref: refOf(noise(300)), size: 300 },
    ]);
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }),
          fc
            .uint8Array({ maxLength: 90 })
            .map((bytes) => Uint8Array.from([0x89, 0x62, 0x52, 0x74, 1, ...bytes])),
          fc.tuple(fc.nat(good.length - 1), fc.nat(255)).map(([at, byte]) => {
            const bytes = new Uint8Array(good);
            bytes[at] = byte;
            return bytes;
          }),
          fc.nat(good.length).map((length) => good.subarray(0, length)),
          fc.uint8Array({ minLength: 1, maxLength: 9 }).map((bytes) => Buffer.concat([good, bytes])),
        ),
        (bytes) => {
          try {
            const node = decodeTreeNode(bytes);
            expect(Buffer.compare(encodeTreeNode(node.level, node.children), bytes)).toBe(0);
          } catch (error) {
            expect(error).toMatchObject({ code: "bad-data" });
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("are not read from a store that lies, and a plain blob is no tree", async () => {
    const store = memoryStore();
    const ref = await split(store, noise(100));
    const other = await split(store, noise(101));
    const lying: BlobStore = {
      ...counted(store).store,
      get: (asked) => store.get(asked === ref ? other : asked),
    };
    await expect(openBlobTree(lying, ref)).rejects.toMatchObject({ code: "corrupt" });
    const { ref: plain } = await store.put(noise(50));
    await expect(openBlobTree(store, plain)).rejects.toMatchObject({ code: "bad-data" });
    expect(treeReferences(noise(50))).toEqual([]);
    expect(treeReferences(await store.get(ref))).toEqual([{ ref: refOf(noise(100)), leaf: true }]);
  });
});
