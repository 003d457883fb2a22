import { describe, expect, it } from "vitest";
import { type BlobStore, createReplica, memoryStore, putMany, refOf } from "../src/index.js";
import { assertSameBytes, testBlob } from "../src/testing/fixture.js";

/** More than the replica remembers: the first ones are read again. */
const blobs = Array.from({ length: 6200 }, (_, i) => testBlob(i, 40));
const refs = blobs.map(refOf);
/** Those that are in no batch yet while the store is held up, and not remembered either. */
const early = [1_500, 1_501, 1_502, 1_503];

function heldUp(): { readonly store: BlobStore; readonly inner: BlobStore; readonly release: () => void } {
  const inner = memoryStore();
  let release = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const store: BlobStore = {
    get: (ref, options) => inner.get(ref, options),
    listRefs: (after, options) => inner.listRefs(after, options),
    async put(blob, options) {
      await gate;
      return await inner.put(blob, options);
    },
    async putMany(batch, options) {
      await gate;
      return await putMany(inner, batch, options);
    },
  };
  return { store, inner, release };
}

async function expectAllIn(store: BlobStore): Promise<void> {
  for (const [i, ref] of refs.entries()) assertSameBytes(await store.get(ref), blobs[i] as Uint8Array);
}

describe("catching up from synchronous stores in memory", () => {
  it("passes on right bytes only, and heals the store that has others or none", async () => {
    const [a, b] = [memoryStore(), memoryStore()];
    const { store, inner, release } = heldUp();
    await using replica = await createReplica({
      sync: [
        { name: "a", store: a },
        { name: "b", store: b },
      ],
      async: [{ name: "c", store }],
      queue: { memory: true },
      maxQueued: 10_000,
    });
    for (const { error } of await putMany(replica, blobs)) expect(error).toBeUndefined();
    for (const i of early) {
      if (i % 2 === 0) await a.put(testBlob(i + 10_000, 40), { ref: refs[i] as (typeof refs)[number] });
      else await a.delete?.(refs[i] as (typeof refs)[number]);
    }
    release();
    await replica.drained();
    await expectAllIn(inner);
    for await (const { sync } of replica.states()) if (sync.every((each) => each.repairBacklog === 0)) break;
    await expectAllIn(a);
    expect(replica.state().async[0]?.dropped).toBe(0);
  });

  it("asks the reads that somebody has put in the place of the store's own", async () => {
    const own = memoryStore();
    const asked = new Set<string>();
    const { getMany } = own;
    const sync = Object.assign(own, {
      getMany: (...[wanted, options]: Parameters<NonNullable<BlobStore["getMany"]>>) => {
        for (const ref of wanted) asked.add(ref);
        return getMany!.call(own, wanted, options);
      },
    });
    const { store, inner, release } = heldUp();
    await using replica = await createReplica({
      sync: [{ name: "a", store: sync }],
      async: [{ name: "c", store }],
      queue: { memory: true },
      maxQueued: 10_000,
    });
    await putMany(replica, blobs);
    release();
    await replica.drained();
    await expectAllIn(inner);
    for (const i of early) expect(asked.has(refs[i] as string)).toBe(true);
  });
});
