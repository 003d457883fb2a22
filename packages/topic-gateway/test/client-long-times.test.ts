import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openEmbeddedCoord } from "@x/coord/embedded";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type BufferNode, openBuffer } from "../../topic-buffer/src/index.js";
import { openLocalArchive, openLocalSegmentLog } from "../../topic-buffer/src/local.js";
import { TopicClient } from "../src/client.js";
import { until } from "./support/local-system.js";

const DAYS_30 = 30 * 24 * 3_600_000;
/** More than Node's own timers take, which then fire at once. */
const LONG = [2 ** 31, DAYS_30, Number.POSITIVE_INFINITY];
/** The real clock, so there is nothing to advance: long enough for timers that fire at once to have fired, and more. */
const shortWhile = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

describe("times of more than 2 ** 31 - 1 ms", () => {
  let client: TopicClient;
  const close: (() => Promise<unknown>)[] = [];
  beforeEach(async () => {
    const directory = await mkdtemp(join(tmpdir(), "long-times-"));
    const coord = await openEmbeddedCoord({ directory: join(directory, "coord") });
    const logs = await openLocalSegmentLog({ directory: join(directory, "segments") });
    const archive = await openLocalArchive({ directory: join(directory, "archive") });
    const buffer: BufferNode = await openBuffer({
      id: "b",
      address: "127.0.0.1:1",
      coord,
      logs,
      archive,
      segmentMaxAgeMs: DAYS_30,
      readersGraceMs: DAYS_30,
    });
    client = await TopicClient.open({
      coord,
      archive,
      connect: () => ({
        publish: (batches, options) => buffer.publish(batches, options),
        read: (request, options) => buffer.read(request, options),
        async *getMany(topic, keys, options) {
          await shortWhile();
          yield* buffer.getMany(topic, keys, options);
        },
        async describe(topic, options) {
          await shortWhile();
          return await buffer.describe(topic, options);
        },
        async [Symbol.asyncDispose]() {},
      }),
    });
    close.push(
      () => client.close({ signal: AbortSignal.timeout(1_000) }),
      () => buffer.close(),
      async () => await logs[Symbol.asyncDispose](),
      () => coord.close(),
      () => rm(directory, { recursive: true, force: true }),
    );
    await client.topics.add("t", 16);
    await client.publish("t", { key: "k", data: "0" });
  });
  afterEach(async () => {
    for (const step of close.splice(0)) await step();
  });

  it.each(LONG)("are waited for an answer: timeoutMs of %d", async (timeoutMs) => {
    expect(Buffer.from((await client.get("t", "k", { timeoutMs }))?.data ?? []).toString()).toBe("0");
    expect(await client.describe("t", { timeoutMs })).toMatchObject({ messages: 1, silent: [] });
  });

  it.each(LONG)("are waited for a message: waitMs of %d", async (waitMs) => {
    await client.createSubscription("t", "s", { mode: "latest" });
    const consumer = await client.subscribe("t", "s", { consumer: "c", ackDeadlineMs: DAYS_30 });
    const pulled = consumer.pull({ maxMessages: 1, waitMs });
    await shortWhile();
    await client.publish("t", { key: "k", data: "1" });
    expect((await pulled).map(({ data }) => Buffer.from(data).toString())).toEqual(["1"]);
    await consumer.close();
  });

  it("are not the age of a segment that has just begun, nor the grace of its readers", async () => {
    for (let i = 1; i <= 5; i++) {
      await client.publish("t", { key: "k", data: `${i}` });
      await shortWhile();
    }
    await until(async () => (await client.describe("t")).messages === 6, "all are counted");
    expect((await client.describe("t")).segments.map(({ state }) => state)).toEqual(["open"]);
  });
});
