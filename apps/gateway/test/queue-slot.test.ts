import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { takeQueueSlot } from "../src/archive/queue-slot.js";

describe("the folder of a queue", () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "slots-"));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));
  const owned = async (slot: number, number: number, owner: object): Promise<void> => {
    await mkdir(join(root, `${slot}`), { recursive: true });
    await writeFile(join(root, `${slot}`, `owner-${number}`), JSON.stringify(owner));
  };

  it("is another one for each that is alive, however many come at once", async () => {
    const taken = await Promise.all(Array.from({ length: 10 }, () => takeQueueSlot(root)));
    expect(taken.sort()).toEqual(
      Array.from({ length: 10 }, (_, i) => join(root, `${i + 1}`, "queue")).sort(),
    );
  });

  it("is taken from a process that has ended, by one of several", async () => {
    const child = spawn(process.execPath, ["-e", ""]);
    await once(child, "exit");
    await owned(1, 7, { host: hostname(), pid: child.pid, started: "" });
    const taken = await Promise.all([takeQueueSlot(root), takeQueueSlot(root), takeQueueSlot(root)]);
    expect(taken.sort()).toEqual([1, 2, 3].map((slot) => join(root, `${slot}`, "queue")));
    expect(await readdir(join(root, "1"))).toEqual(["owner-8"]);
  });

  it("is taken from a process whose number another one has by now", async () => {
    await owned(1, 1, { host: hostname(), pid: process.pid, started: "another boot 12345" });
    expect(await takeQueueSlot(root)).toBe(join(root, "1", "queue"));
  });

  it("is left to a process of another machine, and to what can't be read", async () => {
    await owned(1, 1, { host: `not-${hostname()}`, pid: 1, started: "" });
    await mkdir(join(root, "2"));
    await writeFile(join(root, "2", "owner-1"), "half of it");
    expect(await takeQueueSlot(root)).toBe(join(root, "3", "queue"));
  });
});
