import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  BlobError,
  type BlobStore,
  createReplica,
  memoryStore,
  type Ref,
  refFromBytes,
  refToBytes,
} from "../src/index.js";
import { blobOf, FaultyStore, settle } from "./replica-fakes.js";

/** A store that lists exactly these, in pages of these sizes. */
function listing(refs: readonly Ref[], pageSizes?: readonly number[]): BlobStore {
  const inner = memoryStore();
  return {
    get: (ref, options) => inner.get(ref, options),
    put: (blob, options) => inner.put(blob, options),
    async *listRefs(after) {
      for (const ref of refs) if (after === undefined || ref > after) yield ref;
    },
    ...(pageSizes && {
      async *listRefPages(after) {
        const left = refs.filter((ref) => after === undefined || ref > after);
        for (let turn = 0; left.length > 0; turn++) {
          const page = left.splice(0, pageSizes[turn % pageSizes.length] ?? 1);
          yield Uint8Array.from(page.flatMap((ref) => [...refToBytes(ref)]));
        }
      },
    }),
  };
}

async function replicaOf(stores: readonly BlobStore[]) {
  return await createReplica({ sync: stores.map((store, i) => ({ name: `store${i}`, store })) });
}

async function all(refs: AsyncIterable<Ref>): Promise<Ref[]> {
  const list: Ref[] = [];
  for await (const ref of refs) list.push(ref);
  return list;
}

/** Few different first bytes, so that refs share their beginnings, and many differ at the end only. */
const anyRef = fc
  .tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 3 }))
  .map(([first, last, middle]) => {
    const bytes = new Uint8Array(32);
    bytes[0] = first * 127;
    bytes[5] = middle * 85;
    bytes[31] = last;
    return refFromBytes(bytes);
  });
const sortedRefs = fc.uniqueArray(anyRef, { maxLength: 120 }).map((refs) => refs.sort());
const pageSizes = fc.option(fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 4 }), {
  nil: undefined,
});

/** The i-th of many refs that are all different. */
function numbered(i: number): Ref {
  const bytes = Buffer.alloc(32);
  bytes.writeUInt32BE(i);
  for (let at = 4; at < 32; at += 4) bytes.writeUInt32BE(Math.imul(i + at, 0x9e3779b1) >>> 0, at);
  return refFromBytes(bytes);
}

describe("listing a replica", () => {
  it("gives the ordered union of its stores, each ref once, whatever they have in common", {
    timeout: 30_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(sortedRefs, pageSizes), { minLength: 1, maxLength: 4 }),
        fc.option(anyRef, { nil: undefined }),
        async (stores, after) => {
          const replica = await replicaOf(stores.map(([refs, sizes]) => listing(refs, sizes)));
          const union = [...new Set(stores.flatMap(([refs]) => refs))].sort();
          expect(await all(replica.listRefs(after))).toEqual(
            union.filter((ref) => after === undefined || ref > after),
          );
        },
      ),
      { numRuns: 300 },
    );
  });

  it.each<[string, (i: number) => boolean[]]>([
    ["the same in all", () => [true, true, true]],
    ["one in a thousand is missing somewhere", (i: number) => [i % 1009 !== 0, i % 997 !== 0, i % 991 !== 0]],
    ["disjoint", (i: number) => [i % 3 === 0, i % 3 === 1, i % 3 === 2]],
    ["one after the other", (i: number) => [i < 2000, i >= 2000 && i < 4000, i >= 4000]],
    ["two are empty", () => [true, false, false]],
    ["all are empty", () => [false, false, false]],
  ])("goes over thousands of refs: %s", { timeout: 30_000 }, async (_, where) => {
    const refs = Array.from({ length: 6000 }, (_, i) => numbered(i)).sort();
    const stores = [0, 1, 2].map((store) => refs.filter((_, i) => where(i)[store]));
    const replica = await replicaOf(stores.map((list, i) => listing(list, [[700, 3000, 1][i] ?? 1])));
    const expected = refs.filter((_, i) => where(i).includes(true));
    expect((await all(replica.listRefs())).join("")).toBe(expected.join(""));
    const pages: Uint8Array[] = [];
    for await (const page of replica.listRefPages!()) {
      expect(page.length).toBeGreaterThan(0);
      pages.push(page);
    }
    expect(Buffer.concat(pages).toString("hex")).toBe(expected.join(""));
  });

  it.each([
    ["out of order", [3, 2]],
    ["twice", [2, 2]],
    ["out of order behind thousands", [...Array.from({ length: 5000 }, (_, i) => 10 + i), 1]],
  ])("names a store that lists %s, and gives nothing of what comes after", async (_, numbers) => {
    const good = listing([numbered(1), numbered(2)]);
    for (const sizes of [undefined, [1], [64]]) {
      const replica = await replicaOf([good, listing(numbers.map(numbered), sizes)]);
      const seen: Ref[] = [];
      const reading = (async () => {
        for await (const ref of replica.listRefs()) seen.push(ref);
      })();
      await expect(reading).rejects.toMatchObject({ code: "unordered", store: "store1" });
      expect(seen).toEqual([...new Set(seen)].sort());
    }
  });

  it("names a store that begins before the ref to start after", async () => {
    const liar: BlobStore = {
      ...listing([]),
      listRefPages: async function* () {
        yield refToBytes(numbered(1));
      },
    };
    const replica = await replicaOf([listing([]), liar]);
    await expect(all(replica.listRefs(numbered(1)))).rejects.toMatchObject({
      code: "unordered",
      store: "store1",
    });
    await expect(all(replica.listRefs(numbered(2)))).rejects.toMatchObject({
      code: "unordered",
      store: "store1",
    });
  });

  it("names a store whose page is not made of whole refs", async () => {
    const liar: BlobStore = {
      ...listing([]),
      listRefPages: async function* () {
        yield new Uint8Array(33);
      },
    };
    const replica = await replicaOf([listing([]), liar]);
    await expect(all(replica.listRefs())).rejects.toMatchObject({ code: "bad-data", store: "store1" });
  });

  it("fails with the name of a store that cannot list, instead of leaving out what only it has", async () => {
    const down = new FaultyStore();
    const cause = new BlobError("refused", "wrong credentials");
    down.faults.set("list", cause);
    const replica = await replicaOf([listing([numbered(1)]), down]);
    await expect(all(replica.listRefs())).rejects.toMatchObject({ code: "refused", store: "store1", cause });
  });

  it("ends with the reason of an abort, also while a store hangs, and leaves nothing running", async () => {
    const hung = new FaultyStore();
    hung.hanging.add("list");
    const replica = await replicaOf([listing([numbered(1)]), hung]);
    const controller = new AbortController();
    const reason = new Error("enough");
    const reading = all(replica.listRefs(undefined, { signal: controller.signal }));
    await settle();
    expect(hung.running).toBe(1);
    controller.abort(reason);
    await expect(reading).rejects.toBe(reason);
    expect(hung.running).toBe(0);
    await expect(all(replica.listRefs(undefined, { signal: AbortSignal.abort(reason) }))).rejects.toBe(
      reason,
    );
  });

  it("closes the listings of its stores when the caller leaves", async () => {
    let open = 0;
    const endless: BlobStore = {
      ...memoryStore(),
      get: () => Promise.reject(new Error("not asked")),
      put: () => Promise.reject(new Error("not asked")),
      async *listRefs() {
        open++;
        try {
          for (let i = 0; ; i++) yield numbered(i);
        } finally {
          open--;
        }
      },
    };
    const replica = await replicaOf([endless, endless]);
    for await (const _ of replica.listRefs()) break;
    expect(open).toBe(0);
  });

  it("lists what was put through it", async () => {
    const stores = [memoryStore(), memoryStore()];
    const replica = await replicaOf(stores);
    const only = await stores[1]!.put(blobOf("in one store"));
    const both = await replica.put(blobOf("in both"));
    expect(await all(replica.listRefs())).toEqual([only.ref, both.ref].sort());
  });
});
