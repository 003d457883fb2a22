import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BlobError, createReplica, type Ref, type Replica } from "../src/index.js";
import { blobOf, FakeClock, FakeFiles, FaultyStore, noChance, settle } from "./replica-fakes.js";

type Step =
  | { readonly do: "put"; readonly count: number }
  | { readonly do: "down" | "up" | "hang"; readonly store: number }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "disk"; readonly fails: boolean }
  | { readonly do: "near"; readonly fails: boolean }
  | { readonly do: "synced"; readonly store: number }
  | { readonly do: "delete"; readonly one: number }
  | { readonly do: "restart"; readonly kill: boolean };

const far = fc.integer({ min: 0, max: 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant("put" as const), count: fc.integer({ min: 1, max: 5 }) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constantFrom("down" as const, "up" as const, "hang" as const),
      store: far,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 40_000 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("disk" as const), fails: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("near" as const), fails: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("synced" as const), store: far }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("delete" as const), one: fc.nat() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("restart" as const), kill: fc.boolean() }) },
);

interface Model {
  dropped: number;
  synced: number;
  /** Acknowledged, and neither dropped nor deleted; with the time. */
  readonly promised: Map<Ref, { readonly bytes: number; readonly wallMs: number }>;
}

async function run(
  steps: readonly Step[],
  maxQueued: number,
  whenFull: "reject" | "drop-to-resync",
): Promise<void> {
  const clock = new FakeClock();
  const files = new FakeFiles();
  const near = new FaultyStore();
  const stores = [new FaultyStore(), new FaultyStore({ many: true })];
  const open = () =>
    createReplica({
      sync: [{ name: "near", store: near }],
      async: stores.map((store, i) => ({ name: `far${i}`, store })),
      queue: { dir: "/queue", files },
      maxQueued,
      whenFull,
      clock,
      random: noChance,
    });
  let replica: Replica = await open();
  const models: Model[] = stores.map(() => ({ dropped: 0, synced: 0, promised: new Map() }));
  let next = 0;

  const missing = async (i: number) => {
    const list = [];
    for (const [ref, what] of models[i]!.promised)
      if (!(await stores[i]!.holds(ref))) list.push({ ref, ...what });
    return list;
  };

  const check = async () => {
    const state = replica.state();
    for (const [i, model] of models.entries()) {
      const expected = await missing(i);
      expect(state.async[i]).toMatchObject({
        backlog: expected.length,
        backlogBytes: expected.reduce((sum, { bytes }) => sum + bytes, 0),
        oldest: expected[0]?.ref,
        lagMs: expected[0] ? clock.wallMs() - expected[0].wallMs : 0,
        dropped: model.dropped,
        needsSync: model.dropped > model.synced,
      });
    }
  };

  for (const each of steps) {
    switch (each.do) {
      case "put":
        for (let i = 0; i < each.count; i++) {
          // Every put is of another blob: what a store holds it has from us.
          const blob = blobOf(`${next++}`.padEnd(1 + (next % 7), "."));
          const before = await Promise.all(stores.map(async (_, store) => (await missing(store)).length));
          const full = before.map((count) => count >= maxQueued);
          let result: { readonly ref: Ref } | undefined;
          try {
            result = await replica.put(blob);
          } catch (error) {
            expect(error).toBeInstanceOf(BlobError);
          }
          const refused = whenFull === "reject" && full.includes(true);
          expect(result !== undefined).toBe(!refused && !near.faults.has("put") && files.faults.size === 0);
          if (result) {
            for (const [store, model] of models.entries()) {
              if (full[store]) model.dropped++;
              else model.promised.set(result.ref, { bytes: blob.length, wallMs: clock.wallMs() });
            }
          }
          await settle();
        }
        break;
      case "down":
        stores[each.store]!.down();
        stores[each.store]!.release();
        break;
      case "hang":
        stores[each.store]!.hanging.add("put");
        break;
      case "up":
        stores[each.store]!.up();
        break;
      case "wait":
        await clock.advance(each.ms);
        break;
      case "disk":
        if (each.fails) files.faults.set("append", Object.assign(new Error("no room"), { code: "ENOSPC" }));
        else files.faults.clear();
        break;
      case "near":
        if (each.fails) near.faults.set("put", new BlobError("full", "no room"));
        else near.faults.clear();
        break;
      case "synced":
        if (files.faults.size > 0) break;
        models[each.store]!.synced = models[each.store]!.dropped;
        await replica.markSynced(`far${each.store}`);
        break;
      case "delete": {
        const all = [...models[0]!.promised.keys()];
        if (all.length === 0 || files.faults.size > 0) break;
        for (const store of stores) store.up();
        const ref = all[each.one % all.length]!;
        expect(await replica.delete!(ref)).toBe(true);
        for (const { promised } of models) promised.delete(ref);
        for (const store of stores) expect(await store.holds(ref)).toBe(false);
        break;
      }
      case "restart":
        files.faults.clear();
        await settle();
        // What has arrived is on record by now; while a store hangs, nothing is half done.
        if (each.kill) files.kill();
        await Promise.all([replica[Symbol.asyncDispose](), clock.advance(1)]);
        replica = await open();
        break;
      default:
    }
    await settle();
    await check();
  }
  for (const store of stores) store.up();
  files.faults.clear();
  await clock.advance(120_000);
  await check();
  expect(replica.state().async.map(({ backlog }) => backlog)).toEqual([0, 0]);
  await replica[Symbol.asyncDispose]();
}

describe("the state of asynchronous stores", () => {
  it("is exact after every step, over failures, deletions and restarts", { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40 }),
        fc.constantFrom(1, 4, 1000),
        fc.constantFrom("reject" as const, "drop-to-resync" as const),
        run,
      ),
      { numRuns: 150, interruptAfterTimeLimit: 90_000 },
    );
  });
});
