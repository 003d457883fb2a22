import { formatHashRange, TopicError } from "@x/topic-gateway/protocol";
import { describe, expect, it } from "vitest";
import { firstOccurrences, History } from "./support/history.js";
import { Publisher } from "./support/publisher.js";
import { entriesOf, rangeOfKey, Sender, topic, World } from "./support/world.js";

/** How many open ranges each live buffer holds. */
function spread(world: World): number[] {
  return world.buffers.map(({ node }) => node.status().ranges.filter(({ phase }) => phase === "open").length);
}

describe("buffers that come and go", () => {
  it("share the ranges of all topics fairly as they join, and take over what others leave", async () => {
    const world = await World.open();
    await using _ = world;
    await world.createTopic(13);
    await world.createTopic(14, "second");
    const total = 12;
    const settledAt = (...expected: number[]) =>
      world.clock.until(
        () =>
          spread(world)
            .filter((count) => count > 0)
            .sort()
            .join() === expected.sort().join(),
      );
    await world.startBuffer("a");
    await settledAt(total);
    await world.startBuffer("b");
    await settledAt(6, 6);
    await world.startBuffer("c");
    await settledAt(4, 4, 4);
    const d = await world.startBuffer("d");
    const e = await world.startBuffer("e");
    await settledAt(3, 3, 2, 2, 2);
    await world.clock.during(d.node.close());
    await settledAt(3, 3, 3, 3);
    e.kill();
    world.buffers.splice(world.buffers.indexOf(e), 1);
    await settledAt(4, 4, 4);
    const before = await world.leases();
    await world.clock.advance(20_000);
    expect(await world.leases()).toEqual(before);
  });

  it("move no more ranges than a new buffer's share", async () => {
    const world = await World.open();
    await using _ = world;
    await world.createTopic(12);
    await world.startBuffer("a");
    await world.untilOpen(12);
    const before = await world.leases();
    await world.startBuffer("b");
    await world.clock.until(() => spread(world).every((count) => count === 8));
    const after = await world.leases();
    expect([...after].filter(([range, { epoch }]) => before.get(range)?.epoch !== epoch)).toHaveLength(8);
  });

  it("hand a range over without losing or repeating an acknowledged message, and tell its publishers to go elsewhere", async () => {
    const world = await World.open();
    await using _ = world;
    await world.createTopic(15);
    const history = new History(world);
    const a = await world.startBuffer("a");
    await world.untilOpen(15);
    const publishers = [
      new Publisher(world, { from: 0, to: 32768 }, keysIn(0)),
      new Publisher(world, { from: 32768, to: 65536 }, keysIn(32768)),
    ];
    const b = await world.startBuffer("b");
    for (let i = 0; i < 40; i++) {
      for (const publisher of publishers) await publisher.publish(3);
      await world.clock.advance(20);
    }
    for (const publisher of publishers) await publisher.untilAcked();
    expect(a.node.status().ranges).toHaveLength(1);
    expect(b.node.status().ranges).toHaveLength(1);
    const moved = a.events.find((event) => event.type === "handed-over");
    expect(moved).toBeDefined();
    const acked = new Map(
      publishers
        .flatMap((publisher, i) => [...publisher.acked].map(([time, data]) => [time, data, i] as const))
        .map(([time, data]) => [time, data]),
    );
    const order = await history.check(acked);
    // Handed over, a range's queue is appended first, so nothing had to be sent twice.
    expect(order).toHaveLength(240);
  });

  it("take a dead buffer's ranges over by their shares, not all by the first", async () => {
    const world = await World.open();
    await using _ = world;
    await world.createTopic(13);
    const a = await world.startBuffer("a");
    await world.untilOpen(13);
    await world.startBuffer("b");
    await world.startBuffer("c");
    await world.clock.until(() => spread(world).filter((count) => count > 1).length === 3);
    a.kill();
    world.buffers.shift();
    await world.clock.until(() => spread(world).every((count) => count === 4));
  });

  it("take what another can't take after a while, and keep it", async () => {
    const world = await World.open();
    await using _ = world;
    await world.createTopic(15);
    const a = await world.startBuffer("a");
    const b = await world.startBuffer("b");
    await world.clock.until(() => spread(world).every((count) => count === 1));
    // It lives, and every log that it makes fails.
    b.logs.hook = async (call) => {
      if (call !== "read") throw new TopicError("log-failed", "the disk is broken");
    };
    const range = b.node.status().ranges[0]!;
    const sender = new Sender(b.node);
    sender.send({
      lane: 1,
      open: { topic, range: range.range, epoch: range.epoch },
      batch: 1,
      entries: entriesOf([{ key: keysIn(range.range.from)[0]!, data: "x" }]),
    });
    await world.clock.until(() => spread(world).join() === "2,0");
    a.events.length = 0;
    await world.clock.advance(30_000);
    expect(spread(world)).toEqual([2, 0]);
    expect(a.events.filter((event) => event.type === "handed-over")).toEqual([]);
  });

  it("hand over the ranges of an old layout and keep keys in order over a resize, in both directions", async () => {
    const world = await World.open();
    await using _ = world;
    await world.createTopic(15);
    const history = new History(world);
    await world.startBuffer("a");
    await world.startBuffer("b");
    await world.untilOpen(15);
    const acked = new Map<bigint, string>();
    let sent = 0;
    for (const factor of [15, 14, 13, 15, 16]) {
      await world.createTopic(factor);
      await world.clock.advance(10);
      await world.untilOpen(factor);
      const range = rangeOfKey("k", factor);
      const epoch = (await world.leases()).get(formatHashRange(range))!.epoch;
      const owner = world.buffers.find(({ node }) =>
        node.status().ranges.some((one) => one.epoch === epoch),
      )!;
      const sender = new Sender(owner.node);
      sender.send({
        lane: 1,
        open: { topic, range, epoch },
        batch: 1,
        entries: entriesOf([1, 2, 3].map((i) => ({ key: "k", data: String(sent + i) }))),
      });
      await world.clock.until(() => sender.acked(1) === 1);
      for (const run of sender.runs(1))
        for (let i = 0; i < run.count; i++) acked.set(run.time + BigInt(i), String(++sent));
      sender.end();
    }
    const order = await history.check(acked);
    expect(firstOccurrences(order)).toEqual(Array.from({ length: 15 }, (_, i) => String(i + 1)));
    const leases = await world.leases();
    expect([...leases.keys()]).toEqual(["0-65535"]);
  });

  it("closes within its time when the coordination store is away, and gives its ranges up", async () => {
    const world = await World.open();
    await using _ = world;
    await world.createTopic(14);
    const a = await world.startBuffer("a");
    await world.untilOpen(14);
    a.coord.partition();
    await world.clock.during(a.node.close(), 4_500);
    expect(a.node.status()).toMatchObject({ state: "closed", ranges: [], segments: 0, hotBytes: 0 });
  });
});

/** Some keys whose range of factor 15 starts there. */
function keysIn(from: number): string[] {
  return Array.from({ length: 40 }, (_, i) => `key-${i}`)
    .filter((key) => rangeOfKey(key, 15).from === from)
    .slice(0, 3);
}
