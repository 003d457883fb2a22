import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BlobError, createReplica, type Ref, type Replica, refOf } from "../src/index.js";
import { blobOf, FakeClock, FakeFiles, FaultyStore, settle } from "./replica-fakes.js";

/** One step of a program. Stores are chosen by number: 0 to 2 are synchronous, 3 and 4 are not. */
type Step =
  | { readonly do: "put"; readonly blob: number; readonly wait: boolean }
  | { readonly do: "put many"; readonly blobs: readonly number[] }
  | { readonly do: "get"; readonly blob: number }
  | { readonly do: "down" | "up" | "hang"; readonly store: number }
  | { readonly do: "spoil"; readonly store: number; readonly blob: number }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "disk"; readonly fails: boolean }
  | { readonly do: "restart"; readonly how: "close" | "kill" | "power cut" };

const blob = fc.integer({ min: 0, max: 19 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("put" as const), blob, wait: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("put many" as const), blobs: fc.array(blob, { maxLength: 6 }) }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("get" as const), blob }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constantFrom("down" as const, "up" as const, "hang" as const),
      store: fc.integer({ min: 0, max: 4 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("spoil" as const), store: fc.integer({ min: 0, max: 2 }), blob }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 20_000 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("disk" as const), fails: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("restart" as const),
      how: fc.constantFrom("close" as const, "kill" as const, "power cut" as const),
    }),
  },
);

interface Plan {
  readonly steps: readonly Step[];
  readonly writeQuorum: number;
  readonly many: boolean;
  readonly maxQueued: number;
  readonly whenFull: "block" | "reject" | "drop-to-resync";
  readonly chances: readonly number[];
}

const plan: fc.Arbitrary<Plan> = fc.record({
  steps: fc.array(step, { maxLength: 60 }),
  writeQuorum: fc.integer({ min: 1, max: 3 }),
  many: fc.boolean(),
  maxQueued: fc.constantFrom(1, 3, 1000),
  whenFull: fc.constantFrom("block" as const, "reject" as const, "drop-to-resync" as const),
  chances: fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 1, maxLength: 20 }),
});

const contents = Array.from({ length: 20 }, (_, i) => blobOf(`content ${i}`));
const refs = contents.map(refOf);

async function run({ steps, writeQuorum, many, maxQueued, whenFull, chances }: Plan): Promise<void> {
  const clock = new FakeClock();
  const files = new FakeFiles();
  const stores = Array.from({ length: 5 }, (_, i) => new FaultyStore({ many: many && i % 2 === 1 }));
  let turn = 0;
  const chance = () => chances[turn++ % chances.length] ?? 0;
  const open = () =>
    createReplica({
      sync: stores.slice(0, 3).map((store, i) => ({ name: `sync${i}`, store })),
      async: stores.slice(3).map((store, i) => ({ name: `async${i}`, store })),
      writeQuorum,
      queue: { dir: "/queue", files },
      maxQueued,
      whenFull,
      attemptTimeoutMs: 5000,
      clock,
      random: { number: chance, bytes: (count) => new Uint8Array(count) },
    });
  let replica: Replica = await open();
  let life = new AbortController();
  const acknowledged = new Set<Ref>();
  const spoilt = new Set<Ref>();
  const running = new Set<Promise<void>>();

  /** What must be true at every moment. */
  const check = async () => {
    for (const ref of acknowledged) {
      const holding = await Promise.all(stores.slice(0, 3).map((store) => store.holds(ref)));
      expect(holding.filter((held) => held).length).toBeGreaterThanOrEqual(writeQuorum);
    }
    for (const [i, state] of replica.state().async.entries()) {
      const holds = await Promise.all(refs.map((ref) => stores[3 + i]!.holds(ref)));
      const missing = refs.filter((ref, at) => acknowledged.has(ref) && !holds[at]);
      // Whatever is acknowledged and not there is waited for, or is on record as dropped.
      if (!state.needsSync) expect(state.backlog).toBeGreaterThanOrEqual(missing.length);
      if (state.backlog > 0) expect(state.oldest).toBeDefined();
      expect(state.lagMs === 0 || state.backlog > 0).toBe(true);
    }
  };

  const put = (blobs: readonly number[]) => {
    const mine = life;
    const calls =
      blobs.length === 1
        ? replica.put(contents[blobs[0]!]!, { signal: mine.signal }).then((result) => [result])
        : replica.putMany!(
            blobs.map((at) => contents[at]!),
            { signal: mine.signal },
          );
    const settled = calls.then(
      (results) => {
        if (mine !== life) return; // nobody heard it
        for (const result of results)
          if (!("error" in result) || result.error === undefined) acknowledged.add(result.ref);
      },
      () => {},
    );
    running.add(settled);
    void settled.then(() => running.delete(settled));
    return settled;
  };

  for (const each of steps) {
    switch (each.do) {
      case "put": {
        const settled = put([each.blob]);
        if (each.wait) await Promise.race([settled, clock.advance(100)]);
        break;
      }
      case "put many":
        if (each.blobs.length !== 1) put(each.blobs);
        break;
      case "get": {
        const ref = refs[each.blob]!;
        // One that is put while it is asked for may be found, or not.
        const wasThere = acknowledged.has(ref);
        const got = replica.get(ref, { signal: life.signal }).then(
          (bytes) => expect(refOf(bytes)).toBe(ref),
          (error: unknown) => {
            if (!wasThere || !(error instanceof BlobError)) return;
            if (error.code === "not-found") throw new Error(`an acknowledged blob is not found`);
          },
        );
        running.add(got);
        void got.then(
          () => running.delete(got),
          () => {},
        );
        break;
      }
      case "down":
        stores[each.store]!.down();
        stores[each.store]!.release();
        break;
      case "hang":
        stores[each.store]!.hanging.add("put").add("get");
        break;
      case "up":
        stores[each.store]!.up();
        break;
      case "spoil": {
        // One copy of a blob at a time.
        const ref = refs[each.blob]!;
        if (!spoilt.has(ref) && (await stores[each.store]!.holds(ref)))
          stores[each.store]!.lies.set(ref, blobOf("spoilt"));
        spoilt.add(ref);
        break;
      }
      case "wait":
        await clock.advance(each.ms);
        break;
      case "disk":
        if (each.fails)
          files.faults.set(
            each.fails && chance() < 0.5 ? "append" : "sync",
            Object.assign(new Error("no room"), { code: "ENOSPC" }),
          );
        else files.faults.clear();
        break;
      case "restart": {
        const old = replica;
        const dying = life;
        files.faults.clear();
        if (each.how !== "close") {
          life = new AbortController();
          if (each.how === "kill") files.kill();
          else files.powerCut(chance);
        } else {
          for (const store of stores.slice(0, 3)) store.up();
        }
        const closing = old[Symbol.asyncDispose]();
        if (each.how === "close") {
          await clock.advance(10_000);
          await closing;
          life = new AbortController();
        } else {
          dying.abort(new Error("the process has died"));
          await settle();
          await closing;
        }
        replica = await open();
        break;
      }
      default:
    }
    await settle();
    await check();
  }

  // Everything is well again: all of it arrives.
  files.faults.clear();
  for (const store of stores) store.up();
  await clock.advance(120_000);
  await Promise.all(running);
  await check();
  for (const [i, state] of replica.state().async.entries()) {
    expect(state).toMatchObject({ backlog: 0, backlogBytes: 0, lagMs: 0, oldest: undefined });
    if (state.needsSync) continue;
    for (const ref of acknowledged) expect(refOf(await stores[3 + i]!.get(ref))).toBe(ref);
  }
  for (const ref of acknowledged) expect(refOf(await replica.get(ref))).toBe(ref);
  await clock.advance(120_000);
  expect(replica.state().sync.map(({ repairBacklog }) => repairBacklog)).toEqual([0, 0, 0]);
  await replica[Symbol.asyncDispose]();
  expect([clock.timers, ...stores.map((store) => store.running)]).toEqual([0, 0, 0, 0, 0, 0]);
}

describe("a replica over stores that fail, hang and lie, and a process that dies", () => {
  it("loses no acknowledged blob, serves no wrong byte, and says what is missing where", {
    timeout: 120_000,
  }, async () => {
    await fc.assert(fc.asyncProperty(plan, run), { numRuns: 150, interruptAfterTimeLimit: 90_000 });
  });
});
