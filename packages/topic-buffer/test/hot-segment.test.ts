import {
  encodeBody,
  encodeMessageFrames,
  type FrameChain,
  type FrameChunk,
  messagesInFrames,
  parseTopicName,
  type SegmentId,
  type SegmentLogStore,
} from "@x/topic-gateway/protocol";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CHUNK_BYTES } from "../src/hot-chunks.js";
import { HotMemory } from "../src/hot-memory.js";
import { HotSegment } from "../src/hot-segment.js";
import { openBuffer } from "../src/index.js";
import { settled } from "./support/fake-clock.js";
import { MemoryArchive, MemoryLogDisk, MemoryLogs } from "./support/memory-logs.js";
import { entriesOf, rangeOfKey, readAll, Sender, topic, World } from "./support/world.js";

const range = rangeOfKey("k", 16);
const id: SegmentId = { topic: parseTopicName("t"), range: { from: 0, to: 65536 }, startTime: 1n };

/** Groups of frames of these sizes: each frame is filled with what tells it from its neighbours. */
function groupsOf(sizes: readonly (readonly number[])[]): { frames: Buffer; offsets: number[] }[] {
  let sequence = 0;
  return sizes.map((group) => {
    const offsets: number[] = [];
    const parts: Buffer[] = [];
    let at = 0;
    for (const size of group) {
      sequence += 1;
      offsets.push(at);
      const frame = Buffer.alloc(size, sequence % 251);
      frame.writeUInt32LE(sequence, 0);
      parts.push(frame);
      at += size;
    }
    return { frames: Buffer.concat(parts, at), offsets };
  });
}

/** A log of which everything may be read, in pieces of one frame. */
function logOf(sizes: readonly (readonly number[])[]): SegmentLogStore {
  const groups = groupsOf(sizes);
  async function* read(
    _: string,
    options: { readonly fromSequence?: number; readonly lastSequence: number },
  ): AsyncGenerator<FrameChunk> {
    let firstSequence = 0;
    for (const { frames, offsets } of groups) {
      for (const [i, at] of offsets.entries()) {
        firstSequence += 1;
        if (firstSequence < (options.fromSequence ?? 1) || firstSequence > options.lastSequence) continue;
        yield { frames: frames.subarray(at, offsets[i + 1] ?? frames.length), firstSequence, count: 1 };
      }
    }
  }
  return { read } as unknown as SegmentLogStore;
}

async function collect(segment: HotSegment, fromSequence: number): Promise<FrameChunk[]> {
  const chunks: FrameChunk[] = [];
  for await (const chunk of segment.read(fromSequence)) chunks.push(chunk);
  return chunks;
}

/** What a reader is to get of messages in memory, message by message. */
function expectedCounts(sizes: readonly (readonly number[])[], fromSequence: number): number[] {
  const counts: number[] = [];
  const rest = sizes.map((group) => [...group]);
  for (let skipped = 1; skipped < fromSequence; skipped++) {
    rest[0]?.shift();
    if (rest[0]?.length === 0) rest.shift();
  }
  const sum = (group: readonly number[]): number => group.reduce((a, b) => a + b, 0);
  while (rest[0]) {
    let bytes = 0;
    let count = 0;
    if (sum(rest[0]) > CHUNK_BYTES) {
      while (rest[0][0] !== undefined && (count === 0 || bytes + rest[0][0] <= CHUNK_BYTES)) {
        bytes += rest[0].shift() as number;
        count += 1;
      }
      if (rest[0].length === 0) rest.shift();
    } else {
      while (rest[0] && bytes + sum(rest[0]) <= CHUNK_BYTES) {
        bytes += sum(rest[0]);
        count += (rest.shift() as number[]).length;
      }
    }
    counts.push(count);
  }
  return counts;
}

const size = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 49, max: 200 }) },
  { weight: 3, arbitrary: fc.integer({ min: 1_000, max: 60_000 }) },
  { weight: 1, arbitrary: fc.integer({ min: CHUNK_BYTES - 2, max: CHUNK_BYTES + 2 }) },
  { weight: 1, arbitrary: fc.integer({ min: 100_000, max: 400_000 }) },
);
const someGroups = fc.array(fc.array(size, { minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 8 });

describe("what a reader gets at once", () => {
  it("is at most 256 KiB or one message, and a smaller group is never divided", async () => {
    await fc.assert(
      fc.asyncProperty(someGroups, fc.nat(), async (sizes, seed) => {
        const memory = new HotMemory(Number.POSITIVE_INFINITY);
        const segment = new HotSegment({ id, log: "log", logs: logOf([]), memory, maxIndexedKeys: 1 });
        const groups = groupsOf(sizes);
        let total = 0;
        for (const { frames, offsets } of groups) {
          segment.append(frames, total + 1, offsets);
          total += offsets.length;
        }
        segment.seal(total);
        const from = 1 + (seed % total);
        const chunks = await collect(segment, from);
        expect(chunks.map(({ count }) => count)).toEqual(expectedCounts(sizes, from));
        let next = from;
        for (const { frames, firstSequence, count } of chunks) {
          expect(firstSequence).toBe(next);
          expect(frames.length <= CHUNK_BYTES || count === 1).toBe(true);
          next += count;
        }
        expect(next).toBe(total + 1);
        const wanted = sizes.flat().slice(from - 1);
        const all = Buffer.concat(groups.map(({ frames }) => frames));
        const expected = all.subarray(all.length - wanted.reduce((a, b) => a + b, 0));
        expect(Buffer.concat(chunks.map(({ frames }) => frames)).equals(expected)).toBe(true);
      }),
      // Of a group that is too large, the first two are as large as a piece may be.
      { numRuns: 60, examples: [[[[CHUNK_BYTES - 100, 100, 60]], 0]] },
    );
  });

  it("is dense and whole wherever memory begins", async () => {
    await fc.assert(
      fc.asyncProperty(
        someGroups,
        fc.integer({ min: 100, max: 2_000_000 }),
        fc.nat(),
        async (sizes, maxBytes, seed) => {
          const memory = new HotMemory(maxBytes);
          const segment = new HotSegment({ id, log: "log", logs: logOf(sizes), memory, maxIndexedKeys: 1 });
          const groups = groupsOf(sizes);
          let total = 0;
          for (const { frames, offsets } of groups) {
            segment.append(frames, total + 1, offsets);
            total += offsets.length;
          }
          segment.seal(total);
          const from = 1 + (seed % total);
          const chunks = await collect(segment, from);
          let next = from;
          for (const { firstSequence, frames, count } of chunks) {
            expect(firstSequence).toBe(next);
            expect(frames.readUInt32LE(0)).toBe(next);
            expect(frames.length <= CHUNK_BYTES || count === 1).toBe(true);
            next += count;
          }
          expect(next).toBe(total + 1);
          const bytes = chunks.reduce((sum, { frames }) => sum + frames.length, 0);
          expect(bytes).toBe(
            sizes
              .flat()
              .slice(from - 1)
              .reduce((a, b) => a + b, 0),
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  it("does not keep a key from being found in a group of many pieces", async () => {
    const chain: FrameChain = { nonce: Buffer.alloc(8, 7), checksum: 0, lastSequence: 0, lastTime: 0n };
    const data = Buffer.alloc(1_000);
    const bodies = Array.from({ length: 2_000 }, (_, i) => encodeBody({ key: `k${i % 700}`, data, time: i }));
    const { bytes, offsets } = encodeMessageFrames(chain, bodies, 1n);
    for (const maxIndexedKeys of [10, 1_000]) {
      const memory = new HotMemory(Number.POSITIVE_INFINITY);
      const segment = new HotSegment({ id, log: "log", logs: logOf([]), memory, maxIndexedKeys });
      segment.append(bytes, 1, offsets);
      for (const [key, sequence] of [
        ["k0", 1401],
        ["k599", 2000],
        ["k600", 1301],
      ] as const) {
        const found = await segment.find(key);
        const [message] = messagesInFrames(found?.frame ?? Buffer.alloc(0));
        expect(message?.sequence).toBe(sequence);
      }
      expect(await segment.find("k700")).toBeUndefined();
    }
  });

  it("is one piece of a large group for a poll, which says that it is at the end only with the last", async () => {
    const world = await World.open();
    await using _ = world;
    await world.createTopic(16);
    world.archive.hook = () => new Promise(() => {});
    const { node } = await world.startBuffer("a", { segmentMaxBytes: 1_000 });
    await world.untilOpen(16);
    const open = { topic, range, epoch: await world.epochOf(range) };
    const sender = new Sender(node);
    const messages = Array.from({ length: 1_000 }, (_, i) => ({
      key: "k",
      data: `${i} `.padEnd(1_000, "."),
    }));
    sender.send({ lane: 1, open, batch: 1, entries: entriesOf(messages) });
    await settled();
    // What comes next rolls the segment, which was full.
    sender.send({ lane: 1, batch: 2, entries: entriesOf([{ key: "k", data: "next" }]) });
    await world.clock.until(() => sender.acked(1) === 2);
    const [segment] = (await world.segments()).map((one) => one.id);
    const pieces: number[] = [];
    for (let fromSequence = 1, end = false; !end; ) {
      const { chunk, atEnd } = await node.poll({ segment: segment as SegmentId, fromSequence });
      expect(chunk?.firstSequence).toBe(fromSequence);
      expect([...messagesInFrames(chunk?.frames ?? Buffer.alloc(0))]).toHaveLength(chunk?.count ?? 0);
      fromSequence += chunk?.count ?? 0;
      expect(atEnd).toBe(fromSequence > 1_000);
      pieces.push(chunk?.count ?? 0);
      end = atEnd;
    }
    expect(pieces.length).toBeGreaterThan(3);
    expect(await readAll(node, segment as SegmentId, 1_000, 999)).toHaveLength(2);
  });
});

describe("how much is made durable with one sync", () => {
  it("is up to the size of the largest batch", async () => {
    const world = await World.open();
    await using _ = world;
    const open = (groupMaxBytes: number) =>
      openBuffer({
        id: "a",
        address: "a.test:1",
        coord: world.coord,
        logs: new MemoryLogs(new MemoryLogDisk()),
        archive: new MemoryArchive(),
        groupMaxBytes,
      });
    for (const wrong of [8 * 1024 * 1024 + 1, Number.POSITIVE_INFINITY, 0])
      await expect(open(wrong)).rejects.toThrow("groupMaxBytes must be a number above 0 and up to 8388608");
    await world.startBuffer("a", { groupMaxBytes: 8 * 1024 * 1024 });
  });
});
