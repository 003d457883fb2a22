import { describe, expect, it } from "vitest";
import { type BlobStore, createReplica, memoryStore, type Ref } from "../src/index.js";
import { collect } from "../src/testing/fixture.js";

/** The n-th ref, in order. */
const refAt = (n: number): Ref => n.toString(16).padStart(64, "0") as Ref; // 64 digits

async function listing(refs: readonly Ref[]): Promise<BlobStore> {
  const store = memoryStore();
  for (const ref of refs) await store.put(new Uint8Array(0), { ref, frozen: true });
  return store;
}

describe("the listing of stores that have nearly the same", () => {
  it("loses and repeats no ref, wherever the one is that one of them lacks, or has alone", async () => {
    // Runs that are the same are compared, and copied, 64 refs at a time.
    const all = Array.from({ length: 300 }, (_, n) => refAt(2 * n));
    const whole = await listing(all);
    for (const at of [
      0, 1, 2, 31, 62, 63, 64, 65, 66, 126, 127, 128, 129, 191, 192, 193, 255, 256, 298, 299,
    ]) {
      for (const other of [
        all.filter((_, n) => n !== at),
        all.map((ref, n) => (n === at ? refAt(2 * n + 1) : ref)),
        all.slice(0, at + 1),
      ]) {
        const stores = [whole, await listing(other)];
        for (const order of [stores, [...stores].reverse()]) {
          await using replica = await createReplica({
            sync: order.map((store, i) => ({ name: `s${i}`, store })),
          });
          const union = [...new Set([...all, ...other])].sort();
          expect(await collect(replica.listRefs()), `at ${at}`).toEqual(union);
        }
      }
    }
  });
});
