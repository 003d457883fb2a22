import assert from "node:assert/strict";
import { constants } from "node:fs";
import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SegmentLogWriter } from "@x/topic-gateway/protocol";
import { afterEach, beforeEach, describe, it } from "vitest";
import { type LocalSegmentLog, openLocalSegmentLog } from "../src/local.js";
import { systemLogFiles } from "../src/system.js";
import { Frames, rejectsWith } from "./local-support.js";

let directory: string;
let store: LocalSegmentLog;
let frames: Frames;
let writer: SegmentLogWriter;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "segments-"));
  store = await openLocalSegmentLog({ directory });
  frames = new Frames(store.id);
  writer = await store.create(frames.name, frames.header);
  await writer.append(frames.next([10]));
  const names = await readdir(directory, { recursive: true });
  path = join(directory, names.find((name) => name.endsWith(".log")) as string);
});

afterEach(async () => {
  await store[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

describe("a log on the disk of this machine", () => {
  it("takes nothing more once its marker is there", async () => {
    await writeFile(`${path}.seal`, "");
    await rejectsWith(writer.append(frames.next([10])), "log-sealed");
  });

  it("takes nothing more once it is gone", async () => {
    await rm(path);
    await rejectsWith(writer.append(frames.next([10])), "log-sealed");
  });

  it("tells a name that is not there from one that can't be looked at", async () => {
    // A name that is too long for any file system stands for a disk that fails.
    assert.throws(() => systemLogFiles.existsNow?.(join(directory, "x".repeat(5000))));
    assert.equal(systemLogFiles.existsNow?.(join(directory, "nothing")), false);
    assert.equal(systemLogFiles.existsNow?.(path), true);
  });

  it.runIf(process.platform === "linux")("is written through a file whose writes are durable", async () => {
    const flags: number[] = [];
    for (const descriptor of await readdir("/proc/self/fd")) {
      const target = await readlink(`/proc/self/fd/${descriptor}`).catch(() => "");
      if (target !== path) continue;
      const info = await readFile(`/proc/self/fdinfo/${descriptor}`, "utf8");
      flags.push(Number.parseInt(/^flags:\s*([0-7]+)/m.exec(info)?.[1] ?? "0", 8));
    }
    assert.ok(flags.some((flag) => (flag & constants.O_DSYNC) === constants.O_DSYNC));
  });
});
