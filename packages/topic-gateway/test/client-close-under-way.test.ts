import { getEventListeners } from "node:events";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { TopicClient } from "../src/client.js";
import { ClosingWorld, drain } from "./support/closing-world.js";
import { outcome } from "./support/outcome.js";

let made: ClosingWorld;
let client: TopicClient;

beforeEach(async () => {
  made = await ClosingWorld.open();
  client = made.client;
});
afterEach(() => made[Symbol.asyncDispose]());

describe("a client that was closed", () => {
  const late: Record<string, () => Promise<unknown>> = {
    publish: () => client.publish("t", { key: "k", data: "a" }),
    publishMany: () => client.publishMany("t", [{ key: "k", data: "a" }]),
    "publishMany of nothing": () => client.publishMany("t", []),
    get: () => client.get("t", "k"),
    getMany: () => drain(client.getMany("t", ["k"])),
    "getMany of nothing": () => drain(client.getMany("t", [])),
    describe: () => client.describe("t"),
    createSubscription: () => client.createSubscription("t", "new"),
    "createSubscription at the newest": () => client.createSubscription("t", "new", { mode: "latest" }),
    subscribe: () => client.subscribe("t", "s", { consumer: "c" }),
    tail: () => drain(client.tail("t")),
    "tail from the beginning": () => drain(client.tail("t", { from: "earliest" })),
    "topics.add": () => client.topics.add("u"),
  };

  it.each(Object.keys(late))("refuses %s at once, and asks nobody", async (name) => {
    await client.close();
    await made.settle();
    const asked = made.asked.length;
    const found = outcome((late[name] as () => Promise<unknown>)());
    await made.settle();
    expect(found.is).toBe("closed");
    expect(made.asked.slice(asked)).toEqual([]);
    await made.expectQuiet();
  });

  it.each(Object.keys(late))("refuses %s while it waits for what was published", async (name) => {
    const id = outcome(client.publish("t", { key: "k", data: "a" }));
    await made.settle();
    const closing = outcome(client.close());
    const asked = made.asked.length;
    const found = outcome((late[name] as () => Promise<unknown>)());
    await made.settle();
    expect(found.is).toBe("closed");
    expect(made.asked.slice(asked)).toEqual([]);
    expect([id.is, closing.is]).toEqual([undefined, undefined]);
    made.stream.acknowledge(1, 1);
    await made.settle();
    expect([id.is, closing.is]).toEqual(["resolved", "resolved"]);
    await made.expectQuiet();
  });

  it("still says what it knew last", async () => {
    await client.close();
    expect(client.topics.list().map(({ name }) => name)).toEqual(["t"]);
    expect(client.topics.get("t").rangeSizeFactor).toBe(16);
    expect(client.listSubscriptions("t")).toEqual(["s"]);
    expect(client.listBuffers()).toEqual([]);
    expect(client.consumers).toBe(0);
    expect(client.failure).toMatchObject({ code: "closed" });
    expect(await client.ended).toBe(client.failure);
  });
});

/** Each hangs at what is held up. */
const underWay: Record<string, { readonly hold: () => void; readonly start: () => Promise<unknown> }> = {
  get: {
    hold: () => made.buffers.holding.set("getMany", "hangs"),
    start: () => client.get("t", "k"),
  },
  getMany: {
    hold: () => made.buffers.holding.set("getMany", "hangs"),
    start: () => drain(client.getMany("t", ["k", "l"])),
  },
  "getMany from the archive": {
    hold: () => made.archive.holding.set("archive", "hangs"),
    start: async () => {
      await made.world.seal(made.log);
      await made.world.archive(made.log);
      await drain(client.getMany("t", ["k"]));
    },
  },
  describe: {
    hold: () => made.buffers.holding.set("describe", "hangs"),
    start: () => client.describe("t", { timeoutMs: 1_000_000 }),
  },
  createSubscription: {
    hold: () => made.store.holding.set("*", "hangs"),
    start: () => client.createSubscription("t", "new"),
  },
  "createSubscription at the newest": {
    hold: () => made.buffers.holding.set("describe", "hangs"),
    start: () => client.createSubscription("t", "new", { mode: "latest" }),
  },
  "topics.add": {
    hold: () => made.store.holding.set("txn", "hangs"),
    start: () => client.topics.add("u"),
  },
  "subscribe, for a session": {
    hold: () => made.store.holding.set("grantLease", "hangs"),
    start: () => client.subscribe("t", "s", { consumer: "c" }),
  },
  "subscribe, for its record": {
    hold: () => made.store.holding.set("txn", "hangs"),
    start: () => client.subscribe("t", "s", { consumer: "c" }),
  },
  "tail, for its start": {
    hold: () => made.buffers.holding.set("describe", "hangs"),
    start: () => drain(client.tail("t")),
  },
  "tail, for messages": {
    hold: () => {},
    start: () => drain(client.tail("t")),
  },
  "tail, for the archive": {
    hold: () => made.archive.holding.set("archive", "hangs"),
    start: async () => {
      await made.world.seal(made.log);
      await made.world.archive(made.log);
      await drain(client.tail("t", { from: "earliest" }));
    },
  },
};

describe("what is under way when a client is closed", () => {
  it.each(Object.keys(underWay))("%s ends with it", async (name) => {
    const { hold, start } = underWay[name] as (typeof underWay)[string];
    hold();
    const found = outcome(start());
    await made.settle();
    expect(found.is).toBeUndefined();
    const closing = outcome(client.close());
    await made.settle();
    expect([found.is, closing.is]).toEqual(["closed", "resolved"]);
    await made.expectQuiet();
    const topic = client.topics.list().map(({ name }) => name);
    expect([topic, client.listSubscriptions("t")]).toEqual([["t"], ["s"]]);
    expect((await made.world.coord.get({ prefix: "/x/consumers/" })).kvs).toEqual([]);
  });

  it.each(Object.keys(underWay).filter((name) => /describe|Subscription|add|subscribe/.test(name)))(
    "%s ends also when nobody takes notice of that, and close does not wait if it is hurried",
    async (name) => {
      const { start } = underWay[name] as (typeof underWay)[string];
      const held = [made.store, made.buffers];
      for (const line of held) line.holding.set("*", "deaf");
      const found = outcome(start());
      await made.settle();
      const closing = outcome(client.close());
      await made.settle();
      expect([found.is, closing.is]).toEqual(["closed", undefined]);
      const hurried = outcome(client.close({ signal: AbortSignal.abort() }));
      await made.settle();
      expect([closing.is, hurried.is]).toEqual(["resolved", "resolved"]);
      for (const line of held) line.letGo();
      await made.settle();
      await made.expectQuiet();
    },
  );

  it("does not outlive a publish that is closed in the same turn", async () => {
    const id = outcome(client.publish("t", { key: "k", data: "a" }));
    const closing = outcome(client.close({ signal: AbortSignal.abort() }));
    await made.settle();
    expect([id.is, closing.is]).toEqual(["closed", "resolved"]);
    await made.expectQuiet();
  });

  it("fails with the caller's reason when that came first, and leaves nothing with his signal", async () => {
    made.buffers.holding.set("*", "hangs");
    const controller = new AbortController();
    const { signal } = controller;
    const calls = [
      client.get("t", "k", { signal }),
      client.describe("t", { signal }),
      client.createSubscription("t", "new", { mode: "latest", signal }),
      drain(client.tail("t", { signal })),
    ];
    const reasons = Promise.all(calls.map((call) => call.catch((error: unknown) => error)));
    await made.settle();
    const reason = new Error("enough");
    controller.abort(reason);
    const closing = client.close();
    expect(await reasons).toEqual(calls.map(() => reason));
    await closing;
    expect(getEventListeners(signal, "abort")).toEqual([]);
    await made.expectQuiet();
  });
});
