import assert from "node:assert/strict";
import { getMany, has, streamBlob } from "../capabilities.js";
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

const sizes = [
  0, 1, 2, 31, 32, 33, 100, 1023, 4095, 4096, 4097, 65_535, 65_536, 65_537, 262_144, 1_048_577, 3_000_000,
];

const noRefs: readonly unknown[] = [
  "",
  "0",
  "zz",
  "0".repeat(63),
  "0".repeat(65),
  "A".repeat(64),
  "g".repeat(64),
  `${"0".repeat(64)}\n`,
  `../../${"0".repeat(58)}`,
  `${"0".repeat(63)}/`,
  undefined,
  null,
  7,
  {},
];

export const contentCases: readonly BlobStoreCase[] = [
  storeCase("blobs of many sizes come back as they went in", async ({ store, reopen }) => {
    const blobs = sizes.map((size, i) => testBlob(i, size));
    for (const blob of blobs) {
      assert.deepEqual({ ...(await store.put(blob)) }, { ref: refOf(blob), added: true });
    }
    for (const opened of [store, ...(reopen ? [await reopen()] : [])]) {
      for (const blob of blobs) assertSameBytes(await opened.get(refOf(blob)), blob, `${blob.length} bytes`);
    }
  }),

  storeCase("the empty blob is a blob", async ({ store }) => {
    const { ref } = await store.put(new Uint8Array(0));
    assert.equal(ref, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"); // FIPS 180-4's of no bytes
    assert.equal((await store.get(ref)).length, 0);
    assert.deepEqual(await collect(streamBlob(store, ref)), []);
    assert.deepEqual(await collect(store.listRefs()), [ref]);
    assert.equal(await has(store, ref), true);
  }),

  storeCase(
    "a blob as large as they get comes back",
    async ({ store }, { largestBytes = 64 * 1024 * 1024 }) => {
      const blob = testBlob(64, largestBytes);
      const { ref } = await store.put(blob);
      assertSameBytes(await store.get(ref), blob);
      let at = 0;
      for await (const piece of streamBlob(store, ref)) {
        assertSameBytes(piece, blob.subarray(at, at + piece.length), `the piece at ${at}`);
        at += piece.length;
      }
      assert.equal(at, blob.length);
    },
  ),

  storeCase("content in many chunks comes back in its order", async ({ store }) => {
    const content = testBlob(5, 4_000_000);
    const chunks: Uint8Array[] = [];
    for (let at = 0; at < content.length; at += chunks.length * 97 + 1) {
      chunks.push(content.subarray(at, at + chunks.length * 97 + 1));
    }
    const joined = Buffer.concat(chunks);
    const results = await Promise.all(chunks.map((chunk) => store.put(chunk)));
    const read = await Promise.all(results.map(({ ref }) => store.get(ref)));
    assertSameBytes(Buffer.concat(read), joined);
  }),

  storeCase("the same blob put many times at once is added once", async ({ store }) => {
    const blob = testBlob(1, 50_000);
    const results = await Promise.all(Array.from({ length: 20 }, () => store.put(new Uint8Array(blob))));
    assert.equal(results.filter(({ added }) => added).length, 1, "one of the puts added it");
    for (const { ref } of results) assert.equal(ref, refOf(blob));
    assertSameBytes(await store.get(refOf(blob)), blob);
    assert.deepEqual(await collect(store.listRefs()), [refOf(blob)]);
  }),

  storeCase("different blobs put at once are all there", async ({ store }) => {
    const blobs = Array.from({ length: 300 }, (_, i) => testBlob(i, i * 33));
    const results = await Promise.all(blobs.map((blob) => store.put(blob)));
    for (const [i, blob] of blobs.entries()) {
      assert.deepEqual({ ...results[i] }, { ref: refOf(blob), added: true });
      assertSameBytes(await store.get(refOf(blob)), blob);
    }
  }),

  storeCase("a blob that is there is not added again", async ({ store, reopen }) => {
    const blob = testBlob(1, 10_000);
    const ref = refOf(blob);
    assert.equal((await store.put(blob)).added, true);
    for (const opened of [store, ...(reopen ? [await reopen()] : [])]) {
      assert.deepEqual({ ...(await opened.put(blob)) }, { ref, added: false });
      assert.deepEqual({ ...(await opened.put(blob, { ref, frozen: true })) }, { ref, added: false });
      assertSameBytes(await opened.get(ref), blob);
    }
    assert.deepEqual(await collect(store.listRefs()), [ref]);
  }),

  storeCase("what is not there is not found", async ({ store }) => {
    await store.put(testBlob(1, 100));
    const ref = refOf(testBlob(2, 100));
    await rejectsWith(store.get(ref), "not-found", "get");
    await rejectsWith(collect(streamBlob(store, ref)), "not-found", "stream");
    assert.equal(await has(store, ref), false);
    if (store.delete) assert.equal(await store.delete(ref), false);
  }),

  storeCase(
    "a store that calls itself verified serves nothing under a ref that is another's",
    async ({ store }) => {
      if (store.verified !== true) return;
      const [blob, large] = [testBlob(1, 100), testBlob(2, 1_000_000)];
      for (const [given, ref] of [
        [blob, refOf(testBlob(3, 100))],
        [large, refOf(testBlob(4, 100))],
      ] as const) {
        // Some look at once, and take no such put.
        await store.put(given, { ref }).catch((error: unknown) => assert.ok(error instanceof BlobError));
        await assert.rejects(store.get(ref), BlobError);
        for (const { error } of await collect(getMany(store, [ref, ref])))
          assert.ok(error instanceof BlobError);
        await assert.rejects(collect(streamBlob(store, ref)), BlobError);
      }
    },
  ),

  storeCase("the caller may change its bytes after a put", async ({ store }) => {
    const original = testBlob(1, 5000);
    const inside = Buffer.concat([testBlob(2, 100), original, testBlob(3, 100)]);
    for (const mine of [new Uint8Array(original), inside.subarray(100, 5100)]) {
      const { ref } = await store.put(mine);
      mine.fill(0);
      assertSameBytes(await store.get(ref), original);
      await store.delete?.(ref);
    }
  }),

  storeCase("the bytes of a get are the caller's own", async ({ store }) => {
    for (const [i, frozen] of [false, true].entries()) {
      const original = testBlob(i, 5000);
      // As a Buffer: its slice() is a view, a trap for those who want a copy.
      const { ref } = await store.put(Buffer.from(original), { frozen });
      for (let time = 0; time < 3; time++) {
        const mine = await store.get(ref);
        assertSameBytes(mine, original);
        mine.fill(time);
      }
      const pieces = await collect(streamBlob(store, ref));
      for (const piece of pieces) piece.fill(7);
      assertSameBytes(await store.get(ref), original);
    }
  }),

  storeCase("frozen bytes are the content, whatever was done to those of other gets", async ({ store }) => {
    const blobs = [testBlob(1, 5000), testBlob(2, 0), testBlob(3, 300_000)];
    const refs: Ref[] = [];
    for (const blob of blobs) refs.push((await store.put(blob)).ref);
    for (let time = 0; time < 2; time++) {
      for (const [i, ref] of refs.entries()) {
        (await store.get(ref)).fill(7);
        const frozen = await store.get(ref, { frozen: true });
        assertSameBytes(frozen, blobs[i] as Uint8Array); // as many
        (await store.get(ref)).fill(8);
        assertSameBytes(frozen, blobs[i] as Uint8Array);
      }
      for (const { ref, blob } of await collect(getMany(store, refs, { frozen: true }))) {
        assert.ok(blob);
        assertSameBytes(blob, blobs[refs.indexOf(ref)] as Uint8Array);
      }
      for await (const { blob } of getMany(store, refs)) blob?.fill(9);
    }
  }),

  storeCase("the ref that the caller has computed is taken", async ({ store }) => {
    const blob = testBlob(1, 3000);
    const ref = refOf(blob);
    assert.deepEqual({ ...(await store.put(blob, { ref })) }, { ref, added: true });
    assertSameBytes(await store.get(ref), blob);
  }),

  storeCase("what is no ref and no blob is refused, and nothing is stored", async ({ store }) => {
    const blob = testBlob(1, 100);
    for (const bad of noRefs) {
      const ref = bad as Ref; // an enemy's
      const what = `with ${JSON.stringify(bad)} for a ref`;
      await rejectsWith(store.get(ref), "invalid-ref", `get ${what}`);
      await rejectsWith(collect(streamBlob(store, ref)), "invalid-ref", `stream ${what}`);
      await rejectsWith(has(store, ref), "invalid-ref", `has ${what}`);
      if (store.delete) await rejectsWith(store.delete(ref), "invalid-ref", `delete ${what}`);
      if (bad === undefined) continue; // nothing given
      await rejectsWith(store.put(blob, { ref }), "invalid-ref", `put ${what}`);
      await rejectsWith(collect(store.listRefs(ref)), "invalid-ref", `listRefs after ${what}`);
      if (store.listRefPages) {
        await rejectsWith(collect(store.listRefPages(ref)), "invalid-ref", `listRefPages after ${what}`);
      }
    }
    for (const bad of ["text", null, undefined, 7, [1, 2], new ArrayBuffer(8)]) {
      await rejectsWith(store.put(bad as unknown as Uint8Array), "invalid-argument", `put of ${String(bad)}`); // an enemy's
    }
    assert.deepEqual(await collect(store.listRefs()), []);
  }),

  storeCase("has tells what is there", async ({ store }) => {
    const { blobs } = testBlobs(20);
    await putAll(store, blobs.slice(0, 10));
    for (const [i, blob] of blobs.entries()) assert.equal(await has(store, refOf(blob)), i < 10);
  }),

  storeCase("a deleted blob is gone, and can be put again", async ({ store, reopen }) => {
    if (!store.delete) return; // a store need not
    const { blobs, refs } = testBlobs(10);
    await putAll(store, blobs);
    const blob = blobs[3] as Uint8Array; // one of ten
    const ref = refOf(blob);
    assert.equal(await store.delete(ref), true);
    assert.equal(await store.delete(ref), false);
    for (const opened of [store, ...(reopen ? [await reopen()] : [])]) {
      await rejectsWith(opened.get(ref), "not-found");
      assert.equal(await has(opened, ref), false);
      assert.deepEqual(
        await collect(opened.listRefs()),
        refs.filter((other) => other !== ref),
      );
    }
    assert.equal((await store.put(blob)).added, true);
    assertSameBytes(await store.get(ref), blob);
    assert.deepEqual(await collect(store.listRefs()), refs);
  }),

  storeCase("a stream has the blob in pieces, and may be left early", async ({ store }) => {
    for (const size of [0, 1, 100_000, 3_000_000]) {
      const blob = testBlob(size, size);
      const { ref } = await store.put(blob);
      const pieces = await collect(streamBlob(store, ref));
      for (const piece of pieces) assert.ok(piece.length > 0, "no piece is empty");
      assertSameBytes(Buffer.concat(pieces), blob);
      for await (const piece of streamBlob(store, ref)) {
        assertSameBytes(piece, blob.subarray(0, piece.length));
        break;
      }
      assertSameBytes(await store.get(ref), blob);
    }
  }),

  storeCase(
    "disposal ends what runs, keeps what was acknowledged, and can be done twice",
    async (fixture) => {
      const { store, reopen } = fixture;
      if (!store[Symbol.asyncDispose]) return; // a store need not
      const { blobs } = testBlobs(40, 2000);
      const puts = Promise.allSettled(blobs.map((blob) => store.put(blob)));
      await store[Symbol.asyncDispose]?.();
      await store[Symbol.asyncDispose]?.();
      const outcomes = await puts;
      const reopened = await reopen?.();
      for (const [i, outcome] of outcomes.entries()) {
        const blob = blobs[i] as Uint8Array; // as many
        if (outcome.status === "rejected") assertClosed(outcome.reason);
        else if (reopened) assertSameBytes(await reopened.get(refOf(blob)), blob);
        try {
          assertSameBytes(await store.get(refOf(blob)), blob);
        } catch (error) {
          assertClosed(error, outcome.status === "rejected");
        }
      }
    },
  ),
];

function assertClosed(error: unknown, orMissing = false): void {
  assert.ok(error instanceof BlobError, `after disposal a call works or fails as "closed", not as ${error}`);
  if (orMissing && error.code === "not-found") return;
  assert.equal(error.code, "closed");
}
