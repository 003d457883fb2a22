import { describe, expect, it } from "vitest";
import { createReplica, memoryStore, type Ref, refFromBytes, refToBytes } from "../src/index.js";
import { IndexPages } from "../src/stores/index-pages.js";
import { asMemoryStore } from "../src/stores/memory.js";
import { RefIndex } from "../src/stores/ref-index.js";
import { collect, splitPage, testBlobs } from "../src/testing/fixture.js";

const { refs } = testBlobs(5000, 8);

function indexed(list: readonly Ref[]): RefIndex {
  const index = new RefIndex();
  for (const ref of list) index.add(ref);
  return index;
}

describe("IndexPages", () => {
  it.each([1, 7, 1024, 3000])("copies all refs to where the reader wants them, %i at a time", (room) => {
    for (const after of [undefined, refs[0], refs[1023], refs[2500], refs.at(-1)]) {
      const pages = new IndexPages(indexed(refs), after, {});
      const into = new Uint8Array(room * 32);
      const seen: Ref[] = [];
      for (let count = pages.copyInto(into); count > 0; count = pages.copyInto(into)) {
        expect(count).toBeLessThanOrEqual(room);
        seen.push(...splitPage(into.subarray(0, count * 32)));
        into.fill(255); // it is the reader's
      }
      expect(seen).toEqual(refs.filter((ref) => after === undefined || ref > after));
    }
  });

  it("goes on behind the last ref, whatever came and went and whatever is done to the pages", async () => {
    const odd = refs.filter((_, i) => i % 2 === 1);
    const index = indexed(odd);
    const pages = new IndexPages(index, undefined, {});
    const first = await pages.next();
    const seen = splitPage(first.value as Uint8Array);
    const last = seen.at(-1) as Ref;
    first.value?.fill(0);
    index.delete(last);
    for (const ref of refs) index.add(ref);
    const rest = await collect(pages);
    expect(rest.flatMap((page) => splitPage(page))).toEqual(refs.filter((ref) => ref > last));
  });

  it("ends with the reason of an abort, and then for good", async () => {
    const controller = new AbortController();
    const pages = new IndexPages(indexed(refs), undefined, { signal: controller.signal });
    const into = new Uint8Array(32);
    expect(pages.copyInto(into)).toBe(1);
    expect(refFromBytes(into)).toBe(refs[0]);
    controller.abort(new Error("enough"));
    expect(() => pages.copyInto(into)).toThrowError("enough");
    expect(await pages.next()).toEqual({ done: true, value: undefined });
  });

  it("rejects a ref to start after that is none, at the first page and not before", async () => {
    const pages = new IndexPages(indexed(refs), "nonsense" as Ref, {});
    await expect(pages.next()).rejects.toMatchObject({ code: "invalid-ref" });
    expect(await pages.next()).toEqual({ done: true, value: undefined });
  });
});

describe("the union of memory stores", () => {
  it("takes the listing that somebody has put in a store's place", async () => {
    const store = memoryStore();
    await store.put(new Uint8Array(1));
    expect(asMemoryStore(store, "listRefPages")?.listRefPages()).toBeInstanceOf(IndexPages);
    const other = refs[7] as Ref;
    const replaced = Object.assign(store, {
      async *listRefPages() {
        yield refToBytes(other);
      },
    });
    expect(asMemoryStore(replaced, "listRefPages")).toBeUndefined();
    // Its contents are still its own.
    expect(asMemoryStore(replaced, "getMany")).toBe(store);
    await using replica = await createReplica({ sync: [{ name: "a", store: replaced }] });
    expect(await collect(replica.listRefs())).toEqual([other]);
  });

  it("gives pages that are the caller's own", async () => {
    const stores = [memoryStore(), memoryStore()];
    for (const [i, ref] of refs.entries()) {
      await stores[i % 2]?.put(new Uint8Array(0), { ref, frozen: true });
    }
    await using replica = await createReplica({
      sync: stores.map((store, i) => ({ name: `s${i}`, store })),
    });
    const seen: Ref[] = [];
    for await (const page of replica.listRefPages?.() ?? []) {
      seen.push(...splitPage(page));
      page.fill(0);
    }
    expect(seen).toEqual(refs);
    expect(await collect(replica.listRefs())).toEqual(refs);
  });
});
