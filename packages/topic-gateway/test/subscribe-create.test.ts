import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  decodeSubscription,
  rangeSizeKey,
  type SubscriptionName,
  type SubscriptionRecord,
  subscriptionKey,
  TopicError,
} from "../src/protocol.js";
import { createSubscription } from "../src/subscribe/create-subscription.js";
import { type FakeProcess, SubscribeWorld, TOPIC } from "./support/subscribe-world.js";

let world: SubscribeWorld;
let process: FakeProcess;

beforeEach(async () => {
  world = await SubscribeWorld.open();
  process = await world.process();
});

afterEach(async () => {
  await world[Symbol.asyncDispose]();
});

const key = subscriptionKey(TOPIC, "s" as SubscriptionName);

async function stored(): Promise<SubscriptionRecord | undefined> {
  const kv = await world.key(key);
  return kv && decodeSubscription(kv.value);
}

async function failure(promise: Promise<unknown>, advanceMs = 0): Promise<unknown> {
  const result = promise.then(
    () => "no failure",
    (error: unknown) => error,
  );
  await world.settle();
  await world.advance(advanceMs);
  return await result;
}

describe("creating a subscription", () => {
  it("records an earliest one without looking at segments, and writes no bookmark", async () => {
    await world.open("0-65535", "a:1", [], ["k:1"]);
    await createSubscription(process.context, "t", "s");
    expect(await stored()).toEqual({ mode: "earliest", revision: 0n, positions: {}, generation: 1 });
    expect((await world.coord.get({ prefix: "/bookmarks/" })).kvs).toEqual([]);
  });

  it("records a latest one with a revision and what is durable in each open segment", async () => {
    const sealed = await world.open("0-32767", "a:1", [], ["k:1", "k:2"]);
    await world.seal(sealed);
    const left = await world.open("0-32767", "a:1", [sealed], ["k:3", "k:4", "k:5"]);
    const right = await world.open("32768-65535", "b:1");
    const { revision } = await world.coord.get({ key });
    await createSubscription(process.context, "t", "s", { mode: "latest" });
    expect(await stored()).toEqual({
      mode: "latest",
      revision,
      positions: { [left.name]: 3, [right.name]: 0 },
      generation: 1,
    });
  });

  it("waits for an owner that does not answer until somebody took over", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1"]);
    world.buffer("a:1").hangs = true;
    const creating = createSubscription(process.context, "t", "s", { mode: "latest" });
    await world.settle();
    expect(await stored()).toBeUndefined();
    await world.seal(log, "b:1");
    const next = await world.open("0-65535", "b:1", [log], ["k:2"]);
    await world.advance(3000);
    await creating;
    expect((await stored())?.positions).toEqual({ [next.name]: 1 });
  });

  it("gives up with unavailable when an open segment stays without an owner", async () => {
    await world.open("0-65535", undefined, [], ["k:1"]);
    const creating = createSubscription(process.context, "t", "s", { mode: "latest", deadlineMs: 5000 });
    const error = await failure(creating, 6000);
    expect(error).toBeInstanceOf(TopicError);
    expect(error).toMatchObject({ code: "unavailable" });
    expect(await stored()).toBeUndefined();
  });

  it("tells a missing topic from a subscription that is there", async () => {
    expect(await failure(createSubscription(process.context, "u", "s"))).toMatchObject({
      code: "topic-not-found",
    });
    await createSubscription(process.context, "t", "s");
    expect(await failure(createSubscription(process.context, "t", "s"))).toMatchObject({
      code: "subscription-exists",
    });
  });

  it("refuses bad names and modes before anything is read", async () => {
    process.weather = () => "hangs";
    const { context } = process;
    expect(await failure(createSubscription(context, "a/b", "s"))).toMatchObject({
      code: "invalid-topic-name",
    });
    expect(await failure(createSubscription(context, "t", ""))).toMatchObject({
      code: "invalid-subscription-name",
    });
    const mode = "newest" as "latest";
    expect(await failure(createSubscription(context, "t", "s", { mode }))).toMatchObject({
      code: "invalid-argument",
    });
  });

  it("is created once when the answer to its transaction is lost", async () => {
    let calls = 0;
    // The read, then the transaction.
    process.weather = () => (++calls === 2 ? "answer-lost" : "fine");
    const creating = createSubscription(process.context, "t", "s");
    await world.settle();
    await world.advance(1000);
    await creating;
    expect((await world.key(key))?.version).toBe(1n);
  });

  it("is created by one of two who want it at once, and the other hears so", async () => {
    const { context } = await world.process();
    const both = await Promise.all([
      failure(createSubscription(process.context, "t", "s")),
      failure(createSubscription(context, "t", "s")),
    ]);
    expect(both.filter((result) => result === "no failure")).toHaveLength(1);
    expect(both).toContainEqual(expect.objectContaining({ code: "subscription-exists" }));
    expect((await world.key(key))?.version).toBe(1n);
  });

  it("does not take somebody else's for its own when its transaction was not sent", async () => {
    let calls = 0;
    process.weather = () => (++calls === 2 ? "not-sent" : "fine");
    await createSubscription((await world.process()).context, "t", "s", { mode: "latest" });
    const other = await failure(createSubscription(process.context, "t", "s"), 1000);
    expect(other).toMatchObject({ code: "subscription-exists" });
  });

  it("starts anew when the topic was deleted and created again meanwhile", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1"]);
    world.buffer("a:1").hangs = true;
    const creating = createSubscription(process.context, "t", "s", { mode: "latest" });
    await world.settle();
    await world.coord.txn({ then: [{ type: "delete", key: rangeSizeKey(TOPIC) }] });
    const revision = await world.put(rangeSizeKey(TOPIC), "16");
    world.buffer("a:1").hangs = false;
    await world.advance(5000);
    await creating;
    const record = await stored();
    expect(record?.positions).not.toHaveProperty(log.name);
    expect(record?.revision).toBeGreaterThanOrEqual(revision);
  });

  it("rejects with the reason of its signal, and leaves no timer behind", async () => {
    await world.open("0-65535", "a:1");
    world.buffer("a:1").hangs = true;
    const timers = world.clock.timers;
    const stop = new AbortController();
    const creating = failure(
      createSubscription(process.context, "t", "s", { mode: "latest", signal: stop.signal }),
    );
    await world.settle();
    const reason = new Error("enough");
    stop.abort(reason);
    expect(await creating).toBe(reason);
    expect(world.clock.timers).toBe(timers);
  });
});
