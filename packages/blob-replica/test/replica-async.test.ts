import { describe, expect, it } from "vitest";
import type { AsyncReplicaOptions } from "../src/index.js";
import {
  BlobError,
  createReplica,
  type Ref,
  type ReplicaEvent,
  type ReplicaState,
  refOf,
} from "../src/index.js";
import { blobOf, FakeClock, FakeFiles, FaultyStore, noChance, settle } from "./replica-fakes.js";

interface World {
  readonly clock: FakeClock;
  readonly files: FakeFiles;
  readonly near: FaultyStore;
  readonly far: FaultyStore[];
  readonly events: ReplicaEvent[];
}

function world(far = 2, many = false): World {
  return {
    clock: new FakeClock(),
    files: new FakeFiles(),
    near: new FaultyStore(),
    far: Array.from({ length: far }, () => new FaultyStore({ many })),
    events: [],
  };
}

async function open({ clock, files, near, far, events }: World, more: Partial<AsyncReplicaOptions> = {}) {
  return await createReplica({
    sync: [{ name: "near", store: near }],
    async: far.map((store, i) => ({ name: `far${i}`, store })),
    queue: { dir: "/queue", files },
    clock,
    random: noChance,
    onEvent: (event) => events.push(event),
    ...more,
  });
}

const numbered = (i: number) => blobOf(`blob ${i}`);

describe("asynchronous stores", () => {
  it("get what was acknowledged, in the background", async () => {
    const it = world();
    const replica = await open(it);
    const { ref } = await replica.put(numbered(1));
    await replica.drained();
    for (const store of it.far) expect(await store.holds(ref)).toBe(true);
    expect(replica.state().async).toMatchObject([
      { name: "far0", backlog: 0, backlogBytes: 0, lagMs: 0 },
      { name: "far1", backlog: 0 },
    ]);
  });

  it("are tried again for ever, with waits that double up to a limit, one try at a time, and catch up", async () => {
    const it = world();
    const replica = await open(it, { retryMinMs: 100, retryMaxMs: 1600 });
    it.far[0]!.down();
    const tries: number[] = [];
    let before = 0;
    await replica.put(numbered(1));
    await settle();
    for (let ms = 0; ms < 10_000; ms += 10) {
      if (it.far[0]!.calls.put > before) tries.push(ms);
      before = it.far[0]!.calls.put;
      await it.clock.advance(10);
    }
    const waits = tries.slice(1).map((at, i) => at - tries[i]!);
    expect(waits.slice(0, 7)).toEqual([100, 200, 400, 800, 1600, 1600, 1600]);
    for (let i = 2; i <= 50; i++) await replica.put(numbered(i));
    await it.clock.advance(100_000);
    expect(it.far[0]!.mostRunning).toBe(1);
    expect(replica.state().async[0]).toMatchObject({
      backlog: 50,
      lagMs: 110_000,
      oldest: refOf(numbered(1)),
      needsSync: false,
      lastError: { code: "unavailable" },
    });
    expect(replica.state().async[0]!.failures).toBe(it.far[0]!.calls.put);
    expect(replica.state().async[1]).toMatchObject({ backlog: 0, failures: 0, lastError: undefined });
    it.far[0]!.up();
    await it.clock.advance(1600);
    expect(replica.state().async[0]).toMatchObject({
      backlog: 0,
      failures: 0,
      lagMs: 0,
      oldest: undefined,
      lastError: undefined,
    });
    expect(it.events.filter(({ event }) => event === "async-caught-up")).toEqual([
      { event: "async-caught-up", store: "far0" },
    ]);
  });

  it("that fail many writes at once have failed once: the wait is the first", async () => {
    const it = world(1);
    const replica = await open(it);
    it.far[0]!.hanging.add("put");
    for (let i = 0; i < 16; i++) await replica.put(numbered(i));
    await settle();
    expect(it.far[0]!.running).toBe(16);
    it.far[0]!.down();
    it.far[0]!.hanging.clear();
    it.far[0]!.release();
    await settle();
    expect(replica.state().async[0]).toMatchObject({ failures: 16, backlog: 16 });
    it.far[0]!.up();
    await it.clock.advance(100);
    expect(replica.state().async[0]).toMatchObject({ failures: 0, backlog: 0 });
  });

  it("wait with chance, so that many replicas do not come back at once", async () => {
    const it = world(1);
    let chance = 0;
    const replica = await open(it, { random: { ...noChance, number: () => chance }, retryMinMs: 1000 });
    it.far[0]!.down();
    await replica.put(numbered(1));
    await settle();
    await it.clock.advance(499);
    expect(it.far[0]!.calls.put).toBe(1);
    chance = 0.5;
    await it.clock.advance(1);
    expect(it.far[0]!.calls.put).toBe(2);
    await it.clock.advance(1499);
    expect(it.far[0]!.calls.put).toBe(2);
    await it.clock.advance(1);
    expect(it.far[0]!.calls.put).toBe(3);
  });

  it("are not held up by one blob that never gets through", { timeout: 30_000 }, async () => {
    for (const many of [false, true]) {
      const it = world(1, many);
      const replica = await open(it);
      const poison = refOf(numbered(0));
      it.far[0]!.faults.set("put", (ref: Ref) =>
        ref === poison ? new BlobError("refused", "not this one") : undefined,
      );
      await replica.put(numbered(0));
      await settle();
      for (let i = 1; i <= 200; i++) await replica.put(numbered(i));
      await it.clock.advance(100);
      for (let i = 201; i <= 400; i++) await replica.put(numbered(i));
      await it.clock.advance(1000);
      expect(replica.state().async[0]).toMatchObject({
        backlog: 1,
        oldest: poison,
        lastError: { code: "refused" },
      });
      const before = it.far[0]!.calls.put;
      await it.clock.advance(300_000);
      const tries = it.far[0]!.calls.put - before;
      expect(tries).toBeGreaterThan(5);
      expect(tries).toBeLessThan(25);
      it.far[0]!.up();
      await it.clock.advance(30_000);
      expect(replica.state().async[0]).toMatchObject({ backlog: 0, lastError: undefined });
    }
  });

  it("that are back get all that waits at once, however long each blob had to wait", async () => {
    const it = world(1);
    const replica = await open(it);
    it.far[0]!.down();
    for (let i = 0; i < 5; i++) await replica.put(numbered(i));
    await it.clock.advance(600_000);
    it.far[0]!.up();
    for (let ms = 0; ms < 30_000 && replica.state().async[0]!.backlog === 5; ms += 100)
      await it.clock.advance(100);
    expect(replica.state().async[0]!.backlog).toBe(0);
  });

  it("take what is put while one bad blob fails again, without a wait", async () => {
    const it = world(1);
    const replica = await open(it);
    const poison = refOf(numbered(0));
    let tries = 0;
    it.far[0]!.faults.set("put", (ref: Ref) => {
      if (ref !== poison) return undefined;
      tries++;
      return new BlobError("refused", "not this one");
    });
    await replica.put(numbered(0));
    await replica.put(numbered(1));
    await it.clock.advance(1000);
    for (let round = 2; round < 5; round++) {
      const before = tries;
      while (tries === before) await it.clock.advance(50);
      await replica.put(numbered(round));
      await settle();
      expect(await it.far[0]!.holds(refOf(numbered(round)))).toBe(true);
    }
  });

  it("are written to in batches where they take them, and within bounds where they do not", {
    timeout: 30_000,
  }, async () => {
    const batching = world(1, true);
    const first = await open(batching);
    batching.far[0]!.hanging.add("put");
    for (let i = 0; i < 1000; i++) await first.put(numbered(i));
    await settle();
    expect(batching.far[0]!.mostRunning).toBeLessThanOrEqual(4);
    batching.far[0]!.up();
    await first.drained();
    expect(batching.far[0]!.calls.put).toBeLessThan(40);

    const single = world(1);
    const second = await open(single);
    single.far[0]!.hanging.add("put");
    for (let i = 0; i < 100; i++) await second.put(numbered(i));
    await settle();
    expect(single.far[0]!.running).toBe(16);
    single.far[0]!.up();
    await second.drained();
  });

  it("that hang are given up after a while, and tried again", async () => {
    const it = world(1);
    const replica = await open(it, { attemptTimeoutMs: 5000 });
    it.far[0]!.hanging.add("put");
    await replica.put(numbered(1));
    await it.clock.advance(5000);
    expect(it.far[0]!.aborted).toBe(1);
    expect(replica.state().async[0]).toMatchObject({
      failures: 1,
      backlog: 1,
      lastError: { code: "unavailable", store: "far0" },
    });
    it.far[0]!.up();
    await it.clock.advance(1000);
    expect(replica.state().async[0]!.backlog).toBe(0);
  });

  it("are told to sync when a blob is nowhere any more", async () => {
    const it = world(1);
    const replica = await open(it);
    it.far[0]!.down();
    const { ref } = await replica.put(numbered(1));
    await settle();
    await replica[Symbol.asyncDispose]();
    await it.near.inner.delete!(ref);
    it.far[0]!.up();
    const after = await open(it);
    await it.clock.advance(60_000);
    expect(after.state().async[0]).toMatchObject({ backlog: 0, needsSync: true, dropped: 1 });
    expect(it.events.at(-1)).toMatchObject({
      event: "dropped-to-resync",
      store: "far0",
      ref,
      error: { code: "not-found" },
    });
  });

  it("wait for their source when the synchronous stores are away", async () => {
    const it = world(1);
    const replica = await open(it);
    it.far[0]!.down();
    await replica.put(numbered(1));
    await settle();
    await replica[Symbol.asyncDispose]();
    it.far[0]!.up();
    it.near.down();
    const after = await open(it);
    await it.clock.advance(60_000);
    expect(after.state().async[0]).toMatchObject({
      backlog: 1,
      needsSync: false,
      lastError: { code: "all-failed" },
    });
    it.near.up();
    await it.clock.advance(60_000);
    expect(after.state().async[0]!.backlog).toBe(0);
  });

  it("of which one is down for an hour fail no put and no get, and cost little memory", {
    timeout: 60_000,
  }, async () => {
    const it = world(2);
    const replica = await open(it, { queue: { memory: true }, maxQueued: 3600 });
    it.far[0]!.down();
    const refs: Ref[] = [];
    for (let second = 0; second < 3600; second++) {
      const { ref } = await replica.put(numbered(second));
      refs.push(ref);
      expect(refOf(await replica.get(refs[(second * 7919) % refs.length]!))).toBe(
        refs[(second * 7919) % refs.length],
      );
      await it.clock.advance(1000);
    }
    expect(replica.state().async).toMatchObject([{ backlog: 3600, lagMs: 3_600_000 }, { backlog: 0 }]);
    // Tries do not pile up: no more than one every half of the longest wait.
    expect(it.far[0]!.calls.put).toBeLessThan(3600 / 15 + 20);
    expect(it.clock.timers).toBeLessThan(5);
    it.far[0]!.up();
    await it.clock.advance(30_000);
    expect(replica.state().async[0]).toMatchObject({ backlog: 0, needsSync: false });
    for (const ref of refs) expect(await it.far[0]!.holds(ref)).toBe(true);
  });
});

describe("a full queue", () => {
  it("blocks put until there is room, or for its signal", async () => {
    const it = world();
    const replica = await open(it, { maxQueued: 2 });
    it.far[0]!.hanging.add("put");
    await replica.put(numbered(1));
    await replica.put(numbered(2));
    const controller = new AbortController();
    const reason = new Error("enough");
    const aborted = replica.put(numbered(3), { signal: controller.signal });
    let done = false;
    const waiting = replica.put(numbered(4)).then(() => {
      done = true;
    });
    await settle();
    controller.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    expect([done, await it.near.holds(refOf(numbered(3)))]).toEqual([false, false]);
    it.far[0]!.up();
    await waiting;
    await replica.drained();
    expect(await it.far[0]!.holds(refOf(numbered(4)))).toBe(true);
  });

  it("wakes who waits when the replica is closed", { timeout: 30_000 }, async () => {
    const it = world(1);
    const replica = await open(it, { maxQueued: 1 });
    it.far[0]!.hanging.add("put");
    await replica.put(numbered(1));
    const waiting = replica.put(numbered(2));
    waiting.catch(() => {});
    await settle();
    await replica[Symbol.asyncDispose]();
    await expect(waiting).rejects.toMatchObject({ code: "closed" });
  });

  it("rejects before anything is written, when asked to", async () => {
    const it = world();
    const replica = await open(it, { maxQueued: 1, whenFull: "reject" });
    it.far[1]!.hanging.add("put");
    await replica.put(numbered(1));
    await settle();
    await expect(replica.put(numbered(2))).rejects.toMatchObject({ code: "queue-full", store: "far1" });
    expect(await it.near.holds(refOf(numbered(2)))).toBe(false);
    it.far[1]!.up();
    await replica.drained();
    await replica.put(numbered(2));
    await replica.drained();
    expect(await it.far[1]!.holds(refOf(numbered(2)))).toBe(true);
  });

  it("drops to a sync, when asked to, and remembers that over a kill until it is made good", async () => {
    const it = world();
    const options = { maxQueued: 1, whenFull: "drop-to-resync" as const };
    const replica = await open(it, options);
    it.far[0]!.down();
    for (let i = 1; i <= 4; i++) {
      await replica.put(numbered(i));
      await settle();
    }
    expect(replica.state().async).toMatchObject([
      { backlog: 1, needsSync: true, dropped: 3 },
      { backlog: 0, needsSync: false, dropped: 0 },
    ]);
    expect(it.events.filter(({ event }) => event === "dropped-to-resync").map(({ ref }) => ref)).toEqual(
      [2, 3, 4].map((i) => refOf(numbered(i))),
    );
    it.files.kill();
    const after = await open(it, options);
    expect(after.state().async[0]).toMatchObject({ needsSync: true, dropped: 3 });
    // A write that is dropped while the sync runs is not forgotten by its end.
    const before = after.state().async[0]!.dropped;
    await after.put(numbered(5));
    await after.markSynced("far0", { dropped: before });
    expect(after.state().async[0]).toMatchObject({ needsSync: true, dropped: 4 });
    await after.markSynced("far0");
    expect(after.state().async[0]).toMatchObject({ needsSync: false, dropped: 4 });
    await expect(after.markSynced("near")).rejects.toMatchObject({ code: "invalid-argument" });
    await expect(after.markSynced("far0", { dropped: 5 })).rejects.toMatchObject({
      code: "invalid-argument",
    });
    it.files.kill();
    expect((await open(it, options)).state().async[0]).toMatchObject({ needsSync: false, dropped: 4 });
  });
});

describe("strict mode", () => {
  it("fails every call after the first failure of an asynchronous store, and keeps the queue", async () => {
    const it = world();
    const replica = await open(it, { strict: true, maxQueued: 2 });
    const cause = new BlobError("refused", "wrong credentials");
    const { ref } = await replica.put(numbered(1));
    await replica.drained();
    it.far[0]!.faults.set("put", cause);
    it.far[1]!.hanging.add("put");
    await replica.put(numbered(2));
    const draining = replica.drained();
    draining.catch(() => {});
    await settle();
    const failure = {
      code: "failed-strict",
      store: "far0",
      cause,
      failures: [{ store: "far0", error: cause }],
    };
    await expect(draining).rejects.toMatchObject(failure);
    await expect(replica.put(numbered(3))).rejects.toMatchObject(failure);
    await expect(replica.get(ref)).rejects.toMatchObject(failure);
    await expect(replica.has!(ref)).rejects.toMatchObject(failure);
    await expect(replica.drained()).rejects.toMatchObject(failure);
    await expect(
      (async () => {
        for await (const _ of replica.listRefs());
      })(),
    ).rejects.toMatchObject(failure);
    expect(replica.state().async).toMatchObject([{ backlog: 1 }, { backlog: 1 }]);
    await replica[Symbol.asyncDispose]();
    for (const store of it.far) store.up();
    const after = await open(it, { strict: true });
    await after.drained();
    for (const store of it.far) expect(await store.holds(refOf(numbered(2)))).toBe(true);
  });

  it("wakes a put that waits for room", async () => {
    const it = world(1);
    const replica = await open(it, { strict: true, maxQueued: 1 });
    it.far[0]!.hanging.add("put");
    await replica.put(numbered(1));
    const waiting = replica.put(numbered(2));
    waiting.catch(() => {});
    await settle();
    it.far[0]!.faults.set("put", new Error("down"));
    it.far[0]!.release();
    await expect(waiting).rejects.toMatchObject({ code: "failed-strict" });
  });
});

describe("the state of a replica", () => {
  it("comes at once and after changes, the latest only, until the replica is closed", {
    timeout: 30_000,
  }, async () => {
    const it = world(1);
    const replica = await open(it);
    it.far[0]!.hanging.add("put");
    const states = replica.states()[Symbol.asyncIterator]();
    expect((await states.next()).value.async[0].backlog).toBe(0);
    for (let i = 0; i < 100; i++) await replica.put(numbered(i));
    const { value } = (await states.next()) as { value: ReplicaState };
    expect(value.async[0]!.backlog).toBe(100);
    const next = states.next();
    it.far[0]!.up();
    expect((await next).value.version).toBeGreaterThan(value.version);
    await replica.drained();
    await replica[Symbol.asyncDispose]();
    for (;;) if ((await states.next()).done) break;
    expect((await replica.states()[Symbol.asyncIterator]().next()).done).toBe(true);
  });

  it("can be left, and aborted", async () => {
    const replica = await open(world(1));
    for await (const state of replica.states()) {
      expect(state.version).toBeGreaterThan(0);
      break;
    }
    const controller = new AbortController();
    const watching = (async () => {
      for await (const _ of replica.states({ signal: controller.signal }));
    })();
    await settle();
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(watching).rejects.toBe(reason);
  });

  it("drained waits for what was acknowledged before, and not for what comes after", async () => {
    const it = world(1);
    const replica = await open(it);
    it.far[0]!.hanging.add("put");
    await replica.put(numbered(1));
    const late = refOf(numbered(2));
    it.far[0]!.faults.set("put", (ref: Ref) => (ref === late ? new Error("not yet") : undefined));
    const draining = replica.drained();
    await replica.put(numbered(2));
    it.far[0]!.release();
    it.far[0]!.hanging.clear();
    await draining;
    expect(replica.state().async[0]!.backlog).toBe(1);
    const controller = new AbortController();
    const reason = new Error("enough");
    const aborted = replica.drained({ signal: controller.signal });
    await settle();
    controller.abort(reason);
    await expect(aborted).rejects.toBe(reason);
  });

  it("is not shaken by a listener that throws", async () => {
    const it = world(1);
    it.far[0]!.down();
    const replica = await open(it, {
      onEvent: () => {
        throw new Error("mine");
      },
    });
    await replica.put(numbered(1));
    it.far[0]!.up();
    await it.clock.advance(1000);
    await replica.drained();
  });
});

describe("closing a replica", () => {
  it("ends the background work, keeps the queue, and the next one goes on", async () => {
    const it = world(1);
    const replica = await open(it);
    it.far[0]!.hanging.add("put");
    for (let i = 0; i < 20; i++) await replica.put(numbered(i));
    await settle();
    expect(it.far[0]!.running).toBe(16);
    await Promise.all([replica[Symbol.asyncDispose](), replica[Symbol.asyncDispose]()]);
    expect([it.far[0]!.running, it.clock.timers]).toEqual([0, 0]);
    await expect(replica.put(numbered(1))).rejects.toMatchObject({ code: "closed" });
    it.far[0]!.up();
    const after = await open(it);
    expect(after.state().async[0]!.backlog).toBe(20);
    await after.drained();
    expect(it.far[0]!.calls.put).toBe(36);
  });

  it("waits for a put that is under way", async () => {
    const it = world(1);
    const replica = await open(it);
    it.near.hanging.add("put");
    const putting = replica.put(numbered(1));
    await settle();
    let closed = false;
    const closing = replica[Symbol.asyncDispose]().then(() => {
      closed = true;
    });
    await settle();
    expect(closed).toBe(false);
    it.near.up();
    await putting;
    await closing;
    const after = await open(it);
    await after.drained();
    expect(await it.far[0]!.holds(refOf(numbered(1)))).toBe(true);
  });
});
