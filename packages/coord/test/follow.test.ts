import assert from "node:assert/strict";
import fc from "fast-check";
import { afterEach, beforeEach, describe, it } from "vitest";
import { type EmbeddedCoord, openEmbeddedCoord } from "../src/embedded.js";
import { CoordError } from "../src/errors.js";
import { type FollowBatch, follow } from "../src/follow.js";
import type { Coord } from "../src/port.js";
import { FakeClock, settled } from "./support/fake-clock.js";
import { FlakyCoord, unavailable } from "./support/flaky-coord.js";
import { MemoryFileSystem } from "./support/memory-file-system.js";

let clock: FakeClock;
let store: EmbeddedCoord;
let flaky: FlakyCoord;

async function openStore(historyRevisions = 10_000): Promise<EmbeddedCoord> {
  return await openEmbeddedCoord({
    directory: "/store",
    clock,
    fileSystem: new MemoryFileSystem(),
    historyRevisions,
  });
}

beforeEach(async () => {
  clock = new FakeClock();
  store = await openStore();
  flaky = new FlakyCoord(store);
});

afterEach(() => store.close());

const put = (key: string, value = ""): Promise<{ revision: bigint }> =>
  store.txn({ then: [{ type: "put", key, value }] });
const remove = (key: string): Promise<{ revision: bigint }> => store.txn({ then: [{ type: "delete", key }] });

function eventsOf(batch: FollowBatch | undefined): string[] {
  return (batch?.events ?? []).map((event) =>
    event.type === "put"
      ? `put ${event.kv.key}=${new TextDecoder().decode(event.kv.value)}`
      : `delete ${event.key}`,
  );
}

describe("following some keys", () => {
  it("begins with all of them and goes on with one batch per revision", async () => {
    await put("a/1", "x");
    const { revision } = await put("a/2", "y");
    await put("b/1");
    const batches = follow(store, { prefix: "a/" }, { clock });
    const first = (await batches.next()).value;
    assert.deepEqual([first?.snapshot, eventsOf(first)], [true, ["put a/1=x", "put a/2=y"]]);
    assert.equal(first?.revision, revision + 1n);
    await put("b/2");
    const later = await store.txn({
      then: [
        { type: "put", key: "a/3", value: "z" },
        { type: "delete", key: "a/1" },
      ],
    });
    await remove("a/2");
    const second = (await batches.next()).value;
    assert.deepEqual(
      [second?.snapshot, second?.revision, eventsOf(second)],
      [false, later.revision, ["put a/3=z", "delete a/1"]],
    );
    assert.deepEqual(eventsOf((await batches.next()).value), ["delete a/2"]);
    await batches.return?.();
  });

  it("begins with an empty batch when there are none", async () => {
    const batches = follow(store, { prefix: "a/" }, { clock });
    assert.deepEqual((await batches.next()).value, { revision: 1n, snapshot: true, events: [] });
    await batches.return?.();
  });

  it("misses nothing that happens between the snapshot and the watch", async () => {
    const hooked: Coord = { ...flaky.coord, watch: (selector, options) => store.watch(selector, options) };
    hooked.get = async (selector, options) => {
      const result = await store.get(selector, options);
      await put("a/between", "1");
      return result;
    };
    const batches = follow(hooked, { prefix: "a/" }, { clock });
    assert.deepEqual(eventsOf((await batches.next()).value), []);
    assert.deepEqual(eventsOf((await batches.next()).value), ["put a/between=1"]);
    await batches.return?.();
  });

  it("tells only the difference after history was compacted away, and vanished keys as deleted", async () => {
    for (const key of ["a/changed", "a/deleted", "a/same", "a/replaced", "\u{10000}", "\uff5e"])
      await put(key, "1");
    const batches = follow(store, { prefix: "" }, { clock });
    await batches.next();
    await put("a/changed", "2");
    await put("a/changed", "3");
    for (const key of ["a/deleted", "\u{10000}", "\uff5e"]) await remove(key);
    await remove("a/replaced");
    await put("a/replaced", "1");
    await put("a/fleeting");
    await remove("a/fleeting");
    const { revision } = await put("a/new", "1");
    await store.compact(revision);
    const batch = (await batches.next()).value;
    assert.deepEqual(
      [batch?.snapshot, batch?.revision, eventsOf(batch)],
      [
        false,
        revision,
        [
          "delete a/deleted",
          "delete \uff5e",
          "delete \u{10000}",
          "put a/changed=3",
          "put a/new=1",
          "put a/replaced=1",
        ],
      ],
    );
    await put("a/after", "1");
    assert.deepEqual(eventsOf((await batches.next()).value), ["put a/after=1"]);
    await batches.return?.();
  });

  it("tells nothing after a compaction that hid nothing from it", async () => {
    await put("a/1", "1");
    const batches = follow(store, { prefix: "a/" }, { clock });
    await batches.next();
    await put("a/2");
    await remove("a/2");
    for (let index = 0; index < 5; index++) await put("b");
    await store.compact((await put("b")).revision);
    const pending = batches.next();
    await settled();
    await put("a/3", "1");
    assert.deepEqual(eventsOf((await pending).value), ["put a/3=1"]);
    await batches.return?.();
  });

  it("keeps a copy equal to the store, for any changes, compactions and readers' delays", {
    timeout: 60_000,
  }, async () => {
    const anyStep = fc.oneof(
      { weight: 6, arbitrary: fc.tuple(fc.constant("put"), fc.constantFrom("a/1", "a/2", "a/3", "b/1")) },
      { weight: 3, arbitrary: fc.tuple(fc.constant("delete"), fc.constantFrom("a/1", "a/2", "a/3", "b/1")) },
      { weight: 3, arbitrary: fc.tuple(fc.constant("read"), fc.constant("")) },
      { weight: 2, arbitrary: fc.tuple(fc.constant("compact"), fc.constant("")) },
    );
    const property = fc.asyncProperty(fc.array(anyStep, { maxLength: 40 }), async (steps) => {
      const coord = await openEmbeddedCoord({ directory: "/p", clock, fileSystem: new MemoryFileSystem() });
      const batches = follow(coord, { prefix: "a/" }, { clock });
      const copy = new Map<string, string>();
      let revision = 0n;
      const read = async (): Promise<void> => {
        const batch = (await batches.next()).value;
        assert.ok(batch !== undefined && batch.revision > revision);
        revision = batch.revision;
        for (const event of batch.events) {
          if (event.type === "put") copy.set(event.kv.key, new TextDecoder().decode(event.kv.value));
          else
            assert.ok(
              copy.delete(event.key) || batch.events.length > 1,
              "a key was deleted that was never told",
            );
        }
        const { kvs } = await coord.get({ prefix: "a/" }, { revision }).catch(() => ({ kvs: undefined }));
        if (kvs !== undefined)
          assert.deepEqual(
            [...copy].sort(),
            kvs.map((kv) => [kv.key, new TextDecoder().decode(kv.value)]),
          );
      };
      for (const [index, [step, key]] of steps.entries()) {
        if (step === "put") await coord.txn({ then: [{ type: "put", key, value: String(index) }] });
        else if (step === "delete") await coord.txn({ then: [{ type: "delete", key }] });
        else if (step === "compact") await coord.compact((await coord.get({ key: "x" })).revision);
        else if (
          revision === 0n ||
          (await coord.get({ prefix: "a/" })).kvs.some((kv) => kv.modRevision > revision)
        )
          await read();
      }
      const end = (await coord.txn({ then: [{ type: "put", key: "a/end", value: "" }] })).revision;
      while (revision < end) await read();
      await batches.return?.();
      await coord.close();
    });
    await fc.assert(property, { numRuns: 200 });
  });
});

describe("following a store that fails", () => {
  it("tries again, at first after 50 ms, and loses nothing", async () => {
    flaky.trouble.set("clusterId", unavailable);
    const batches = follow(flaky.coord, { prefix: "a/" }, { clock });
    const first = batches.next();
    await settled();
    flaky.trouble.clear();
    await clock.advance(49);
    assert.equal(flaky.count("clusterId"), 1);
    await clock.advance(1);
    assert.equal((await first).value?.snapshot, true);
    const second = batches.next();
    await settled();
    flaky.trouble.set("watch", unavailable);
    await put("a/1", "1");
    assert.deepEqual(eventsOf((await second).value), ["put a/1=1"]);
    const third = batches.next();
    await settled();
    await put("a/2", "1");
    await put("a/3", "1");
    flaky.trouble.clear();
    await clock.advance(50);
    assert.deepEqual(eventsOf((await third).value), ["put a/2=1"]);
    assert.deepEqual(eventsOf((await batches.next()).value), ["put a/3=1"]);
    await batches.return?.();
  });

  it("waits longer each time, up to two seconds", async () => {
    flaky.trouble.set("get", unavailable);
    const batches = follow(flaky.coord, { prefix: "a/" }, { clock });
    const first = batches.next();
    await clock.advance(0);
    const times: number[] = [];
    for (let passedMs = 0, count = 1; times.length < 8; passedMs += 50) {
      if (flaky.count("get") === count) {
        await clock.advance(50);
        continue;
      }
      count = flaky.count("get");
      times.push(passedMs);
      await clock.advance(50);
    }
    const pauses = times.map((time, index) => time - (times[index - 1] ?? 0));
    assert.deepEqual(pauses, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
    flaky.trouble.clear();
    await clock.advance(2000);
    await first;
    await batches.return?.();
  });

  it("waits shortly again once something has worked", async () => {
    flaky.trouble.set("clusterId", unavailable);
    const batches = follow(flaky.coord, { prefix: "a/" }, { clock });
    const first = batches.next();
    await clock.advance(50 + 100 + 200);
    flaky.trouble.clear();
    flaky.trouble.set("watch", unavailable);
    await clock.advance(400);
    await first;
    const second = batches.next();
    await settled();
    flaky.trouble.clear();
    await put("a/1", "1");
    await clock.advance(50);
    assert.deepEqual(eventsOf((await second).value), ["put a/1=1"]);
    await batches.return?.();
  });

  it("takes up a new snapshot when compaction came during the outage", async () => {
    await put("a/1", "1");
    const batches = follow(flaky.coord, { prefix: "a/" }, { clock });
    await batches.next();
    flaky.trouble.set("watch", unavailable);
    const pending = batches.next();
    await settled();
    await remove("a/1");
    await put("a/2", "1");
    await store.compact((await put("a/2", "2")).revision);
    flaky.trouble.clear();
    await clock.advance(50);
    assert.deepEqual(eventsOf((await pending).value), ["delete a/1", "put a/2=2"]);
    await batches.return?.();
  });

  it("throws history-lost, whether the store says so or is seen to be another", async () => {
    const lost = new CoordError("history-lost", "wiped");
    const batches = follow(flaky.coord, { prefix: "a/" }, { clock });
    await batches.next();
    flaky.trouble.set("watch", lost);
    await assert.rejects(batches.next(), (error) => error === lost);
    assert.deepEqual(await batches.next(), { done: true, value: undefined });

    const other = await openStore();
    for (const same of ["clusterId", "get"] as const) {
      flaky.trouble.clear();
      const mixed: Coord = { ...flaky.coord };
      const followed = follow(mixed, { prefix: "a/" }, { clock });
      for (let index = 0; index < 3; index++) await put("a/1");
      await followed.next();
      flaky.trouble.set("watch", new CoordError("compacted", "gone"));
      if (same === "get") mixed.clusterId = () => other.clusterId();
      else mixed.get = (selector, options) => other.get(selector, options);
      await assert.rejects(
        followed.next(),
        (error) => error instanceof CoordError && error.code === "history-lost",
      );
    }
    await other.close();
  });

  it("throws what does not go away", async () => {
    const batches = follow(store, { prefix: "a/" }, { clock });
    await batches.next();
    const pending = batches.next();
    const ended = assert.rejects(pending, (error) => error instanceof CoordError && error.code === "closed");
    await store.close();
    await ended;
  });
});

describe("ending a following", () => {
  it("by its signal rejects with the very reason, whatever is going on", async () => {
    const reason = { why: "enough" };
    for (const trouble of [undefined, "hangs", unavailable] as const) {
      for (const method of ["clusterId", "get", "watch"] as const) {
        flaky.trouble.clear();
        flaky.trouble.set(method, trouble);
        const abort = new AbortController();
        const reading = (async () => {
          for await (const _ of follow(flaky.coord, { prefix: "a/" }, { clock, signal: abort.signal })) {
          }
        })();
        await settled();
        abort.abort(reason);
        await assert.rejects(reading, (error) => error === reason);
      }
    }
    const early = follow(store, { prefix: "a/" }, { clock, signal: AbortSignal.abort(reason) });
    await assert.rejects(early.next(), (error) => error === reason);
    await clock.advance(1000);
    assert.equal(clock.timers, 0);
  });

  it("by leaving the loop ends the watch and leaves no listener at the signal", async () => {
    let watchSignal: AbortSignal | undefined;
    const spied: Coord = {
      ...flaky.coord,
      watch: (selector, options) => {
        watchSignal = options?.signal;
        return store.watch(selector, options);
      },
    };
    const abort = new AbortController();
    let listeners = 0;
    const { signal } = abort;
    const add = signal.addEventListener.bind(signal);
    const drop = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners += 1;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof drop>) => {
      listeners -= 1;
      drop(...args);
    };
    await put("a/1");
    let seen = 0;
    const writing = (async () => {
      while (watchSignal === undefined) await settled();
      await put("a/2");
    })();
    for await (const _ of follow(spied, { prefix: "a/" }, { clock, signal })) if (++seen === 2) break;
    await writing;
    assert.ok(watchSignal?.aborted);
    assert.equal(listeners, 0);
    await clock.advance(1000);
    assert.equal(clock.timers, 0);
  });

  it("by returning while a next waits ends that next", async () => {
    const batches = follow(store, { prefix: "a/" }, { clock });
    await batches.next();
    const waiting = batches.next();
    await settled();
    await batches.return?.();
    assert.deepEqual(await waiting, { done: true, value: undefined });
  });
});
