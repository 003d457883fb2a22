import assert from "node:assert/strict";
import { getMany, putMany } from "../capabilities.js";
import { BlobError } from "../errors.js";
import { type Ref, refOf } from "../ref.js";
import {
  assertSameBytes,
  type BlobStoreCase,
  collect,
  putAll,
  rejectsWith,
  storeCase,
  testBlob,
  testBlobs,
} from "./fixture.js";

export const batchCases: readonly BlobStoreCase[] = [
  storeCase("a batch of gets answers every ref that was asked for, as often as it was", async ({ store }) => {
    const { blobs } = testBlobs(30, 500);
    await putAll(store, blobs);
    const missing = refOf(testBlob(999, 10));
    const bad = "no ref" as Ref; // an enemy's
    const there = blobs.map(refOf);
    const asked = [...there, missing, ...there.slice(0, 10), bad, missing, ...there.slice(0, 5), bad];
    const results = await collect(getMany(store, asked));
    assert.deepEqual(results.map(({ ref }) => ref).sort(), asked.toSorted());
    for (const { ref, blob, error } of results) {
      const original = blobs[there.indexOf(ref)];
      if (original && blob) {
        assertSameBytes(blob, original);
        blob.fill(0); // the caller's own, also of the others that asked for the same
      } else {
        assert.ok(error instanceof BlobError && !original && !blob);
        assert.equal(error.code, ref === bad ? "invalid-ref" : "not-found");
      }
    }
  }),

  storeCase("a batch of puts answers every blob, in their order", async ({ store }) => {
    const { blobs } = testBlobs(50, 700);
    await putAll(store, blobs.slice(0, 10));
    const batch = [...blobs, ...blobs.slice(5, 20), testBlob(7, 0)];
    const results = await putMany(store, batch);
    assert.deepEqual(
      results.map(({ ref }) => ref),
      batch.map(refOf),
    );
    const added = new Map<Ref, number>();
    for (const result of results) {
      assert.ok(result.added !== undefined, String(result.error));
      added.set(result.ref, (added.get(result.ref) ?? 0) + (result.added ? 1 : 0));
    }
    for (const [i, blob] of blobs.entries()) assert.equal(added.get(refOf(blob)), i < 10 ? 0 : 1);
    for (const blob of batch) assertSameBytes(await store.get(refOf(blob)), blob);
  }),

  storeCase(
    "a batch of puts takes the refs that the caller has, and lets him change his bytes",
    async (fixture) => {
      const { store } = fixture;
      const { blobs } = testBlobs(20, 300);
      const refs = blobs.map(refOf);
      const mine = blobs.map((blob) => new Uint8Array(blob));
      const results = await putMany(store, mine, { refs });
      for (const bytes of mine) bytes.fill(0);
      assert.deepEqual(
        results.map(({ ref }) => ref),
        refs,
      );
      for (const [i, ref] of refs.entries()) assertSameBytes(await store.get(ref), blobs[i] as Uint8Array); // as many
    },
  ),

  storeCase("a batch of nothing is nothing", async ({ store }) => {
    assert.deepEqual(await collect(getMany(store, [])), []);
    assert.deepEqual(await putMany(store, []), []);
  }),

  storeCase("a large batch is whole", async ({ store }, { manyBlobs = 3000 }) => {
    const { blobs } = testBlobs(manyBlobs, 100);
    const results = await putMany(store, blobs);
    assert.equal(results.filter(({ added }) => added).length, blobs.length);
    const byRef = new Map(blobs.map((blob) => [refOf(blob), blob]));
    const got = await collect(getMany(store, [...byRef.keys()]));
    assert.equal(got.length, blobs.length);
    for (const { ref, blob } of got) {
      const original = byRef.get(ref);
      assert.ok(blob && original);
      assertSameBytes(blob, original);
    }
  }),

  storeCase("what comes twice is the caller's own each time", async ({ store }) => {
    const blobs = [testBlob(1, 5000), testBlob(2, 200_000)];
    for (const blob of blobs) await store.put(Buffer.from(blob));
    const [one, two] = blobs.map(refOf) as [Ref, Ref];
    for await (const { ref, blob } of getMany(store, [one, two, one, two, one])) {
      assert.ok(blob);
      assertSameBytes(blob, blobs[ref === one ? 0 : 1] as Uint8Array); // both are there
      blob.fill(0);
    }
  }),

  storeCase("a batch of gets may be left early", async ({ store }) => {
    const { blobs } = testBlobs(200, 300);
    await putAll(store, blobs);
    const refs = blobs.map(refOf);
    for await (const { blob } of getMany(store, refs)) {
      assert.ok(blob);
      break;
    }
    assert.equal((await collect(getMany(store, refs))).length, 200);
  }),

  storeCase("a batch that makes no sense is refused before anything is written", async ({ store }) => {
    const { blobs, refs } = testBlobs(3);
    const bad = "no ref" as Ref; // an enemy's
    const noBlob = "text" as unknown as Uint8Array; // an enemy's
    const [one, two, three] = refs as [Ref, Ref, Ref];
    await rejectsWith(putMany(store, blobs, { refs: [one, two] }), "invalid-argument", "too few refs");
    await rejectsWith(putMany(store, blobs, { refs: [one, two, bad] }), "invalid-ref", "a bad ref");
    await rejectsWith(putMany(store, [...blobs, noBlob]), "invalid-argument", "no blob");
    if (store.putMany) {
      await rejectsWith(store.putMany(blobs, { refs: [one, two] }), "invalid-argument", "too few refs");
      await rejectsWith(store.putMany(blobs, { refs: [bad, two, three] }), "invalid-ref", "a bad ref");
      await rejectsWith(store.putMany([...blobs, noBlob]), "invalid-argument", "no blob");
    }
    assert.deepEqual(await collect(store.listRefs()), []);
  }),
];
