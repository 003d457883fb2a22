import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeAnchorNode, encodeAnchorNode } from "../src/content/anchor-node.js";
import { type AnchorStore, fileAnchorStore, memoryAnchorStore } from "../src/content/anchor-store.js";
import { type Anchor, anchorReferences, anchors } from "../src/content/anchors.js";
import { type BlobStore, memoryStore, type Ref, refOf } from "../src/index.js";
import { systemProcess } from "../src/system.js";

const refOfNumber = (n: number): Ref => refOf(new TextEncoder().encode(`blob ${n}`));

async function all(list: AsyncIterable<Anchor>): Promise<Anchor[]> {
  const result: Anchor[] = [];
  for await (const each of list) result.push(each);
  return result;
}

const byName = (a: { name: string }, b: { name: string }) =>
  Buffer.compare(Buffer.from(a.name), Buffer.from(b.name));

let dir = "";
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "blob-anchors-"));
});
afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
});

describe("anchors", () => {
  it("answer as a table of names and times does", { timeout: 60_000 }, async () => {
    const names = fc.oneof(
      fc.constantFrom("a", "b", "ab", "ä", "\u{1f600}", "\uffff"),
      fc.string({ unit: "grapheme", minLength: 1, maxLength: 9 }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ name: names, atMs: fc.nat(50), ref: fc.nat(5) }), { maxLength: 60 }),
        fc.integer({ min: 1, max: 12 }),
        async (puts, copies) => {
          const map = anchors(memoryStore(), memoryAnchorStore());
          const model = new Map<string, Map<number, Ref>>();
          for (let copy = 0; copy < copies; copy++) {
            for (const { name: base, atMs, ref: n } of puts) {
              const name = copy < 2 ? base : `${base} ${copy}`;
              await map.put(name, refOfNumber(n), { atMs: atMs + copy });
              model.set(name, (model.get(name) ?? new Map()).set(atMs + copy, refOfNumber(n)));
            }
          }
          const expected = [...model].map(([name, times]) => {
            const list = [...times].sort(([a], [b]) => a - b).map(([atMs, ref]) => ({ name, ref, atMs }));
            return { name, list };
          });
          expected.sort(byName);
          expect(await all(map.list())).toEqual(expected.map(({ list }) => list.at(-1)));
          for (const { name, list } of expected.slice(0, 12)) {
            expect(await all(map.history(name))).toEqual(list);
            expect(await map.get(name)).toEqual(list.at(-1));
            for (const atMs of [0, 10, 30]) {
              expect(await map.get(name, { atMs })).toEqual(list.filter((each) => each.atMs <= atMs).at(-1));
            }
            const later = expected.filter((each) => byName(each, { name }) > 0);
            expect(await all(map.list(name))).toEqual(later.map((each) => each.list.at(-1)));
          }
          expect(await map.get("never")).toBeUndefined();
        },
      ),
      { numRuns: 25 },
    );
  });

  it("touch a few blobs of a large map", { timeout: 60_000 }, async () => {
    const inner = memoryStore();
    let gets = 0;
    let puts = 0;
    const store: BlobStore = {
      get: (ref, options) => {
        gets++;
        return inner.get(ref, options);
      },
      put: (blob, options) => {
        puts++;
        return inner.put(blob, options);
      },
      listRefs: (after) => inner.listRefs(after),
    };
    const map = anchors(store, memoryAnchorStore());
    for (let n = 0; n < 3000; n++) await map.put(`name ${(n * 7919) % 3000}`, refOfNumber(n), { atMs: n });
    gets = puts = 0;
    expect(await map.get("name 1234")).toMatchObject({ name: "name 1234" });
    expect(gets).toBeLessThanOrEqual(4);
    gets = 0;
    await map.put("name 1234", refOfNumber(1), { atMs: 5000 });
    expect(gets).toBeLessThanOrEqual(3);
    expect(puts).toBeLessThanOrEqual(4);
    expect(await all(map.list())).toHaveLength(3000);
  });

  it("keep every update of many at once, and say so when they cannot", async () => {
    const store = memoryStore();
    const cell = memoryAnchorStore();
    await Promise.all(
      Array.from({ length: 40 }, (_, n) =>
        anchors(store, cell).put(`name ${n % 10}`, refOfNumber(n), { atMs: n }),
      ),
    );
    const map = anchors(store, cell);
    expect(await all(map.list())).toHaveLength(10);
    expect(await all(map.history("name 3"))).toEqual(
      [3, 13, 23, 33].map((n) => ({ name: "name 3", ref: refOfNumber(n), atMs: n })),
    );
    const always: AnchorStore = { load: () => cell.load(), swap: async () => false };
    await expect(anchors(store, always, { maxConflicts: 3 }).put("x", refOfNumber(1))).rejects.toMatchObject({
      code: "conflict",
    });
  });

  it("change nothing when they have the entry already, and refuse names and times that are none", async () => {
    const cell = memoryAnchorStore();
    const map = anchors(memoryStore(), cell);
    await map.put("a", refOfNumber(1), { atMs: 5 });
    const root = await cell.load();
    await map.put("a", refOfNumber(1), { atMs: 5 });
    expect(await cell.load()).toBe(root);
    for (const name of ["", "x".repeat(1025), "\ud800"]) {
      await expect(map.put(name, refOfNumber(1))).rejects.toMatchObject({ code: "invalid-argument" });
    }
    for (const atMs of [-1, 0.5, Number.NaN, 2 ** 53]) {
      await expect(map.put("a", refOfNumber(1), { atMs })).rejects.toMatchObject({
        code: "invalid-argument",
      });
    }
    await expect(map.put("a", "x" as Ref)).rejects.toMatchObject({ code: "invalid-ref" });
  });

  it("refuse maps that are none", async () => {
    const store = memoryStore();
    const key = { name: Buffer.from("a"), atMs: 1 };
    const leaf = (await store.put(encodeAnchorNode({ level: 0, entries: [{ ...key, ref: refOfNumber(1) }] })))
      .ref;
    const nodes = [
      encodeAnchorNode({ level: 2, entries: [{ ...key, ref: leaf }] }),
      encodeAnchorNode({ level: 1, entries: [{ ...key, atMs: 2, ref: leaf }] }),
      new TextEncoder().encode("no map"),
    ];
    for (const node of nodes) {
      const cell = memoryAnchorStore();
      await cell.swap(undefined, (await store.put(node)).ref);
      await expect(anchors(store, cell).get("a")).rejects.toMatchObject({ code: "bad-data" });
    }
    const good = encodeAnchorNode({
      level: 0,
      entries: [
        { ...key, ref: leaf },
        { ...key, atMs: 2, ref: leaf },
      ],
    });
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), (at, byte, length) => {
        const bytes = new Uint8Array(good);
        bytes[at] = byte;
        for (const each of [bytes, good.subarray(0, length)]) {
          try {
            expect(Buffer.compare(encodeAnchorNode(decodeAnchorNode(each)), each)).toBe(0);
          } catch (error) {
            expect(error).toMatchObject({ code: "bad-data" });
          }
        }
      }),
      { numRuns: 1000 },
    );
    expect(anchorReferences(good)).toEqual([
      { ref: leaf, leaf: false },
      { ref: leaf, leaf: false },
    ]);
    expect(anchorReferences(new Uint8Array(3))).toEqual([]);
  });
});

describe("the anchor file", () => {
  it("swaps only what is there, also for many at once, and leaves one file", {
    timeout: 30_000,
  }, async () => {
    const path = join(dir, "one", "root");
    const stores = Array.from({ length: 4 }, () => fileAnchorStore(path));
    expect(await stores[0]!.load()).toBeUndefined();
    expect(await stores[0]!.swap(refOfNumber(1), refOfNumber(2))).toBe(false);
    let value: Ref | undefined;
    for (let round = 1; round <= 5; round++) {
      const swapped = await Promise.all(
        stores.map((store, n) => store.swap(value, refOfNumber(round * 10 + n))),
      );
      expect(swapped.filter((each) => each)).toHaveLength(1);
      value = refOfNumber(round * 10 + swapped.indexOf(true));
      for (const store of stores) expect(await store.load()).toBe(value);
    }
    expect(await readdir(join(dir, "one"))).toEqual(["root"]);
  });

  it("takes the lock of a process that died, and waits for one that lives", { timeout: 30_000 }, async () => {
    const path = join(dir, "root");
    const self = systemProcess();
    const parts = self.token.split(".");
    const dead = [...parts.slice(0, 3), "999999999", parts[4]].join(".");
    await writeFile(`${path}.lock`, dead);
    expect(await fileAnchorStore(path).swap(undefined, refOfNumber(1))).toBe(true);
    expect(await readdir(dir)).not.toContain("root.lock");

    await writeFile(`${path}.lock`, self.token);
    await expect(
      fileAnchorStore(path, { lockTimeoutMs: 20 }).swap(refOfNumber(1), refOfNumber(2)),
    ).rejects.toMatchObject({ code: "unavailable" });
    const waiting = fileAnchorStore(path).swap(refOfNumber(1), refOfNumber(2));
    await rm(`${path}.lock`);
    expect(await waiting).toBe(true);
  });

  it("refuses a file that is none", async () => {
    const path = join(dir, "bad");
    await writeFile(path, "hello");
    await expect(fileAnchorStore(path).load()).rejects.toMatchObject({ code: "bad-data" });
    await expect(fileAnchorStore(path).swap(undefined, refOfNumber(1))).rejects.toMatchObject({
      code: "bad-data",
    });
    expect(() => fileAnchorStore("")).toThrowError(expect.objectContaining({ code: "invalid-argument" }));
  });
});
