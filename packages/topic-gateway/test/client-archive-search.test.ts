import { describe, expect, it } from "vitest";
import { ArchiveSearch } from "../src/client/archive-search.js";
import type { SegmentArchive } from "../src/protocol/segment-archive.js";
import type { SegmentView } from "../src/topics/state.js";

function segmentAt(startTime: bigint): SegmentView {
  const id = { topic: "orders", startTime, range: { from: 0, to: 0xffff } } as unknown as SegmentView["id"];
  const record = { state: "archived", incarnation: 1n, sealed: { lastSequence: 1 } };
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

describe("the search in archived segments", () => {
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
