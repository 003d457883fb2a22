import { describe, it } from "vitest";
import { openEmbeddedCoord } from "../src/embedded.js";
import { type CoordUnderTest, complianceCases } from "../src/testing.js";
import { FakeClock } from "./support/fake-clock.js";
import { MemoryFileSystem } from "./support/memory-file-system.js";

function embeddedUnderTest(): CoordUnderTest {
  const clock = new FakeClock();
  return {
    leaseTtlMs: 2000,
    pass: (ms) => clock.advance(ms),
    async open() {
      const disk = { fileSystem: new MemoryFileSystem() };
      const open = () => openEmbeddedCoord({ directory: "/store", clock, ...disk });
      let coord = await open();
      return {
        coord,
        prefix: "/case/",
        compact: (revision) => coord.compact(revision),
        async restart() {
          // Nothing that was not synced is there afterwards.
          disk.fileSystem = disk.fileSystem.afterCut(() => false);
          coord = await open();
          return coord;
        },
        close: () => coord.close(),
      };
    },
  };
}

describe("coord/embedded keeps the contract of the port", () => {
  for (const { name, run } of complianceCases) it(name, () => run(embeddedUnderTest()));
});
