import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { directoryStore, type Ref, refOf } from "../src/index.js";
import { assertSameBytes, collect, testBlob } from "../src/testing/fixture.js";
import { transpileInto } from "./support/transpile.js";

const kills = 200;
const atOnce = 2;

let folder: string;
let program: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "blob-kill-"));
  program = await transpileInto(folder, fileURLToPath(new URL("support/put-process.ts", import.meta.url)));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** The numbers of the blobs that the process was told are there. */
async function putsUntilKilled(dir: string, first: number, killAt: number): Promise<number[]> {
  const child = spawn(process.execPath, [program, dir, String(first), String(killAt)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [told, [, signal]] = await Promise.all([text(child.stdout), once(child, "exit")]);
  expect(signal).toBe("SIGKILL");
  // The kill may have cut the last line: only one with its end mark tells something.
  return [...told.matchAll(/^([0-9]+);$/gm)].map(([, number]) => Number(number));
}

it(`loses nothing and tears nothing when writers are killed at ${kills} points`, async () => {
  const dir = join(folder, "store");
  const acknowledged = new Map<Ref, number>();
  let started = 0;
  const keepKilling = async () => {
    while (started < kills) {
      const number = started++;
      const first = number * 1000;
      // A put takes about ten calls, and the first ones make folders: the golden ratio spreads the points over them all.
      const killAt = 1 + Math.floor(((number * 0.618034) % 1) * 400);
      for (const each of await putsUntilKilled(dir, first, killAt)) {
        acknowledged.set(refOf(testBlob(each, (each * 7919) % 60_000)), each);
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, keepKilling));
  expect(acknowledged.size).toBeGreaterThan(kills);

  const store = directoryStore(dir);
  const listed = await collect(store.listRefs());
  for (const ref of listed) await store.get(ref); // verified: nothing is torn
  const there = new Set(listed);
  for (const [ref, number] of acknowledged) {
    expect(there.has(ref)).toBe(true);
    assertSameBytes(await store.get(ref), testBlob(number, (number * 7919) % 60_000));
  }

  // What they were writing goes when the next one writes.
  await store.put(testBlob(-1, 10));
  expect(await readdir(join(dir, "tmp"))).toEqual([]);
}, 300_000);
