import { describe, expect, it } from "vitest";
import { BlobError, createReplica, type GetManyResult, memoryStore, type Ref, refOf } from "../src/index.js";
import { absent, blobOf, FakeClock, FakeFiles, FaultyStore, noChance, settle } from "./replica-fakes.js";
import {
  all,
  type Hanging,
  hangingFor,
  hedgeAfterMs,
  oneByOne,
  putAll,
  replicaOver,
  watch,
} from "./replica-hung-support.js";

const refsOf = (results: readonly GetManyResult[] | undefined) => results?.map(({ ref }) => ref).sort();

for (const deaf of [false, true]) {
  describe(`a store whose reads hang${deaf ? ", and that ignores its signal" : ""}`, () => {
    it("does not hold up has, is asked last from then on, and the state tells", async () => {
      const hung = hangingFor(memoryStore(), () => true, { deaf });
      const { replica, clock, events } = await replicaOver([hung.store, memoryStore()]);
      const [ref] = await putAll(replica, 1);
      const there = watch(replica.has!(ref!));
      await clock.advance(hedgeAfterMs - 1);
      expect(there.settled).toBe(false);
      await clock.advance(1);
      expect(there.value).toBe(true);
      expect(hung.asked).toHaveLength(1);
      expect(replica.state().sync[0]).toMatchObject({
        failures: 0,
        slow: 1,
        lastError: undefined,
      });
      // To be slow is no failure.
      expect(events).toEqual([]);
      expect(await replica.has!(ref!)).toBe(true);
      expect(hung.asked).toHaveLength(1);
      expect([hung.running(), clock.timers]).toEqual([deaf ? 1 : 0, 0]);
    });

    it("makes no absent blob a missing one, and keeps nobody waiting for ever", async () => {
      const hung = hangingFor(memoryStore(), () => true, { deaf });
      const { replica, clock, events } = await replicaOver([hung.store, memoryStore()]);
      const reads = () => [
        watch(replica.has!(absent)),
        watch(replica.get(absent)),
        watch(all(replica.stream!(absent))),
      ];
      const many = watch(all(replica.getMany!([absent, absent])));
      const others = reads();
      await clock.advance(130_000);
      for (const { error } of others) {
        expect(error).toMatchObject({ code: "all-failed", failures: [{}, {}] });
        expect((error as BlobError).message).toContain("s0");
      }
      expect(many.value).toMatchObject([
        { ref: absent, error: { code: "all-failed" } },
        { ref: absent, error: { code: "all-failed" } },
      ]);
      expect(events.every(({ event, store }) => event === "sync-failed" && store === "s0")).toBe(true);
      expect(events.length).toBeGreaterThanOrEqual(4);
      expect(clock.timers).toBe(0);
    });

    for (const [how, of] of [
      ["get", (hung: Hanging) => hung.store],
      ["getMany", oneByOne],
    ] as const) {
      it(`gets many from the next, which is asked for what is missing only, where its ${how} hangs midway`, async () => {
        const [a, b] = [memoryStore(), memoryStore()];
        const stuck = new Set<Ref>();
        const hung = hangingFor(a, (ref) => stuck.has(ref), { deaf });
        const next = hangingFor(b, () => false);
        const { replica, clock } = await replicaOver([of(hung), next.store]);
        const refs = await putAll(replica, 40);
        for (const ref of refs.slice(30)) stuck.add(ref);
        const got = watch(all(replica.getMany!([...refs, refs[0]!, refs[39]!])));
        await clock.advance(hedgeAfterMs - 1);
        expect([got.settled, next.asked.length]).toEqual([false, 0]);
        await clock.advance(1);
        expect(refsOf(got.value)).toEqual([...refs, refs[0]!, refs[39]!].sort());
        for (const { ref, blob } of got.value ?? []) expect(refOf(blob!)).toBe(ref);
        expect(new Set(next.asked)).toEqual(stuck);
        expect(next.asked).toHaveLength(10);
        expect(replica.state().sync.map(({ failures, slow }) => [failures, slow])).toEqual([
          [0, 1],
          [0, 0],
        ]);
        const before = hung.asked.length;
        expect(await all(replica.getMany!(refs))).toHaveLength(40);
        expect(hung.asked).toHaveLength(before);
        await settle();
        if (!deaf) expect(hung.running()).toBe(0);
        expect(clock.timers).toBe(0);
      });
    }

    it("is not waited for by a batch that is left, for longer than an attempt may take", async () => {
      const hung = hangingFor(memoryStore(), () => true, { deaf });
      const { replica, clock } = await replicaOver([hung.store]);
      const refs = await putAll(replica, 3);
      const reason = new Error("enough");
      const controller = new AbortController();
      const { signal } = controller;
      const reads = [
        watch(all(replica.getMany!(refs, { signal }))),
        watch(replica.get(refs[0]!, { signal })),
        watch(replica.has!(refs[0]!, { signal })),
        watch(all(replica.stream!(refs[0]!, { signal }))),
      ];
      await clock.advance(120_000);
      expect(reads.map(({ settled }) => settled)).toEqual([false, false, false, false]);
      controller.abort(reason);
      await settle();
      expect(reads.map(({ settled }) => settled)).toEqual(reads.map(() => !deaf));
      await clock.advance(60_000);
      for (const { error } of reads) expect(error).toBe(reason);
      expect(replica.state().sync[0]!.failures).toBe(0);
      expect(clock.timers).toBe(0);
    });

    it("does not stop asynchronous replication, which goes on after a restart with a store that answers", async () => {
      const files = new FakeFiles();
      const clock = new FakeClock();
      const [a, b, far] = [memoryStore(), memoryStore(), new FaultyStore()];
      let hangs = false;
      const hung = hangingFor(a, () => hangs, { deaf });
      const open = () =>
        createReplica({
          sync: [
            { name: "hung", store: hung.store },
            { name: "good", store: hangingFor(b, () => false).store },
          ],
          async: [{ name: "far", store: far }],
          queue: { dir: "/queue", files },
          clock,
          random: noChance,
        });
      far.down();
      const before = await open();
      const refs = await putAll(before, 5);
      await before[Symbol.asyncDispose]();
      far.up();
      hangs = true;
      const replica = await open();
      await clock.advance(1000);
      expect(replica.state().async[0]).toMatchObject({ backlog: 0, failures: 0, lastError: undefined });
      for (const ref of refs) expect(await far.holds(ref)).toBe(true);
      expect(replica.state().sync[0]!.slow).toBeGreaterThan(0);
      expect(replica.state().sync[1]).toMatchObject({ failures: 0, slow: 0 });
    });

    it("is named, and not the asynchronous store, where no other has the blobs", async () => {
      const files = new FakeFiles();
      const clock = new FakeClock();
      const [a, far] = [memoryStore(), new FaultyStore()];
      let hangs = false;
      const open = () =>
        createReplica({
          sync: [{ name: "hung", store: hangingFor(a, () => hangs, { deaf }).store }],
          async: [{ name: "far", store: far }],
          queue: { dir: "/queue", files },
          clock,
          random: noChance,
        });
      far.down();
      const before = await open();
      const [ref] = await putAll(before, 1);
      await before[Symbol.asyncDispose]();
      far.up();
      hangs = true;
      const puts = far.calls.put;
      const replica = await open();
      await clock.advance(200_000);
      expect(replica.state().sync[0]).toMatchObject({ name: "hung", lastError: { store: "hung" } });
      expect(replica.state().sync[0]!.failures).toBeGreaterThan(2);
      const { backlog, lastError } = replica.state().async[0]!;
      expect(backlog).toBe(1);
      expect(String(lastError)).toContain("store hung has not answered a read after 54000 ms");
      expect(String(lastError)).not.toContain("far");
      expect(far.calls.put).toBe(puts);
      hangs = false;
      await clock.advance(100_000);
      expect(replica.state().async[0]!.backlog).toBe(0);
      expect(await far.holds(ref!)).toBe(true);
    });

    it("does not stop the repair of another from a third", async () => {
      const [a, b, c] = [new FaultyStore(), memoryStore(), memoryStore()];
      let hangs = false;
      const hung = hangingFor(b, () => hangs, { deaf });
      const { replica, clock } = await replicaOver([a, hung.store, hangingFor(c, () => false).store]);
      const refs = await putAll(replica, 5);
      for (const ref of refs) await a.inner.delete!(ref);
      a.faults.set("put", new BlobError("full", "no room"));
      for (const ref of refs) await replica.get(ref);
      await clock.advance(1000);
      expect(replica.state().sync[0]).toMatchObject({ repairs: 0, repairBacklog: 5 });
      const asked = hung.asked.length;
      hangs = true;
      a.up();
      await clock.advance(60_000);
      expect(hung.asked.length).toBeGreaterThan(asked);
      for (const ref of refs) expect(await a.holds(ref)).toBe(true);
      expect(replica.state().sync[0]).toMatchObject({ repairs: 5, repairBacklog: 0 });
    });

    it("does not hold up closing for longer than an attempt may take", async () => {
      const hung = hangingFor(memoryStore(), () => true, { deaf });
      const { replica, clock } = await replicaOver([hung.store, memoryStore()]);
      const [ref] = await putAll(replica, 1);
      const got = watch(replica.get(ref!));
      await clock.advance(hedgeAfterMs);
      expect(got.value).toEqual(blobOf("blob 0"));
      const closing = watch(replica[Symbol.asyncDispose]());
      await clock.advance(59_999);
      expect(closing.settled).toBe(!deaf);
      await clock.advance(1);
      expect(closing).toEqual({ settled: true, value: undefined });
      expect(clock.timers).toBe(0);
    });
  });
}
