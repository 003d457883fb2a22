import { type ServiceError, status } from "@grpc/grpc-js";
import { CoordError } from "@x/coord";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Consumer, type TopicClient, TopicService } from "../src/client.js";
import { gatewayHandlers } from "../src/grpc/gateway-server.js";
import { type SubscriptionName, subscriptionKey } from "../src/protocol.js";
import { ClosingWorld } from "./support/closing-world.js";
import { outcome } from "./support/outcome.js";
import { TOPIC, textOf } from "./support/subscribe-world.js";

let made: ClosingWorld;
let client: TopicClient;

beforeEach(async () => {
  made = await ClosingWorld.open();
  client = made.client;
});
afterEach(() => made[Symbol.asyncDispose]());

async function opened(opening: Promise<Consumer>): Promise<Consumer> {
  await made.settle();
  const consumer = await opening;
  await made.settle();
  return consumer;
}

async function consumerRecords(): Promise<string[]> {
  return (await made.world.coord.get({ prefix: "/x/consumers/" })).kvs.map(({ key }) => key);
}

describe("the consumers of a client that is closed", () => {
  it("are closed with it, also one that is opened meanwhile", async () => {
    await opened(client.subscribe("t", "s", { consumer: "first" }));
    made.store.holding.set("grantLease", "deaf");
    const second = outcome(client.subscribe("t", "s", { consumer: "second" }));
    await made.settle();
    expect([client.consumers, made.leases.size]).toEqual([1, 1]);
    const closing = outcome(client.close());
    await made.settle();
    expect([second.is, closing.is]).toEqual(["closed", undefined]);
    // The store has an answer after all: another session that nobody needs.
    made.store.letGo();
    await made.settle();
    expect([closing.is, client.consumers, made.leases.size, made.timers]).toEqual(["resolved", 0, 0, 0]);
    expect(await consumerRecords()).toEqual([]);
  });

  it("hold nobody up who hurries: the session of one under way ends by its time", async () => {
    made.store.holding.set("txn", "hangs");
    const opening = outcome(client.subscribe("t", "s", { consumer: "c", sessionTtlMs: 10_000 }));
    await made.settle();
    expect(made.leases.size).toBe(1);
    made.store.holding.set("*", "hangs");
    const closing = outcome(client.close());
    await made.settle();
    expect([opening.is, closing.is]).toEqual(["closed", undefined]);
    const hurried = outcome(client.close({ signal: AbortSignal.abort() }));
    await made.settle();
    expect([closing.is, hurried.is, client.consumers]).toEqual(["resolved", "resolved", 0]);
    const asked = made.asked.length;
    await made.world.advance(11_000);
    expect({ timers: made.timers, asked: made.asked.slice(asked) }).toEqual({ timers: 0, asked: [] });
    const [lease] = made.leases;
    await expect(made.world.coord.keepAlive(lease as bigint)).rejects.toMatchObject({
      code: "lease-not-found",
    });
  });

  it("that were open when it was hurried give up when their sessions end", async () => {
    await opened(client.subscribe("t", "s", { consumer: "c", sessionTtlMs: 10_000 }));
    made.store.holding.set("*", "hangs");
    const closing = outcome(client.close({ signal: AbortSignal.abort() }));
    await made.settle();
    expect(closing.is).toBe("resolved");
    await made.world.advance(21_000);
    expect([client.consumers, made.timers, made.openConnections]).toEqual([0, 0, 0]);
  });

  it("go on until what was published is answered", async () => {
    const consumer = await opened(client.subscribe("t", "s", { consumer: "c", commitIntervalMs: 0 }));
    const id = outcome(client.publish("t", { key: "k", data: "a" }));
    await made.settle();
    const closing = outcome(client.close());
    const messages = await consumer.pull({ maxMessages: 10, waitMs: 0 });
    expect(messages.map(textOf)).toEqual(["k:1", "k:2"]);
    const done = outcome(consumer.acknowledge(messages[1]?.ack as string));
    const waiting = outcome(consumer.pull({ maxMessages: 10, waitMs: Number.POSITIVE_INFINITY }));
    await made.settle();
    expect([done.is, waiting.is, closing.is]).toEqual(["resolved", undefined, undefined]);
    made.stream.acknowledge(1, 1);
    await made.settle();
    expect([id.is, waiting.is, closing.is]).toEqual(["resolved", "resolved", "resolved"]);
    expect(await consumerRecords()).toEqual([]);
  });
});

describe("a consumer that ends while it is being opened", () => {
  it("is refused with what ended it, and neither counted nor watched over", async () => {
    const { coord } = made.world;
    const { timers } = made;
    // Known to be gone before the consumer knows that it has joined.
    made.store.after = async (method) => {
      if (method !== "txn") return;
      made.store.after = undefined;
      await coord.txn({ then: [{ type: "delete", key: subscriptionKey(TOPIC, "s" as SubscriptionName) }] });
      await made.settle();
    };
    const opening = outcome(client.subscribe("t", "s", { consumer: "c" }));
    await made.settle();
    await made.settle();
    expect([opening.is, client.consumers, made.leases.size]).toEqual(["subscription-not-found", 0, 0]);
    expect(made.timers).toBe(timers);
  });

  it.each(["before it has joined", "while it waits for the view to show that"])(
    "is refused with what ended the view of the records, %s",
    async (when) => {
      let fail: (error: unknown) => void = () => {};
      made.watchHeld = new Promise((_, reject) => {
        fail = reject;
      });
      if (when.startsWith("before")) made.store.holding.set("txn", "hangs");
      const opening = client.subscribe("t", "s", { consumer: "c" });
      const opened = outcome(opening);
      await made.world.put("/x/something", "happens");
      await made.settle();
      expect(opened.is).toBeUndefined();
      // So that nothing delays its end.
      made.store.holding.set("revokeLease", "refuses");
      const failure = new CoordError("history-lost", "another store");
      fail(failure);
      await made.settle();
      expect(opened.is).toBe(String(failure));
      await expect(opening).rejects.toBe(failure);
      expect([client.failure, client.consumers, made.timers]).toEqual([failure, 0, 0]);
    },
  );
});

describe("a view of topics alone that was closed", () => {
  it("refuses to add one, also under way, and asks nobody", async () => {
    const { coord } = made;
    const opening = TopicService.open({ coord });
    await made.settle();
    const topics = await opening;
    made.store.holding.set("txn", "deaf");
    const adding = outcome(topics.add("u"));
    await made.settle();
    const closing = [outcome(topics[Symbol.asyncDispose]()), outcome(topics[Symbol.asyncDispose]())];
    await made.settle();
    expect([adding, ...closing].map(({ is }) => is)).toEqual(["closed", undefined, undefined]);
    made.store.letGo();
    await made.settle();
    expect(closing.map(({ is }) => is)).toEqual(["resolved", "resolved"]);
    const asked = made.asked.length;
    await expect(topics.add("v")).rejects.toMatchObject({ code: "closed" });
    expect(made.asked.slice(asked)).toEqual([]);
  });
});

describe("a gateway whose client was closed", () => {
  type Handlers = ReturnType<typeof gatewayHandlers>;
  const requests = {
    get: { topic: "t", key: "k", fromTime: 0n },
    createTopic: { topic: "u" },
    createSubscription: { topic: "t", subscription: "new" },
  };

  it.each(Object.keys(requests) as (keyof typeof requests)[])(
    "answers %s with UNAVAILABLE",
    async (method) => {
      await client.close();
      const call = { request: requests[method], cancelled: false, on: () => {} };
      const error = await new Promise<Partial<ServiceError> | null>((resolve) => {
        const handle = gatewayHandlers(client)[method] as Handlers["get"];
        handle(call as unknown as Parameters<typeof handle>[0], resolve);
      });
      expect(error?.code).toBe(status.UNAVAILABLE);
      expect(error?.metadata?.get("x-error-code")).toEqual(["closed"]);
    },
  );
});
