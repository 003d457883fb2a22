import { CoordError, type GetOptions, type WatchBatch } from "@x/coord";
import { decodeBody, messagesInFrames, prefixes } from "@x/topic-gateway/protocol";
import { describe, expect, it } from "vitest";
import type { BufferNode } from "../src/index.js";
import { settled } from "./support/fake-clock.js";
import { Publisher } from "./support/publisher.js";
import { rangeOfKey, type TestBuffer, topic, World } from "./support/world.js";

const range = rangeOfKey("k", 16);

async function start(): Promise<{ world: World; a: TestBuffer; publisher: Publisher }> {
  const world = await World.open();
  await world.createTopic(16);
  const a = await world.startBuffer("a");
  await world.untilOpen(16);
  const publisher = new Publisher(world, range, ["k"]);
  await publisher.publish(1);
  await publisher.untilAcked();
  return { world, a, publisher };
}

async function get(node: BufferNode, revision: bigint, signal?: AbortSignal): Promise<string> {
  const found = await node.get(topic, "k", { revision, ...(signal && { signal }) });
  const [message] = found ? messagesInFrames(found.frame) : [];
  return message ? Buffer.from(decodeBody(message.body).data).toString() : "nothing";
}

/** A key of another program, which no buffer is told about. */
async function foreignRevision({ coord }: World): Promise<bigint> {
  const { revision } = await coord.txn({ then: [{ type: "put", key: "somebody-elses", value: "1" }] });
  return revision;
}

/** A store that does not answer. */
function silence(_: unknown, { signal }: GetOptions = {}): Promise<never> {
  return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
}

describe("a buffer that is asked for a key at a revision", () => {
  it("answers soon when the revision is of a key that it is never told about, and at once when it knows", async () => {
    const { world, a } = await start();
    await using _ = world;
    const revision = await foreignRevision(world);
    expect(await world.clock.during(get(a.node, revision), 200)).toBe("1");
    let again: string | undefined;
    void get(a.node, revision).then((found) => {
      again = found;
    });
    // Without any time going by.
    await settled();
    expect(again).toBe("1");
    const answers = [];
    for await (const { index, found } of a.node.getMany(topic, ["k", "l"], { revision }))
      answers.push([index, found !== undefined]);
    expect(answers).toEqual([
      [0, true],
      [1, false],
    ]);
  });

  it("answers soon when the store has never come to that revision", async () => {
    const { world, a } = await start();
    await using _ = world;
    expect(await world.clock.during(get(a.node, 2n ** 64n - 1n), 200)).toBe("1");
  });

  it("does not answer that there is nothing while it has not seen that it serves the segment, however long that takes", async () => {
    const { world, a, publisher } = await start();
    await using _ = world;
    const b = await world.startBuffer("b");
    let show = (): void => {};
    const shown = new Promise<void>((resolve) => {
      show = resolve;
    });
    // B is not shown the transaction by which it becomes the server of what A had.
    b.coord.onWatch = ({ events }: WatchBatch) =>
      events.some((event) => event.type === "put" && event.kv.key.startsWith(prefixes.servers))
        ? shown
        : Promise.resolve();
    a.kill();
    publisher.drop();
    const serves = async (): Promise<boolean> => {
      const { kvs } = await world.coord.get({ prefix: prefixes.servers });
      return kvs.some(({ value }) => Buffer.from(value).toString() === b.node.address);
    };
    while (!(await serves())) await world.clock.advance(50);
    const { revision } = await world.coord.get({ prefix: prefixes.servers });
    for (const asked of [revision, await foreignRevision(world)]) {
      let answer: string | undefined;
      void get(b.node, asked).then((found) => {
        answer = found;
      });
      await world.clock.advance(3_000);
      expect(answer).toBeUndefined();
    }
    const answer = get(b.node, revision);
    show();
    expect(await world.clock.during(answer)).toBe("1");
  });

  it("rejects as soon as the asker gives up, and with a TopicError when the store can't be asked", async () => {
    const { world, a } = await start();
    await using _ = world;
    const revision = await foreignRevision(world);
    for (const waitedMs of [0, 150]) {
      a.coord.get = silence;
      const stop = new AbortController();
      const reason = new Error("no longer");
      const asked = get(a.node, revision, stop.signal);
      const rejected = expect(asked).rejects.toBe(reason);
      await world.clock.advance(waitedMs);
      stop.abort(reason);
      await rejected;
    }
    a.coord.get = () => Promise.reject(new CoordError("unavailable", "away"));
    const unavailable = expect(get(a.node, revision)).rejects.toMatchObject({
      name: "TopicError",
      code: "unavailable",
    });
    await world.clock.advance(150);
    await unavailable;
  });

  it("does not wait beyond the end of its session", async () => {
    const { world, a } = await start();
    await using _ = world;
    const revision = await foreignRevision(world);
    a.coord.get = silence;
    const rejected = expect(get(a.node, revision)).rejects.toMatchObject({ code: "not-owner" });
    await settled();
    await world.clock.advance(150);
    a.coord.partition();
    await world.clock.until(() => a.node.status().state === "waiting");
    await rejected;
    a.coord.heal();
  });
});
