import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type BookmarkRecord,
  bookmarkKey,
  bookmarkLeaseKey,
  decodeBookmark,
  encodeSubscription,
  rangeSizeKey,
  type SubscriptionName,
  subscriptionKey,
} from "../src/protocol.js";
import { type Consumer, type ConsumerOptions, openConsumer } from "../src/subscribe/consumer.js";
import { type FakeLog, type FakeProcess, SubscribeWorld, TOPIC, textOf } from "./support/subscribe-world.js";

let world: SubscribeWorld;
const consumers: Consumer[] = [];
const S = "s" as SubscriptionName;

beforeEach(async () => {
  world = await SubscribeWorld.open();
  await world.subscribed();
});

afterEach(async () => {
  for (const consumer of consumers.splice(0)) {
    const closing = consumer.close();
    await world.advance(60_000);
    await closing;
  }
  await world[Symbol.asyncDispose]();
});

async function join(process: FakeProcess, options: Partial<ConsumerOptions> = {}): Promise<Consumer> {
  const opening = openConsumer(process.context, "t", "s", { consumer: "c", ...options });
  await world.settle();
  const consumer = await opening;
  consumers.push(consumer);
  await world.settle();
  return consumer;
}

async function take(consumer: Consumer, maxMessages = 1000): Promise<string[]> {
  await world.settle();
  return (await consumer.pull({ maxMessages, waitMs: 0 })).map(textOf);
}

/** Takes and acknowledges everything, until nothing comes any more. */
async function drain(consumer: Consumer): Promise<string[]> {
  const texts: string[] = [];
  for (let quiet = 0; quiet < 5; quiet++) {
    await world.advance(20);
    const messages = await consumer.pull({ maxMessages: 1000, waitMs: 0 });
    if (messages.length > 0) quiet = 0;
    texts.push(...messages.map(textOf));
    for (const message of messages) void message.acknowledge();
  }
  return texts;
}

async function bookmark(log: FakeLog): Promise<BookmarkRecord | undefined> {
  const kv = await world.key(bookmarkKey(S, log.id));
  return kv && decodeBookmark(kv.value);
}

async function holderOf(log: FakeLog): Promise<string | undefined> {
  const kv = await world.key(bookmarkLeaseKey(S, log.id));
  return kv && Buffer.from(kv.value).toString();
}

async function outcome(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => "done",
    (error: { code?: unknown }) => error.code ?? error,
  );
}

describe("a consumer", () => {
  it("delivers the messages of a segment in order, and new ones as they come", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1", "k:2"]);
    const consumer = await join(await world.process());
    expect(await take(consumer)).toEqual(["k:1", "k:2"]);
    const waiting = consumer.pull({ maxMessages: 10, waitMs: 1000 });
    await world.settle();
    log.append("k:3");
    expect((await waiting).map(textOf)).toEqual(["k:3"]);
  });

  it("gives a message's parts as they were published", async () => {
    const log = await world.open("0-65535", "a:1", [], ["a:1", "b:2"]);
    const consumer = await join(await world.process());
    const [, message] = await consumer.pull({ maxMessages: 10, waitMs: 0 });
    expect(message).toMatchObject({
      key: "b",
      headers: {},
      timeMs: 1_700_000_000_000,
      segment: log.name,
      sequence: 2,
      idParts: { time: log.lastTime, sequence: 2, rangeFrom: 0 },
    });
    expect(message?.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-80[0-9a-f]{2}-[0-9a-f]{12}$/);
  });

  it("starts a latest subscription behind what was there", async () => {
    const before = await world.open("0-32767", "a:1", [], ["k:1"]);
    await world.seal(before);
    const log = await world.open("0-32767", "a:1", [before], ["k:2", "k:3"]);
    const { revision } = await world.coord.get({ prefix: "/segments/" });
    const record = { mode: "latest", revision, positions: { [log.name]: 1 }, generation: 1 } as const;
    await world.put(subscriptionKey(TOPIC, S), encodeSubscription(record));
    await world.open("32768-65535", "a:1", [], ["j:1"]);
    const consumer = await join(await world.process());
    expect((await drain(consumer)).sort()).toEqual(["j:1", "k:3"]);
    expect(await bookmark(before)).toBeUndefined();
  });

  it("reads a successor only when all its predecessors are finished", async () => {
    const left = await world.open("0-32767", "a:1", [], ["k:1"]);
    const right = await world.open("32768-65535", "a:1", [], ["m:1"]);
    await world.seal(left);
    await world.seal(right);
    const merged = await world.open("0-65535", "b:1", [left, right], ["k:2", "m:2"]);
    await world.seal(merged);
    // One without messages is in between: finished at once.
    const empty = await world.open("0-65535", "b:1", [merged]);
    await world.seal(empty, "c:1");
    const last = await world.open("0-65535", "c:1", [empty], ["k:3"]);

    const consumer = await join(await world.process());
    const messages = await consumer.pull({ maxMessages: 10, waitMs: 0 });
    expect(messages.map(textOf).sort()).toEqual(["k:1", "m:1"]);
    await messages[0]?.acknowledge();
    await world.advance(100);
    expect(await take(consumer)).toEqual([]);
    await messages[1]?.acknowledge();
    expect(await drain(consumer)).toEqual(["k:2", "m:2", "k:3"]);
    for (const log of [left, right, merged, empty]) {
      expect(await bookmark(log)).toMatchObject({ sequence: log.lastSequence, finished: true });
      expect(await holderOf(log)).toBeUndefined();
    }
    expect(await bookmark(last)).toMatchObject({ sequence: 1, finished: false, time: last.lastTime });
  });

  it("follows a segment over its takeover to the messages of its successor", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1"]);
    const consumer = await join(await world.process());
    expect(await drain(consumer)).toEqual(["k:1"]);
    world.buffer("a:1").fail();
    log.append("k:2");
    await world.advance(500);
    await world.seal(log, "b:1");
    await world.open("0-65535", "b:1", [log], ["k:3"]);
    expect(await drain(consumer)).toEqual(["k:2", "k:3"]);
  });

  it("does not take a segment with a damaged record for a deleted one", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1"]);
    await world.seal(log, null);
    const next = await world.open("0-65535", "a:1", [log], ["k:2"]);
    await world.put(`/segments/t/${log.name}`, "{damaged");
    const consumer = await join(await world.process());
    expect(await drain(consumer)).toEqual([]);
    expect(await holderOf(next)).toBeUndefined();
  });

  it("takes from its segments in turns", async () => {
    await world.open("0-32767", "a:1", [], ["k:1", "k:2", "k:3"]);
    await world.open("32768-65535", "a:1", [], ["m:1", "m:2", "m:3"]);
    const consumer = await join(await world.process());
    const texts = await take(consumer, 4);
    expect(texts.slice().sort()).toEqual(["k:1", "k:2", "m:1", "m:2"]);
  });

  it("reads no further ahead than its limit", async () => {
    const log = await world.open("0-65535", "a:1");
    log.append(...Array.from({ length: 1000 }, (_, i) => `k:${i}`));
    const buffer = world.buffer("a:1");
    let shown = 0;
    buffer.chunkMessages = 10;
    buffer.misbehave = (chunk) => {
      shown += chunk.count;
      return chunk;
    };
    const consumer = await join(await world.process(), { prefetchBytes: 2000 });
    await world.settle();
    expect(shown).toBeLessThan(60);
    const texts: string[] = [];
    for (let i = 0; i < 1000 && texts.length < 1000; i++) texts.push(...(await take(consumer, 7)));
    expect(texts).toEqual(Array.from({ length: 1000 }, (_, i) => `k:${i}`));
  });

  it("stops a pull at its limit of bytes, but never before the first message", async () => {
    const log = await world.open("0-65535", "a:1");
    log.append(...Array.from({ length: 10 }, (_, i) => `k:${"x".repeat(100)}${i}`));
    const consumer = await join(await world.process());
    await world.settle();
    expect(await consumer.pull({ maxMessages: 10, maxBytes: 1, waitMs: 0 })).toHaveLength(1);
    expect(await consumer.pull({ maxMessages: 10, maxBytes: 250, waitMs: 0 })).toHaveLength(3);
  });

  it("answers a pull with nothing when its time is over, and rejects it with its signal's reason", async () => {
    await world.open("0-65535", "a:1");
    const consumer = await join(await world.process());
    const waiting = consumer.pull({ maxMessages: 1, waitMs: 500 });
    await world.advance(500);
    expect(await waiting).toEqual([]);
    const stop = new AbortController();
    const reason = new Error("enough");
    const stopped = outcome(consumer.pull({ maxMessages: 1, waitMs: 500, signal: stop.signal }));
    stop.abort(reason);
    expect(await stopped).toBe(reason);
  });

  it("can be iterated, goes on where the loop was left, and ends the loop by closing", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1", "k:2", "k:3"]);
    const consumer = await join(await world.process());
    const texts: string[] = [];
    for await (const message of consumer) {
      texts.push(textOf(message));
      if (texts.length === 2) break;
    }
    const ended = (async () => {
      for await (const message of consumer) texts.push(textOf(message));
      return "ended";
    })();
    await world.settle();
    log.append("k:4");
    await world.settle();
    expect(texts).toEqual(["k:1", "k:2", "k:3", "k:4"]);
    const closing = consumer.close();
    await world.advance(1000);
    await closing;
    expect(await ended).toBe("ended");
  });

  it("refuses to be opened on what does not exist, or with nonsense", async () => {
    const { context } = await world.process();
    const open = (topic: string, name: string, options: Partial<ConsumerOptions> = {}): Promise<unknown> =>
      outcome(openConsumer(context, topic, name, { consumer: "c", ...options }));
    expect(await open("u", "s")).toBe("topic-not-found");
    expect(await open("t", "u")).toBe("subscription-not-found");
    expect(await open("t/", "s")).toBe("invalid-topic-name");
    expect(await open("t", "s", { consumer: "" })).toBe("invalid-consumer-name");
    expect(await open("t", "s", { sessionTtlMs: 0 })).toBe("invalid-argument");
    await world.settle();
    expect((await world.coord.get({ prefix: "/x/" })).kvs).toEqual([]);
  });

  it("fails when its subscription or its topic is deleted", async () => {
    const consumer = await join(await world.process());
    const waiting = outcome(consumer.pull({ maxMessages: 1, waitMs: 60_000 }));
    await world.coord.txn({ then: [{ type: "delete", key: subscriptionKey(TOPIC, S) }] });
    await world.advance(10);
    expect(await waiting).toBe("subscription-not-found");
    await world.subscribed();
    const other = await join(await world.process());
    await world.coord.txn({ then: [{ type: "delete", key: rangeSizeKey(TOPIC) }] });
    await world.advance(10);
    expect(await outcome(other.pull({ maxMessages: 1, waitMs: 0 }))).toBe("topic-not-found");
  });
});

describe("acknowledging", () => {
  it("resolves when the commit is durable, and covers everything before", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1", "k:2", "k:3"]);
    const consumer = await join(await world.process());
    const messages = await consumer.pull({ maxMessages: 10, waitMs: 0 });
    await consumer.acknowledge(messages[1]?.ack as string);
    expect(await bookmark(log)).toMatchObject({ sequence: 2, finished: false });
    // Before what is committed: fine, and changes nothing.
    await messages[0]?.acknowledge();
    expect(await bookmark(log)).toMatchObject({ sequence: 2 });
    await consumer.acknowledgeId(messages[2]?.idParts as never);
    expect(await bookmark(log)).toMatchObject({ sequence: 3, time: log.lastTime });
  });

  it("writes few commits for many acknowledgements, and one at once for a lone one", async () => {
    const log = await world.open("0-65535", "a:1");
    log.append(...Array.from({ length: 500 }, (_, i) => `k:${i}`));
    const consumer = await join(await world.process());
    const messages = await consumer.pull({ maxMessages: 500, waitMs: 0 });
    const version = async (): Promise<bigint> => (await world.key(bookmarkKey(S, log.id)))?.version ?? 0n;
    expect(await version()).toBe(1n);
    await messages[0]?.acknowledge();
    expect(await version()).toBe(2n);
    const done = messages.slice(1, 400).map((message) => message.acknowledge());
    await Promise.all(done);
    expect(await version()).toBe(3n);
    // While one is on its way the next ones wait for their turn.
    const first = messages[400]?.acknowledge();
    await undefined;
    await undefined;
    const later = messages.slice(401).map((message) => message.acknowledge());
    await first;
    await world.settle();
    expect(await version()).toBe(4n);
    await world.advance(100);
    await Promise.all(later);
    expect(await version()).toBe(5n);
  });

  it("refuses tokens that are nonsense, of another session, or ahead of what was delivered", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1", "k:2"]);
    const consumer = await join(await world.process());
    const [message] = await consumer.pull({ maxMessages: 1, waitMs: 0 });
    const ack = message?.ack as string;
    const parts = ack.split(".");
    const withPart = (index: number, value: string): string => parts.with(index, value).join(".");
    for (const bad of [
      "",
      "x",
      "1.2.3",
      `${ack} `,
      withPart(3, "0"),
      withPart(3, "-1"),
      withPart(3, "1e9"),
    ]) {
      expect(await outcome(consumer.acknowledge(bad))).toBe("invalid-ack");
    }
    expect(await outcome(consumer.acknowledge(undefined as never))).toBe("invalid-ack");
    expect(await outcome(consumer.acknowledge(withPart(0, "999")))).toBe("invalid-ack");
    expect(await outcome(consumer.acknowledge(withPart(3, "2")))).toBe("invalid-ack");
    expect(await outcome(consumer.acknowledge(withPart(1, "1")))).toBe("lease-lost");
    expect(await outcome(consumer.acknowledge(withPart(2, "1_0-65535")))).toBe("lease-lost");
    const id = message?.idParts as NonNullable<typeof message>["idParts"];
    expect(await outcome(consumer.acknowledgeId({ ...id, sequence: 2 }))).toBe("invalid-ack");
    expect(await outcome(consumer.acknowledgeId({ ...id, time: id.time + 1n }))).toBe("invalid-ack");
    expect(await outcome(consumer.acknowledgeId({ ...id, rangeFrom: 1 }))).toBe("lease-lost");
    await world.advance(100);
    expect(await bookmark(log)).toMatchObject({ sequence: 0 });
    expect(await outcome(consumer.acknowledge(ack))).toBe("done");
  });

  it("of many commits none when one is bad, and all others when the segment of one is not held any more", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1", "k:2"]);
    const consumer = await join(await world.process());
    const messages = await consumer.pull({ maxMessages: 10, waitMs: 0 });
    const [first, second] = messages.map(({ ack }) => ack) as [string, string];
    const lost = first.split(".").with(1, "1").join(".");
    expect(await outcome(consumer.acknowledgeAll([second, "hello"]))).toBe("invalid-ack");
    expect(await outcome(consumer.acknowledgeAll([second, lost, second.replace(/\d+$/, "3")]))).toBe(
      "invalid-ack",
    );
    await world.advance(100);
    expect(await bookmark(log)).toMatchObject({ sequence: 0 });
    expect(await outcome(consumer.acknowledgeAll([lost, first, second]))).toBe("lease-lost");
    expect(await bookmark(log)).toMatchObject({ sequence: 2 });
    expect(await outcome(consumer.acknowledgeAll([]))).toBe("done");
  });

  it("still answers rightly for a segment that is finished", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1", "k:2"]);
    await world.seal(log);
    const consumer = await join(await world.process());
    const messages = await consumer.pull({ maxMessages: 10, waitMs: 0 });
    await messages[1]?.acknowledge();
    expect(await bookmark(log)).toMatchObject({ finished: true });
    await world.advance(100);
    expect(await outcome(consumer.acknowledge(messages[0]?.ack as string))).toBe("done");
    expect(await outcome(consumer.acknowledgeId(messages[1]?.idParts as never))).toBe("done");
  });

  it("commits nothing after its lease was lost, and drops the segment", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1", "k:2"]);
    const process = await world.process();
    const consumer = await join(process);
    const messages = await consumer.pull({ maxMessages: 1, waitMs: 0 });
    // Somebody else's lease, in one step: what a partitioned holder finds when it is back.
    const key = bookmarkLeaseKey(S, log.id);
    await world.coord.txn({ then: [{ type: "delete", key }] });
    await world.put(key, "4711");
    expect(await outcome(messages[0]?.acknowledge() as Promise<void>)).toBe("lease-lost");
    expect(await bookmark(log)).toMatchObject({ sequence: 0 });
    await world.advance(100);
    expect(await take(consumer)).toEqual([]);
    expect(consumer.segments()).toEqual([]);
    expect(process.events).toContainEqual({
      type: "segment-lost",
      topic: "t",
      subscription: "s",
      segment: log.name,
    });
    await world.coord.txn({ then: [{ type: "delete", key }] });
    await world.advance(100);
    expect(await take(consumer)).toEqual(["k:1", "k:2"]);
  });

  it.each(["answer-lost", "not-sent"] as const)(
    "goes on when a commit meets the weather %s",
    async (weather) => {
      const log = await world.open("0-65535", "a:1", [], ["k:1", "k:2", "k:3"]);
      const process = await world.process();
      const consumer = await join(process);
      const messages = await consumer.pull({ maxMessages: 3, waitMs: 0 });
      let calls = 0;
      process.weather = () => (++calls === 1 ? weather : "fine");
      const first = messages[0]?.acknowledge() as Promise<void>;
      await world.settle();
      await world.advance(200);
      await first;
      await messages[1]?.acknowledge();
      expect(await bookmark(log)).toMatchObject({ sequence: 2 });

      // The same for the last commit, which gives the lease back.
      calls = 0;
      await world.seal(log);
      const last = messages[2]?.acknowledge() as Promise<void>;
      await world.settle();
      await world.advance(200);
      expect(await outcome(last)).toBe("done");
      expect(await bookmark(log)).toMatchObject({ sequence: 3, finished: true });
      expect(process.events.map((event) => event.type)).toEqual(["segment-acquired", "segment-finished"]);
    },
  );

  it("takes a segment once when the answer to its lease is lost", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1"]);
    const process = await world.process();
    let calls = 0;
    // Granting, entering, leasing.
    process.weather = () => (++calls === 3 ? "answer-lost" : "fine");
    const consumer = await join(process);
    await world.advance(200);
    expect(await drain(consumer)).toEqual(["k:1"]);
    expect((await world.key(bookmarkLeaseKey(S, log.id)))?.version).toBe(1n);
    expect(await bookmark(log)).toMatchObject({ sequence: 1 });
  });

  it("starts anew in a new generation, and refuses acknowledgements of the old one", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1", "k:2", "k:3"]);
    const consumer = await join(await world.process());
    const messages = await consumer.pull({ maxMessages: 3, waitMs: 0 });
    await messages[1]?.acknowledge();
    const record = { mode: "earliest", revision: 0n, positions: { [log.name]: 1 }, generation: 2 } as const;
    await world.put(subscriptionKey(TOPIC, S), encodeSubscription(record));
    expect(await outcome(messages[2]?.acknowledge() as Promise<void>)).toBe("lease-lost");
    expect(await drain(consumer)).toEqual(["k:2", "k:3"]);
    expect(await bookmark(log)).toMatchObject({ sequence: 3, generation: 2 });
  });
});

describe("several consumers", () => {
  async function open(count: number): Promise<FakeLog[]> {
    const size = 65536 / count;
    const logs: FakeLog[] = [];
    for (let i = 0; i < count; i++) {
      logs.push(await world.open(`${i * size}-${(i + 1) * size - 1}`, "a:1", [], [`k${i}:1`, `k${i}:2`]));
    }
    return logs;
  }

  async function shares(): Promise<number[]> {
    const { kvs } = await world.coord.get({ prefix: "/bookmark_leases/" });
    const bySession = new Map<string, number>();
    for (const { value } of kvs) {
      const session = Buffer.from(value).toString();
      bySession.set(session, (bySession.get(session) ?? 0) + 1);
    }
    return [...bySession.values()].sort();
  }

  it("share the segments when one joins, and one has all again when the other leaves", async () => {
    await open(8);
    const first = await join(await world.process());
    expect(await shares()).toEqual([8]);
    const second = await join(await world.process());
    await world.advance(100);
    expect(await shares()).toEqual([4, 4]);
    const closing = first.close();
    await world.advance(100);
    await closing;
    expect(await shares()).toEqual([8]);
    expect(second.segments()).toHaveLength(8);
  });

  it("let what was delivered of a segment that moves be acknowledged first, for a while", async () => {
    await open(2);
    const first = await join(await world.process(), { drainMs: 2000 });
    const messages = await first.pull({ maxMessages: 100, waitMs: 0 });
    expect(messages).toHaveLength(4);
    const second = await join(await world.process());
    await world.advance(1000);
    expect(second.segments()).toHaveLength(0);
    for (const message of messages) void message.acknowledge();
    await world.advance(100);
    expect(second.segments()).toHaveLength(1);
    expect(await drain(second)).toEqual([]);
  });

  it("move a segment anyway when its messages stay unacknowledged", async () => {
    await open(2);
    const first = await join(await world.process(), { drainMs: 2000 });
    const messages = await first.pull({ maxMessages: 100, waitMs: 0 });
    const second = await join(await world.process());
    await world.advance(2100);
    const [moved] = second.segments();
    expect(moved).toBeDefined();
    const late = messages.find((message) => message.segment === moved?.segment);
    expect(await outcome(late?.acknowledge() as Promise<void>)).toBe("lease-lost");
    expect(await outcome(first.acknowledge(late?.ack as string))).toBe("lease-lost");
    expect(await drain(second)).toHaveLength(2);
  });

  it("hand the segments of a crashed one over when its lease is over, from what it committed", async () => {
    const [log] = await open(1);
    const dying = await world.process();
    const first = await join(dying);
    const messages = await first.pull({ maxMessages: 100, waitMs: 0 });
    await messages[0]?.acknowledge();
    dying.weather = () => "hangs";
    const second = await join(await world.process());
    await world.advance(5_000);
    expect(await take(second)).toEqual([]);
    await world.advance(6_000);
    expect(await take(second)).toEqual(["k0:2"]);
    expect(await holderOf(log as FakeLog)).toBe(second.session);
    expect(await outcome(first.acknowledge(messages[1]?.ack as string))).toBe("lease-lost");
    expect(await take(first)).toEqual([]);
  });

  it("deliver nothing after their deadline, even in a process that was stopped and has run no timer yet", async () => {
    await open(1);
    const consumer = await join(await world.process());
    await world.settle();
    world.clock.stall(9_500);
    expect(await consumer.pull({ maxMessages: 10, waitMs: 0 })).toEqual([]);
    const stopped = consumer[Symbol.asyncIterator]().next();
    const session = consumer.session;
    await world.advance(2_000);
    // With a new session it goes on.
    expect(consumer.session).not.toBe(session);
    expect((await stopped).value && textOf((await stopped).value)).toBe("k0:1");
  });

  it("go on with a new session when theirs is lost, and know the old one's acknowledgements", async () => {
    const [log] = await open(1);
    const process = await world.process();
    const consumer = await join(process);
    const [message] = await consumer.pull({ maxMessages: 1, waitMs: 0 });
    const { session } = consumer;
    await world.coord.revokeLease(BigInt(session));
    await world.advance(10_000);
    expect(consumer.session).not.toBe(session);
    expect(await holderOf(log as FakeLog)).toBe(consumer.session);
    expect(await outcome(consumer.acknowledge(message?.ack as string))).toBe("lease-lost");
    expect(await drain(consumer)).toEqual(["k0:1", "k0:2"]);
  });

  it("lose their segments when they fall silent, and get their share again when they pull", async () => {
    await open(2);
    const silent = await join(await world.process(), { ackDeadlineMs: 30_000, drainMs: 0 });
    const busy = await join(await world.process(), { ackDeadlineMs: Number.POSITIVE_INFINITY });
    await world.advance(100);
    expect(await shares()).toEqual([1, 1]);
    const [message] = await silent.pull({ maxMessages: 1, waitMs: 0 });
    await world.advance(29_000);
    expect(await shares()).toEqual([1, 1]);
    await world.advance(2_000);
    expect(busy.segments()).toHaveLength(2);
    expect(await outcome(message?.acknowledge() as Promise<void>)).toBe("lease-lost");
    const seen = await drain(busy);
    expect(seen.sort()).toEqual(["k0:1", "k0:2", "k1:1", "k1:2"]);
    await take(silent);
    await world.advance(3_000);
    expect(await shares()).toEqual([1, 1]);
  });

  it("are not silent while they wait for messages or acknowledge", async () => {
    await open(1);
    const consumer = await join(await world.process(), { ackDeadlineMs: 30_000 });
    const messages = await consumer.pull({ maxMessages: 100, waitMs: 0 });
    await world.advance(20_000);
    void messages[0]?.acknowledge();
    await world.advance(20_000);
    expect(consumer.segments()).toHaveLength(1);
    const waiting = consumer.pull({ maxMessages: 1, waitMs: 100_000 });
    await world.advance(100_000);
    await waiting;
    expect(consumer.segments()).toHaveLength(1);
  });

  it("commit what was acknowledged when they are closed, and refuse afterwards", async () => {
    const [log] = await open(1);
    const consumer = await join(await world.process());
    const messages = await consumer.pull({ maxMessages: 100, waitMs: 0 });
    const done = messages[0]?.acknowledge();
    const closing = consumer.close();
    await world.advance(100);
    await closing;
    await done;
    expect(await bookmark(log as FakeLog)).toMatchObject({ sequence: 1 });
    expect((await world.coord.get({ prefix: "/x/consumers/" })).kvs).toEqual([]);
    expect((await world.coord.get({ prefix: "/bookmark_leases/" })).kvs).toEqual([]);
    expect(await outcome(consumer.pull({ maxMessages: 1, waitMs: 0 }))).toBe("closed");
    expect(await outcome(consumer.acknowledge(messages[1]?.ack as string))).toBe("closed");
    expect(await outcome(messages[1]?.acknowledge() as Promise<void>)).toBe("lease-lost");
  });

  it("wait for a view that lags behind, instead of taking what it does not know yet for missing", async () => {
    await open(1);
    const process = await world.process();
    await world.settle();
    let lags = true;
    // The watch is held up, calls are not.
    process.watchWeather = () => (lags ? "hangs" : "fine");
    const late = "late" as SubscriptionName;
    await world.subscribed("late");
    const opening = openConsumer(process.context, "t", late, { consumer: "c" });
    await world.advance(1_000);
    const consumer = await opening;
    consumers.push(consumer);
    await world.advance(3_000);
    expect(await take(consumer)).toEqual([]);
    lags = false;
    await world.advance(100);
    expect(await take(consumer)).toEqual(["k0:1", "k0:2"]);
  });

  it("give back what was on its way to them when they fell silent", async () => {
    const [log] = await open(1);
    const process = await world.process();
    let calls = 0;
    // Granting, entering, leasing: of its lease the view knows nothing for a while.
    process.weather = () => {
      calls += 1;
      if (calls === 3) process.watchWeather = () => "hangs";
      return "fine";
    };
    const consumer = await join(process, { ackDeadlineMs: 500 });
    const other = await join(await world.process());
    expect(consumer.segments()).toHaveLength(1);
    await world.advance(600);
    process.watchWeather = () => "fine";
    await world.advance(500);
    expect(consumer.segments()).toEqual([]);
    expect(await holderOf(log as FakeLog)).toBe(other.session);
  });

  it("hold many segments without a warning about listeners", async () => {
    const warnings: string[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning.message);
    globalThis.process.on("warning", onWarning);
    await open(64);
    const process = await world.process();
    process.weather = () => "fine";
    const consumer = await join(process);
    await world.advance(100);
    expect(consumer.segments()).toHaveLength(64);
    const messages = await consumer.pull({ maxMessages: 1000, waitMs: 0 });
    await Promise.all(messages.map((message) => message.acknowledge()));
    await world.settle();
    globalThis.process.off("warning", onWarning);
    expect(warnings).toEqual([]);
  });

  it("give back a lease of theirs that they know nothing of", async () => {
    const [log] = await open(1);
    const process = await world.process();
    const consumer = await join(process);
    await drain(consumer);
    await world.seal(log as FakeLog);
    await world.advance(100);
    // A late effect of a transaction that was given up on.
    const next = await world.open("0-65535", "a:1", [log as FakeLog], ["k:3"]);
    await world.advance(100);
    const third = await world.open("0-65535", undefined, [next]);
    const key = bookmarkLeaseKey(S, third.id);
    await world.coord.txn({
      then: [{ type: "put", key, value: consumer.session, lease: BigInt(consumer.session) }],
    });
    await world.advance(100);
    expect(await holderOf(third)).toBeUndefined();
  });
});
