import assert from "node:assert/strict";
import { getMany, putMany, streamBlob } from "../capabilities.js";
import { BlobError } from "../errors.js";
import { type Ref, refOf } from "../ref.js";
import type { BlobStore } from "../store.js";
import {
  assertSameBytes,
  type BlobStoreCase,
  type BlobStoreFixture,
  collect,
  putAll,
  storeCase,
  testBlob,
  testBlobs,
} from "./fixture.js";

/** Bytes that come are the right ones; anything else is an error that says so. */
function assertHonest(
  outcome: { readonly blob?: Uint8Array; readonly error?: unknown },
  blob: Uint8Array,
): void {
  if (outcome.blob) {
    assertSameBytes(outcome.blob, blob, "what is served of a damaged blob");
  } else {
    assert.ok(outcome.error instanceof BlobError, String(outcome.error));
    assert.ok(["corrupt", "not-found"].includes(outcome.error.code), outcome.error.message);
  }
}

async function tryGet(store: BlobStore, ref: Ref): Promise<{ blob?: Uint8Array; error?: unknown }> {
  try {
    return { blob: await store.get(ref) };
  } catch (error) {
    return { error };
  }
}

async function damage(fixture: BlobStoreFixture, ref: Ref): Promise<void> {
  assert.ok(fixture.damage, "these cases are for stores whose environment can damage what they keep");
  await fixture.damage(ref);
}

/** For stores that look at what they serve; the fixture has `damage`. */
export const damageCases: readonly BlobStoreCase[] = [
  storeCase("a damaged blob is never served as valid", async (fixture) => {
    const { store } = fixture;
    for (const size of [1, 100, 4096, 1_000_000]) {
      const blob = testBlob(size, size);
      const { ref } = await store.put(blob);
      await damage(fixture, ref);
      for (let time = 0; time < 2; time++) assertHonest(await tryGet(store, ref), blob);
      for (const result of await collect(getMany(store, [ref, ref]))) assertHonest(result, blob);
      let whole: Uint8Array | undefined;
      try {
        whole = Buffer.concat(await collect(streamBlob(store, ref)));
      } catch (error) {
        assertHonest({ error }, blob);
      }
      if (whole) assertSameBytes(whole, blob, "what is streamed of a damaged blob");
    }
  }),

  storeCase("a damaged blob is seen by who opens the store anew", async (fixture) => {
    const { store, reopen } = fixture;
    const blob = testBlob(1, 5000);
    const { ref } = await store.put(blob);
    await damage(fixture, ref);
    if (reopen) assertHonest(await tryGet(await reopen(), ref), blob);
  }),

  storeCase("a damaged blob heals when it is put again", async (fixture) => {
    const { store, reopen } = fixture;
    for (const [i, put] of [
      (blob: Uint8Array) => store.put(blob),
      (blob: Uint8Array) => store.put(blob, { ref: refOf(blob) }),
      (blob: Uint8Array) => putMany(store, [blob]),
    ].entries()) {
      const blob = testBlob(i, 10_000);
      const { ref } = await store.put(blob);
      await damage(fixture, ref);
      assertHonest(await tryGet(store, ref), blob);
      await put(blob);
      assertSameBytes(await store.get(ref), blob);
      if (reopen) assertSameBytes(await (await reopen()).get(ref), blob);
    }
  }),

  storeCase("damage to one blob is no damage to the others", async (fixture) => {
    const { store } = fixture;
    const { blobs, refs } = testBlobs(30, 1000);
    await putAll(store, blobs);
    const victim = refOf(blobs[0] as Uint8Array); // one of thirty
    await damage(fixture, victim);
    for (const result of await collect(getMany(store, refs))) {
      const blob = blobs.find((candidate) => refOf(candidate) === result.ref) as Uint8Array; // asked for
      if (result.ref !== victim) assert.equal(result.error, undefined);
      assertHonest(result, blob);
    }
    const listed = await collect(store.listRefs());
    assert.deepEqual(
      listed.filter((ref) => ref !== victim),
      refs.filter((ref) => ref !== victim),
    );
  }),
];
