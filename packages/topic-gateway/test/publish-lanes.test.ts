import { afterEach, expect, it } from "vitest";
import { settled } from "../../coord/test/support/fake-clock.js";
import { type LaneOwner, publishTo } from "../../topic-buffer/src/lanes.js";
import { Connections } from "../src/client/connections.js";
import { type BufferConnection, type Clock, formatHashRange, type TopicName } from "../src/protocol.js";
import { hashOfKey, Publisher } from "../src/publish/publisher.js";
import { type PublishingWorld, publishingWorld } from "./support/publishing-world.js";

const RANGES = 64;
const FACTOR = 10;
/** Of what a buffer allows on one stream. */
const MAX_LANES = 65_536;

let world: PublishingWorld;
afterEach(() => world[Symbol.asyncDispose]());

/** All timers that are due run together: a fake clock that goes on timer by timer would take minutes. */
function coarseClock(): Clock & { advance(ms: number): Promise<void> } {
  let nowMs = 0;
  let timers: { readonly dueMs: number; readonly callback: () => void }[] = [];
  return {
    wallMs: () => nowMs,
    monotonicMs: () => nowMs,
    setTimer(delayMs, callback) {
      const timer = { dueMs: nowMs + delayMs, callback };
      timers.push(timer);
      return () => {
        timers = timers.filter((one) => one !== timer);
      };
    },
    async advance(ms) {
      nowMs += ms;
      const due = timers.filter(({ dueMs }) => dueMs <= nowMs);
      timers = timers.filter(({ dueMs }) => dueMs > nowMs);
      for (const { callback } of due) callback();
      await settled();
    },
  };
}

it("a client that is refused more often than a buffer allows lanes on a stream goes on with other streams", async () => {
  world = await publishingWorld();
  await world.setFactor(FACTOR);
  for (let at = 0; at < RANGES; at++) {
    await world.own(formatHashRange({ from: at * 1024, to: (at + 1) * 1024 }), "a:1");
  }
  let refused = 0;
  let running = 0;
  let opened = 0;
  let accepts = false;
  const accepting: LaneOwner = {
    attach() {},
    detach() {},
    accept: (sender, batch, bodies) => sender.acknowledge(batch, 1n, 1, bodies.length),
    room: () => undefined,
  };
  const ownerOf = () => {
    if (accepts) return accepting;
    refused += 1;
    return { code: "overloaded" as const, message: "too much" };
  };
  const buffer: Partial<BufferConnection> = {
    async *publish(batches, { signal } = {}) {
      opened += 1;
      running += 1;
      try {
        yield* publishTo({ ownerOf }, batches, signal);
      } finally {
        running -= 1;
      }
    },
    async [Symbol.asyncDispose]() {},
  };
  const clock = coarseClock();
  const { runtime, cache } = world.context;
  const connections = new Connections(() => buffer as BufferConnection, cache);
  const context = { ...world.context, connections, runtime: { ...runtime, clock } };
  const publisher = new Publisher(context, { maxAttempts: 1_000_000, deadlineMs: 1e12 });

  const calls: Promise<string[]>[] = [];
  const taken = new Set<number>();
  for (let key = 0; taken.size < RANGES; key++) {
    const range = hashOfKey(`key-${key}`) >> FACTOR;
    if (taken.has(range)) continue;
    taken.add(range);
    const body = { key: `key-${key}`, data: Buffer.from("data"), time: 0 };
    calls.push(publisher.publish("t" as TopicName, [body]));
  }
  const all = Promise.all(calls);
  let failure: unknown;
  all.catch((error) => {
    failure = error;
  });
  await settled();
  while (refused <= MAX_LANES && failure === undefined) await clock.advance(1_000);
  accepts = true;
  await clock.advance(1_000);
  expect(failure).toBeUndefined();
  expect(await all).toHaveLength(RANGES);
  expect(opened).toBeGreaterThan(1);
  // Those that were given up have ended with their last lanes.
  expect(running).toBe(1);
  await publisher.close();
  expect(running).toBe(0);
  await connections[Symbol.asyncDispose]();
});

it("a client whose connection can't be made tries again", async () => {
  world = await publishingWorld();
  await world.own("0-65535", "a:1");
  let tries = 0;
  const connections = {
    to(address: string) {
      tries += 1;
      if (tries === 1) throw new Error("no such scheme");
      return world.context.connections.to(address);
    },
  } as unknown as Connections;
  const publisher = new Publisher({ ...world.context, connections }, { maxAttempts: 10, deadlineMs: 10_000 });
  const body = { key: "k", data: Buffer.from("data"), time: 0 };
  const ids = publisher.publish("t" as TopicName, [body]);
  await settled();
  await world.clock.advance(1_000);
  expect(tries).toBe(2);
  world.newest("a:1").acknowledge(1, 1);
  expect(await ids).toHaveLength(1);
  await publisher.close();
});
