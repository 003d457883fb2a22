import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { TailMessage, TopicClient } from "../src/client.js";
import { ClosingWorld, drain } from "./support/closing-world.js";
import { outcome } from "./support/outcome.js";

let made: ClosingWorld;
let client: TopicClient;

beforeEach(async () => {
  made = await ClosingWorld.open();
  client = made.client;
});
afterEach(() => made[Symbol.asyncDispose]());

/** A tail from the beginning, of which so many messages were taken. */
async function tailBehind(count: number, signal?: AbortSignal): Promise<AsyncIterator<TailMessage>> {
  const options = { from: "earliest", ...(signal && { signal }) } as const;
  const messages = client.tail("t", options)[Symbol.asyncIterator]();
  for (let taken = 0; taken < count; taken++) {
    const next = messages.next();
    await made.settle();
    expect((await next).value?.key).toBe("k");
  }
  return messages;
}

describe("what is iterated when a client is closed", () => {
  it.each(["get", "tail"])("ends with what it waits for, and close waits for that: %s", async (method) => {
    made.buffers.holding.set("*", "deaf");
    const found = outcome(method === "get" ? client.get("t", "k") : drain(client.tail("t")));
    await made.settle();
    const closing = outcome(client.close());
    await made.settle();
    expect([found.is, closing.is]).toEqual([undefined, undefined]);
    made.buffers.letGo();
    await made.settle();
    expect([found.is, closing.is]).toEqual(["closed", "resolved"]);
    await made.expectQuiet();
  });

  it("ends so also behind its first items", async () => {
    const messages = await tailBehind(2);
    made.buffers.holding.set("read", "deaf");
    made.world.buffer("a:1").fail();
    await made.world.advance(1_000);
    const found = outcome(messages.next());
    const closing = outcome(client.close());
    await made.settle();
    expect([found.is, closing.is]).toEqual([undefined, undefined]);
    made.buffers.letGo();
    await made.settle();
    expect([found.is, closing.is]).toEqual(["closed", "resolved"]);
    await made.expectQuiet();
  });

  it("holds nobody up while its caller has an item, and says so with the next one: getMany", async () => {
    const answers = client.getMany("t", ["k", "l"], { timeoutMs: 1_000_000 });
    await answers.next();
    const closing = outcome(client.close());
    await made.settle();
    expect(closing.is).toBe("resolved");
    await made.expectQuiet();
    await expect(answers.next()).rejects.toMatchObject({ code: "closed" });
  });

  it("holds nobody up while its caller has an item, and says so with the next one: tail", async () => {
    const messages = await tailBehind(1);
    const closing = outcome(client.close());
    await made.settle();
    expect(closing.is).toBe("resolved");
    await made.expectQuiet();
    await expect(messages.next()).rejects.toMatchObject({ code: "closed" });
    expect(await messages.next()).toEqual({ done: true, value: undefined });
  });

  it("ends also when messages arrive at that very moment", async () => {
    let closing: { is?: string } = {};
    made.world.buffer("a:1").misbehave = (chunk) => {
      closing = outcome(client.close());
      return chunk;
    };
    const found = outcome(drain(client.tail("t", { from: "earliest" })));
    await made.settle();
    expect([found.is, closing.is]).toEqual(["closed", "resolved"]);
    await made.expectQuiet();
  });

  it("may be what calls close", async () => {
    const keys: string[] = [];
    const loop = (async () => {
      for await (const { key } of client.tail("t", { from: "earliest" })) {
        keys.push(key);
        await client.close();
      }
    })();
    const found = outcome(loop);
    await made.settle();
    expect([found.is, ...keys]).toEqual(["closed", "k"]);
    await made.expectQuiet();
  });
});

describe("a tail whose caller gave it up", () => {
  it("reads nothing any more, though he does not come for its end", async () => {
    const controller = new AbortController();
    const messages = await tailBehind(1, controller.signal);
    const { timers } = made;
    made.world.buffer("a:1").fail();
    await made.world.advance(1_000);
    expect(made.timers).toBeGreaterThan(timers);
    const reason = new Error("enough");
    controller.abort(reason);
    await made.settle();
    expect(made.timers).toBe(timers);
    await expect(messages.next()).rejects.toBe(reason);
  });
});
