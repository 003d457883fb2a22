import { afterEach, describe, expect, it } from "vitest";
import { randomFrom } from "../../coord/test/support/random.js";
import { parseMessageId, TopicError } from "../src/protocol.js";
import { hashOfKey } from "../src/publish/publisher.js";
import { type PublishingWorld, publishingWorld } from "./support/publishing-world.js";

const ALL = "0-65535";
const LOW = "0-32767";
const HIGH = "32768-65535";
/** hashOfKey: 11795 and 41725, below and above the middle. */
const LOW_KEY = "key-1";
const HIGH_KEY = "key-3";

let world: PublishingWorld;
afterEach(() => world[Symbol.asyncDispose]());

async function failure(promise: Promise<unknown>): Promise<TopicError> {
  const error = await promise.then(
    () => undefined,
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(TopicError);
  return error as TopicError;
}

describe("routing", () => {
  it("hashes keys as the published system does", async () => {
    world = await publishingWorld();
    expect(hashOfKey("key-1")).toBe(11795);
    expect(hashOfKey(HIGH_KEY)).toBeGreaterThan(32767);
  });

  it("sends each message to the owner of its key's range", async () => {
    world = await publishingWorld();
    await world.setFactor(15);
    await world.own(LOW, "a:1");
    await world.own(HIGH, "b:1");
    void world.publish(LOW_KEY, "low").catch(() => {});
    void world.publish(HIGH_KEY, "high").catch(() => {});
    await world.settle();
    expect(world.newest("a:1").received.map(({ texts }) => texts)).toEqual([["low"]]);
    expect(world.newest("b:1").received.map(({ texts }) => texts)).toEqual([["high"]]);
    expect([...world.newest("a:1").targets.values()]).toMatchObject([
      { topic: "t", range: { from: 0, to: 32768 } },
    ]);
  });

  it("refuses a topic that does not exist without sending anything", async () => {
    world = await publishingWorld();
    const body = { key: "k", data: Buffer.alloc(0), time: 0 };
    expect((await failure(world.publisher.publish("other" as never, [body]))).code).toBe("topic-not-found");
  });

  it("checks every message of a call before it sends one", async () => {
    world = await publishingWorld();
    await world.own(ALL, "a:1");
    const good = { key: "k", data: Buffer.alloc(0), time: 0 };
    const error = await failure(world.publisher.publish("t" as never, [good, { ...good, key: "" }]));
    expect(error.code).toBe("invalid-key");
    await world.settle();
    expect(world.streams("a:1")).toEqual([]);
  });
});

describe("batches", () => {
  it("hold what was published together", async () => {
    world = await publishingWorld();
    await world.own(ALL, "a:1");
    const ids = ["a", "b", "c"].map((text) => world.publish("k", text));
    await world.settle();
    expect(world.newest("a:1").received.map(({ texts }) => texts)).toEqual([["a", "b", "c"]]);
    world.newest("a:1").acknowledge(1, 1);
    const sequences = (await Promise.all(ids)).map((id) => parseMessageId(id).sequence);
    expect(sequences).toEqual([1, 2, 3]);
  });

  it("leave at once while little is on its way, up to 16, and the rest follows together", async () => {
    world = await publishingWorld();
    await world.own(ALL, "a:1");
    const sent: Promise<string>[] = [];
    for (let i = 1; i <= 18; i++) {
      sent.push(world.publish("k", String(i)));
      await world.settle();
    }
    const alone = Array.from({ length: 16 }, (_, i) => [String(i + 1)]);
    const texts = () => world.newest("a:1").received.map((batch) => batch.texts);
    expect(texts()).toEqual(alone);
    world.newest("a:1").acknowledge(1, 1);
    await world.settle();
    expect(texts()).toEqual([...alone, ["17", "18"]]);
    world.newest("a:1").acknowledge(1, 17);
    const sequences = (await Promise.all(sent)).map((id) => parseMessageId(id).sequence);
    expect(sequences).toEqual(Array.from({ length: 18 }, (_, i) => i + 1));
  });

  it("gather what comes while much is on its way", async () => {
    world = await publishingWorld();
    await world.own(ALL, "a:1");
    const much = "a".repeat(64 * 1024);
    const first = world.publish("k", much);
    await world.settle();
    const later = [world.publish("k", "b")];
    await world.settle();
    later.push(world.publish("k", "c"));
    await world.settle();
    expect(world.newest("a:1").received).toHaveLength(1);
    world.newest("a:1").acknowledge(1, 1);
    await first;
    await world.settle();
    expect(world.newest("a:1").received.map(({ texts }) => texts)).toEqual([[much], ["b", "c"]]);
    world.newest("a:1").acknowledge(1, 2);
    await Promise.all(later);
  });

  it("of a call over two ranges are answered as one", async () => {
    world = await publishingWorld();
    await world.setFactor(15);
    await world.own(LOW, "a:1");
    await world.own(HIGH, "b:1");
    const body = (key: string) => ({ key, data: Buffer.from(key), time: 0 });
    let done = false;
    const call = world.publisher.publish("t" as never, [body(HIGH_KEY), body(LOW_KEY)]).then((ids) => {
      done = true;
      return ids;
    });
    await world.settle();
    world.newest("a:1").acknowledge(1, 1);
    await world.settle();
    expect(done).toBe(false);
    world.newest("b:1").acknowledge(1, 1);
    expect((await call).map((id) => parseMessageId(id).rangeFrom)).toEqual([32768, 0]);
  });
});

describe("a range without an owner", () => {
  it("makes messages wait until there is one", async () => {
    world = await publishingWorld();
    const id = world.publish("k", "a");
    await world.settle();
    await world.own(ALL, "a:1");
    world.newest("a:1").acknowledge(1, 1);
    expect(await id).toMatch(/-1[0-9a-f]{3}-/);
  });

  it("fails them at their deadline, and says that they may or may not be in the log", async () => {
    world = await publishingWorld({ retry: { deadlineMs: 1000 } });
    const failed = failure(world.publish("k", "a"));
    await world.clock.advance(999);
    const later = failure(world.publish("k", "b"));
    const other = world.publish("other", "c");
    await world.clock.advance(1);
    const error = await failed;
    expect(error.code).toBe("unavailable");
    expect(error.message).toMatch(/has no owner.*may or may not be in the log/);
    // Behind a failed message, the later ones of its key fail too; those of other keys go on.
    expect((await later).code).toBe("unavailable");
    await world.own(ALL, "a:1");
    expect(world.newest("a:1").received.map(({ texts }) => texts)).toEqual([["c"]]);
    world.newest("a:1").acknowledge(1, 1);
    await other;
  });

  it("is not waited for when the caller's signal aborts, and the message is not sent then", async () => {
    world = await publishingWorld();
    const controller = new AbortController();
    const reason = new Error("enough");
    const aborted = world.publish("k", "a", controller.signal);
    controller.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    const kept = world.publish("k", "b");
    await world.own(ALL, "a:1");
    expect(world.newest("a:1").received.map(({ texts }) => texts)).toEqual([["b"]]);
    world.newest("a:1").acknowledge(1, 1);
    await kept;
  });
});

describe("a lane that dies", () => {
  it("by a broken stream: everything unacknowledged is sent again, in order, in front of what is newer", async () => {
    world = await publishingWorld();
    await world.own(ALL, "a:1");
    const acked = world.publish("k", "a");
    await world.settle();
    const stream = world.newest("a:1");
    stream.acknowledge(1, 1);
    await acked;
    const ids = [world.publish("k", "b")];
    await world.settle();
    ids.push(world.publish("k", "c"));
    await world.settle();
    stream.break();
    await world.settle();
    ids.push(world.publish("k", "d"));
    await world.clock.advance(1000);
    const again = world.newest("a:1");
    expect(again).not.toBe(stream);
    // The network may still hold some of the broken stream: its owner must know which lane is the newer one.
    const [before, after] = [stream, again].map(({ targets }) => targets.values().next().value?.sender);
    expect(after?.id).toBe(before?.id);
    expect(after?.id).toMatch(/^[0-9a-f]{32}$/);
    expect(after?.attempt).toBeGreaterThan(before?.attempt ?? 0);
    expect(again.received.flatMap(({ texts }) => texts)).toEqual(["b", "c", "d"]);
    expect(again.received[0]?.batch).toBe(1);
    again.acknowledge(1, 1);
    await Promise.all(ids);
  });

  it("by a refusal: goes to the next owner under its epoch", async () => {
    world = await publishingWorld();
    await world.own(ALL, "a:1");
    const id = world.publish("k", "a");
    await world.settle();
    world.newest("a:1").refuse(1, "not-owner");
    await world.settle();
    await world.own(ALL, "b:1");
    await world.clock.advance(1000);
    expect(world.newest("b:1").received.map(({ texts }) => texts)).toEqual([["a"]]);
    const [old] = world.newest("a:1").targets.values();
    const [next] = world.newest("b:1").targets.values();
    expect(next?.epoch).toBeGreaterThan(old?.epoch as bigint);
    world.newest("b:1").acknowledge(1, 1);
    await id;
  });

  it("by silence of an owner that lost its lease: the next owner gets its messages after a grace", async () => {
    world = await publishingWorld();
    await world.own(ALL, "a:1");
    const id = world.publish("k", "a");
    await world.settle();
    await world.own(ALL, "b:1");
    expect(world.streams("b:1")).toEqual([]);
    await world.clock.advance(1000);
    expect(world.newest("b:1").received.map(({ texts }) => texts)).toEqual([["a"]]);
    // The old owner wakes up: its late answer is for a lane that nobody knows any more.
    world.newest("a:1").acknowledge(1, 1);
    await world.settle();
    world.newest("b:1").acknowledge(1, 1);
    await id;
  });

  it("is given up on after so many attempts", async () => {
    world = await publishingWorld({ retry: { maxAttempts: 2 } });
    await world.own(ALL, "a:1");
    const failed = failure(world.publish("k", "a"));
    await world.settle();
    world.newest("a:1").refuse(1, "overloaded");
    await world.clock.advance(1000);
    world.newest("a:1").refuse(2, "overloaded");
    await world.clock.advance(1000);
    const error = await failed;
    expect(error.code).toBe("unavailable");
    expect(error.message).toMatch(/2 attempts/);
  });
});

describe("a change of the topic's ranges", () => {
  it("lets nothing new overtake what is on its way to an earlier owner", async () => {
    world = await publishingWorld();
    await world.own(ALL, "a:1");
    const ids = [world.publish(LOW_KEY, "1")];
    await world.settle();
    await world.setFactor(15);
    await world.own(LOW, "b:1");
    ids.push(world.publish(LOW_KEY, "2"));
    await world.settle();
    expect(world.streams("b:1")).toEqual([]);
    world.newest("a:1").acknowledge(1, 1);
    await world.settle();
    expect(world.newest("b:1").received.map(({ texts }) => texts)).toEqual([["2"]]);
    world.newest("b:1").acknowledge(1, 1);
    await Promise.all(ids);
  });

  it("routes what the earlier owner refused anew, in order", async () => {
    world = await publishingWorld();
    await world.own(ALL, "a:1");
    const ids = [world.publish(LOW_KEY, "1"), world.publish(HIGH_KEY, "2"), world.publish(LOW_KEY, "3")];
    await world.settle();
    await world.setFactor(15);
    await world.own(LOW, "b:1");
    await world.own(HIGH, "c:1");
    ids.push(world.publish(LOW_KEY, "4"));
    world.newest("a:1").refuse(1, "not-owner");
    await world.settle();
    expect(world.newest("b:1").received.flatMap(({ texts }) => texts)).toEqual(["1", "3", "4"]);
    expect(world.newest("c:1").received.flatMap(({ texts }) => texts)).toEqual(["2"]);
    world.newest("b:1").acknowledge(1, 1);
    world.newest("c:1").acknowledge(1, 1);
    await Promise.all(ids);
  });
});

describe("closing", () => {
  it("waits for the answers that are outstanding, and takes nothing new", async () => {
    world = await publishingWorld();
    await world.own(ALL, "a:1");
    const id = world.publish("k", "a");
    await world.settle();
    let closed = false;
    const closing = world.publisher.close().then(() => {
      closed = true;
    });
    expect((await failure(world.publish("k", "b"))).code).toBe("closed");
    await world.settle();
    expect(closed).toBe(false);
    world.newest("a:1").acknowledge(1, 1);
    await closing;
    expect(await id).toBeTypeOf("string");
  });

  it("stops waiting when told to, and fails what is left", async () => {
    world = await publishingWorld();
    const failed = failure(world.publish("k", "a"));
    await world.publisher.close(AbortSignal.abort());
    expect((await failed).code).toBe("closed");
  });
});

describe("under any mixture of acknowledgements, refusals, broken streams, moves and resizes", () => {
  it.each(Array.from({ length: 60 }, (_, seed) => seed))(
    "keeps order by key and loses nothing acknowledged (seed %i)",
    async (seed) => {
      world = await publishingWorld({ seed, retry: { deadlineMs: 10_000_000, maxAttempts: 1_000_000 } });
      const random = randomFrom(seed + 1000);
      const pick = (n: number): number => Math.floor(random() * n);
      // What the buffers take goes to one log, as long as the stream has not been broken.
      const log: string[] = [];
      const open: { address: string; stream: ReturnType<PublishingWorld["newest"]> }[] = [];
      world.onStream = (address, stream) => {
        open.push({ address, stream });
        stream.onBatch = ({ texts }) => log.push(...texts);
      };
      let factor = 16;
      const ranges = () => (factor === 16 ? [ALL] : [LOW, HIGH]);
      await world.own(ALL, "a:1");
      const sent: { key: string; text: string; acked: boolean }[] = [];
      const calls: Promise<void>[] = [];
      for (let step = 0; step < 150; step++) {
        const choice = pick(20);
        if (choice < 10) {
          const key = `key-${1 + pick(6)}`;
          const one = { key, text: `${key}:${sent.length}`, acked: false };
          sent.push(one);
          calls.push(
            world.publish(key, one.text).then(() => {
              one.acked = true;
            }),
          );
        } else if (choice < 14) {
          for (const { stream } of open) {
            const last = stream.received.at(-1);
            if (last && random() < 0.7) stream.acknowledge(last.lane, last.batch);
          }
        } else if (choice < 15 && open.length > 0) {
          const [broken] = open.splice(pick(open.length), 1);
          if (broken) {
            broken.stream.onBatch = () => {};
            broken.stream.break();
          }
        } else if (choice < 16) {
          const stream = open[pick(open.length || 1)]?.stream;
          const lane = stream?.received.at(-1)?.lane;
          if (stream && lane !== undefined) stream.refuse(lane, "not-owner");
        } else if (choice < 18) {
          await world.own(ranges()[pick(ranges().length)] as string, `${"abc"[pick(3)]}:1`);
        } else if (choice < 19) {
          factor = factor === 16 ? 15 : 16;
          await world.setFactor(factor);
          for (const range of ranges()) await world.own(range, `${"abc"[pick(3)]}:1`);
        } else await world.clock.advance(pick(800));
        await world.settle();
      }
      // Everything heals: all that is asked is answered.
      for (let round = 0; round < 100 && sent.some(({ acked }) => !acked); round++) {
        for (const { stream } of open) {
          for (const [lane] of stream.targets) {
            const batches = stream.received.filter((one) => one.lane === lane);
            if (batches.length > 0) stream.acknowledge(lane, batches.at(-1)?.batch as number);
          }
        }
        await world.clock.advance(1000);
      }
      await Promise.all(calls);
      const first = new Map<string, number>();
      log.forEach((text, at) => {
        if (!first.has(text)) first.set(text, at);
      });
      for (const key of new Set(sent.map((one) => one.key))) {
        const texts = sent.filter((one) => one.key === key).map(({ text }) => text);
        const places = texts.map((text) => first.get(text) ?? Number.NaN);
        expect(places).not.toContain(Number.NaN);
        expect(places).toEqual([...places].sort((a, b) => a - b));
      }
    },
  );
});
