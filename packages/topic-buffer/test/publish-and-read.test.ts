import { describe, expect, it } from "vitest";
import { entriesOf, rangeOfKey, readAll, Sender, topic, World } from "./support/world.js";

describe("publishing to a buffer and reading from it", () => {
  it("acknowledges messages with dense ids and lets them be read", async () => {
    await using world = await World.open();
    await world.createTopic(16);
    const { node } = await world.startBuffer("a");
    await world.untilOpen(16);
    const range = rangeOfKey("k", 16);
    const epoch = await world.epochOf(range);
    const sender = new Sender(node);
    sender.send({
      lane: 1,
      open: { topic, range, epoch },
      batch: 1,
      entries: entriesOf([
        { key: "k", data: "1" },
        { key: "k", data: "2" },
      ]),
    });
    sender.send({ lane: 1, batch: 2, entries: entriesOf([{ key: "l", data: "3" }]) });
    await world.clock.until(() => sender.acked(1) === 2);
    const runs = sender.runs(1);
    expect(runs.reduce((sum, run) => sum + run.count, 0)).toBe(3);
    expect(runs[0]?.sequence).toBe(1);
    const [segment] = await world.segments();
    expect(segment?.record.state).toBe("open");
    const found = await readAll(node, segment!.id, 3);
    expect(found.map(({ sequence, data }) => `${sequence}:${data}`)).toEqual(["1:1", "2:2", "3:3"]);
    sender.end();
    await sender.done;
    expect(sender.failure).toBeUndefined();
  });
});
