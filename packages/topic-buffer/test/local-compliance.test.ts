import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type SegmentArchiveUnderTest,
  type SegmentLogUnderTest,
  segmentArchiveCases,
  segmentLogCases,
} from "@x/topic-gateway/testing";
import { describe, it } from "vitest";
import { SimulatedDisk } from "../../../apps/harness/src/sim/disk.js";
import { openLocalArchive, openLocalSegmentLog } from "../src/local.js";
import { chanceOf } from "./local-support.js";

async function scratch(): Promise<{ directory: string; remove: () => Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), "segments-"));
  return { directory, remove: () => rm(directory, { recursive: true }) };
}

const realLogs: SegmentLogUnderTest = {
  async open() {
    const { directory, remove } = await scratch();
    const store = await openLocalSegmentLog({ directory });
    return {
      store,
      reopen: () => openLocalSegmentLog({ directory }),
      async close() {
        await store[Symbol.asyncDispose]();
        await remove();
      },
    };
  },
};

const simulatedLogs: SegmentLogUnderTest = {
  async open() {
    const disk = new SimulatedDisk({ random: chanceOf(1), schedule: (run) => setImmediate(run) });
    const open = () =>
      openLocalSegmentLog({ directory: "/data", fileSystem: disk.mount(), preallocateBytes: 65_536 });
    return { store: await open(), reopen: open, close: async () => {} };
  },
};

const realArchive: SegmentArchiveUnderTest = {
  async open() {
    const { directory, remove } = await scratch();
    const open = () => openLocalArchive({ directory });
    return { archive: await open(), reopen: open, close: remove };
  },
};

const simulatedArchive: SegmentArchiveUnderTest = {
  async open() {
    const disk = new SimulatedDisk({ random: chanceOf(1), schedule: (run) => setImmediate(run) });
    const open = () => openLocalArchive({ directory: "/data", fileSystem: disk.mount() });
    return { archive: await open(), reopen: open, close: async () => {} };
  },
};

describe("the local segment log, on the disk of this machine", () => {
  for (const { name, run } of segmentLogCases) it(name, { timeout: 60_000 }, () => run(realLogs));
});
describe("the local segment log, on a simulated disk", () => {
  for (const { name, run } of segmentLogCases) it(name, { timeout: 60_000 }, () => run(simulatedLogs));
});
describe("the local archive, on the disk of this machine", () => {
  for (const { name, run } of segmentArchiveCases) it(name, { timeout: 60_000 }, () => run(realArchive));
});
describe("the local archive, on a simulated disk", () => {
  for (const { name, run } of segmentArchiveCases) it(name, { timeout: 60_000 }, () => run(simulatedArchive));
});
