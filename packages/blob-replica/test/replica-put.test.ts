import { describe, expect, it } from "vitest";
import {
  BlobError,
  type BlobStore,
  createReplica,
  memoryStore,
  type Ref,
  type ReplicaEvent,
  refOf,
} from "../src/index.js";
import { blobOf, FakeClock, FaultyStore, noChance, settle } from "./replica-fakes.js";

function named(...stores: BlobStore[]) {
  return stores.map((store, i) => ({ name: `s${i}`, store }));
}

const blob = blobOf("a blob");
const ref = refOf(blob);

describe("putting into a replica", () => {
  it("resolves when every synchronous store has the blob, and not before", async () => {
    const [fast, slow] = [new FaultyStore(), new FaultyStore()];
    slow.hanging.add("put");
    const replica = await createReplica({ sync: named(fast, slow) });
    let done = false;
    const putting = replica.put(blob).then((result) => {
      done = true;
      return result;
    });
    await settle();
    expect([done, await fast.holds(ref), await slow.holds(ref)]).toEqual([false, true, false]);
    slow.up();
    expect(await putting).toEqual({ ref, added: true });
    expect(await slow.holds(ref)).toBe(true);
  });

  it("hashes once and gives every store the same frozen copy, so that the caller may reuse his bytes", async () => {
    const seen: {
      readonly bytes: Uint8Array;
      readonly ref: Ref | undefined;
      readonly frozen: boolean | undefined;
    }[] = [];
    const recording = (): BlobStore => ({
      ...memoryStore(),
      get: () => Promise.reject(new BlobError("not-found", "no")),
      listRefs: memoryStore().listRefs,
      async put(bytes, options) {
        await undefined;
        seen.push({ bytes, ref: options?.ref, frozen: options?.frozen });
        return { ref: options!.ref!, added: true };
      },
    });
    const replica = await createReplica({
      sync: named(recording(), recording()),
      async: [{ name: "later", store: recording() }],
      queue: { memory: true },
    });
    const mine = blobOf("mine");
    const putting = replica.put(mine);
    mine.fill(0);
    expect((await putting).ref).toBe(refOf(blobOf("mine")));
    await replica.drained();
    expect(seen).toHaveLength(3);
    expect(new Set(seen.map(({ bytes }) => bytes)).size).toBe(1);
    expect(seen[0]).toEqual({ bytes: blobOf("mine"), ref: refOf(blobOf("mine")), frozen: true });
    const frozen = blobOf("frozen");
    await replica.put(frozen, { frozen: true });
    expect(seen.at(-1)!.bytes).toBe(frozen);
  });

  it("says what the first store to finish says about `added`", async () => {
    const [has, hasNot] = [new FaultyStore(), new FaultyStore()];
    await has.inner.put(blob);
    const replica = await createReplica({ sync: named(hasNot, has) });
    hasNot.hanging.add("put");
    const putting = replica.put(blob);
    await settle();
    hasNot.up();
    expect((await putting).added).toBe(false);
  });

  it("fails with the code and name of the one store that failed, and leaves the blob in the others", async () => {
    const [good, full] = [new FaultyStore(), new FaultyStore()];
    const cause = new BlobError("full", "no room");
    full.faults.set("put", cause);
    const replica = await createReplica({ sync: named(good, full) });
    await expect(replica.put(blob)).rejects.toMatchObject({
      code: "full",
      store: "s1",
      cause,
      failures: [{ store: "s1", error: cause }],
      message: expect.stringContaining("s1: no room"),
    });
    expect(await good.holds(ref)).toBe(true);
    full.up();
    expect((await replica.put(blob)).ref).toBe(ref);
    expect(await full.holds(ref)).toBe(true);
  });

  it("holds each store's own cause when all fail", async () => {
    const stores = [new FaultyStore(), new FaultyStore()];
    const causes = [new BlobError("full", "no room"), new Error("strange")];
    stores.forEach((store, i) => {
      store.faults.set("put", causes[i]);
    });
    const replica = await createReplica({ sync: named(...stores) });
    await expect(replica.put(blob)).rejects.toMatchObject({
      code: "all-failed",
      failures: [
        { store: "s0", error: causes[0] },
        { store: "s1", error: causes[1] },
      ],
    });
  });

  it("does not believe a store that says it has put something else", async () => {
    const liar: BlobStore = {
      ...memoryStore(),
      get: () => Promise.reject(new Error()),
      listRefs: memoryStore().listRefs,
      put: async () => ({ ref: refOf(blobOf("x")), added: true }),
    };
    const replica = await createReplica({ sync: named(memoryStore(), liar) });
    await expect(replica.put(blob)).rejects.toMatchObject({ code: "corrupt", store: "s1" });
  });

  it("ends with the reason of an abort when nothing of it still runs, and queues nothing", async () => {
    const [good, hung] = [new FaultyStore(), new FaultyStore()];
    hung.hanging.add("put");
    const later = new FaultyStore();
    const replica = await createReplica({
      sync: named(good, hung),
      async: [{ name: "later", store: later }],
      queue: { memory: true },
    });
    const controller = new AbortController();
    const reason = new Error("enough");
    const putting = replica.put(blob, { signal: controller.signal });
    await settle();
    controller.abort(reason);
    await expect(putting).rejects.toBe(reason);
    expect([hung.running, hung.aborted]).toEqual([0, 1]);
    expect(replica.state().async[0]!.backlog).toBe(0);
    expect(replica.state().sync.map(({ failures }) => failures)).toEqual([0, 0]);
    await expect(replica.put(blob, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    hung.up();
    await replica.put(blob);
    await replica.drained();
    expect(await later.holds(ref)).toBe(true);
  });

  it("goes on replicating after the caller of a put that was acknowledged aborts", async () => {
    const later = new FaultyStore();
    later.hanging.add("put");
    const replica = await createReplica({
      sync: named(memoryStore()),
      async: [{ name: "later", store: later }],
      queue: { memory: true },
    });
    const controller = new AbortController();
    await replica.put(blob, { signal: controller.signal });
    await settle();
    expect(later.running).toBe(1);
    controller.abort(new Error("his own timeout"));
    await settle();
    expect(later.running).toBe(1);
    later.up();
    await replica.drained();
    expect(await later.holds(ref)).toBe(true);
  });

  it("checks its arguments", async () => {
    const replica = await createReplica({ sync: named(memoryStore()) });
    await expect(replica.put("text" as unknown as Uint8Array)).rejects.toMatchObject({
      code: "invalid-argument",
    });
    await expect(replica.put(blob, { ref: "xyz" as Ref })).rejects.toMatchObject({ code: "invalid-ref" });
    await expect(replica.get("xyz" as Ref)).rejects.toMatchObject({ code: "invalid-ref" });
    await expect(replica.putMany!([blob], { refs: [] })).rejects.toMatchObject({ code: "invalid-argument" });
  });
});

describe("a write quorum", () => {
  it("is enough for put; the slow store gets the blob all the same", async () => {
    const [a, b, slow] = [new FaultyStore(), new FaultyStore(), new FaultyStore()];
    slow.hanging.add("put");
    const replica = await createReplica({ sync: named(a, b, slow), writeQuorum: 2 });
    const controller = new AbortController();
    await replica.put(blob, { signal: controller.signal });
    controller.abort();
    await settle();
    expect([slow.running, slow.aborted]).toEqual([1, 0]);
    slow.up();
    await settle();
    expect(await slow.holds(ref)).toBe(true);
  });

  it("repairs a store that was down, when it is back, and shows it", async () => {
    const clock = new FakeClock();
    const events: ReplicaEvent[] = [];
    const [a, b, down] = [new FaultyStore(), new FaultyStore(), new FaultyStore()];
    const replica = await createReplica({
      sync: named(a, b, down),
      writeQuorum: 2,
      clock,
      random: noChance,
      onEvent: (event) => events.push(event),
    });
    down.down();
    const refs = [];
    for (let i = 0; i < 50; i++) refs.push((await replica.put(blobOf(`blob ${i}`))).ref);
    await clock.advance(60_000);
    expect(replica.state().sync[2]).toMatchObject({
      name: "s2",
      repairBacklog: 50,
      repairs: 0,
      lastError: { code: "unavailable" },
    });
    down.up();
    await clock.advance(60_000);
    expect(replica.state().sync[2]).toMatchObject({ repairBacklog: 0, repairs: 50 });
    for (const each of refs) expect(await down.holds(each)).toBe(true);
    expect(events.filter(({ event }) => event === "repaired")).toHaveLength(50);
    expect(events.some(({ event, store }) => event === "sync-failed" && store === "s2")).toBe(true);
    await replica[Symbol.asyncDispose]();
    expect(clock.timers).toBe(0);
  });

  it("that is missed fails the put with the causes", async () => {
    const stores = [new FaultyStore(), new FaultyStore(), new FaultyStore()];
    stores[1]!.down();
    stores[2]!.down(new BlobError("refused", "read-only"));
    const replica = await createReplica({ sync: named(...stores), writeQuorum: 2 });
    await expect(replica.put(blob)).rejects.toMatchObject({
      code: "unavailable",
      failures: [{ store: "s1" }, { store: "s2", error: { code: "refused" } }],
    });
  });

  it("bounds what hangs behind it, and stops it in the end", { timeout: 30_000 }, async () => {
    const clock = new FakeClock();
    const [a, hung] = [new FaultyStore(), new FaultyStore()];
    hung.hanging.add("put");
    const replica = await createReplica({ sync: named(a, hung), writeQuorum: 1, clock, random: noChance });
    for (let i = 0; i < 1000; i++) await replica.put(blobOf(`blob ${i}`));
    await settle();
    expect(hung.running).toBeLessThanOrEqual(300);
    expect(replica.state().sync[1]!.repairBacklog).toBeGreaterThan(700);
    await clock.advance(61_000);
    expect(hung.running).toBeLessThanOrEqual(1);
    expect(replica.state().sync[1]!.repairBacklog).toBe(1000);
    const closing = replica[Symbol.asyncDispose]();
    await closing;
    expect([hung.running, clock.timers]).toEqual([0, 0]);
  });
});

describe("putting many into a replica", () => {
  it("answers for every blob in their order, also for those that fail", async () => {
    const bad = refOf(blobOf("bad"));
    const [a, b] = [new FaultyStore({ many: true }), new FaultyStore()];
    b.faults.set("put", (each: Ref) => (each === bad ? new BlobError("full", "no room") : undefined));
    const later = new FaultyStore({ many: true });
    const replica = await createReplica({
      sync: named(a, b),
      async: [{ name: "later", store: later }],
      queue: { memory: true },
    });
    const blobs = [blobOf("one"), blobOf("bad"), blobOf("two"), blobOf("one")];
    const results = await replica.putMany!(blobs);
    expect(results.map((each) => each.ref)).toEqual(blobs.map(refOf));
    expect(results.map(({ error }) => (error as BlobError | undefined)?.code)).toEqual([
      undefined,
      "full",
      undefined,
      undefined,
    ]);
    await replica.drained();
    expect(await Promise.all(["one", "two", "bad"].map((text) => later.holds(refOf(blobOf(text)))))).toEqual([
      true,
      true,
      false,
    ]);
    expect(a.calls.put).toBe(1);
  });

  it("takes more blobs than the queue has places", async () => {
    const later = new FaultyStore();
    const replica = await createReplica({
      sync: named(memoryStore()),
      async: [{ name: "later", store: later }],
      queue: { memory: true },
      maxQueued: 3,
    });
    const blobs = Array.from({ length: 20 }, (_, i) => blobOf(`blob ${i}`));
    const results = await replica.putMany!(blobs);
    expect(results.every(({ error }) => error === undefined)).toBe(true);
    await replica.drained();
    for (const each of blobs) expect(await later.holds(refOf(each))).toBe(true);
  });
});

describe("deleting from a replica", () => {
  it("deletes from every store and the queue, and nothing that runs brings the blob back", async () => {
    const stores = [new FaultyStore(), new FaultyStore()];
    const later = new FaultyStore();
    const replica = await createReplica({
      sync: named(...stores),
      async: [{ name: "later", store: later }],
      queue: { memory: true },
    });
    later.hanging.add("put");
    await replica.put(blob);
    await settle();
    expect(later.running).toBe(1);
    const deleting = replica.delete!(ref);
    await settle();
    later.up();
    expect(await deleting).toBe(true);
    await replica.drained();
    expect(await Promise.all([...stores, later].map((store) => store.holds(ref)))).toEqual([
      false,
      false,
      false,
    ]);
    expect(replica.state().async[0]).toMatchObject({ backlog: 0, needsSync: false });
    expect(await replica.delete!(ref)).toBe(false);
    expect(await replica.has!(ref)).toBe(false);
  });

  it("is not undone by a repair of what a reader misses meanwhile", async () => {
    const [a, b] = [new FaultyStore(), new FaultyStore()];
    const replica = await createReplica({ sync: named(a, b) });
    await replica.put(blob);
    b.hanging.add("delete");
    const deleting = replica.delete!(ref);
    await settle();
    expect(await a.holds(ref)).toBe(false);
    expect(await replica.get(ref)).toEqual(blob);
    await settle();
    b.up();
    expect(await deleting).toBe(true);
    await settle();
    expect([await a.holds(ref), await b.holds(ref)]).toEqual([false, false]);
  });

  it("names the stores that may still have the blob", async () => {
    const [a, b] = [new FaultyStore(), new FaultyStore()];
    const replica = await createReplica({ sync: named(a, b) });
    await replica.put(blob);
    b.down();
    await expect(replica.delete!(ref)).rejects.toMatchObject({ code: "unavailable", store: "s1" });
    b.up();
    expect(await replica.delete!(ref)).toBe(true);
  });

  it("is not there when a store cannot", async () => {
    const { delete: _, ...cannot } = new FaultyStore();
    const store: BlobStore = {
      ...cannot,
      get: memoryStore().get,
      put: memoryStore().put,
      listRefs: memoryStore().listRefs,
    };
    expect((await createReplica({ sync: named(memoryStore(), store) })).delete).toBeUndefined();
  });
});
