import { describe, expect, it } from "vitest";
import type { Clock } from "../src/clock.js";
import { type BlobStore, directoryStore, type Ref, refOf } from "../src/index.js";
import { assertSameBytes, testBlob } from "../src/testing/fixture.js";
import { PowerCutFiles } from "./support/power-cut-files.js";

const blob = testBlob(1, 1000);
const ref = refOf(blob);

/** A store that opens files in so many milliseconds where it blocks, and how it opened them. */
async function storeThatBlocks(openMs: (open: number) => number, blockingReads = true) {
  let nowMs = 0;
  const clock: Clock = { wallMs: () => nowMs, monotonicMs: () => nowMs, setTimer: () => () => {} };
  const files = new PowerCutFiles();
  const store = directoryStore("/disk", { blockingReads, ports: { files, clock } });
  await store.put(blob);
  const opens: ("now" | "background")[] = [];
  let blocking = 0;
  files.onCall = (call) => {
    if (call.startsWith("open ")) opens.push("background");
    if (!call.startsWith("openNow ")) return;
    opens.push("now");
    nowMs += openMs(blocking++);
  };
  return { store, opens };
}

const ways: Record<string, (store: BlobStore, ref: Ref) => Promise<void>> = {
  get: async (store) => assertSameBytes(await store.get(ref), blob),
  has: async (store) => expect(await store.has?.(ref)).toBe(true),
  stream: async (store) => {
    const pieces: Uint8Array[] = [];
    for await (const piece of store.stream?.(ref) ?? []) pieces.push(piece);
    assertSameBytes(Buffer.concat(pieces), blob);
  },
};

describe.each(Object.entries(ways))("%s of a directory", (_name, ask) => {
  it("opens the file without leaving the thread", async () => {
    const { store, opens } = await storeThatBlocks(() => 0.1);
    for (let i = 0; i < 3; i++) await ask(store, ref);
    expect(opens).toEqual(["now", "now", "now"]);
  });

  it("opens the next ones in the background after one has blocked for long, then tries again", async () => {
    const { store, opens } = await storeThatBlocks((open) => (open === 0 ? 10 : 0.1));
    for (let i = 0; i < 35; i++) await ask(store, ref);
    expect(opens).toEqual(["now", ...new Array(32).fill("background"), "now", "now"]);
  });

  it("never blocks where it may not", async () => {
    const { store, opens } = await storeThatBlocks(() => 0.1, false);
    await ask(store, ref);
    expect(opens).toEqual(["background"]);
  });
});

it("a blob that is not there is not-found, however it is looked for", async () => {
  const { store, opens } = await storeThatBlocks((open) => (open === 0 ? 10 : 0.1));
  const other = refOf(testBlob(2, 10));
  for (let i = 0; i < 2; i++) await expect(store.get(other)).rejects.toMatchObject({ code: "not-found" });
  // Where there is none, the system says why in the background.
  expect(opens).toEqual(["now", "background", "background"]);
});
