import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BlobError, type BlobStore, type GetManyResult, memoryStore, type Ref, refOf } from "../src/index.js";
import { Latencies } from "../src/replica/latency.js";
import { readMany } from "../src/replica/many.js";
import { blobOf, FaultyStore, settle } from "./replica-fakes.js";
import {
  all,
  CountingClock,
  hangingFor,
  hedgeAfterMs,
  never,
  oneByOne,
  putAll,
  replicaOver,
  watch,
} from "./replica-hung-support.js";

const blobs = Array.from({ length: 10 }, (_, i) => blobOf(`blob ${i}`));
const refs = blobs.map(refOf);
const kinds = ["whole", "late", "missing", "damaged", "down", "hung"] as const;
const refsOf = (results: readonly GetManyResult[] | undefined) => results?.map(({ ref }) => ref).sort();
type Kind = (typeof kinds)[number];

function storeOf(answers: readonly Kind[], ordered: boolean, deaf: boolean, clock: CountingClock): BlobStore {
  const inner = memoryStore();
  const answer = (ref: Ref) => answers[refs.indexOf(ref)] ?? "missing";
  const faulty: BlobStore = {
    ...inner,
    async get(ref) {
      const kind = answer(ref);
      if (kind === "missing") throw new BlobError("not-found", "none");
      if (kind === "down") throw new BlobError("unavailable", "down");
      if (kind === "late") await new Promise<void>((resolve) => clock.setTimer(170, resolve));
      return kind === "damaged" ? blobOf("another") : blobs[refs.indexOf(ref)]!.slice();
    },
    put: async () => {
      throw new BlobError("refused", "read-only");
    },
    listRefs: (after, options) => inner.listRefs(after, options),
  };
  const hanging = hangingFor(faulty, (ref) => answer(ref) === "hung", { deaf });
  return ordered ? oneByOne(hanging) : hanging.store;
}

describe("getting many from stores that do as they like", () => {
  it("answers for each ref as often as it was asked for, with its content where a store gives it", {
    timeout: 60_000,
  }, async () => {
    const store = fc.record({
      answers: fc.array(fc.constantFrom(...kinds), { minLength: 10, maxLength: 10 }),
      ordered: fc.boolean(),
      deaf: fc.boolean(),
    });
    const asked = fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 20 });
    const last = fc.array(fc.constantFrom<Kind>("missing", "whole", "down"), {
      minLength: 10,
      maxLength: 10,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(store, { minLength: 1, maxLength: 3 }),
        last,
        asked,
        async (drawn, ending, numbers) => {
          const clock = new CountingClock();
          const stores = [...drawn, { answers: ending, ordered: false, deaf: false }];
          const { replica } = await replicaOver(
            stores.map(({ answers, ordered, deaf }) => storeOf(answers, ordered, deaf, clock)),
            clock,
          );
          const wanted = numbers.map((number) => refs[number]!);
          const got = watch(all(replica.getMany!(wanted)));
          await clock.advance(400_000);
          expect(got.value?.map(({ ref }) => ref).sort()).toEqual([...wanted].sort());
          for (const { ref, blob, error } of got.value ?? []) {
            const i = refs.indexOf(ref);
            const answers = stores.map((each) => each.answers[i]!);
            if (blob) {
              expect(blob).toEqual(blobs[i]);
              continue;
            }
            // In its order a store may not come to what it has, after something that hangs.
            const sure = stores.some(
              ({ answers: its, ordered }) =>
                (its[i] === "whole" || its[i] === "late") && !(ordered && its.includes("hung")),
            );
            expect(sure).toBe(false);
            const nowhere = answers.every((kind) => kind === "missing");
            if ((error as BlobError).code === "not-found") expect(nowhere).toBe(true);
            else expect(error).toMatchObject({ code: "all-failed" });
            expect((error as BlobError).failures.map(({ store: name }) => name).sort()).toEqual(
              stores.map((_, number) => `s${number}`),
            );
          }
          const closing = watch(replica[Symbol.asyncDispose]());
          await clock.advance(60_000);
          expect([closing.settled, clock.timers]).toEqual([true, 0]);
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe("a read that hurries nobody", () => {
  it("sets one timer at most where the stores answer at once, and asks one store", async () => {
    const [a, b] = [hangingFor(memoryStore(), () => false), hangingFor(memoryStore(), () => false)];
    const { replica, clock } = await replicaOver([oneByOne(a), oneByOne(b)]);
    const refs = await putAll(replica, 200);
    for (const read of [
      () => all(replica.getMany!(refs)),
      () => replica.get(refs[0]!),
      () => replica.has!(refs[0]!),
      () => all(replica.stream!(refs[0]!)),
    ]) {
      clock.set = 0;
      await read();
      expect(clock.set).toBeLessThanOrEqual(1);
    }
    expect(clock.timers).toBe(0);
    expect(Math.min(a.asked.length, b.asked.length)).toBe(0);
    expect(replica.state().sync.map(({ failures }) => failures)).toEqual([0, 0]);
  });

  it("lets a store end that has given everything, and stops one that then does not", async () => {
    for (const ends of [true, false]) {
      const inner = memoryStore();
      let aborted: boolean | undefined;
      const store: BlobStore = {
        ...hangingFor(inner, () => false).store,
        async *getMany(asked, options) {
          try {
            for (const ref of asked) yield { ref, blob: await inner.get(ref) };
            if (!ends) await never(options?.signal, false);
          } finally {
            aborted = options?.signal?.aborted;
          }
        },
      };
      const { replica, clock } = await replicaOver([store, memoryStore()]);
      const refs = await putAll(replica, 3);
      const got = watch(all(replica.getMany!(refs)));
      await clock.advance(hedgeAfterMs);
      expect(refsOf(got.value)).toEqual([...refs].sort());
      await settle();
      expect(aborted).toBe(!ends);
      expect(replica.state().sync[0]!.failures).toBe(0);
    }
  });

  it("lets a store go on that is slow and steady", async () => {
    const clock = new CountingClock();
    const inner = memoryStore();
    const slow = hangingFor(inner, () => false);
    const wait = () => new Promise<void>((resolve) => clock.setTimer(40, resolve));
    const steady = oneByOne({
      ...slow,
      store: {
        ...slow.store,
        get: async (ref, options) => {
          await wait();
          return await slow.store.get(ref, options);
        },
      },
    });
    const other = hangingFor(memoryStore(), () => false);
    const { replica } = await replicaOver([steady, other.store], clock);
    const refs = await putAll(replica, 20);
    const got = watch(all(replica.getMany!(refs)));
    await clock.advance(1000);
    expect(refsOf(got.value)).toEqual([...refs].sort());
    expect(other.asked).toEqual([]);
  });

  it("goes to a third at once where the second has no more either and the first is silent", async () => {
    const [a, b, c] = [memoryStore(), memoryStore(), memoryStore()];
    const stuck = hangingFor(a, () => true);
    const { replica, clock } = await replicaOver([
      stuck.store,
      hangingFor(b, () => false).store,
      hangingFor(c, () => false).store,
    ]);
    const refs = await putAll(replica, 5);
    for (const ref of refs.slice(2)) await b.delete!(ref);
    const got = watch(all(replica.getMany!(refs)));
    await clock.advance(hedgeAfterMs);
    expect(refsOf(got.value)).toEqual([...refs].sort());
    await settle();
    expect(await b.has!(refs[4]!)).toBe(true);
  });

  it("does not take the caller's time for the store's", async () => {
    const other = hangingFor(memoryStore(), () => false);
    const { replica, clock } = await replicaOver([
      oneByOne(hangingFor(memoryStore(), () => false)),
      other.store,
    ]);
    const refs = await putAll(replica, 3);
    let count = 0;
    for await (const { error } of replica.getMany!(refs)) {
      expect(error).toBeUndefined();
      await clock.advance(10_000);
      count++;
    }
    expect(count).toBe(3);
    expect(other.asked).toEqual([]);
  });

  it("asks nobody else when its time is over, and tells who was asked and who was not", async () => {
    const clock = new CountingClock();
    const [stuck, other] = [hangingFor(memoryStore(), () => true), hangingFor(memoryStore(), () => false)];
    const got = watch(
      all(
        readMany(
          refs.slice(0, 2),
          {},
          {
            stores: [
              { name: "s0", store: stuck.store },
              { name: "s1", store: other.store },
            ],
            order: [0, 1],
            clock,
            latencies: new Latencies(2),
            hedgeAfterMs,
            limitMs: 1000,
            allInMs: hedgeAfterMs - 10,
            onFailure: () => {},
            onSuccess: () => {},
            onSlow: () => {},
            onDamage: () => {},
            onLoser: () => {},
          },
        ),
      ),
    );
    await clock.advance(hedgeAfterMs);
    const failures = [
      { store: "s0", error: { message: "store s0 has not answered a read after 40 ms" } },
      { store: "s1", error: { message: "there was no time left to ask store s1" } },
    ];
    const error = { code: "all-failed", failures };
    expect(got.value).toMatchObject(refs.slice(0, 2).map((ref) => ({ ref, error })));
    expect([other.asked, stuck.running(), clock.timers]).toEqual([[], 0, 0]);
  });

  it("says unavailable, and not that nobody has it, where one is silent and one lacks it", async () => {
    const error = new BlobError("unavailable", "down");
    const hung = hangingFor(memoryStore(), () => true);
    const down = new FaultyStore();
    const { replica, clock } = await replicaOver([hung.store, down]);
    const refs = await putAll(replica, 2);
    down.faults.set("get", (ref: Ref) => (ref === refs[0] ? error : new BlobError("not-found", "none")));
    const got = watch(all(replica.getMany!(refs)));
    await clock.advance(130_000);
    expect(got.value?.map(({ error: each }) => (each as BlobError).code)).toEqual([
      "all-failed",
      "all-failed",
    ]);
  });
});
