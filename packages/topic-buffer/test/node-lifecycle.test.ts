import { CoordError } from "@x/coord";
import { bufferKey, decodeBody, messagesInFrames, prefixes } from "@x/topic-gateway/protocol";
import { describe, expect, it } from "vitest";
import { type BufferNode, openBuffer } from "../src/index.js";
import { FakeClock } from "./support/fake-clock.js";
import { FaultyCoord } from "./support/faulty-coord.js";
import { MemoryLogs } from "./support/memory-logs.js";
import { Publisher } from "./support/publisher.js";
import { rangeOfKey, seededRandom, topic, World } from "./support/world.js";

const range = rangeOfKey("k", 16);

function lost(): never {
  throw new CoordError("history-lost", "another store answered");
}

async function registered(world: World): Promise<string[]> {
  const { kvs } = await world.coord.get({ prefix: prefixes.buffers });
  return kvs.map(({ key, lease }) => `${key} ${lease}`);
}

describe("a buffer whose store lost its history", () => {
  it("fails for good, when it finds out as it begins anew", async () => {
    const world = await World.open();
    await using _ = world;
    const a = await world.startBuffer("a");
    a.coord.partition();
    await world.clock.until(() => a.node.status().state === "waiting");
    a.coord.onTxn = lost;
    a.coord.heal();
    await world.clock.until(() => a.node.status().state === "failed", 5_000);
    expect(a.events.at(-1)).toMatchObject({ type: "failed", cause: { code: "history-lost" } });
  });

  it("fails for good, when that is what ended its session", async () => {
    const world = await World.open();
    await using _ = world;
    await world.createTopic(16);
    const a = await world.startBuffer("a");
    await world.untilOpen(16);
    a.coord.onTxn = () => {
      a.coord.onTxn = () => "none";
      return lost();
    };
    await world.createTopic(15);
    await world.clock.until(() => a.events.some(({ type }) => type === "session-lost"));
    await world.clock.advance(10_000);
    expect(a.node.status().state).toBe("failed");
    expect(a.events.filter(({ type }) => type === "started")).toHaveLength(1);
  });
});

describe("openBuffer", () => {
  it("rejects with the reason of a signal that aborts while it tells that it has started, and leaves nothing behind", async () => {
    const world = await World.open();
    await using _ = world;
    const stop = new AbortController();
    const reason = new Error("enough");
    let keepAlives = 0;
    const coord = new FaultyCoord(world.coord);
    const keepAlive = coord.keepAlive.bind(coord);
    coord.keepAlive = (...args) => {
      keepAlives += 1;
      return keepAlive(...args);
    };
    const opening = openBuffer({
      id: "a",
      address: "a.test:1",
      coord,
      logs: new MemoryLogs(world.disk),
      archive: world.archive,
      runtime: { clock: world.clock, random: seededRandom(1) },
      signal: stop.signal,
      onEvent: ({ type }) => type === "started" && stop.abort(reason),
    });
    await expect(world.clock.during(opening)).rejects.toBe(reason);
    expect(await registered(world)).toEqual([]);
    keepAlives = 0;
    await world.clock.advance(30_000);
    expect(keepAlives).toBe(0);
  });
});

describe("a buffer whose clock has passed its deadline, and whose timers have not run yet", () => {
  async function overdue(): Promise<{
    world: World;
    a: BufferNode;
    newest(node: BufferNode): Promise<string>;
  }> {
    const world = await World.open();
    await world.createTopic(16);
    const clock = new FakeClock();
    const a = await world.startBuffer("a", { clock });
    await clock.until(() => a.node.status().ranges.some(({ phase }) => phase === "open"));
    const publisher = new Publisher(world, range, ["k"]);
    await publisher.publish(1);
    await publisher.untilAcked();
    publisher.drop();
    const newest = async (node: BufferNode): Promise<string> => {
      const found = await node.get(topic, "k");
      const [message] = found ? messagesInFrames(found.frame) : [];
      return message ? Buffer.from(decodeBody(message.body).data).toString() : "none";
    };
    expect(await newest(a.node)).toBe("1");
    // The process stands still, and what it gets from the store does as well.
    a.coord.partition();
    const b = await world.startBuffer("b");
    await world.clock.until(() => b.node.status().ranges.some(({ phase }) => phase === "open"));
    await publisher.publish(1);
    await publisher.untilAcked();
    expect(await newest(b.node)).toBe("2");
    clock.stall(10_000);
    return { world, a: a.node, newest };
  }

  it("does not answer for a key, of which another may have a newer message", async () => {
    const { world, a, newest } = await overdue();
    await using _ = world;
    await expect(newest(a)).rejects.toMatchObject({ code: "not-owner" });
    world.buffers[0]?.kill();
  });

  it("does not answer for many keys", async () => {
    const { world, a } = await overdue();
    await using _ = world;
    const answers = a.getMany(topic, ["k", "l"])[Symbol.asyncIterator]();
    await expect(answers.next()).rejects.toMatchObject({ code: "not-owner" });
    world.buffers[0]?.kill();
  });

  it("does not answer for a key that it was looking for when the deadline passed", async () => {
    const world = await World.open();
    await using _ = world;
    await world.createTopic(16);
    const clock = new FakeClock();
    const a = await world.startBuffer("a", { clock, hotBytes: 1 });
    await clock.until(() => a.node.status().ranges.some(({ phase }) => phase === "open"));
    const publisher = new Publisher(world, range, ["k"]);
    await publisher.publish(2);
    await publisher.untilAcked();
    let go = (): void => {};
    a.logs.hook = (call) => (call === "read" ? new Promise((resolve) => (go = resolve)) : Promise.resolve());
    const answer = a.node.get(topic, "k");
    const answers = a.node.getMany(topic, ["k"])[Symbol.asyncIterator]().next();
    const rejections = Promise.all([
      expect(answer).rejects.toMatchObject({ code: "not-owner" }),
      expect(answers).rejects.toMatchObject({ code: "not-owner" }),
    ]);
    await clock.advance(0);
    clock.stall(10_000);
    a.logs.hook = async () => {};
    go();
    await rejections;
    a.kill();
  });
});

describe("a buffer that is closed", () => {
  it("leaves the registration alone that another of its id has put since", async () => {
    const world = await World.open();
    await using _ = world;
    const old = await world.startBuffer("a");
    const [before] = await registered(world);
    await world.startBuffer("a");
    const [after] = await registered(world);
    expect(after).not.toBe(before);
    await world.clock.during(old.node.close());
    expect(await registered(world)).toEqual([after]);
    expect(after).toContain(bufferKey("a"));
  });

  it("takes its own registration away before its lease is given up", async () => {
    const world = await World.open();
    await using _ = world;
    const a = await world.startBuffer("a");
    const key = bufferKey("a");
    const deletes: string[] = [];
    a.coord.onTxn = ({ then = [] }) => {
      for (const op of then) if (op.type === "delete" && "key" in op) deletes.push(op.key);
      return "none";
    };
    a.coord.revokeLease = async () => {};
    await world.clock.during(a.node.close());
    expect(deletes).toEqual([key]);
    expect(await registered(world)).toEqual([]);
  });
});
