import { afterEach, describe, expect, it } from "vitest";
import { TopicError, type TopicName } from "../src/protocol.js";
import { type PublishingWorld, publishingWorld } from "./support/publishing-world.js";

const ALL = "0-65535";
const LOW = "0-32767";
/** Hashes 11795 and 41725: below and above the middle. */
const LOW_KEY = "key-1";
const HIGH_KEY = "key-3";
const TIME = 139_000_000_000_000_000n;

let world: PublishingWorld;
afterEach(() => world[Symbol.asyncDispose]());

/** What became of a promise: undefined while it is open. */
function outcome(promise: Promise<unknown>): { code?: string; error?: unknown } {
  const found: { code?: string; error?: unknown } = {};
  promise.then(
    () => {
      found.code = "resolved";
    },
    (error) => {
      found.error = error;
      found.code = error instanceof TopicError ? error.code : String(error);
    },
  );
  return found;
}
const texts = (address: string) => world.newest(address).received.flatMap((batch) => batch.texts);
/** What was said is heard before time goes on. */
async function later(ms: number): Promise<void> {
  await world.settle();
  await world.clock.advance(ms);
}
const body = (key: string, text: string) => ({ key, data: Buffer.from(text), time: 0 });
const publishMany = (bodies: ReturnType<typeof body>[], signal?: AbortSignal) =>
  world.publisher.publish("t" as TopicName, bodies, signal);

describe("a wrong acknowledgement", () => {
  it.each([
    ["too few ids", [{ time: TIME, sequence: 1, count: 1 }]],
    ["too many", [{ time: TIME, sequence: 1, count: 3 }]],
    ["none", []],
  ])("with %s ends the stream, and its messages are sent again", async (_, runs) => {
    world = await publishingWorld({ retry: { deadlineMs: 5_000 } });
    await world.own(ALL, "a:1");
    const ids = [world.publish("a", "1"), world.publish("b", "2")];
    await world.settle();
    const liar = world.newest("a:1");
    liar.reply({ type: "ack", lane: 1, batch: 1, runs });
    await later(1000);
    expect(world.newest("a:1")).not.toBe(liar);
    expect(texts("a:1")).toEqual(["1", "2"]);
    world.newest("a:1").acknowledge(1, 1);
    expect(new Set(await Promise.all(ids)).size).toBe(2);
    await world.publisher.close();
  });

  it("leaves no message without an answer: it fails at its deadline, and closing ends", async () => {
    world = await publishingWorld({ retry: { deadlineMs: 500 } });
    await world.own(ALL, "a:1");
    const both = [world.publish("a", "1"), world.publish("b", "2")].map(outcome);
    await world.settle();
    world
      .newest("a:1")
      .reply({ type: "ack", lane: 1, batch: 1, runs: [{ time: TIME, sequence: 1, count: 1 }] });
    await later(500);
    expect(both.map(({ code }) => code)).toEqual(["unavailable", "unavailable"]);
    await world.publisher.close();
  });
});

describe("behind a message that fails, the later ones of its key that are on their way fail", () => {
  it("when it was tried too often, although they were tried less often", async () => {
    world = await publishingWorld({ retry: { maxAttempts: 2 } });
    await world.own(ALL, "a:1");
    const first = outcome(world.publish("k", "1"));
    await world.settle();
    world.newest("a:1").refuse(1, "overloaded");
    await later(1000);
    const follower = outcome(world.publish("k", "2"));
    const other = outcome(world.publish("other", "3"));
    await world.settle();
    world.newest("a:1").refuse(2, "overloaded");
    await later(1000);
    expect([first.code, follower.code, other.code]).toEqual(["unavailable", "unavailable", undefined]);
    expect(follower.error).toMatchObject({ cause: first.error });
    const newer = outcome(world.publish("k", "4"));
    await world.settle();
    const sent = world.newest("a:1").received.filter(({ lane }) => lane === 3);
    expect(sent.map((batch) => batch.texts)).toEqual([["3"], ["4"]]);
    world.newest("a:1").acknowledge(3, 2);
    await world.settle();
    expect([other.code, newer.code]).toEqual(["resolved", "resolved"]);
  });

  it("when the buffer says that it is wrong", async () => {
    world = await publishingWorld();
    await world.own(ALL, "a:1");
    const wrong = outcome(world.publish("k", "a".repeat(64 * 1024)));
    await world.settle();
    // Waits for company behind so much.
    const follower = outcome(world.publish("k", "2"));
    const other = outcome(world.publish("other", "3"));
    await world.settle();
    world.newest("a:1").refuse(1, "invalid-argument");
    await later(1000);
    expect([wrong.code, follower.code, other.code]).toEqual(["invalid-argument", "unavailable", undefined]);
    expect(world.newest("a:1").received.at(-1)?.texts).toEqual(["3"]);
    world.newest("a:1").acknowledge(2, 1);
    await world.settle();
    expect(other.code).toBe("resolved");
  });

  it("when the caller's signal takes it back, with the reason as the cause", async () => {
    world = await publishingWorld();
    const controller = new AbortController();
    const reason = new Error("enough");
    const earlier = outcome(world.publish("k", "0"));
    const aborted = outcome(world.publish("k", "1", controller.signal));
    const follower = outcome(world.publish("k", "2"));
    const other = outcome(world.publish("other", "3"));
    await world.settle();
    controller.abort(reason);
    await later(100);
    const newer = outcome(world.publish("k", "4"));
    expect(aborted.error).toBe(reason);
    expect(follower.code).toBe("unavailable");
    expect(follower.error).toMatchObject({ cause: reason });
    await world.own(ALL, "a:1");
    expect(texts("a:1")).toEqual(["0", "3", "4"]);
    world.newest("a:1").acknowledge(1, 1);
    await world.settle();
    expect([earlier.code, other.code, newer.code]).toEqual(["resolved", "resolved", "resolved"]);
  });

  it("when it was sent already, is taken back, and all are acknowledged before anything else comes to pass", async () => {
    world = await publishingWorld();
    await world.own(ALL, "a:1");
    const controller = new AbortController();
    const aborted = outcome(world.publish("k", "1", controller.signal));
    const follower = outcome(world.publish("k", "2"));
    await world.settle();
    controller.abort();
    world.newest("a:1").acknowledge(1, 1);
    await world.settle();
    expect(aborted.code).not.toBe("resolved");
    expect(follower.code).toBe("unavailable");
  });

  it("when it is taken back and its lane dies before anything else comes to pass", async () => {
    world = await publishingWorld();
    await world.own(ALL, "a:1");
    const controller = new AbortController();
    outcome(world.publish("k", "1", controller.signal));
    const follower = outcome(world.publish("k", "2"));
    await world.settle();
    controller.abort();
    world.newest("a:1").break();
    await world.settle();
    expect(follower.code).toBe("unavailable");
  });

  it("when its call fails in another range, and so does what is behind those", async () => {
    world = await publishingWorld({ retry: { deadlineMs: 1000 } });
    await world.setFactor(15);
    await world.own(LOW, "a:1");
    const early = outcome(world.publish(HIGH_KEY, "0"));
    await later(500);
    // Behind the one that fails first, in a range without an owner, and half of it in one with an owner.
    const call = outcome(publishMany([body(HIGH_KEY, "1"), body(LOW_KEY, "2")]));
    const behind = outcome(world.publish(LOW_KEY, "3"));
    const other = outcome(world.publish("key-2", "4"));
    await world.settle();
    await later(500);
    expect([early.code, call.code, behind.code, other.code]).toEqual([
      "unavailable",
      "unavailable",
      "unavailable",
      undefined,
    ]);
  });

  it("when it is still with an earlier owner, and they wait for its answer", async () => {
    world = await publishingWorld();
    await world.own(ALL, "a:1");
    const controller = new AbortController();
    outcome(world.publish(LOW_KEY, "1", controller.signal));
    await world.settle();
    await world.setFactor(15);
    await world.own(LOW, "b:1");
    const follower = outcome(world.publish(LOW_KEY, "2"));
    const other = outcome(world.publish("key-2", "3"));
    controller.abort();
    world.newest("a:1").acknowledge(1, 1);
    await world.settle();
    expect(follower.code).toBe("unavailable");
    expect(other.code).toBeUndefined();
    expect(
      world.streams("b:1").flatMap(({ received }) => received.flatMap((batch) => batch.texts)),
    ).not.toContain("2");
  });
});

describe("a stream that the buffer ends with an error", () => {
  it.each(["invalid-argument", "closed", "message-too-large"] as const)(
    "of the code %s is no fault of its messages: they are sent again",
    async (code) => {
      world = await publishingWorld();
      await world.own(ALL, "a:1");
      const id = outcome(world.publish("k", "1"));
      await world.settle();
      world.newest("a:1").break(new TopicError(code, "whatever it is"));
      await later(1000);
      expect(id.code).toBeUndefined();
      expect(texts("a:1")).toEqual(["1"]);
      world.newest("a:1").acknowledge(1, 1);
      await world.settle();
      expect(id.code).toBe("resolved");
    },
  );
});

describe("a change of the topic's ranges", () => {
  it("ends the lanes of ranges in which nothing is on its way, too", async () => {
    world = await publishingWorld();
    await world.own(ALL, "a:1");
    const id = world.publish("k", "1");
    await world.settle();
    world.newest("a:1").acknowledge(1, 1);
    await id;
    await world.setFactor(15);
    world.newest("a:1").refuse(1, "not-owner");
    await world.settle();
    expect(world.events.filter(({ type }) => type === "lane-failed")).toEqual([]);
  });
});
