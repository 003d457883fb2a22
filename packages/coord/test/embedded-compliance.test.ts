import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, it } from "vitest";
import { type EmbeddedCoord, openEmbeddedCoord } from "../src/embedded.js";
import { type CoordFixture, type CoordUnderTest, complianceCases } from "../src/testing.js";
import { FakeClock } from "./support/fake-clock.js";
import { MemoryFileSystem } from "./support/memory-file-system.js";

function fixtureOf(
  first: EmbeddedCoord,
  restart: () => Promise<EmbeddedCoord>,
  cleanUp?: () => Promise<void>,
): CoordFixture {
  let coord = first;
  return {
    coord,
    prefix: "/case/",
    compact: (revision) => coord.compact(revision),
    async restart() {
      const before = coord;
      coord = await restart();
      await before.close();
      return coord;
    },
    async close() {
      await coord.close();
      await cleanUp?.();
    },
  };
}

function simulated(): CoordUnderTest {
  const clock = new FakeClock();
  return {
    leaseTtlMs: 2000,
    pass: (ms) => clock.advance(ms),
    async open() {
      let fileSystem = new MemoryFileSystem();
      const open = () => openEmbeddedCoord({ directory: "/store", clock, fileSystem });
      return fixtureOf(await open(), async () => {
        // Nothing that was not synced is there afterwards.
        fileSystem = fileSystem.afterCut(() => false);
        return await open();
      });
    },
  };
}

const real: CoordUnderTest = {
  // Half of it is what a call and its disk may take before the lease ends.
  leaseTtlMs: 4_000,
  pass: (ms) => sleep(ms),
  async open() {
    const directory = await mkdtemp(join(tmpdir(), "coord-"));
    const open = () => openEmbeddedCoord({ directory: join(directory, "a", "b") });
    // The first one is not closed before the second opens: the folder is taken from it.
    return fixtureOf(await open(), open, () => rm(directory, { recursive: true, force: true }));
  },
};

describe("coord/embedded on a simulated clock and disk keeps the contract of the port", () => {
  for (const { name, run } of complianceCases) it(name, () => run(simulated()));
});

describe("coord/embedded on the machine's clock and disk keeps the contract of the port", () => {
  for (const { name, run } of complianceCases) it(name, { timeout: 120_000 }, () => run(real));
});
