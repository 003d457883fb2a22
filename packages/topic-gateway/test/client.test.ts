import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type GetOptions, type TailMessage, type TopicClient, TopicError } from "../src/client.js";
import { parseMessageId } from "../src/protocol.js";
import { type LocalSystem, localSystem, until } from "./support/local-system.js";

let system: LocalSystem;
afterEach(() => system[Symbol.asyncDispose]());

async function codeOf(promise: Promise<unknown>): Promise<string | undefined> {
  const error = await promise.then(
    () => undefined,
    (reason) => reason,
  );
  return error instanceof TopicError ? error.code : String(error);
}
const textOf = ({ data }: { readonly data: Uint8Array }): string => Buffer.from(data).toString();

describe("topics", () => {
  beforeEach(async () => {
    system = await localSystem();
  });

  it("are added, listed by name and described with their ranges", async () => {
    const { topics } = system.client;
    await topics.add("b", 15);
    const added = await topics.add("a");
    expect(added.rangeSizeFactor).toBe(13);
    expect(topics.list().map(({ name }) => name)).toEqual(["a", "b"]);
    expect(topics.get("b").ranges.map(({ range }) => range)).toEqual([
      { from: 0, to: 32768 },
      { from: 32768, to: 65536 },
    ]);
  });

  it("get owners by themselves", async () => {
    await system.client.topics.add("a", 15);
    await until(
      () => system.client.topics.get("a").ranges.every(({ buffer }) => buffer === "127.0.0.1:1"),
      "all ranges are leased",
    );
    expect(system.client.topics.get("a").ranges.every(({ epoch }) => epoch !== undefined && epoch > 0n)).toBe(
      true,
    );
  });

  it.each(["", "a b", "ä", "a/b", "x".repeat(129), "../x", "__proto__ "])(
    "refuse the name %j",
    async (name) => {
      expect(await codeOf(system.client.topics.add(name))).toBe("invalid-topic-name");
      expect(() => system.client.topics.get(name)).toThrow(
        expect.objectContaining({ code: "invalid-topic-name" }),
      );
      expect(system.client.topics.list()).toEqual([]);
    },
  );

  it.each([5, 17, 12.5, Number.NaN])("refuse the range size factor %d", async (factor) => {
    expect(await codeOf(system.client.topics.add("a", factor))).toBe("invalid-range-size");
    expect(system.client.topics.list()).toEqual([]);
  });

  it("are not added twice, and unknown ones are not found", async () => {
    await system.client.topics.add("a", 16);
    expect(await codeOf(system.client.topics.add("a", 15))).toBe("topic-exists");
    expect(system.client.topics.get("a").rangeSizeFactor).toBe(16);
    expect(() => system.client.topics.get("nope")).toThrow(
      expect.objectContaining({ code: "topic-not-found" }),
    );
  });

  it("added by one client are known to another by the watch", async () => {
    const other = await system.openClient();
    await system.client.topics.add("a");
    await until(() => other.topics.list().length === 1, "the other client has heard of it");
  });
});

describe("the newest message of a key", () => {
  it("is found in memory, in a segment that was rolled away, and in the archive", async () => {
    system = await localSystem({ segmentMaxBytes: 64 * 1024 });
    const { client } = system;
    await client.topics.add("t", 16);
    const old = await client.publish("t", {
      key: "old",
      data: "in the archive",
      headers: { h: "1" },
      timeMs: 1_000,
    });
    const filler = Array.from({ length: 40 }, (_, i) => ({ key: `filler-${i}`, data: "x".repeat(10_000) }));
    await client.publishMany("t", filler);
    await client.publish("t", { key: "new", data: "first" });
    await client.publishMany("t", filler);
    const newest = await client.publish("t", { key: "new", data: "second" });
    await until(
      async () => (await client.describe("t")).segments[0]?.state === "archived",
      "the first segment is archived",
    );
    expect(await client.get("t", "old")).toMatchObject({
      id: old,
      key: "old",
      headers: { h: "1" },
      timeMs: 1_000,
    });
    expect(textOf((await client.get("t", "old")) as { data: Uint8Array })).toBe("in the archive");
    expect((await client.get("t", "new"))?.id).toBe(newest);
    expect(await client.get("t", "never")).toBeUndefined();
    expect(await client.get("t", "old", { fromTimeMs: Date.now() + 60_000 })).toBeUndefined();

    const blind = await system.openClient({ archive: false });
    // Its buffer may still have it for a moment, for those who were reading.
    await until(
      async () => (await codeOf(blind.get("t", "old", { timeoutMs: 200 }))) === "unavailable",
      "only the archive has it",
    );
    expect((await blind.get("t", "new"))?.id).toBe(newest);
  });

  it("is not made up while its buffer is out of reach", async () => {
    system = await localSystem();
    const { client } = system;
    await client.topics.add("t", 16);
    await client.publish("t", { key: "k", data: "v" });
    system.unreachable.add("127.0.0.1:1");
    expect(await codeOf(client.get("t", "k", { timeoutMs: 200 }))).toBe("unavailable");
    expect(await codeOf(client.get("nope", "k"))).toBe("topic-not-found");
    expect(await codeOf(client.get("t", ""))).toBe("invalid-key");
  });
});

describe("the newest messages of many keys", () => {
  const collect = async (
    client: TopicClient,
    keys: readonly string[],
    options: GetOptions = {},
  ): Promise<Map<string, string | undefined>> => {
    const found = new Map<string, string | undefined>();
    for await (const { key, message, error } of client.getMany("t", keys, options)) {
      expect(found.has(key)).toBe(false);
      found.set(key, error ? error.code : message && textOf(message));
    }
    return found;
  };

  it("come from all the buffers, each key once, and keys without a message say so", async () => {
    system = await localSystem({ buffers: 3 });
    const { client } = system;
    await client.topics.add("t", 12);
    await until(
      () => new Set(client.topics.get("t").ranges.map(({ buffer }) => buffer)).size === 3,
      "each buffer has a share",
    );
    const keys = Array.from({ length: 200 }, (_, i) => `key-${i}`);
    await client.publishMany(
      "t",
      keys.map((key) => ({ key, data: `old ${key}` })),
    );
    await client.publishMany(
      "t",
      keys.map((key) => ({ key, data: `new ${key}` })),
    );
    const found = await collect(client, ["never", ...keys, "key-0"]);
    expect(found).toEqual(
      new Map<string, string | undefined>([
        ["never", undefined],
        ...keys.map((key) => [key, `new ${key}`] as const),
      ]),
    );
    expect(await collect(client, [])).toEqual(new Map());
  });

  it("are found in memory, in segments that were rolled away, and in the archive", async () => {
    system = await localSystem({ segmentMaxBytes: 64 * 1024 });
    const { client } = system;
    await client.topics.add("t", 16);
    for (let round = 0; round < 4; round++) {
      await client.publish("t", { key: `round-${round}`, data: `${round}` });
      await client.publishMany(
        "t",
        Array.from({ length: 10 }, (_, i) => ({ key: `filler-${i}`, data: `${round}`.repeat(10_000) })),
      );
    }
    await until(
      async () => (await client.describe("t")).segments[0]?.state === "archived",
      "the first segment is archived",
    );
    const found = await collect(client, ["round-0", "round-1", "round-2", "round-3", "filler-3", "never"]);
    expect(found.get("filler-3")).toBe("3".repeat(10_000));
    expect([0, 1, 2, 3].map((round) => found.get(`round-${round}`))).toEqual(["0", "1", "2", "3"]);
    expect(found.get("never")).toBeUndefined();
    expect(await collect(client, ["round-0"], { fromTimeMs: Date.now() + 60_000 })).toEqual(
      new Map([["round-0", undefined]]),
    );
  });

  it("of a buffer out of reach are named, and the others are not delayed by it", async () => {
    system = await localSystem({ buffers: 2 });
    const { client } = system;
    await client.topics.add("t", 12);
    const shares = () => new Set(client.topics.get("t").ranges.map(({ buffer }) => buffer));
    await until(() => shares().size === 2, "each buffer has a share");
    const keys = Array.from({ length: 50 }, (_, i) => `key-${i}`);
    await client.publishMany(
      "t",
      keys.map((key) => ({ key, data: "v" })),
    );
    system.unreachable.add("127.0.0.1:1");
    const answered: string[] = [];
    const missing: string[] = [];
    for await (const { key, error } of client.getMany("t", keys, { timeoutMs: 3_000 })) {
      // Once the first is given up, nothing but those of the lost buffer may be open.
      if (error) missing.push(key);
      else {
        expect(missing).toEqual([]);
        answered.push(key);
      }
    }
    expect(answered.length).toBeGreaterThan(0);
    expect(missing.length).toBeGreaterThan(0);
    expect([...answered, ...missing].sort()).toEqual([...keys].sort());
    // It is back: they are there again, while the call waits.
    const again = collect(client, missing, { timeoutMs: 20_000 });
    system.unreachable.clear();
    expect([...(await again).values()]).toEqual(missing.map(() => "v"));
  });

  it("refuses bad keys, too many keys and an unknown topic, and ends when it is aborted or left", async () => {
    system = await localSystem();
    const { client } = system;
    await client.topics.add("t", 16);
    await client.publish("t", { key: "k", data: "v" });
    const codes = await Promise.all([
      codeOf(collect(client, ["k", ""])),
      codeOf(collect(client, new Array<string>(10_001).fill("k"))),
      codeOf(client.getMany("nope", ["k"]).next()),
      codeOf(client.getMany("t", ["k"], { timeoutMs: 0 }).next()),
    ]);
    expect(codes).toEqual(["invalid-key", "invalid-argument", "topic-not-found", "invalid-argument"]);
    system.unreachable.add("127.0.0.1:1");
    const stop = new AbortController();
    const waiting = client.getMany("t", ["k"], { signal: stop.signal }).next();
    const reason = new Error("enough");
    stop.abort(reason);
    await expect(waiting).rejects.toBe(reason);
  });
});

describe("a description of a topic", () => {
  it("counts its messages, and names buffers that do not answer", async () => {
    system = await localSystem();
    const { client } = system;
    await client.topics.add("t", 15);
    await client.publishMany(
      "t",
      Array.from({ length: 50 }, (_, i) => ({ key: `k${i}`, data: "" })),
    );
    const stats = await client.describe("t");
    expect(stats).toMatchObject({ messages: 50, silent: [] });
    expect(stats.segments.map(({ state }) => state)).toEqual(["open", "open"]);
    system.unreachable.add("127.0.0.1:1");
    expect(await client.describe("t")).toMatchObject({ messages: 0, silent: ["127.0.0.1:1"] });
  });
});

describe("a tail", () => {
  async function take(messages: AsyncIterable<TailMessage>, count: number): Promise<TailMessage[]> {
    const taken: TailMessage[] = [];
    for await (const message of messages) {
      taken.push(message);
      if (taken.length === count) break;
    }
    return taken;
  }

  it("shows what is published from now on, and nothing before", async () => {
    system = await localSystem();
    const { client } = system;
    await client.topics.add("t", 15);
    await client.publishMany(
      "t",
      Array.from({ length: 20 }, (_, i) => ({ key: `k${i}`, data: "before" })),
    );
    const iterator = client.tail("t")[Symbol.asyncIterator]();
    const first = iterator.next();
    // The tail begins somewhere behind what was acknowledged before the call: published until one arrives.
    let seen: IteratorResult<TailMessage> | undefined;
    void first.then((result) => {
      seen = result;
    });
    for (let i = 0; !seen && i < 1000; i++) {
      await client.publish("t", { key: "k", data: `after ${i}` });
    }
    expect(textOf((await first).value as TailMessage)).toMatch(/^after /);
    await iterator.return?.();
  });

  it("from the earliest goes through segments that were rolled away, in order by key", async () => {
    system = await localSystem({ segmentMaxBytes: 64 * 1024 });
    const { client } = system;
    await client.topics.add("t", 16);
    const sent = Array.from({ length: 60 }, (_, i) => ({
      key: `k${i % 3}`,
      data: `${i} ${"x".repeat(5_000)}`,
    }));
    for (let at = 0; at < sent.length; at += 10) await client.publishMany("t", sent.slice(at, at + 10));
    expect((await client.describe("t")).segments.length).toBeGreaterThan(2);
    const seen = await take(client.tail("t", { from: "earliest" }), sent.length);
    expect(new Set(seen.map(({ segment }) => segment)).size).toBeGreaterThan(2);
    expect(seen.map(textOf)).toEqual(sent.map(({ data }) => data));
    expect(seen.map(({ id, sequence }) => parseMessageId(id).sequence === sequence)).not.toContain(false);
  });

  it("ends with the signal's reason, and refuses topics that do not exist", async () => {
    system = await localSystem();
    const { client } = system;
    await client.topics.add("t", 16);
    const controller = new AbortController();
    const reason = new Error("enough");
    const taking = take(client.tail("t", { signal: controller.signal }), 1);
    controller.abort(reason);
    await expect(taking).rejects.toBe(reason);
    expect(await codeOf(take(client.tail("nope"), 1))).toBe("topic-not-found");
    expect(await codeOf(take(client.tail("no pe"), 1))).toBe("invalid-topic-name");
  });
});

describe("a client", () => {
  it("that is closed delivers what was published before, and refuses everything after", async () => {
    system = await localSystem();
    const client: TopicClient = await system.openClient();
    await system.client.topics.add("t", 16);
    await until(() => client.topics.list().length === 1, "the topic is known");
    const id = client.publish("t", { key: "k", data: "v" });
    await client.close();
    expect(await id).toMatch(/^[0-9a-f-]{36}$/);
    expect(await codeOf(client.publish("t", { key: "k", data: "v" }))).toBe("closed");
  });

  it("keeps no consumer that was closed", async () => {
    system = await localSystem();
    const { client } = system;
    await client.topics.add("t", 16);
    await client.createSubscription("t", "s");
    expect(client.listSubscriptions("t")).toEqual(["s"]);
    for (let i = 0; i < 3; i++) {
      const consumer = await client.subscribe("t", "s", { consumer: `c${i}` });
      expect(client.consumers).toBe(1);
      await consumer.close();
      await until(() => client.consumers === 0, "it is forgotten");
    }
  });
});
