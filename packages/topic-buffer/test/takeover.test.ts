import type { Txn } from "@x/coord";
import { prefixes, TopicError } from "@x/topic-gateway/protocol";
import { describe, expect, it } from "vitest";
import { FakeClock, settled } from "./support/fake-clock.js";
import type { Fault } from "./support/faulty-coord.js";
import { firstOccurrences, History } from "./support/history.js";
import type { LogCall } from "./support/memory-logs.js";
import { Publisher } from "./support/publisher.js";
import { rangeOfKey, readAll, topic, World } from "./support/world.js";

const keys = ["k", "l", "m"];
const range = rangeOfKey("k", 16);

async function start(): Promise<{ world: World; history: History; publisher: Publisher }> {
  const world = await World.open();
  await world.createTopic(16);
  return { world, history: new History(world), publisher: new Publisher(world, range, keys) };
}

function numbers(count: number): string[] {
  return Array.from({ length: count }, (_, i) => String(i + 1));
}

describe("taking a range over", () => {
  it("seals the segment of a buffer that died and goes on after it, with nothing acknowledged lost", async () => {
    const { world, history, publisher } = await start();
    await using _ = world;
    const a = await world.startBuffer("a");
    await world.untilOpen(16);
    await publisher.publish(20);
    await publisher.untilAcked();
    a.kill();
    publisher.drop();
    const b = await world.startBuffer("b");
    await publisher.publish(20);
    await publisher.untilAcked();
    const segments = await world.segments();
    expect(segments.map(({ record }) => record.state === "open")).toEqual([false, true]);
    expect(segments[1]?.record.predecessors).toHaveLength(1);
    expect((await readAll(b.node, segments[0]!.id, 20)).map(({ data }) => data)).toEqual(numbers(20));
    expect(await history.check(publisher.acked)).toEqual(numbers(40));
  });

  it("never acknowledges an append that was under way when the log was sealed by somebody else", async () => {
    const { world, history, publisher } = await start();
    await using _ = world;
    const clock = new FakeClock();
    const a = await world.startBuffer("a", { clock });
    await clock.until(() => a.node.status().ranges.some(({ phase }) => phase === "open"));
    await publisher.publish(3);
    await publisher.step();
    expect(publisher.acked.size).toBe(3);

    let go = (): void => {};
    a.logs.hook = (call) =>
      call === "append" ? new Promise((resolve) => (go = resolve)) : Promise.resolve();
    await publisher.publish(1);
    await publisher.step();
    // The whole process stands still: its own clock too.
    const b = await world.startBuffer("b");
    await world.clock.until(() => b.node.status().ranges.some(({ phase }) => phase === "open"));
    a.logs.hook = async () => {};
    go();
    await publisher.step();
    expect(publisher.acked.size).toBe(3);
    expect(a.events.some((event) => event.type === "append-failed")).toBe(true);
    await publisher.untilAcked();
    expect(firstOccurrences(await history.check(publisher.acked))).toEqual(numbers(4));
    await clock.during(a.node.close());
  });

  it("does not acknowledge after its own deadline, though the append came through before the seal", async () => {
    const { world, history, publisher } = await start();
    await using _ = world;
    const clock = new FakeClock();
    const a = await world.startBuffer("a", { clock });
    await clock.until(() => a.node.status().ranges.some(({ phase }) => phase === "open"));
    let go = (): void => {};
    a.logs.hook = (call) =>
      call === "appended" ? new Promise((resolve) => (go = resolve)) : Promise.resolve();
    await publisher.publish(2);
    await publisher.step();
    clock.stall(5_000);
    go();
    a.logs.hook = async () => {};
    await publisher.step();
    expect(publisher.acked.size).toBe(0);
    publisher.drop();
    a.coord.partition();
    await clock.advance(1_000);
    await world.startBuffer("b");
    await publisher.untilAcked();
    // It was in the log when that was sealed, so it is delivered twice: allowed, since nobody was told.
    expect(firstOccurrences(await history.check(publisher.acked))).toEqual(numbers(2));
    a.coord.heal();
    await clock.during(a.node.close());
  });

  it("goes on in a new segment of its own when an append fails, and refuses what was under way", async () => {
    const { world, history, publisher } = await start();
    await using _ = world;
    const a = await world.startBuffer("a");
    await world.untilOpen(16);
    await publisher.publish(5);
    await publisher.untilAcked();
    let failures = 1;
    a.logs.hook = async (call) => {
      if (call === "appended" && failures-- > 0)
        throw new TopicError("log-failed", "no answer from the disk");
    };
    await publisher.publish(5);
    await publisher.untilAcked();
    const segments = await world.segments();
    expect(segments).toHaveLength(2);
    expect(new Set(segments.map(({ record }) => record.epoch)).size).toBe(1);
    // What failed was in the log all the same, and is readable as the seal says.
    const first = segments[0]!;
    expect((await readAll(a.node, first.id, first.record.sealed?.lastSequence ?? 0)).length).toBe(
      first.record.sealed?.lastSequence,
    );
    expect(firstOccurrences(await history.check(publisher.acked))).toEqual(numbers(10));
  });

  it("seals its own segment before it opens another, also when its view does not show that one yet", async () => {
    const { world, history, publisher } = await start();
    await using _ = world;
    const a = await world.startBuffer("a", { leaseTtlMs: 60_000 });
    let show = (): void => {};
    const shown = new Promise<void>((resolve) => {
      show = resolve;
    });
    a.coord.onWatch = ({ events }) => {
      const opens = events.some(
        (event) => event.type === "put" && event.kv.key.startsWith(prefixes.segments),
      );
      return opens ? shown : Promise.resolve();
    };
    await world.untilOpen(16);
    let failures = 1;
    a.logs.hook = async (call) => {
      if (call === "appended" && failures-- > 0)
        throw new TopicError("log-failed", "no answer from the disk");
    };
    await publisher.publish(5);
    await world.clock.advance(2_000);
    expect(await world.segments()).toHaveLength(1);
    show();
    await publisher.untilAcked();
    expect(firstOccurrences(await history.check(publisher.acked))).toEqual(numbers(5));
  });

  const faults: Fault[] = ["not-done", "no-answer"];
  for (const fault of faults) {
    it(`takes over through transactions that end unknown (${fault}), whichever they are`, async () => {
      for (let at = 0; at < 4; at++) {
        const { world, history, publisher } = await start();
        await using _ = world;
        const a = await world.startBuffer("a");
        await world.untilOpen(16);
        await publisher.publish(5);
        await publisher.untilAcked();
        a.kill();
        publisher.drop();
        const b = await world.startBuffer("b");
        let count = 0;
        b.coord.onTxn = (txn) => (isWrite(txn) && count++ === at ? fault : "none");
        await publisher.publish(5);
        await publisher.untilAcked();
        expect(count).toBeGreaterThan(at);
        expect(await history.check(publisher.acked)).toEqual(numbers(10));
        expect((await world.segments()).filter(({ record }) => record.state === "open")).toHaveLength(1);
      }
    });
  }

  it("is repeated by the next buffer after a taker died at any of its transactions, done or not", async () => {
    for (const fault of ["not-done", "no-answer"] as const) {
      for (let at = 0; at < 3; at++) {
        const { world, history, publisher } = await start();
        await using _ = world;
        const a = await world.startBuffer("a");
        await world.untilOpen(16);
        await publisher.publish(5);
        await publisher.untilAcked();
        a.kill();
        publisher.drop();
        const b = await world.startBuffer("b");
        let count = 0;
        b.coord.onTxn = (txn) => {
          if (!isWrite(txn) || count++ !== at) return "none";
          // Dead from here on; what it had sent may arrive.
          queueMicrotask(() => b.kill());
          return fault === "no-answer" ? "no-answer" : "not-done";
        };
        await world.clock.until(() => count > at);
        await world.startBuffer("c");
        await publisher.publish(5);
        await publisher.untilAcked();
        expect(await history.check(publisher.acked)).toEqual(numbers(10));
      }
    }
  });

  it("is repeated by the next buffer after a taker died at any call of a log", async () => {
    for (const step of ["create", "seal", "sealed"] as LogCall[]) {
      const { world, history, publisher } = await start();
      await using _ = world;
      const a = await world.startBuffer("a");
      await world.untilOpen(16);
      await publisher.publish(5);
      await publisher.untilAcked();
      a.kill();
      publisher.drop();
      const b = await world.startBuffer("b");
      let dead = false;
      b.logs.hook = (call) => {
        if (call !== step && !dead) return Promise.resolve();
        dead = true;
        b.kill();
        return new Promise(() => {});
      };
      await world.clock.until(() => dead);
      await world.startBuffer("c");
      await publisher.publish(5);
      await publisher.untilAcked();
      expect(await history.check(publisher.acked)).toEqual(numbers(10));
    }
  });

  it("gives the range back while a predecessor can't be reached, says by whom it is blocked, and takes it when it can", async () => {
    const { world, history, publisher } = await start();
    await using _ = world;
    const a = await world.startBuffer("a");
    await world.untilOpen(16);
    await publisher.publish(5);
    await publisher.untilAcked();
    a.kill();
    publisher.drop();
    const b = await world.startBuffer("b");
    b.logs.hook = async (call) => {
      if (call === "seal") throw new TopicError("unavailable", "the disk is not there");
    };
    await world.clock.until(() => b.events.some((event) => event.type === "blocked"));
    const [segment] = await world.segments();
    const blocked = b.events.find((event) => event.type === "blocked");
    expect(blocked?.type === "blocked" && blocked.by).toEqual(segment!.id);
    expect(b.events.some((event) => event.type === "alarm")).toBe(false);
    expect(await world.leases()).toEqual(new Map());
    b.logs.hook = async () => {};
    await publisher.publish(5);
    await publisher.untilAcked();
    expect(await history.check(publisher.acked)).toEqual(numbers(10));
  });

  it("raises an alarm and keeps the range blocked when a recorded log is missing", async () => {
    const { world, publisher } = await start();
    await using _ = world;
    const a = await world.startBuffer("a");
    await world.untilOpen(16);
    await publisher.publish(5);
    await publisher.untilAcked();
    a.kill();
    publisher.drop();
    world.disk.logs.clear();
    const b = await world.startBuffer("b");
    await world.clock.advance(20_000);
    expect(b.events.filter((event) => event.type === "alarm").length).toBeGreaterThan(1);
    expect(b.events.some((event) => event.type === "opened")).toBe(false);
    expect((await world.segments()).map(({ record }) => record.state)).toEqual(["open"]);
  });

  it("blocks a range that has a record nobody can read, instead of taking it for none", async () => {
    const { world } = await start();
    await using _ = world;
    const key = `${prefixes.segments}${topic}/138000000000000000_0-65535`;
    await world.coord.txn({ then: [{ type: "put", key, value: '{"HashFrom":0}' }] });
    const a = await world.startBuffer("a");
    await world.clock.advance(5_000);
    expect(a.events.some((event) => event.type === "alarm")).toBe(true);
    expect(a.events.some((event) => event.type === "opened")).toBe(false);
    await world.coord.txn({ then: [{ type: "delete", key }] });
    await world.untilOpen(16);
  });

  it("refuses to start a segment more than a minute ahead of its clock, and starts it within a minute", async () => {
    const { world, history, publisher } = await start();
    await using _ = world;
    world.clock.skewMs = 10 * 60_000;
    const a = await world.startBuffer("a");
    await world.untilOpen(16);
    await publisher.publish(5);
    await publisher.untilAcked();
    a.kill();
    publisher.drop();
    world.clock.skewMs = 0;
    const b = await world.startBuffer("b");
    await world.clock.until(() => b.events.some((event) => event.type === "alarm"));
    expect(b.events.some((event) => event.type === "opened")).toBe(false);
    world.clock.skewMs = 9.5 * 60_000;
    await publisher.publish(5);
    await publisher.untilAcked();
    expect(await history.check(publisher.acked)).toEqual(numbers(10));
  });

  it("takes the ranges over again itself after its session was lost, under a new epoch", async () => {
    const { world, history, publisher } = await start();
    await using _ = world;
    const a = await world.startBuffer("a");
    await world.untilOpen(16);
    const before = await world.epochOf(range);
    await publisher.publish(5);
    await publisher.untilAcked();
    a.coord.partition();
    await world.clock.until(() => a.node.status().state === "waiting");
    expect(a.node.status().ranges).toEqual([]);
    await world.clock.advance(6_000);
    a.coord.heal();
    await publisher.publish(5);
    await publisher.untilAcked();
    expect(await world.epochOf(range)).toBeGreaterThan(before);
    expect(await history.check(publisher.acked)).toEqual(numbers(10));
    await settled();
  });
});

function isWrite(txn: Txn): boolean {
  return (txn.then ?? []).some((op) => op.type !== "get");
}
