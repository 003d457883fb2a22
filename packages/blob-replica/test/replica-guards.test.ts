import { describe, expect, it } from "vitest";
import { createReplica, refOf } from "../src/index.js";
import { blobOf, FakeClock, FaultyStore, noChance, settle } from "./replica-fakes.js";

const blob = blobOf("a blob");
const ref = refOf(blob);

function pairOf(writeQuorum?: number) {
  const stores = [new FaultyStore(), new FaultyStore()] as const;
  const replica = createReplica({
    sync: stores.map((store, i) => ({ name: `s${i}`, store })),
    clock: new FakeClock(),
    random: noChance,
    ...(writeQuorum !== undefined && { writeQuorum }),
  });
  return { stores, replica };
}

describe("a replica", () => {
  it("does not bring back with a late write what was deleted meanwhile", async () => {
    const { stores, replica: opening } = pairOf(1);
    await using replica = await opening;
    stores[1].hanging.add("put");
    expect(await replica.put(blob)).toEqual({ ref, added: true });
    const deleting = replica.delete?.(ref);
    await settle();
    stores[1].up();
    expect(await deleting).toBe(true);
    await settle();
    expect([await stores[0].holds(ref), await stores[1].holds(ref)]).toEqual([false, false]);
  });

  it("ends an aborted put when every store has answered, though enough of them have it", async () => {
    const { stores, replica: opening } = pairOf(1);
    await using replica = await opening;
    const answers: (() => void)[] = [];
    for (const store of stores) {
      store.put = async (given) => {
        await new Promise<void>((resolve) => answers.push(resolve)); // deaf to its signal
        return await store.inner.put(given);
      };
    }
    const controller = new AbortController();
    const reason = new Error("enough");
    let outcome: unknown;
    const putting = replica.put(blob, { signal: controller.signal }).catch((error: unknown) => {
      outcome = error;
    });
    await settle();
    controller.abort(reason);
    answers[0]?.();
    await settle();
    expect([answers.length, outcome]).toEqual([2, undefined]);
    answers[1]?.();
    await putting;
    expect(outcome).toBe(reason);
  });

  it("ends an aborted get when every store that was asked has", async () => {
    const { stores, replica: opening } = pairOf();
    await using replica = await opening;
    await replica.put(blob);
    let answer = () => {};
    stores[0].get = async (asked) => {
      await new Promise<void>((resolve) => {
        answer = resolve; // deaf to its signal
      });
      return await stores[0].inner.get(asked);
    };
    const controller = new AbortController();
    const reason = new Error("enough");
    let outcome: unknown;
    const getting = replica.get(ref, { signal: controller.signal }).catch((error: unknown) => {
      outcome = error;
    });
    await settle();
    controller.abort(reason);
    await settle();
    expect(outcome).toBeUndefined();
    answer();
    await getting;
    expect(outcome).toBe(reason);
  });

  it("gives back the places in a queue of puts that failed", async () => {
    const [kept, behind] = [new FaultyStore(), new FaultyStore()];
    await using replica = await createReplica({
      sync: [{ name: "kept", store: kept }],
      async: [{ name: "behind", store: behind }],
      queue: { memory: true },
      maxQueued: 2,
      whenFull: "reject",
      clock: new FakeClock(),
      random: noChance,
    });
    behind.down();
    kept.down();
    for (let n = 0; n < 5; n++) {
      await expect(replica.put(blobOf(`${n}`))).rejects.toMatchObject({ code: "unavailable" });
      const [result] = (await replica.putMany?.([blobOf(`${n}`)])) ?? [];
      expect(result?.error).toMatchObject({ code: "unavailable" });
    }
    kept.up();
    for (let n = 0; n < 2; n++) expect(await replica.put(blobOf(`${n}`))).toMatchObject({ added: true });
    await expect(replica.put(blob)).rejects.toMatchObject({ code: "queue-full", store: "behind" });
    expect(replica.state().async[0]).toMatchObject({ backlog: 2 });
  });
});
