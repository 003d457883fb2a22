import { describe, expect, it } from "vitest";
import { blobOf, settle } from "./replica-fakes.js";
import { asks, blob, ref, rejected, World } from "./support/delete-world.js";

describe("a delete while an asynchronous store is away", () => {
  it("leaves the blob in the synchronous stores and names the store; the next one deletes it everywhere", async () => {
    const it = new World();
    const replica = await it.open();
    await replica.put(blob);
    await replica.drained();
    it.far[1].down();
    await expect(replica.delete?.(ref)).rejects.toMatchObject({
      code: "unavailable",
      store: "far1",
      failures: [{ store: "far1", error: { code: "unavailable" } }],
    });
    expect((await it.holders())[0]).toBe("xx");
    const listed = [];
    for await (const each of replica.listRefs()) listed.push(each);
    expect(listed).toEqual([ref]);
    it.far[1].up();
    expect(await replica.delete?.(ref)).toBe(true);
    await it.clock.advance(60_000);
    expect(await it.holders()).toEqual(["--", "--"]);
    expect(asks(replica)).toEqual([
      [0, false],
      [0, false],
    ]);
  });

  it("gives the others back what the synchronous stores still have, also after a kill", async () => {
    const it = new World();
    const replica = await it.open();
    await replica.put(blob);
    await replica.drained();
    it.far[1].down();
    it.far[0].faults.set("put", new Error("it is full"));
    await expect(replica.delete?.(ref)).rejects.toMatchObject({ store: "far1" });
    expect(await it.holders()).toEqual(["xx", "-x"]);
    expect(replica.state().async.map(({ backlog, backlogBytes }) => [backlog, backlogBytes])).toEqual([
      [1, blob.length],
      [1, blob.length],
    ]);
    it.files.kill();
    await replica[Symbol.asyncDispose]();
    for (const store of it.far) store.up();
    const after = await it.open();
    await after.drained();
    expect(await it.holders()).toEqual(["xx", "xx"]);
  });

  it("queues nothing of a blob that is nowhere", async () => {
    const it = new World();
    const replica = await it.open();
    it.far[1].down();
    await expect(replica.delete?.(ref)).rejects.toMatchObject({ store: "far1" });
    await it.clock.advance(60_000);
    expect(asks(replica)).toEqual([
      [0, false],
      [0, false],
    ]);
    expect(it.events).toEqual([]);
  });

  it("goes on waiting for the store with what it had not taken yet", async () => {
    const it = new World();
    const replica = await it.open();
    it.far[0].down();
    await replica.put(blob);
    await settle();
    const before = replica.state().async[0];
    await expect(replica.delete?.(ref)).rejects.toMatchObject({ store: "far0" });
    expect(replica.state().async[0]).toMatchObject({ backlog: 1, oldest: ref, lagMs: before?.lagMs });
    it.far[0].up();
    await it.clock.advance(60_000);
    expect(await it.holders()).toEqual(["xx", "xx"]);
  });
});

describe("a delete of what is queued", () => {
  it("takes it from the queue for good, and nobody says that it is lost", async () => {
    const it = new World();
    const replica = await it.open();
    for (const store of it.far) store.faults.set("put", new Error("it is full"));
    await replica.put(blob);
    await settle();
    expect(asks(replica)).toEqual([
      [1, false],
      [1, false],
    ]);
    it.events.length = 0;
    expect(await replica.delete?.(ref)).toBe(true);
    it.files.kill();
    await replica[Symbol.asyncDispose]();
    for (const store of it.far) store.up();
    const after = await it.open();
    await it.clock.advance(60_000);
    expect([await it.holders(), asks(after)]).toEqual([
      ["--", "--"],
      [
        [0, false],
        [0, false],
      ],
    ]);
    expect(it.events).toEqual([]);
  });

  it.each(["failed before", "has waited for its turn"])(
    "is not written by a worker meanwhile, be it what %s; and is again when the delete has failed",
    async (which) => {
      for (const fails of [false, true]) {
        const it = new World();
        const replica = await it.open();
        it.far[0].faults.set("put", new Error("it is full"));
        // Of a store that fails the others wait for their turn.
        if (which === "has waited for its turn") await replica.put(blobOf("another"));
        await settle();
        await replica.put(blob);
        await settle();
        it.far[1].hanging.add("delete");
        const deleting = rejected(replica.delete?.(ref));
        await settle();
        expect(it.far[0].calls.delete).toBe(1);
        it.far[0].faults.clear();
        await it.clock.advance(1000);
        expect(await it.far[0].holds(ref)).toBe(false);
        if (fails) it.far[1].faults.set("delete", new Error("it is away"));
        it.far[1].hanging.clear();
        it.far[1].release();
        expect(await deleting).toEqual(fails ? expect.objectContaining({ store: "far1" }) : "resolved");
        await it.clock.advance(60_000);
        expect([await it.holders(), asks(replica)]).toEqual([
          fails ? ["xx", "xx"] : ["--", "--"],
          [
            [0, false],
            [0, false],
          ],
        ]);
      }
    },
  );

  it("is not written either by a worker that was just reading it", async () => {
    const it = new World();
    const before = await it.open();
    for (const store of it.far) store.faults.set("put", new Error("it is full"));
    await before.put(blob);
    await settle();
    await before[Symbol.asyncDispose]();
    for (const store of it.far) store.up();
    for (const store of it.near) store.hanging.add("get");
    const replica = await it.open();
    await settle();
    const deleting = replica.delete?.(ref);
    await settle();
    const puts = it.far.map(({ calls }) => calls.put);
    for (const store of it.near) store.up();
    expect(await deleting).toBe(true);
    await it.clock.advance(60_000);
    expect(it.far.map(({ calls }) => calls.put)).toEqual(puts);
    expect(await it.holders()).toEqual(["--", "--"]);
  });

  it("waits for a write that is on its way, so that it does not come back", async () => {
    const it = new World();
    const replica = await it.open();
    it.far[0].hanging.add("put");
    await replica.put(blob);
    await settle();
    const deleting = replica.delete?.(ref);
    await settle();
    expect(it.far[0].calls.delete).toBe(0);
    it.far[0].up();
    expect(await deleting).toBe(true);
    await it.clock.advance(60_000);
    expect(await it.holders()).toEqual(["--", "--"]);
  });

  it("ends with its signal while it waits for that, and has changed nothing", async () => {
    const it = new World();
    const replica = await it.open();
    it.far[0].hanging.add("put");
    await replica.put(blob);
    await settle();
    const controller = new AbortController();
    const reason = new Error("enough");
    const deleting = rejected(replica.delete?.(ref, { signal: controller.signal }));
    await settle();
    controller.abort(reason);
    expect(await deleting).toBe(reason);
    it.far[0].up();
    await it.clock.advance(60_000);
    expect(await it.holders()).toEqual(["xx", "xx"]);
    expect(asks(replica)).toEqual([
      [0, false],
      [0, false],
    ]);
  });

  it("fails after a while when a store that hears nothing keeps it waiting, and names that store", async () => {
    const it = new World();
    const replica = await it.open();
    let answer = () => {};
    it.far[0].put = async (given) => {
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
      return await it.far[0].inner.put(given);
    };
    await replica.put(blob);
    await settle();
    let outcome: unknown;
    void rejected(replica.delete?.(ref))?.then((error) => {
      outcome = error;
    });
    await it.clock.advance(4999);
    expect(outcome).toBeUndefined();
    await it.clock.advance(1);
    expect(outcome).toMatchObject({
      code: "unavailable",
      store: "far0",
      message: expect.stringContaining("5000 ms"),
    });
    expect((await it.holders())[0]).toBe("xx");
    answer();
    await it.clock.advance(60_000);
    expect([await it.holders(), asks(replica)[0]]).toEqual([
      ["xx", "xx"],
      [0, false],
    ]);
  });

  it("fails after a while when a store does not end its own deletion", async () => {
    const it = new World();
    const replica = await it.open();
    await replica.put(blob);
    await replica.drained();
    it.far[0].hanging.add("delete");
    let outcome: unknown;
    void rejected(replica.delete?.(ref))?.then((error) => {
      outcome = error;
    });
    await it.clock.advance(5000);
    expect(outcome).toMatchObject({ code: "unavailable", store: "far0" });
    await it.clock.advance(1000);
    expect(await it.holders()).toEqual(["xx", "xx"]);
  });
});

describe("a delete that a synchronous store fails", () => {
  it("has the blob given to all others again", async () => {
    const it = new World();
    const replica = await it.open();
    await replica.put(blob);
    await replica.drained();
    it.near[1].faults.set("delete", new Error("read-only"));
    await expect(replica.delete?.(ref)).rejects.toMatchObject({ code: "unavailable", store: "near1" });
    await it.clock.advance(60_000);
    expect([await it.holders(), asks(replica)]).toEqual([
      ["xx", "xx"],
      [
        [0, false],
        [0, false],
      ],
    ]);
    it.near[1].up();
    expect(await replica.delete?.(ref)).toBe(true);
    await it.clock.advance(60_000);
    expect(await it.holders()).toEqual(["--", "--"]);
  });
});
