import { decodeBody, messagesInFrames, TopicError } from "@x/topic-gateway/protocol";
import { describe, expect, it } from "vitest";
import { settled } from "./support/fake-clock.js";
import { firstOccurrences, History } from "./support/history.js";
import { Publisher } from "./support/publisher.js";
import { entriesOf, rangeOfKey, readAll, Sender, topic, World } from "./support/world.js";

const range = rangeOfKey("k", 16);

async function start(options: Parameters<World["startBuffer"]>[1] = {}) {
  const world = await World.open();
  await world.createTopic(16);
  const history = new History(world);
  const publisher = new Publisher(world, range, ["k", "l", "m"]);
  const buffer = await world.startBuffer("a", options);
  await world.untilOpen(16);
  return { world, history, publisher, buffer };
}

function numbers(count: number): string[] {
  return Array.from({ length: count }, (_, i) => String(i + 1));
}

describe("segments", () => {
  it("roll by size under load without refusing a lane or losing a message", async () => {
    const { world, history, publisher, buffer } = await start({ segmentMaxBytes: 2_000, groupMaxBytes: 300 });
    await using _ = world;
    const sender = new Sender(buffer.node);
    const epoch = await world.epochOf(range);
    for (let batch = 1; batch <= 200; batch++) {
      const open = { topic, range, epoch };
      sender.send({
        lane: 1,
        batch,
        entries: entriesOf([{ key: "k", data: String(batch) }]),
        ...(batch === 1 && { open }),
      });
    }
    await world.clock.until(() => sender.acked(1) === 200);
    expect(sender.refusal(1)).toBeUndefined();
    const segments = await world.segments();
    expect(segments.length).toBeGreaterThan(5);
    expect(segments.filter(({ record }) => record.state === "open")).toHaveLength(1);
    for (const run of sender.runs(1))
      for (let i = 0; i < run.count; i++) publisher.acked.set(run.time + BigInt(i), "");
    publisher.acked.clear();
    expect(await history.check(publisher.acked)).toEqual(numbers(200));
    // Exactly one epoch held all of them.
    expect(new Set(segments.map(({ record }) => record.epoch)).size).toBe(1);
  });

  it("roll by age when they hold something, and not when they are empty", async () => {
    const { world, publisher } = await start({ segmentMaxAgeMs: 10_000 });
    await using _ = world;
    await world.clock.advance(35_000);
    expect(await world.segments()).toHaveLength(1);
    await publisher.publish(1);
    await publisher.untilAcked();
    await world.clock.advance(12_000);
    expect(await world.segments()).toHaveLength(2);
    await world.clock.advance(25_000);
    expect(await world.segments()).toHaveLength(2);
  });

  for (const fault of ["not-done", "no-answer"] as const) {
    it(`roll through a transaction that ends unknown (${fault})`, async () => {
      const { world, history, publisher, buffer } = await start({ segmentMaxBytes: 1_000 });
      await using _ = world;
      let faults = 0;
      buffer.coord.onTxn = (txn) => {
        if ((txn.then?.length ?? 0) < 4 || faults >= 3) return "none";
        faults += 1;
        return fault;
      };
      for (let i = 0; i < 10; i++) {
        await publisher.publish(10);
        await publisher.untilAcked();
      }
      expect(faults).toBe(3);
      expect((await world.segments()).length).toBeGreaterThan(3);
      expect(await history.check(publisher.acked)).toEqual(numbers(100));
    });
  }

  it("go on after a log that could not be sealed by its owner, or a next one that could not be made", async () => {
    for (const step of ["seal", "create"] as const) {
      const { world, history, publisher, buffer } = await start({ segmentMaxBytes: 1_000 });
      await using _ = world;
      let failures = 2;
      buffer.logs.hook = async (call) => {
        if (call === step && failures-- > 0)
          throw new TopicError(step === "seal" ? "unavailable" : "log-failed", "the disk is away");
      };
      await publisher.publish(60);
      await publisher.untilAcked();
      expect(failures).toBeLessThan(1);
      expect(firstOccurrences(await history.check(publisher.acked))).toEqual(numbers(60));
    }
  });

  it("are followed by readers over a roll and a takeover, each to its recorded end", async () => {
    const { world, publisher, buffer } = await start({ segmentMaxBytes: 1_500 });
    await using _ = world;
    const [first] = await world.segments();
    const tails = [1, 2, 3].map(() => readAll(buffer.node, first!.id, Number.MAX_SAFE_INTEGER));
    await publisher.publish(30);
    await publisher.untilAcked();
    const ended = (await world.segments())[0]!;
    const lastSequence = ended.record.sealed!.lastSequence;
    for (const tail of tails) expect((await tail).map(({ data }) => data)).toEqual(numbers(lastSequence));
  });

  it("end their readers when the buffer loses its session, without telling more than was acknowledged", async () => {
    const { world, publisher, buffer } = await start();
    await using _ = world;
    const [segment] = await world.segments();
    await publisher.publish(5);
    await publisher.untilAcked();
    const tail = readAll(buffer.node, segment!.id, 100);
    await settled();
    buffer.kill();
    await world.clock.advance(6_000);
    expect((await tail).map(({ data }) => data)).toEqual(numbers(5));
    await expect(readAll(buffer.node, segment!.id, 1)).rejects.toMatchObject({ code: "not-owner" });
  });

  it("are read from their log below what is still in memory, and memory stays within its bound", async () => {
    const { world, publisher, buffer } = await start({ hotBytes: 2_000 });
    await using _ = world;
    for (let i = 0; i < 20; i++) {
      await publisher.publish(10);
      await publisher.untilAcked();
    }
    expect(buffer.node.status().hotBytes).toBeLessThanOrEqual(2_000);
    let reads = 0;
    buffer.logs.hook = async (call) => {
      if (call === "read") reads += 1;
    };
    const [segment] = await world.segments();
    expect((await readAll(buffer.node, segment!.id, 200)).map(({ data }) => data)).toEqual(numbers(200));
    expect(reads).toBe(1);
    reads = 0;
    expect((await readAll(buffer.node, segment!.id, 200, 195)).map(({ data }) => data)).toEqual(
      numbers(200).slice(194),
    );
    expect(reads).toBe(0);
  });

  it("give one message in many small groups to a reader in one piece", async () => {
    const { world, publisher, buffer } = await start();
    await using _ = world;
    for (let i = 0; i < 20; i++) {
      await publisher.publish(1);
      await publisher.untilAcked();
    }
    const [segment] = await world.segments();
    for await (const chunk of buffer.node.read({ segment: segment!.id, fromSequence: 3 })) {
      expect([chunk.firstSequence, chunk.count]).toEqual([3, 18]);
      expect([...messagesInFrames(chunk.frames)].map(({ sequence }) => sequence)).toEqual(
        Array.from({ length: 18 }, (_, i) => i + 3),
      );
      break;
    }
  });

  it("give the newest message of a key, over segments, from memory and from logs", async () => {
    const { world, publisher, buffer } = await start({
      segmentMaxBytes: 1_500,
      hotBytes: 1_000,
      maxIndexedKeys: 2,
    });
    await using _ = world;
    world.archive.hook = async () => {
      throw new TopicError("unavailable", "not now");
    };
    await publisher.publish(40);
    await publisher.untilAcked();
    await world.clock.advance(500);
    const newest = async (key: string, fromTime?: bigint): Promise<string | undefined> => {
      const found = await buffer.node.get(topic, key, fromTime === undefined ? {} : { fromTime });
      const [message] = found ? messagesInFrames(found.frame) : [];
      return message && Buffer.from(decodeBody(message.body).data).toString();
    };
    // Message n has key n mod 3 of k, l, m.
    expect([await newest("k"), await newest("l"), await newest("m")]).toEqual(["39", "40", "38"]);
    expect(await newest("never")).toBeUndefined();
    await publisher.publish(1);
    await publisher.untilAcked();
    expect(await newest("m")).toBe("41");
    const times = [...publisher.acked].find(([, data]) => data === "41")!;
    expect(await newest("m", times[0])).toBe("41");
    expect(await newest("k", times[0])).toBeUndefined();
    await expect(buffer.node.get(topic, "")).rejects.toMatchObject({ code: "invalid-key" });
  });
});

describe("sealed segments", () => {
  it("go to the archive, whole, and their logs are dropped only after that is recorded and readers had time", async () => {
    const { world, history, publisher, buffer } = await start({
      segmentMaxBytes: 1_000,
      readersGraceMs: 5_000,
    });
    await using _ = world;
    await publisher.publish(20);
    await publisher.untilAcked();
    const [first] = await world.segments();
    const dropped: string[] = [];
    buffer.logs.hook = async (call, name) => {
      if (call === "drop") dropped.push(name);
    };
    await world.clock.until(() => buffer.events.some((event) => event.type === "archived"));
    expect((await world.segments())[0]?.record.state).toBe("archived");
    await world.clock.advance(4_000);
    expect(dropped).toEqual([]);
    // Somebody who came before it was archived goes on.
    const last = first!.record.sealed!.lastSequence;
    expect((await readAll(buffer.node, first!.id, last)).map(({ data }) => data)).toEqual(numbers(last));
    await world.clock.advance(2_000);
    expect(dropped).toContain(first!.record.log);
    await expect(readAll(buffer.node, first!.id, 1)).rejects.toMatchObject({ code: "not-owner" });
    expect(await history.check(publisher.acked)).toEqual(numbers(20));
  });

  it("are served on while the archive fails, and archived when it works again", async () => {
    const { world, publisher, buffer } = await start({ segmentMaxBytes: 1_000 });
    await using _ = world;
    world.archive.hook = async () => {
      throw new TopicError("unavailable", "no room");
    };
    await publisher.publish(20);
    await publisher.untilAcked();
    const [first] = await world.segments();
    await world.clock.advance(20_000);
    expect(buffer.events.filter((event) => event.type === "archive-failed").length).toBeGreaterThan(2);
    expect((await world.segments())[0]?.record.state).toBe("sealed");
    const last = first!.record.sealed!.lastSequence;
    expect((await readAll(buffer.node, first!.id, last)).map(({ data }) => data)).toEqual(numbers(last));
    world.archive.hook = async () => {};
    await world.clock.until(() => buffer.events.some((event) => event.type === "archived"), 120_000);
  });

  it("whose server is gone are adopted by a buffer that is there, and archived by it", async () => {
    const { world, history, publisher, buffer } = await start({ segmentMaxBytes: 1_000 });
    await using _ = world;
    world.archive.hook = async () => {
      throw new TopicError("unavailable", "not now");
    };
    await publisher.publish(20);
    await publisher.untilAcked();
    publisher.drop();
    await world.clock.during(buffer.node.close());
    const b = await world.startBuffer("b");
    const [first] = await world.segments();
    const last = first!.record.sealed!.lastSequence;
    await world.clock.until(() => b.node.status().segments >= 3);
    expect((await readAll(b.node, first!.id, last)).map(({ data }) => data)).toEqual(numbers(last));
    world.archive.hook = async () => {};
    await world.clock.until(() => b.events.filter((event) => event.type === "archived").length >= 2, 120_000);
    expect(await history.check(publisher.acked)).toEqual(numbers(20));
  });

  it("that were archived before their logs were dropped lose those when a buffer starts", async () => {
    const { world, publisher, buffer } = await start({ segmentMaxBytes: 1_000, readersGraceMs: 5_000 });
    await using _ = world;
    await publisher.publish(20);
    await publisher.untilAcked();
    await world.clock.until(() => buffer.events.some((event) => event.type === "archived"));
    const [first] = await world.segments();
    await world.clock.during(buffer.node.close());
    expect(world.disk.logs.has(first!.record.log)).toBe(true);
    await world.startBuffer("b", { readersGraceMs: 5_000 });
    await world.clock.advance(11_000);
    expect(world.disk.logs.has(first!.record.log)).toBe(false);
  });
});
