import assert from "node:assert/strict";
import { listRefPages } from "../capabilities.js";
import { parseRef, type Ref, refOf } from "../ref.js";
import type { BlobStore } from "../store.js";
import {
  type BlobStoreCase,
  collect,
  neighbour,
  putAll,
  splitPage,
  storeCase,
  testBlob,
  testBlobs,
} from "./fixture.js";

const first = parseRef("0".repeat(64));
const last = parseRef("f".repeat(64));

async function pagesOf(store: BlobStore, after?: Ref): Promise<Ref[]> {
  return (await collect(listRefPages(store, after))).flatMap(splitPage);
}

export const listingCases: readonly BlobStoreCase[] = [
  storeCase("an empty store lists nothing", async ({ store }) => {
    for (const after of [undefined, first, refOf(testBlob(1, 1)), last]) {
      assert.deepEqual(await collect(store.listRefs(after)), []);
      assert.deepEqual(await pagesOf(store, after), []);
    }
  }),

  storeCase("refs are listed in their order, each once", async ({ store, reopen }) => {
    const { blobs, refs } = testBlobs(300);
    await putAll(store, blobs);
    await putAll(store, blobs.slice(0, 50));
    for (const opened of [store, ...(reopen ? [await reopen()] : [])]) {
      assert.deepEqual(await collect(opened.listRefs()), refs);
    }
  }),

  storeCase("a listing starts strictly after a ref, be it there or not", async ({ store }) => {
    const { blobs, refs } = testBlobs(40);
    await putAll(store, blobs);
    for (const [i, ref] of refs.entries()) {
      assert.deepEqual(await collect(store.listRefs(ref)), refs.slice(i + 1), "after one that is there");
      assert.deepEqual(await collect(store.listRefs(neighbour(ref, -1))), refs.slice(i), "just before it");
      assert.deepEqual(await collect(store.listRefs(neighbour(ref, 1))), refs.slice(i + 1), "just after it");
      // Of the same and of neighbouring first bytes: where stores have their folders and pages.
      for (const length of [2, 4]) {
        for (const digit of ["0", "f"]) {
          const after = parseRef(ref.slice(0, length) + digit.repeat(64 - length));
          const expected = refs.filter((other) => other > after);
          assert.deepEqual(await collect(store.listRefs(after)), expected, `after ${after}`);
        }
      }
    }
    assert.deepEqual(await collect(store.listRefs(first)), refs);
    assert.deepEqual(await collect(store.listRefs(last)), []);
  }),

  storeCase("packed pages are the same listing", async ({ store }) => {
    const { blobs, refs } = testBlobs(200);
    await putAll(store, blobs);
    assert.deepEqual(await pagesOf(store), refs);
    for (let i = 0; i < refs.length; i += 17) {
      assert.deepEqual(await pagesOf(store, refs[i]), refs.slice(i + 1));
      assert.deepEqual(await pagesOf(store, neighbour(refs[i] as Ref, -1)), refs.slice(i)); // i is inside
    }
    for await (const page of listRefPages(store)) page.fill(0); // the caller's own
    assert.deepEqual(await pagesOf(store), refs);
  }),

  storeCase(
    "pages that are looked at in turn are the same listing",
    async ({ store }, { manyBlobs = 3000 }) => {
      const { blobs, refs } = testBlobs(manyBlobs);
      await putAll(store, blobs);
      for (const after of [undefined, refs[100]]) {
        const listed: Ref[] = [];
        for await (const page of listRefPages(store, after, { reuse: true })) listed.push(...splitPage(page));
        assert.deepEqual(listed, refs.slice(after === undefined ? 0 : 101));
      }
    },
  ),

  storeCase(
    "a long listing is whole, and can be taken up anywhere",
    async ({ store }, { manyBlobs = 3000 }) => {
      const { blobs, refs } = testBlobs(manyBlobs);
      await putAll(store, blobs);
      assert.deepEqual(await collect(store.listRefs()), refs);
      assert.deepEqual(await pagesOf(store), refs);
      const listed: Ref[] = [];
      for (let taken = -1; taken !== 0; ) {
        taken = 0;
        for await (const ref of store.listRefs(listed.at(-1))) {
          listed.push(ref);
          taken++;
          if (taken === 997) break;
        }
      }
      assert.deepEqual(listed, refs);
    },
  ),

  storeCase("a listing during writes has all that was there, in order, each once", async ({ store }) => {
    const { blobs, refs } = testBlobs(300);
    const during = testBlobs(300, 24, 2);
    await putAll(store, blobs);
    for (const pages of [false, true]) {
      const listed: Ref[] = [];
      const unwritten = during.blobs.splice(0, 150);
      let seen = 0;
      // From the first on, and at every fourth: where a put takes long, one at each would take most of the time of all cases.
      const see = async (more: readonly Ref[]) => {
        listed.push(...more);
        const blob = seen++ % 4 === 0 ? unwritten.pop() : undefined;
        if (blob) await store.put(blob);
      };
      if (pages) for await (const page of listRefPages(store)) await see(splitPage(page));
      else for await (const ref of store.listRefs()) await see([ref]);
      const all = new Set([...refs, ...during.refs]);
      for (const [i, ref] of listed.entries()) {
        assert.ok(i === 0 || ref > (listed[i - 1] as Ref), "in order, each once"); // i > 0
        assert.ok(all.has(ref), "nothing that nobody put");
      }
      assert.ok(unwritten.length < 150, "something was written meanwhile");
      const found = new Set(listed);
      assert.deepEqual(
        refs.filter((ref) => !found.has(ref)),
        [],
        "nothing that was there is left out",
      );
    }
  }),

  storeCase("a listing during deletes loses nothing else", async ({ store }) => {
    if (!store.delete) return; // a store need not
    const { blobs, refs } = testBlobs(400);
    await putAll(store, blobs);
    const doomed = refs.filter((_, i) => i % 3 === 0);
    const listed: Ref[] = [];
    for await (const ref of store.listRefs()) {
      listed.push(ref);
      const victim = doomed.pop();
      if (victim !== undefined) await store.delete(victim);
    }
    assert.deepEqual(listed, [...new Set(listed)].sort(), "in order, each once");
    const seen = new Set(listed);
    assert.deepEqual(
      refs.filter((ref, i) => i % 3 !== 0 && !seen.has(ref)),
      [],
    );
  }),

  storeCase("listings at the same time do not disturb each other", async ({ store }) => {
    const { blobs, refs } = testBlobs(150);
    await putAll(store, blobs);
    const slow = store.listRefs()[Symbol.asyncIterator]();
    assert.equal((await slow.next()).value, refs[0]);
    const others = await Promise.all([collect(store.listRefs()), collect(store.listRefs(refs[70]))]);
    assert.deepEqual(others, [refs, refs.slice(71)]);
    assert.equal((await slow.next()).value, refs[1]);
    await slow.return?.();
  }),
];
