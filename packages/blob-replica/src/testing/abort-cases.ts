import assert from "node:assert/strict";
import { getMany, has, listRefPages, putMany, streamBlob } from "../capabilities.js";
import { refOf } from "../ref.js";
import {
  assertNoListeners,
  assertSameBytes,
  type BlobStoreCase,
  collect,
  putAll,
  signalledCalls,
  storeCase,
  testBlob,
  testBlobs,
} from "./fixture.js";

/** No Error, so that nobody can have made it but the caller. */
function newReason(): object {
  return { why: "the caller's own reason" };
}

async function outcomeOf(promise: Promise<unknown>): Promise<{ readonly error: unknown } | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    return { error };
  }
}

export const abortCases: readonly BlobStoreCase[] = [
  storeCase(
    "a call whose signal is aborted fails with its reason itself and does nothing",
    async ({ store }) => {
      const { ref } = await store.put(testBlob(1, 1000));
      const blob = testBlob(2, 1000);
      for (const { name, run } of signalledCalls) {
        const reason = newReason();
        const signal = AbortSignal.abort(reason);
        const call = run(store, { ref, blob, signal });
        if (call === undefined) continue; // the store does not have it
        assert.equal((await outcomeOf(call))?.error, reason, name);
        assertNoListeners(signal, name);
      }
      for (const call of [
        (signal: AbortSignal) => collect(getMany(store, [ref], { signal })),
        (signal: AbortSignal) => putMany(store, [blob], { signal }),
        (signal: AbortSignal) => has(store, ref, { signal }),
        (signal: AbortSignal) => collect(streamBlob(store, ref, { signal })),
        (signal: AbortSignal) => collect(listRefPages(store, undefined, { signal })),
      ]) {
        const reason = newReason();
        assert.equal((await outcomeOf(call(AbortSignal.abort(reason))))?.error, reason);
      }
      assert.deepEqual(await collect(store.listRefs()), [ref]);
    },
  ),

  storeCase(
    "a call that is aborted under way ends with the reason itself, or was done",
    async ({ store }) => {
      const kept = testBlob(0, 300_000);
      const { ref: keptRef } = await store.put(kept);
      let seed = 1;
      for (const { name, run } of signalledCalls) {
        if (name === "delete") continue;
        for (const turns of [0, 1, 2, 3, 5, 8, 13, 40, 200]) {
          const blob = testBlob(seed++, 300_000);
          const reason = newReason();
          const controller = new AbortController();
          const call = run(store, { ref: keptRef, blob, signal: controller.signal });
          if (call === undefined) break; // the store does not have it
          const outcome = outcomeOf(call);
          for (let turn = 0; turn < turns; turn++) await Promise.resolve();
          if (turns > 10) await has(store, keptRef); // lets it go on for as long as this takes
          controller.abort(reason);
          const ended = await outcome;
          if (ended) assert.equal(ended.error, reason, `${name}, aborted after ${turns} turns`);
          assertNoListeners(controller.signal, name);
          if (name !== "put" && name !== "putMany") continue;
          // Whole or not at all; and whatever was left of it does not come in the way of the next.
          if (await has(store, refOf(blob))) assertSameBytes(await store.get(refOf(blob)), blob);
          await store.put(blob);
          assertSameBytes(await store.get(refOf(blob)), blob);
        }
      }
      assertSameBytes(await store.get(keptRef), kept);
    },
  ),

  storeCase("nothing of an aborted batch still runs when it has ended", async ({ store }) => {
    const { blobs } = testBlobs(200, 2000);
    for (const turns of [0, 3, 30]) {
      const reason = newReason();
      const controller = new AbortController();
      const outcome = outcomeOf(
        putMany(store, blobs.slice(turns, turns + 150), { signal: controller.signal }),
      );
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      controller.abort(reason);
      const ended = await outcome;
      if (ended) assert.equal(ended.error, reason);
      assertNoListeners(controller.signal, "putMany");
      const before = await collect(store.listRefs());
      for (let i = 0; i < 5; i++) await store.get((await store.put(testBlob(999, 2000))).ref);
      const other = refOf(testBlob(999, 2000));
      const without = (refs: readonly string[]) => refs.filter((ref) => ref !== other);
      assert.deepEqual(without(await collect(store.listRefs())), without(before), "no write came later");
    }
  }),

  storeCase("a listing, a batch and a stream can be aborted in the middle", async ({ store }) => {
    const { blobs } = testBlobs(100, 200);
    await putAll(store, blobs);
    const large = await store.put(testBlob(77, 2_000_000));
    const refs = blobs.map(refOf);
    for (const [name, open] of [
      ["listRefs", (signal: AbortSignal) => store.listRefs(undefined, { signal })],
      ["getMany", (signal: AbortSignal) => getMany(store, refs, { signal })],
      ["stream", (signal: AbortSignal) => streamBlob(store, large.ref, { signal })],
    ] as const) {
      const reason = newReason();
      const controller = new AbortController();
      const items: AsyncIterator<unknown> = open(controller.signal)[Symbol.asyncIterator]();
      assert.equal((await items.next()).done, false);
      controller.abort(reason);
      // A stream may have had all in one piece.
      const ended = await outcomeOf(items.next());
      if (name !== "stream" || ended) assert.equal(ended?.error, reason, name);
      await items.return?.();
      assertNoListeners(controller.signal, name);
    }
  }),

  storeCase("a call that was not aborted leaves no listener", async ({ store }) => {
    const { ref } = await store.put(testBlob(1, 1000));
    const { signal } = new AbortController();
    for (const { name, run } of signalledCalls) {
      const call = run(store, { ref, blob: testBlob(2, 1000), signal });
      if (call) await call;
      assertNoListeners(signal, name);
      await store.put(testBlob(1, 1000));
    }
    for await (const _ of store.listRefs(undefined, { signal })) break;
    for await (const _ of getMany(store, [ref, ref], { signal })) break;
    for await (const _ of streamBlob(store, ref, { signal })) break;
    assertNoListeners(signal, "a loop that was left early");
  }),
];
