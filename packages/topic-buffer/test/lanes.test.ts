import { TopicError } from "@x/topic-gateway/protocol";
import { describe, expect, it } from "vitest";
import { settled } from "./support/fake-clock.js";
import { entriesOf, rangeOfKey, Sender, type TestBuffer, topic, World } from "./support/world.js";

const range = rangeOfKey("k", 16);
const one = entriesOf([{ key: "k", data: "x" }]);

async function start(options: Parameters<World["startBuffer"]>[1] = {}): Promise<{
  world: World;
  buffer: TestBuffer;
  open: { topic: string; range: typeof range; epoch: bigint };
}> {
  const world = await World.open();
  await world.createTopic(16);
  const buffer = await world.startBuffer("a", options);
  await world.untilOpen(16);
  return { world, buffer, open: { topic, range, epoch: await world.epochOf(range) } };
}

/** Holds appends up until they are let go. */
function holdAppends(buffer: TestBuffer): () => void {
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  buffer.logs.hook = (call) => (call === "append" ? held : Promise.resolve());
  return release;
}

describe("lanes", () => {
  it("acknowledges what was waiting together at once, with one run", async () => {
    const { world, buffer, open } = await start();
    await using _ = world;
    const release = holdAppends(buffer);
    const sender = new Sender(buffer.node);
    sender.send({ lane: 1, open, batch: 1, entries: one });
    await settled();
    for (let batch = 2; batch <= 50; batch++) sender.send({ lane: 1, batch, entries: one });
    await settled();
    release();
    await settled();
    expect(sender.acked(1)).toBe(50);
    // The first append, then everything that came meanwhile.
    expect(sender.replies).toHaveLength(2);
    expect(sender.runs(1).map(({ sequence, count }) => [sequence, count])).toEqual([
      [1, 1],
      [2, 49],
    ]);
  });

  it("ends only the stream that makes no sense, with a sentence", async () => {
    const { world, buffer, open } = await start();
    await using _ = world;
    const good = new Sender(buffer.node);
    good.send({ lane: 1, open, batch: 1, entries: one });
    const wrongs: [string, (sender: Sender) => void][] = [
      ["never opened", (sender) => sender.send({ lane: 5, batch: 1, entries: one })],
      [
        "2 comes next",
        (sender) => {
          sender.send({ lane: 1, open, batch: 1, entries: one });
          sender.send({ lane: 1, batch: 3, entries: one });
        },
      ],
      ["1 comes next", (sender) => sender.send({ lane: 1, open, batch: 2, entries: one })],
      [
        "opened twice",
        (sender) => {
          sender.send({ lane: 1, open, batch: 1, entries: one });
          sender.send({ lane: 1, open, batch: 2, entries: one });
        },
      ],
    ];
    for (const [words, send] of wrongs) {
      const bad = new Sender(buffer.node);
      send(bad);
      await bad.done;
      expect(bad.failure).toBeInstanceOf(TopicError);
      expect((bad.failure as TopicError).code).toBe("invalid-argument");
      expect((bad.failure as TopicError).message).toContain(words);
    }
    good.send({ lane: 1, batch: 2, entries: one });
    await settled();
    expect(good.acked(1)).toBe(2);
  });

  it("refuses the lane, not the stream, for entries that are malformed, after answering what came before", async () => {
    const { world, buffer, open } = await start();
    await using _ = world;
    const other = rangeOfKey("k", 16);
    expect(other).toEqual(range);
    const bad: Buffer[] = [
      Buffer.alloc(0),
      Buffer.from([1, 2, 3]),
      one.subarray(0, one.length - 1),
      Buffer.concat([Buffer.from([4, 0, 0, 0]), Buffer.from("junk")]),
      Buffer.concat([one, Buffer.from([255, 255, 255, 255])]),
      Buffer.from(one).fill(0xff, 16, 17),
    ];
    const sender = new Sender(buffer.node);
    for (const [i, entries] of bad.entries()) {
      const lane = i + 1;
      const release = holdAppends(buffer);
      sender.send({ lane, open, batch: 1, entries: one });
      sender.send({ lane, batch: 2, entries });
      sender.send({ lane, batch: 3, entries: one });
      await settled();
      expect(sender.refusal(lane)).toBeUndefined();
      release();
      await settled();
      expect(sender.acked(lane)).toBe(1);
      expect(sender.refusal(lane)?.code).toBe("invalid-argument");
    }
    sender.send({ lane: 100, open, batch: 1, entries: one });
    await settled();
    expect(sender.acked(100)).toBe(1);
    sender.end();
    await sender.done;
    expect(sender.failure).toBeUndefined();
  });

  it("refuses a key that belongs to another range", async () => {
    const world = await World.open();
    await using _ = world;
    await world.createTopic(15);
    const { node } = await world.startBuffer("a");
    await world.untilOpen(15);
    const mine = rangeOfKey("k", 15);
    const foreign = ["l", "m", "n", "o", "p", "q"].find(
      (key) => rangeOfKey(key, 15).from !== mine.from,
    ) as string;
    const sender = new Sender(node);
    sender.send({
      lane: 1,
      open: { topic, range: mine, epoch: await world.epochOf(mine) },
      batch: 1,
      entries: entriesOf([{ key: foreign, data: "" }]),
    });
    await settled();
    expect(sender.refusal(1)?.code).toBe("invalid-argument");
  });

  it("refuses lanes for what is not held here, or under another epoch", async () => {
    const { world, buffer, open } = await start();
    await using _ = world;
    const sender = new Sender(buffer.node);
    sender.send({ lane: 1, open: { ...open, epoch: open.epoch - 1n }, batch: 1, entries: one });
    sender.send({ lane: 2, open: { ...open, topic: "unknown" }, batch: 1, entries: one });
    sender.send({ lane: 3, open: { ...open, range: { from: 0, to: 64 } }, batch: 1, entries: one });
    sender.send({ lane: 4, open, batch: 1, entries: one });
    await settled();
    expect([1, 2, 3].map((lane) => sender.refusal(lane)?.code)).toEqual([
      "not-owner",
      "not-owner",
      "not-owner",
    ]);
    expect(sender.acked(4)).toBe(1);
  });

  it("reads a stream no further while too much of a range waits for the disk", async () => {
    const { world, buffer, open } = await start({ maxQueuedBytes: 10 * one.length });
    await using _ = world;
    const release = holdAppends(buffer);
    const sender = new Sender(buffer.node);
    sender.send({ lane: 1, open, batch: 1, entries: one });
    for (let batch = 2; batch <= 100; batch++) sender.send({ lane: 1, batch, entries: one });
    await settled();
    expect(sender.taken).toBeLessThan(15);
    release();
    await settled();
    expect(sender.acked(1)).toBe(100);
  });

  it("answers every lane when the session is lost in the middle of an append, and acknowledges none of it", async () => {
    const { world, buffer, open } = await start();
    await using _ = world;
    holdAppends(buffer);
    const sender = new Sender(buffer.node);
    sender.send({ lane: 1, open, batch: 1, entries: one });
    sender.send({ lane: 2, open, batch: 1, entries: one });
    await settled();
    buffer.coord.partition();
    await world.clock.until(() => sender.refusal(1) !== undefined && sender.refusal(2) !== undefined);
    expect(sender.acked(1)).toBe(0);
    sender.end();
    await sender.done;
    expect(sender.failure).toBeUndefined();
    buffer.coord.heal();
  });

  it("holds batches for a range that is being taken over and acknowledges them when it is open", async () => {
    const { world, buffer } = await start();
    await using _ = world;
    buffer.kill();
    const b = await world.startBuffer("b");
    let go = (): void => {};
    const held = new Promise<void>((resolve) => {
      go = resolve;
    });
    b.logs.hook = (call) => (call === "seal" ? held : Promise.resolve());
    await world.clock.until(() => b.events.some((event) => event.type === "claimed"));
    const sender = new Sender(b.node);
    sender.send({
      lane: 1,
      open: { topic, range, epoch: await world.epochOf(range) },
      batch: 1,
      entries: one,
    });
    await settled();
    expect(sender.replies).toEqual([]);
    go();
    await world.clock.until(() => sender.acked(1) === 1);
  });

  it("takes nothing of a sender's older lane once a newer one has come, in whatever stream and order", async () => {
    const { world, buffer, open } = await start();
    await using _ = world;
    const from = (attempt: number) => ({ ...open, sender: { id: "5e".repeat(16), attempt } });
    const release = holdAppends(buffer);
    // Three streams of one sender, of which it has given up two, and another sender's.
    const [stalled, old, young, other] = Array.from({ length: 4 }, () => new Sender(buffer.node)) as [
      Sender,
      Sender,
      Sender,
      Sender,
    ];
    old.send({ lane: 1, open: from(2), batch: 1, entries: one });
    other.send({
      lane: 1,
      open: { ...open, sender: { id: "07".repeat(16), attempt: 1 } },
      batch: 1,
      entries: one,
    });
    await settled();
    young.send({ lane: 1, open: from(3), batch: 1, entries: one });
    await settled();
    old.send({ lane: 1, batch: 2, entries: one });
    stalled.send({ lane: 1, open: from(1), batch: 1, entries: one });
    other.send({ lane: 1, batch: 2, entries: one });
    await settled();
    release();
    await settled();
    // What it had brought before is in the log, and told.
    expect(old.acked(1)).toBe(1);
    expect(old.refusal(1)?.code).toBe("not-owner");
    expect(stalled.acked(1)).toBe(0);
    expect(stalled.refusal(1)?.code).toBe("not-owner");
    expect(young.acked(1)).toBe(1);
    expect(young.refusal(1)).toBeUndefined();
    expect(other.acked(1)).toBe(2);
    const messages = [old, other, young]
      .flatMap((sender) => sender.runs(1))
      .reduce((sum, { count }) => sum + count, 0);
    expect(messages).toBe(4);
  });

  it("remembers a sender's newest lane after its stream has gone", async () => {
    const { world, buffer, open } = await start();
    await using _ = world;
    const from = (attempt: number) => ({ ...open, sender: { id: "5e".repeat(16), attempt } });
    const young = new Sender(buffer.node);
    young.send({ lane: 1, open: from(2), batch: 1, entries: one });
    await settled();
    young.end();
    await young.done;
    const stalled = new Sender(buffer.node);
    stalled.send({ lane: 1, open: from(1), batch: 1, entries: one });
    await settled();
    expect(stalled.acked(1)).toBe(0);
    expect(stalled.refusal(1)?.code).toBe("not-owner");
  });

  it("lets go of a publisher that leaves, and rejects with the reason of its abort", async () => {
    const { world, buffer, open } = await start();
    await using _ = world;
    const sender = new Sender(buffer.node);
    sender.send({ lane: 1, open, batch: 1, entries: one });
    await settled();
    const reason = new Error("left");
    sender.abort(reason);
    await sender.done;
    expect(sender.failure).toBe(reason);
    const next = new Sender(buffer.node);
    next.send({ lane: 1, open, batch: 1, entries: one });
    await settled();
    expect(next.acked(1)).toBe(1);
  });
});
