import { describe, expect, it } from "vitest";
import { ArchiveSearch } from "../src/client/archive-search.js";
import { encodeHeaderFrame, encodeMessageFrames } from "../src/protocol/frame.js";
import { decodeBody, encodeBody } from "../src/protocol/message.js";
import type { SegmentArchive } from "../src/protocol/segment-archive.js";
import type { SegmentView } from "../src/topics/state.js";

function segmentAt(startTime: bigint, lastSequence = 1): SegmentView {
  const id = { topic: "orders", startTime, range: { from: 0, to: 0xffff } } as unknown as SegmentView["id"];
  const record = { state: "archived", incarnation: 1n, sealed: { lastSequence } };
  return { id, record } as unknown as SegmentView;
}

/** Reads end when they are told to. */
function manualArchive(): { archive: SegmentArchive; running: (() => void)[]; most: () => number } {
  const running: (() => void)[] = [];
  let most = 0;
  const archive: Pick<SegmentArchive, "read"> = {
    async *read() {
      await new Promise<void>((resolve) => {
        running.push(resolve);
        most = Math.max(most, running.length);
      });
    },
  };
  return { archive: archive as SegmentArchive, running, most: () => most };
}

/** One chunk for each list of keys, with large messages of other keys around; the data counts up from 0. */
function archiveOf(...chunks: readonly (readonly string[])[]): SegmentArchive {
  const archive: Pick<SegmentArchive, "read"> = {
    async *read() {
      const { chain } = encodeHeaderFrame(Buffer.alloc(8, 7), 0n, Buffer.from("{}"));
      let count = 0;
      for (const keys of chunks) {
        const bodies = keys.flatMap((key) => [
          encodeBody({ key, data: Buffer.from(String(count++)), time: 1 }),
          encodeBody({ key: "large", data: Buffer.alloc(100_000), time: 1 }),
        ]);
        const firstSequence = chain.lastSequence + 1;
        const { bytes } = encodeMessageFrames(chain, bodies, BigInt(firstSequence));
        yield { frames: bytes, firstSequence, count: bodies.length };
      }
    },
  };
  return archive as SegmentArchive;
}

describe("the search in archived segments", () => {
  it("finds the newest message of each key, and keeps none of the chunks that they came in", async () => {
    const archive = archiveOf(["a", "b", "a"], ["c", "a"], ["b", "nobody-asked"]);
    const search = new ArchiveSearch(archive, new AbortController().signal);
    const found = await search.newest(segmentAt(1n, 14), new Set(["a", "b", "c", "never"]));
    const data = [...found].map(([key, { frame }]) => [
      key,
      Buffer.from(decodeBody(frame.body).data).toString(),
      frame.sequence,
    ]);
    expect(data.sort()).toEqual([
      ["a", "4", 9],
      ["b", "5", 11],
      ["c", "3", 7],
    ]);
    for (const { frame } of found.values()) {
      expect(frame.body.buffer.byteLength, "bytes that a message of 1 byte holds").toBeLessThan(100);
    }
  });

  it("reads four segments at a time, also when one comes in the very moment in which another ends", async () => {
    const { archive, running, most } = manualArchive();
    const search = new ArchiveSearch(archive, new AbortController().signal);
    let segments = 0;
    const reads: Promise<unknown>[] = [];
    const readOne = (): Promise<unknown> => {
      const read = search.newest(segmentAt(BigInt(segments++)), new Set(["key"]));
      reads.push(read);
      return read;
    };
    for (let i = 0; i < 8; i++) readOne();
    expect(running).toHaveLength(4);
    // Whoever hears of the end first asks for the next one at once.
    const newcomer = reads[0]?.then(readOne);
    for (let ended = 0; ended < 9; ended++) {
      await expect.poll(() => running.length, { timeout: 20_000 }).toBeGreaterThan(0);
      running.shift()?.();
    }
    await newcomer;
    await Promise.all(reads);
    expect(reads).toHaveLength(9);
    expect(most()).toBe(4);
  });

  it("starts no read after it was stopped, and gives its place to the next", async () => {
    const { archive, running } = manualArchive();
    const stop = new AbortController();
    const search = new ArchiveSearch(archive, stop.signal);
    const reads = [1n, 2n, 3n, 4n, 5n, 6n].map((time) => search.newest(segmentAt(time), new Set(["key"])));
    const outcomes = Promise.allSettled(reads);
    const reason = new Error("enough");
    stop.abort(reason);
    for (const end of running.splice(0)) end();
    expect((await outcomes).slice(4)).toEqual([
      { status: "rejected", reason },
      { status: "rejected", reason },
    ]);
    expect(running).toHaveLength(0);
  });
});
