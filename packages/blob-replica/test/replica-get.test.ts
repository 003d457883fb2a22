import { describe, expect, it } from "vitest";
import {
  BlobError,
  type BlobStore,
  createReplica,
  type GetManyResult,
  memoryStore,
  type Ref,
  type ReplicaEvent,
  refOf,
} from "../src/index.js";
import { absent, blobOf, FakeClock, FaultyStore, noChance, settle } from "./replica-fakes.js";

const blob = blobOf("a blob");
const ref = refOf(blob);
const damagedBlob = blobOf("a bl0b");

async function replicaOf(count: number, more: { readonly hedgeAfterMs?: number } = {}) {
  const clock = new FakeClock();
  const events: ReplicaEvent[] = [];
  const stores = Array.from({ length: count }, () => new FaultyStore());
  const replica = await createReplica({
    sync: stores.map((store, i) => ({ name: `s${i}`, store })),
    clock,
    random: noChance,
    onEvent: (event) => events.push(event),
    ...more,
  });
  await replica.put(blob);
  return { replica, stores, clock, events };
}

describe("getting from a replica", () => {
  it("asks one store when that answers, and gives bytes that are the caller's own", async () => {
    const { replica, stores, clock } = await replicaOf(3);
    const got = await replica.get(ref);
    expect(got).toEqual(blob);
    got.fill(0);
    expect(await replica.get(ref)).toEqual(blob);
    expect(stores.map(({ calls }) => calls.get).reduce((a, b) => a + b)).toBe(2);
    expect(clock.timers).toBe(0);
  });

  it("hashes what comes, but for what a store has hashed that says so", async () => {
    for (const verified of [undefined, false, true]) {
      const store: BlobStore = {
        ...(verified !== undefined && { verified }),
        get: async () => damagedBlob,
        put: async () => ({ ref, added: true }),
        listRefs: (after) => memoryStore().listRefs(after),
      };
      await using replica = await createReplica({ sync: [{ name: "s", store }] });
      expect(replica.verified).toBe(true);
      const many = async () => {
        for await (const { blob: given, error } of replica.getMany?.([ref]) ?? []) {
          if (error !== undefined) throw error;
          return given;
        }
      };
      for (const get of [() => replica.get(ref), many]) {
        if (verified) expect(await get()).toEqual(damagedBlob);
        else await expect(get()).rejects.toMatchObject({ code: "all-failed" });
      }
    }
  });

  it("asks the next at once when a store fails, and in the end all", async () => {
    const { replica, stores, events } = await replicaOf(3);
    stores[0]!.down();
    stores[1]!.down();
    expect(await replica.get(ref)).toEqual(blob);
    expect(events.map(({ event, store }) => [event, store])).toEqual([
      ["sync-failed", "s0"],
      ["sync-failed", "s1"],
    ]);
    expect(replica.state().sync.map(({ failures }) => failures)).toEqual([1, 1, 0]);
    expect(replica.state().sync[0]!.lastError).toMatchObject({ code: "unavailable" });
  });

  it("hedges to another store when one is slow, and tells the loser to stop", async () => {
    const { replica, stores, clock } = await replicaOf(2, { hedgeAfterMs: 50 });
    stores[0]!.hanging.add("get");
    let got: Uint8Array | undefined;
    void replica.get(ref).then((value) => {
      got = value;
    });
    await clock.advance(49);
    expect([got, stores[1]!.calls.get]).toEqual([undefined, 0]);
    await clock.advance(1);
    expect(got).toEqual(blob);
    expect([stores[0]!.aborted, stores[0]!.running, clock.timers]).toEqual([1, 0, 0]);
    // The slow one is not the first to be asked any more.
    expect(await replica.get(ref)).toEqual(blob);
    expect(stores[0]!.calls.get).toBe(1);
  });

  it("does not wait for a loser that does not listen", async () => {
    const { replica, stores, clock } = await replicaOf(2, { hedgeAfterMs: 50 });
    const deaf = new Promise<Uint8Array>(() => {});
    stores[0]!.get = () => deaf;
    const getting = replica.get(ref);
    await clock.advance(50);
    expect(await getting).toEqual(blob);
  });

  it("goes back to a store that was slow or failed, after a while", { timeout: 30_000 }, async () => {
    const { replica, stores } = await replicaOf(2);
    stores[0]!.down();
    await replica.get(ref);
    stores[0]!.up();
    const before = stores[0]!.calls.get;
    for (let i = 0; i < 2000; i++) await replica.get(ref);
    expect(stores[0]!.calls.get).toBeGreaterThan(before);
  });

  it("says not-found only when every store says so", async () => {
    const { replica, stores } = await replicaOf(2);
    await expect(replica.get(absent)).rejects.toMatchObject({
      code: "not-found",
      failures: [
        { store: "s0", error: { code: "not-found" } },
        { store: "s1", error: { code: "not-found" } },
      ],
    });
    const cause = new Error("cable");
    stores[1]!.down(cause);
    await expect(replica.get(absent)).rejects.toMatchObject({
      code: "all-failed",
      failures: expect.arrayContaining([{ store: "s1", error: cause }]),
    });
    await expect(replica.has!(absent)).rejects.toMatchObject({ code: "all-failed" });
    expect(await replica.has!(ref)).toBe(true);
  });

  it("ends with the reason of an abort when nothing of it still runs", async () => {
    const { replica, stores, clock } = await replicaOf(2, { hedgeAfterMs: 10 });
    for (const store of stores) store.hanging.add("get");
    const controller = new AbortController();
    const reason = new Error("enough");
    const getting = replica.get(ref, { signal: controller.signal });
    getting.catch(() => {});
    await clock.advance(10);
    expect(stores.map(({ running }) => running)).toEqual([1, 1]);
    controller.abort(reason);
    await expect(getting).rejects.toBe(reason);
    expect(stores.map(({ running }) => running)).toEqual([0, 0]);
    expect(clock.timers).toBe(0);
    await expect(replica.get(ref, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(replica.state().sync.map(({ failures }) => failures)).toEqual([0, 0]);
  });

  it("never gives what does not match, and has the damaged copy repaired from a good one", async () => {
    const { replica, stores, clock, events } = await replicaOf(2);
    stores[0]!.lies.set(ref, damagedBlob);
    expect(await replica.get(ref)).toEqual(blob);
    await clock.advance(1000);
    expect(await stores[0]!.get(ref)).toEqual(blob);
    expect(events.map(({ event, store }) => [event, store])).toEqual([
      ["corrupt", "s0"],
      ["repaired", "s0"],
    ]);
    expect(replica.state().sync[0]).toMatchObject({ repairs: 1, repairBacklog: 0 });
  });

  it("has a missing copy repaired", async () => {
    const { replica, stores, clock } = await replicaOf(2);
    await stores[0]!.inner.delete!(ref);
    expect(await replica.get(ref)).toEqual(blob);
    await clock.advance(1000);
    expect(await stores[0]!.holds(ref)).toBe(true);
  });

  it("fails when all copies are damaged, with each store's cause", async () => {
    const { replica, stores, clock } = await replicaOf(2);
    for (const store of stores) store.lies.set(ref, damagedBlob);
    await expect(replica.get(ref)).rejects.toMatchObject({
      code: "all-failed",
      failures: [
        { store: "s0", error: { code: "corrupt" } },
        { store: "s1", error: { code: "corrupt" } },
      ],
    });
    await clock.advance(1000);
    expect(replica.state().sync.map(({ repairBacklog }) => repairBacklog)).toEqual([0, 0]);
  });

  it("tries a repair again until it works, and stops it when it is closed", async () => {
    const { replica, stores, clock, events } = await replicaOf(2);
    stores[0]!.lies.set(ref, damagedBlob);
    stores[0]!.faults.set("put", new BlobError("refused", "read-only"));
    expect(await replica.get(ref)).toEqual(blob);
    await clock.advance(10_000);
    expect(events.filter(({ event }) => event === "repair-failed").length).toBeGreaterThan(3);
    stores[0]!.up();
    stores[0]!.hanging.add("put");
    await clock.advance(30_000);
    expect(stores[0]!.running).toBe(1);
    await replica[Symbol.asyncDispose]();
    expect([stores[0]!.running, clock.timers]).toEqual([0, 0]);
    await expect(replica.get(ref)).rejects.toMatchObject({ code: "closed" });
  });

  it("gives no wrong byte of ten thousand reads with 1 % of one store's blobs flipped, and heals them all", {
    timeout: 60_000,
  }, async () => {
    const { replica, stores, clock, events } = await replicaOf(3);
    const refs: Ref[] = [];
    for (let i = 0; i < 1000; i++) refs.push((await replica.put(blobOf(`content ${i}`))).ref);
    for (let i = 0; i < 1000; i += 100) stores[0]!.lies.set(refs[i]!, blobOf(`c0ntent ${i}`));
    for (let i = 0; i < 10_000; i++) expect(refOf(await replica.get(refs[i % 1000]!))).toBe(refs[i % 1000]);
    await clock.advance(1000);
    // Those that store 0 was asked for are healed; reading from it alone finds the rest.
    stores[1]!.down();
    stores[2]!.down();
    stores[1]!.faults.delete("get");
    stores[0]!.up();
    for (const each of refs) expect(refOf(await replica.get(each))).toBe(each);
    await clock.advance(1000);
    const damaged = refs.filter((_, i) => i % 100 === 0);
    expect(replica.state().sync.map(({ repairs, repairBacklog }) => [repairs, repairBacklog])).toEqual([
      [damaged.length, 0],
      [0, 0],
      [0, 0],
    ]);
    expect(events.flatMap(({ event, ref }) => (event === "repaired" ? [ref] : [])).sort()).toEqual(
      damaged.sort(),
    );
    for (const [i, each] of refs.entries())
      expect(await stores[0]!.get(each)).toEqual(blobOf(`content ${i}`));
  });
});

describe("getting many from a replica", () => {
  async function collect(results: AsyncIterable<GetManyResult>): Promise<Map<Ref, (string | undefined)[]>> {
    const map = new Map<Ref, (string | undefined)[]>();
    for await (const result of results) {
      const text = result.blob ? new TextDecoder().decode(result.blob) : (result.error as BlobError).code;
      map.set(result.ref, [...(map.get(result.ref) ?? []), text]);
    }
    return map;
  }

  it("covers every ref, each as often as it was asked for, from whichever store has it whole", async () => {
    const { replica, stores, clock, events } = await replicaOf(3);
    const refs: Ref[] = [];
    for (let i = 0; i < 30; i++) refs.push((await replica.put(blobOf(`b${i}`))).ref);
    await stores[0]!.inner.delete!(refs[1]!);
    stores[0]!.lies.set(refs[2]!, damagedBlob);
    stores[0]!.faults.set("get", (each: Ref) => (each === refs[3] ? new Error("odd") : undefined));
    await stores[1]!.inner.delete!(refs[1]!);
    const got = await collect(replica.getMany!([...refs, refs[1]!, absent, "no ref" as Ref, refs[0]!]));
    expect(got.size).toBe(32);
    refs.forEach((each, i) => {
      expect(got.get(each)).toEqual(i < 2 ? [`b${i}`, `b${i}`] : [`b${i}`]);
    });
    expect(got.get(absent)).toEqual(["not-found"]);
    expect(got.get("no ref" as Ref)).toEqual(["invalid-ref"]);
    await clock.advance(1000);
    expect(await stores[0]!.holds(refs[1]!)).toBe(true);
    expect(await stores[1]!.holds(refs[1]!)).toBe(true);
    // A repair may find what another has just made good, and do it once more.
    const repaired = events.flatMap(({ event, store, ref: each }) =>
      event === "repaired" ? [`${store} ${each}`] : [],
    );
    expect(new Set(repaired)).toEqual(new Set([`s0 ${refs[1]}`, `s0 ${refs[2]}`, `s1 ${refs[1]}`]));
  });

  it("tells each store's cause of what no store gave, and ends with the reason of an abort", async () => {
    const { replica, stores } = await replicaOf(2);
    for (const store of stores) store.down();
    for await (const { error } of replica.getMany!([ref]))
      expect(error).toMatchObject({ code: "all-failed", failures: [{}, {}] });
    for (const store of stores) {
      store.up();
      store.hanging.add("get");
    }
    const controller = new AbortController();
    const getting = collect(replica.getMany!([ref], { signal: controller.signal }));
    await settle();
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(getting).rejects.toBe(reason);
    expect(stores.map(({ running }) => running)).toEqual([0, 0]);
  });
});

describe("streaming from a replica", () => {
  const content = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
  const contentRef = refOf(content);

  /** Gives pieces of these sizes, of these bytes, and then fails if told. */
  function streaming(bytes: Uint8Array, size: number, failAt = Number.POSITIVE_INFINITY): BlobStore {
    const inner = memoryStore();
    return {
      get: (each, options) => inner.get(each, options),
      put: (each, options) => inner.put(each, options),
      listRefs: (after, options) => inner.listRefs(after, options),
      async *stream() {
        for (let at = 0; at < bytes.length; at += size) {
          if (at >= failAt) throw new BlobError("unavailable", "the line is cut");
          yield bytes.slice(at, at + size);
        }
      },
    };
  }

  async function read(stores: readonly BlobStore[]) {
    const events: ReplicaEvent[] = [];
    const replica = await createReplica({
      sync: stores.map((store, i) => ({ name: `s${i}`, store })),
      onEvent: (event) => events.push(event),
    });
    const pieces: Uint8Array[] = [];
    let error: unknown;
    try {
      for await (const piece of replica.stream!(contentRef)) pieces.push(piece);
    } catch (thrown) {
      error = thrown;
    }
    await settle();
    await replica[Symbol.asyncDispose]();
    return { bytes: Uint8Array.from(Buffer.concat(pieces)), error, events };
  }

  it("gives the content in pieces", async () => {
    expect((await read([streaming(content, 64)])).bytes).toEqual(content);
  });

  it("goes on from another store where one was cut off", { timeout: 30_000 }, async () => {
    for (const failAt of [0, 1, 64, 500, 999]) {
      const { bytes, error } = await read([
        streaming(content, 64, failAt),
        streaming(content, 77, 300),
        streaming(content, 50),
      ]);
      expect(error).toBeUndefined();
      expect(bytes).toEqual(content);
    }
  });

  it("never gives all the bytes of a damaged blob, and does not blame a good store for what a damaged one gave", async () => {
    const damaged = content.slice();
    damaged[10]! ^= 1;
    const alone = await read([streaming(damaged, 64)]);
    expect(alone.error).toMatchObject({
      code: "all-failed",
      failures: [{ store: "s0", error: { code: "corrupt" } }],
    });
    expect(alone.bytes.length).toBeLessThan(content.length);
    const { bytes, error, events } = await read([streaming(damaged, 64), streaming(content, 64)]);
    expect(error).toMatchObject({ code: "corrupt", failures: [{ store: "s0" }] });
    expect(bytes.length).toBeLessThan(content.length);
    expect(events.filter(({ event }) => event === "corrupt").map(({ store }) => store)).toEqual(["s0"]);
    expect(
      events.some(({ event, store }) => event === "repaired" && store === "s0") ||
        events.some(({ event }) => event === "repair-failed"),
    ).toBe(true);
  });
});
