import { describe, expect, it } from "vitest";
import { BlobError, type BlobStore, createReplica, type Replica, refOf } from "../src/index.js";
import { blobOf, settle } from "./replica-fakes.js";
import { blob, ref, rejected, World } from "./support/delete-world.js";

const other = blobOf("another blob");
const deposed = {
  name: "BlobError",
  code: "closed",
  message: "another process has taken over the queue in /queue",
};

/** The same stores and the same queue, as another process has them, whose calls reach the asynchronous stores. */
function takeOver(world: World): Promise<Replica> {
  return world.open({ async: world.far.map(({ inner }, i) => ({ name: `far${i}`, store: inner })) });
}

describe("a replica whose queue another process has taken over", () => {
  it.each([
    ["from memory", false],
    ["from a synchronous store", true],
  ])("does not bring back what the other one has deleted, read %s", async (_whence, reopened) => {
    const it = new World();
    for (const store of it.far) store.down();
    let first = await it.open();
    await first.put(blob);
    if (reopened) {
      // What a process has put itself, it has in memory.
      await first[Symbol.asyncDispose]();
      first = await it.open();
    }
    await settle();
    const second = await takeOver(it);
    await second.drained();
    expect(await second.delete?.(ref)).toBe(true);
    it.events.length = 0;
    for (const store of it.far) store.up();
    const before = it.far.map(({ calls }) => calls.put);
    await it.clock.advance(300_000);
    expect(await it.holders()).toEqual(["--", "--"]);
    expect(it.far.map(({ calls }) => calls.put)).toEqual(before);
    expect([first.state().deposed, second.state().deposed]).toEqual([true, false]);
    // Nothing is lost, and the store needs no sync: it is the other one's now.
    expect(it.events).toEqual([]);
    expect(first.state().async).toMatchObject([{ needsSync: false }, { needsSync: false }]);
    expect(it.clock.timers).toBe(0);
  });

  it("stops its writes under way as soon as it finds out, begins no other, and refuses puts before they write anything", async () => {
    const it = new World();
    const first = await it.open();
    const states = first.states()[Symbol.asyncIterator]();
    for (const store of it.far) store.hanging.add("put");
    await first.put(blob);
    await settle();
    expect(it.far.map(({ running }) => running)).toEqual([1, 1]);
    const second = await takeOver(it);
    expect(first.state().deposed).toBe(false);
    expect(await rejected(first.put(other))).toMatchObject(deposed);
    await settle();
    expect(it.far.map(({ running, aborted }) => [running, aborted])).toEqual([
      [0, 1],
      [0, 1],
    ]);
    expect(first.state()).toMatchObject({ deposed: true, async: [{ backlog: 1, failures: 0 }, {}] });
    expect((await states.next()).value).toMatchObject({ deposed: true });
    for (const store of it.far) store.up();
    const before = [...it.near, ...it.far].map(({ calls }) => calls.put);
    expect(await rejected(first.put(blobOf("a third")))).toMatchObject(deposed);
    expect(await first.putMany?.([blobOf("a fourth")])).toMatchObject([{ error: deposed }]);
    await it.clock.advance(300_000);
    expect([...it.near, ...it.far].map(({ calls }) => calls.put)).toEqual(before);
    // It still reads, and the other one does all that is to be done.
    expect(await first.get(ref)).toEqual(blob);
    await second.drained();
    expect(await it.holders()).toEqual(["xx", "xx"]);
  });

  it("tells those that wait: for room, for the stores to catch up, and who calls afterwards", async () => {
    const it = new World();
    const first = await it.open({ maxQueued: 1 });
    for (const store of it.far) store.hanging.add("put");
    await first.put(blob);
    const waiting = [rejected(first.put(other)), rejected(first.drained())];
    await settle();
    await takeOver(it);
    const told = await rejected(first.markSynced("far0"));
    expect(await Promise.all(waiting)).toMatchObject([deposed, deposed]);
    const again = await rejected(first.markSynced("far0"));
    expect([told, again, await rejected(first.drained())]).toMatchObject([deposed, deposed, deposed]);
    // Each has an error of its own.
    expect(again).not.toBe(told);
  });

  it("writes nothing to the queue, also of a store that takes what it was told to stop", async () => {
    const it = new World();
    let take = () => {};
    const deaf: BlobStore = {
      get: () => Promise.reject(new BlobError("not-found", "it has nothing")),
      listRefs: (after) => it.far[0].inner.listRefs(after),
      put: (bytes) =>
        new Promise((resolve) => {
          take = () => resolve({ ref: refOf(bytes), added: true });
        }),
    };
    const first = await it.open({ async: [{ name: "far0", store: deaf }] });
    await first.put(blob);
    await settle();
    const second = await takeOver(it);
    await second.drained();
    await rejected(first.put(other));
    await settle();
    const { appended, syncs } = it.files;
    const names = await it.files.list("/queue");
    take();
    await settle();
    await rejected(first.put(other));
    expect(first.state().async[0]?.backlog).toBe(0);
    await first[Symbol.asyncDispose]();
    expect([it.files.appended, it.files.syncs]).toEqual([appended, syncs]);
    expect(await it.files.list("/queue")).toEqual(names);
  });

  it("deletes nothing, so that what the other one has queued is where its queue says", async () => {
    const it = new World();
    const first = await it.open();
    await first.put(blob);
    await first.drained();
    const second = await takeOver(it);
    expect(await rejected(first.delete?.(ref))).toMatchObject(deposed);
    expect(await it.holders()).toEqual(["xx", "xx"]);
    expect(first.state().deposed).toBe(true);
    expect(await second.delete?.(ref)).toBe(true);
  });

  it("stops a deletion under way when it finds out", async () => {
    const it = new World();
    const first = await it.open();
    await first.put(blob);
    await first.drained();
    it.far[1].hanging.add("delete");
    const deleting = rejected(first.delete?.(ref));
    await settle();
    await takeOver(it);
    await rejected(first.put(other));
    expect(await deleting).toMatchObject(deposed);
    expect(it.far[1].running).toBe(0);
    // The synchronous stores keep it: the other one's deletion, or a sync, finds it.
    expect((await it.holders())[0]).toBe("xx");
  });

  it("goes on when nobody can say whose the queue is", async () => {
    const it = new World();
    it.far[0].down();
    const first = await it.open();
    await first.put(blob);
    await settle();
    const { modifiedMs } = it.files;
    it.files.modifiedMs = () => Promise.reject(Object.assign(new Error("no answer"), { code: "EIO" }));
    it.far[0].up();
    await it.clock.advance(60_000);
    expect([await it.holders(), first.state().deposed]).toEqual([["xx", "xx"], false]);
    it.files.modifiedMs = modifiedMs;
    await first.put(other);
  });

  it("is never one whose queue is in memory, or that has none", async () => {
    const { near, far } = new World();
    const sync = near.map((store, i) => ({ name: `near${i}`, store }));
    await using alone = await createReplica({ sync });
    await using queued = await createReplica({
      sync,
      async: [{ name: "far0", store: far[0] }],
      queue: { memory: true },
    });
    expect([alone.state().deposed, queued.state().deposed]).toEqual([false, false]);
  });
});
