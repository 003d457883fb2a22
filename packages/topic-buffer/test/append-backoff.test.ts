import { TopicError } from "@x/topic-gateway/protocol";
import { describe, expect, it } from "vitest";
import { firstOccurrences, History } from "./support/history.js";
import { Publisher } from "./support/publisher.js";
import { rangeOfKey, type TestBuffer, World } from "./support/world.js";

const range = rangeOfKey("k", 16);

interface Started {
  readonly world: World;
  readonly history: History;
  readonly publisher: Publisher;
  readonly buffer: TestBuffer;
}

async function start(): Promise<Started> {
  const world = await World.open();
  await world.createTopic(16);
  const history = new History(world);
  const publisher = new Publisher(world, range, ["k", "l", "m"]);
  const buffer = await world.startBuffer("a");
  await world.untilOpen(16);
  return { world, history, publisher, buffer };
}

function numbers(count: number): string[] {
  return Array.from({ length: count }, (_, i) => String(i + 1));
}

/** A publisher sends again and again for a while. Gives how many segments were opened in it. */
async function openedDuring(ms: number, { world, publisher, buffer }: Started): Promise<number> {
  const opened = (): number => buffer.events.filter(({ type }) => type === "opened").length;
  const before = opened();
  for (let waited = 0; waited < ms; waited += 20) {
    await publisher.step();
    await world.clock.advance(20);
  }
  return opened() - before;
}

/** Until the range has just begun to wait. */
async function untilItFailsAgain({ world, publisher, buffer }: Started): Promise<void> {
  const phase = (): string | undefined => buffer.node.status().ranges[0]?.phase;
  await world.clock.until(() => phase() === "open");
  for (let steps = 0; phase() !== "waiting"; steps++) {
    if (steps > 1_000) throw new Error("it does not wait");
    await publisher.step();
    await world.clock.advance(1);
  }
}

function refuseAppends(buffer: TestBuffer, refuses: () => boolean): void {
  buffer.logs.hook = async (call) => {
    if (call === "append" && refuses()) throw new TopicError("log-failed", "no space is left");
  };
}

describe("a range whose appends fail", () => {
  it("opens a few segments a minute while they do, and goes on with all that was sent when they don't", {
    timeout: 60_000,
  }, async () => {
    const started = await start();
    const { world, history, publisher, buffer } = started;
    await using _ = world;
    let full = true;
    refuseAppends(buffer, () => full);
    await publisher.publish(5);
    expect(await openedDuring(60_000, started)).toBeLessThanOrEqual(20);
    const records = (await world.segments()).length;
    expect(await openedDuring(60_000, started)).toBeLessThanOrEqual(12);
    expect((await world.segments()).length - records).toBeLessThanOrEqual(12);
    full = false;
    await publisher.untilAcked(12_000);
    expect(await history.check(publisher.acked)).toEqual(numbers(5));
  });

  it("opens no more of them when some appends succeed in between", { timeout: 60_000 }, async () => {
    const started = await start();
    const { world, history, publisher, buffer } = started;
    await using _ = world;
    let appends = 0;
    refuseAppends(buffer, () => appends++ % 2 === 1);
    let opened = 0;
    for (let second = 0; second < 60; second++) {
      await publisher.publish(1);
      opened += await openedDuring(1_000, started);
    }
    expect(opened).toBeLessThanOrEqual(20);
    refuseAppends(buffer, () => false);
    await publisher.untilAcked();
    expect(firstOccurrences(await history.check(publisher.acked))).toEqual(numbers(60));
  });

  it("goes on at once after a single failure, also when there was a series of them long before", async () => {
    const started = await start();
    const { world, publisher, buffer } = started;
    await using _ = world;
    let failures = 5;
    refuseAppends(buffer, () => failures-- > 0);
    await publisher.publish(1);
    await publisher.untilAcked();
    await openedDuring(12_000, started);
    failures = 1;
    await publisher.publish(1);
    await publisher.untilAcked(60);
  });

  it("is handed over at once while it waits, and what it held is taken over by the next buffer", async () => {
    const started = await start();
    const { world, history, publisher, buffer } = started;
    await using _ = world;
    refuseAppends(buffer, () => true);
    await publisher.publish(5);
    await openedDuring(60_000, started);
    await untilItFailsAgain(started);
    const before = world.clock.monotonicMs();
    await world.clock.during(buffer.node.close());
    expect(world.clock.monotonicMs() - before).toBeLessThan(500);
    expect(await world.leases()).toEqual(new Map());
    await world.startBuffer("b");
    await publisher.untilAcked();
    expect(await history.check(publisher.acked)).toEqual(numbers(5));
  });

  it("is given back at once while it waits, when the topic's layout has it no more", async () => {
    const started = await start();
    const { world, publisher, buffer } = started;
    await using _ = world;
    refuseAppends(buffer, () => true);
    await publisher.publish(5);
    await openedDuring(60_000, started);
    await untilItFailsAgain(started);
    await world.createTopic(15);
    await world.clock.advance(500);
    expect([...(await world.leases()).keys()]).toEqual(["0-32767", "32768-65535"]);
  });
});
