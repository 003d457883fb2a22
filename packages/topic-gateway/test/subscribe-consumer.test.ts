import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Consumer, type ConsumerOptions, openConsumer } from "../src/subscribe/consumer.js";
import { type FakeProcess, SubscribeWorld, textOf } from "./support/subscribe-world.js";

let world: SubscribeWorld;
const consumers: Consumer[] = [];

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
  const consumer = await openConsumer(process.context, "t", "s", { consumer: "c", ...options });
  consumers.push(consumer);
  await world.settle();
  return consumer;
}

async function take(consumer: Consumer, maxMessages = 1000): Promise<string[]> {
  await world.settle();
  return (await consumer.pull({ maxMessages, waitMs: 0 })).map(textOf);
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
});
