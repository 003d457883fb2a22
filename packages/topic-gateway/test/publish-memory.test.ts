import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, describe, expect, it } from "vitest";
import { type PublishMessage, TopicClient } from "../src/client.js";
import { type Outgoing, PublishCall } from "../src/publish/outgoing.js";
import { OutgoingQueue } from "../src/publish/outgoing-queue.js";
import { type PublishingWorld, publishingWorld } from "./support/publishing-world.js";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

async function collected(): Promise<void> {
  for (let time = 0; time < 3; time++) {
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
  }
}
async function bufferBytes(): Promise<number> {
  await collected();
  return process.memoryUsage().arrayBuffers;
}
/** Code that V8 has just optimised may keep what it last had for some collections more: when it is `most` or above, it is looked at again. */
async function bytesBeyond(before: number, most: number): Promise<number> {
  let bytes = 0;
  for (let time = 0; time < 20; time++) {
    bytes = (await bufferBytes()) - before;
    if (bytes < most) break;
  }
  return bytes;
}

describe("a publisher", () => {
  const COUNT = 200;
  const text = "a".repeat(100_000);
  let world: PublishingWorld;
  afterEach(() => world[Symbol.asyncDispose]());

  it("keeps a message once while it waits, and not what the caller gave as well", async () => {
    world = await publishingWorld();
    const { coord, runtime } = world.context;
    const connect = () => expect.unreachable("nobody owns the range");
    const client = await TopicClient.open({ coord, runtime, connect });
    const before = await bufferBytes();
    const waiting: Promise<unknown>[] = [];
    const give = (message: PublishMessage) => waiting.push(client.publish("t", message).catch(() => {}));
    for (let count = 0; count < COUNT; count++) give({ key: "k", data: Buffer.from(text) });
    const kept = await bytesBeyond(before, 1.5 * COUNT * text.length);
    expect(kept).toBeGreaterThan(COUNT * text.length);
    expect(kept).toBeLessThan(1.5 * COUNT * text.length);
    await client.close({ signal: AbortSignal.abort() });
    await Promise.all(waiting);
  });

  it("keeps no message that was acknowledged", async () => {
    world = await publishingWorld();
    await world.own("0-65535", "a:1");
    const before = await bufferBytes();
    for (let count = 1; count <= COUNT; count++) {
      const id = world.publish("k", text);
      await world.settle();
      world.newest("a:1").acknowledge(1, count);
      await id;
    }
    const most = (COUNT / 10) * text.length;
    expect(await bytesBeyond(before, most)).toBeLessThan(most);
  });

  it("keeps no message that was given up while its range has no owner", async () => {
    world = await publishingWorld({ retry: { deadlineMs: 1_000 } });
    const before = await bufferBytes();
    const controllers = Array.from({ length: COUNT / 2 }, () => new AbortController());
    const failures: Promise<unknown>[] = [];
    const give = (signal?: AbortSignal) =>
      failures.push(world.publish(`key-${failures.length}`, text, signal).catch((error) => error));
    for (let count = 0; count < COUNT / 2; count++) give();
    await world.clock.advance(500);
    for (const { signal } of controllers) give(signal);
    const kept = world.publish("kept", "b");
    // One half by its deadline, the other one by its signal.
    await world.clock.advance(500);
    for (const controller of controllers) controller.abort();
    await world.clock.advance(100);
    await Promise.all(failures);
    const most = (COUNT / 10) * text.length;
    expect(await bytesBeyond(before, most)).toBeLessThan(most);
    await world.own("0-65535", "a:1");
    world.newest("a:1").acknowledge(1, 1);
    await kept;
  });
});

describe("a queue of outgoing messages", () => {
  const nobody = { callFailed() {} };
  const make = (order: number, bytes = 1): Outgoing => ({
    call: new PublishCall(
      1,
      0,
      nobody,
      () => {},
      () => {},
    ),
    index: 0,
    key: "k",
    hash: 0,
    body: Buffer.alloc(bytes),
    order,
    attempts: 0,
  });
  const ordersOf = (queue: OutgoingQueue): number[] => {
    const orders: number[] = [];
    queue.forEach(({ order }) => {
      orders.push(order);
    });
    return orders;
  };

  it("lets go of what was taken, also while it is never empty", async () => {
    const queue = new OutgoingQueue();
    const taken: WeakRef<Outgoing>[] = [];
    for (let order = 0; order < 100; order++) queue.push(make(order));
    for (let order = 100; order < 600; order++) {
      queue.push(make(order));
      taken.push(new WeakRef(queue.take() as Outgoing));
    }
    await collected();
    expect(taken.filter((ref) => ref.deref())).toHaveLength(0);
    expect(queue.bytes).toBe(100);
  });

  it("does what an array does, however long it grows and shrinks", () => {
    const queue = new OutgoingQueue();
    let model: Outgoing[] = [];
    let order = 0;
    // A multiplicative generator (Park and Miller, 1988), so that each run is the same.
    let random = 1;
    const pick = (below: number): number => {
      random = (random * 16_807) % 2_147_483_647;
      return random % below;
    };
    for (let step = 0; step < 1_000; step++) {
      const choice = pick(20);
      if (choice < 9) {
        for (let count = pick(60); count >= 0; count--) {
          const message = make(order++, 1 + pick(3));
          queue.push(message);
          model.push(message);
        }
      } else if (choice < 17) {
        for (let count = pick(70); count >= 0; count--) {
          expect(queue.peek()).toBe(model[0]);
          expect(queue.take()).toBe(model.shift());
        }
      } else if (choice < 18) {
        const again = [make(order++), make(order++)];
        queue.putBack(again);
        model.unshift(...again);
      } else if (choice < 19) {
        for (const { call } of model) if (pick(4) === 0) call.fail("enough");
        queue.dropSettled();
        model = model.filter(({ call }) => !call.settled);
      } else if (pick(50) === 0) {
        queue.clear();
        model = [];
      }
      expect(queue.isEmpty).toBe(model.length === 0);
      expect(queue.bytes).toBe(model.reduce((sum, { body }) => sum + body.length, 0));
    }
    expect(ordersOf(queue)).toEqual(model.map(({ order }) => order));
  });
});
