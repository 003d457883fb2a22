import { describe, expect, it } from "vitest";
import type { Clock } from "../src/clock.js";
import { directoryStore, getMany, type Ref, refOf } from "../src/index.js";
import { assertSameBytes, collect, testBlob } from "../src/testing/fixture.js";
import { PowerCutFiles } from "./support/power-cut-files.js";

const blobs = Array.from({ length: 100 }, (_, i) => testBlob(i, 1000));
const refs = blobs.map(refOf);

/** A store whose blocking reads take so long each. */
async function slowStore(readMs: (read: number) => number, blockingReads = true) {
  let nowMs = 0;
  const clock: Clock = { wallMs: () => nowMs, monotonicMs: () => nowMs, setTimer: () => () => {} };
  const files = new PowerCutFiles();
  const reads: ("blocking" | "background")[] = [];
  let blocking = 0;
  const readNow = files.readNow.bind(files);
  files.readNow = (path, into) => {
    reads.push("blocking");
    nowMs += readMs(blocking++);
    return readNow(path, into);
  };
  const store = directoryStore("/disk", { blockingReads, ports: { files, clock } });
  for (const blob of blobs) await store.put(blob);
  files.onCall = (call) => {
    if (call.startsWith("open ")) reads.push("background");
  };
  return { store, reads, files };
}

async function expectAll(given: AsyncIterable<{ ref: Ref; blob?: Uint8Array }>): Promise<void> {
  const found = await collect(given);
  expect(found.map(({ ref }) => ref).sort()).toEqual([...refs].sort());
  for (const { ref, blob } of found)
    assertSameBytes(blob as Uint8Array, blobs[refs.indexOf(ref)] as Uint8Array);
}

describe("getMany of a directory", () => {
  it("reads small files without leaving the thread, and one in between in the background", async () => {
    const { store, reads } = await slowStore(() => 0.1);
    await expectAll(getMany(store, refs));
    const background = reads.filter((how) => how === "background").length;
    expect(background).toBeGreaterThan(1);
    expect(background).toBeLessThan(12);
    // No slice is longer than it may be, by more than a read.
    const slices = reads
      .join(" ")
      .split("background")
      .map((slice) => slice.trim().split(" ").length);
    expect(Math.max(...slices)).toBeLessThanOrEqual(22);
  });

  it("reads the next ones in the background after one has blocked for long, then tries again", async () => {
    const { store, reads } = await slowStore((read) => (read === 0 ? 10 : 0.1));
    await expectAll(getMany(store, refs));
    const first = reads.indexOf("blocking");
    expect(reads.slice(first + 1, first + 33)).toEqual(new Array(32).fill("background"));
    expect(reads.slice(first + 33)).toContain("blocking");
  });

  it("never blocks when it is told so", async () => {
    const { store, reads } = await slowStore(() => 0, false);
    await expectAll(getMany(store, refs));
    expect(reads).toEqual(new Array(100).fill("background"));
  });

  it("looks again at what a blocking read gave only a part of", async () => {
    const { store, files } = await slowStore(() => 0);
    const { readNow } = files;
    files.readNow = (path, into) => readNow(path, into.subarray(0, 500));
    await expectAll(getMany(store, refs));
  });
});
