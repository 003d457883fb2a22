import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type EmbeddedCoord, openEmbeddedCoord } from "@x/coord/embedded";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openBuffer } from "../../topic-buffer/src/index.js";
import { openLocalArchive, openLocalSegmentLog } from "../../topic-buffer/src/local.js";
import { TopicClient } from "../src/client.js";
import type { BufferConnection, FoundMessage, GetManyOptions } from "../src/protocol/buffer-api.js";
import { encodeBody, encodeHeaderFrame, encodeMessageFrames } from "../src/protocol.js";

let coord: EmbeddedCoord;
let open: () => Promise<TopicClient>;
/** What the buffer was asked with. */
let asked: GetManyOptions[];
/** What becomes of the buffer's answers on their way. */
let change: (found: FoundMessage) => FoundMessage;
const close: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  const directory = await mkdtemp(join(tmpdir(), "ask-place-"));
  const store = await openEmbeddedCoord({ directory: join(directory, "coord") });
  coord = store;
  const logs = await openLocalSegmentLog({ directory: join(directory, "segments") });
  const archive = await openLocalArchive({ directory: join(directory, "archive") });
  const buffer = await openBuffer({ id: "b", address: "127.0.0.1:1", coord, logs, archive });
  asked = [];
  change = (found) => found;
  const connect = (): BufferConnection => ({
    publish: (batches, options) => buffer.publish(batches, options),
    read: (request, options) => buffer.read(request, options),
    describe: (topic, options) => buffer.describe(topic, options),
    async *getMany(topic, keys, options = {}) {
      asked.push(options);
      for await (const { index, found } of buffer.getMany(topic, keys, options)) {
        yield { index, found: found && change(found) };
      }
    },
    async [Symbol.asyncDispose]() {},
  });
  const clients: TopicClient[] = [];
  open = async () => {
    const client = await TopicClient.open({ coord: store, archive, connect });
    clients.push(client);
    return client;
  };
  close.push(
    async () => {
      for (const client of clients) await client.close({ signal: AbortSignal.timeout(1_000) });
    },
    () => buffer.close(),
    async () => await logs[Symbol.asyncDispose](),
    () => store.close(),
    () => rm(directory, { recursive: true, force: true }),
  );
  const first = await open();
  await first.topics.add("t", 15);
  await first.publishMany(
    "t",
    ["a", "b", "c", "d", "e", "f"].map((key) => ({ key, data: `of ${key}` })),
  );
});
afterEach(async () => {
  for (const step of close.splice(0)) await step();
});

const textOf = (data: Uint8Array | undefined): string => Buffer.from(data ?? []).toString();

describe("the revision that a buffer is asked to have seen", () => {
  it("is one that it comes to see, also when a client is opened right after a key that is not ours was changed", async () => {
    await coord.txn({ then: [{ type: "put", key: "somebody-elses", value: "1" }] });
    const client = await open();
    expect(textOf((await client.get("t", "a", { timeoutMs: 2_000 }))?.data)).toBe("of a");
  });

  it("is the newest of what the records say of the segments that are asked for, and of their servers", async () => {
    const client = await open();
    for await (const { error } of client.getMany("t", ["a", "b", "c", "d", "e", "f"]))
      expect(error).toBeUndefined();
    const records = await Promise.all(
      ["/segments/t/", "/buffer_segments/t/"].map((prefix) => coord.get({ prefix })),
    );
    const revisions = records.flatMap(({ kvs }) => kvs.map(({ modRevision }) => modRevision));
    expect(revisions.length).toBe(4);
    const newest = revisions.sort((a, b) => (a < b ? -1 : 1)).at(-1) as bigint; // there are 4
    expect(asked.map(({ revision }) => revision)).toContain(newest);
    for (const { revision = 0n } of asked) {
      expect(revision).toBeGreaterThan(0n);
      expect(revision).toBeLessThanOrEqual(newest);
    }
  });
});

describe("the time that a buffer is asked from", () => {
  it("is one that the wire has, whatever the caller asks from", async () => {
    const client = await open();
    expect(textOf((await client.get("t", "a", { fromTimeMs: -1e300 }))?.data)).toBe("of a");
    expect(await client.get("t", "a", { fromTimeMs: 1e300 })).toBeUndefined();
    expect(asked.length).toBeGreaterThan(0);
    for (const { fromTime = 0n } of asked) expect(BigInt.asUintN(64, fromTime)).toBe(fromTime);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, "5" as never])(
    "can't be %s",
    async (fromTimeMs) => {
      const client = await open();
      await expect(client.get("t", "a", { fromTimeMs })).rejects.toMatchObject({ code: "invalid-argument" });
      expect(asked).toEqual([]);
    },
  );
});

describe("a description of a topic", () => {
  it.each([Number.NaN, 0, -1, "5" as never, undefined as never])(
    "does not wait %s ms for the buffers",
    async (timeoutMs) => {
      const client = await open();
      await expect(client.describe("t", { timeoutMs })).rejects.toMatchObject({ code: "invalid-argument" });
    },
  );
});

describe("a buffer's answer", () => {
  const frameOf = (...bodies: Buffer[]): Buffer => {
    const { chain } = encodeHeaderFrame(Buffer.alloc(8, 7), 0n, Buffer.from("{}"));
    return encodeMessageFrames(chain, bodies, 2n ** 59n).bytes;
  };
  const wrong: Readonly<Record<string, (found: FoundMessage) => FoundMessage>> = {
    "with the message of another key": (found) => ({
      ...found,
      frame: frameOf(encodeBody({ key: "b", data: Buffer.from("of b"), time: 1 })),
    }),
    "from another topic": ({ segment, frame }) => ({ segment: { ...segment, topic: "u" as never }, frame }),
    "from a range that the key is not in": ({ segment: { range, ...segment }, frame }) => ({
      segment: { ...segment, range: { from: range.from ^ 0x8000, to: (range.from ^ 0x8000) + 0x8000 } },
      frame,
    }),
    "without a message": (found) => ({ ...found, frame: frameOf(Buffer.from("no body")) }),
    "that is the header of a log": (found) => ({
      ...found,
      frame: encodeHeaderFrame(Buffer.alloc(8, 7), 0n, Buffer.from("{}")).frame,
    }),
    "that is no frame": (found) => ({ ...found, frame: found.frame.subarray(0, -1) }),
  };

  it.each(Object.entries(wrong))("%s is named as damaged, and not given to anybody", async (_, damage) => {
    const client = await open();
    change = damage;
    await expect(client.get("t", "a")).rejects.toMatchObject({ code: "corrupt" });
    change = (found) => found;
    expect(textOf((await client.get("t", "a"))?.data)).toBe("of a");
  });
});
