import {
  encodeSegment,
  prefixes,
  rangeLeaseKey,
  type SegmentLogStore,
  segmentKey,
} from "@x/topic-gateway/protocol";
import { describe, expect, it } from "vitest";
import { settled } from "./support/fake-clock.js";
import { History } from "./support/history.js";
import { MemoryLogs } from "./support/memory-logs.js";
import { Publisher } from "./support/publisher.js";
import { rangeOfKey, topic, World } from "./support/world.js";

const range = rangeOfKey("k", 16);

describe("a log that is made while the session is lost", () => {
  it("is closed and dropped when it is there at last", async () => {
    const world = await World.open();
    await using _ = world;
    await world.createTopic(16);
    const logs = new MemoryLogs(world.disk);
    let closed = 0;
    const counting: SegmentLogStore = {
      id: logs.id,
      owns: (name) => logs.owns(name),
      create: async (name, header) => {
        const writer = await logs.create(name, header);
        return {
          append: (frames) => writer.append(frames),
          close: () => {
            closed += 1;
            return writer.close();
          },
        };
      },
      seal: (name) => logs.seal(name),
      read: (name, options) => logs.read(name, options),
      drop: (name) => logs.drop(name),
    };
    let go = (): void => {};
    logs.hook = (call) => (call === "create" ? new Promise((resolve) => (go = resolve)) : Promise.resolve());
    const a = await world.startBuffer("a", { logs: counting });
    await world.clock.until(() => a.events.some(({ type }) => type === "claimed"));
    a.coord.partition();
    await world.clock.until(() => a.events.some(({ type }) => type === "session-lost"));
    expect([world.disk.logs.size, closed]).toEqual([0, 0]);
    logs.hook = async () => {};
    go();
    await settled();
    expect([world.disk.logs.size, closed]).toEqual([0, 1]);
  });
});

describe("a segment whose record came to be by a transaction without an answer", () => {
  it("is not opened when somebody has sealed it meanwhile, and its log and its record stay as they are", async () => {
    const world = await World.open();
    await using _ = world;
    await world.createTopic(16);
    const a = await world.startBuffer("a");
    let registered = (): void => {};
    const isRegistered = new Promise<void>((resolve) => {
      registered = resolve;
    });
    a.coord.onTxn = (txn) => {
      if (!txn.then?.some((op) => op.type === "put" && op.key.startsWith(prefixes.segments))) return "none";
      a.coord.onTxn = () => "not-done";
      registered();
      return "no-answer";
    };
    await world.clock.during(isRegistered);
    await settled();
    // Somebody who holds the range by now, as far as the store can tell.
    const [segment] = await world.segments();
    const other = new MemoryLogs(world.disk);
    const end = await other.seal(segment!.record.log);
    const record = {
      ...segment!.record,
      state: "sealed",
      sealed: { ...end, lastTime: segment!.id.startTime },
    } as const;
    await world.coord.txn({
      then: [
        { type: "put", key: segmentKey(segment!.id), value: encodeSegment(segment!.id, record) },
        { type: "delete", key: rangeLeaseKey(topic, range) },
      ],
    });
    const sealed = (await world.segments())[0]!;
    a.coord.onTxn = () => "none";
    await world.untilOpen(16);
    const opened = a.events.flatMap((event) => (event.type === "opened" ? [event.segment] : []));
    expect(opened).toHaveLength(1);
    expect(opened).not.toContainEqual(segment!.id);
    const [first, second] = await world.segments();
    expect(first).toEqual(sealed);
    expect(second?.record.predecessors).toHaveLength(1);
    expect(world.disk.logs.has(sealed.record.log)).toBe(true);
    const history = new History(world);
    const publisher = new Publisher(world, range, ["k"]);
    await publisher.publish(3);
    await publisher.untilAcked();
    expect(await history.check(publisher.acked)).toEqual(["1", "2", "3"]);
  });
});
