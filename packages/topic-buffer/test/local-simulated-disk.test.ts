import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { SteppedDisk } from "./local-support.js";

// What the crash tests stand on: a simulated disk that kept too much would make them pass for nothing.

const SECTOR = 512;

/** A file of four sectors of "a", durable, then what is done to it, then a power cut: the sectors, one letter each. */
async function sectorsAfter(
  seed: number,
  change: (
    world: SteppedDisk,
    write: (letter: string, sector: number, count: number) => Promise<void>,
  ) => Promise<void>,
): Promise<string | undefined> {
  const world = new SteppedDisk(seed);
  const mount = world.disk.mount();
  await world.finish(mount.makeDirectory("/d"));
  const file = await world.finish(mount.open("/d/file", "create"));
  const write = (letter: string, sector: number, count: number): Promise<void> =>
    world.finish(file.write([Buffer.alloc(count * SECTOR, letter)], sector * SECTOR));
  await write("a", 0, 4);
  await world.finish(file.datasync());
  await world.finish(mount.syncDirectory("/d"));
  await change(world, write);
  world.powerCut();
  const content = world.disk.content("/d/file");
  const sectors: string[] = [];
  for (let at = 0; content && at < content.length; at += SECTOR) {
    const sector = content.subarray(at, at + SECTOR);
    assert.ok(
      sector.every((byte) => byte === sector[0]),
      "a sector is written whole or not at all",
    );
    sectors.push(sector[0] === 0 ? "0" : String.fromCharCode(sector[0] as number));
  }
  return content && sectors.join("");
}

async function outcomes(
  change: Parameters<typeof sectorsAfter>[1],
  seeds = 600,
): Promise<Set<string | undefined>> {
  const seen = new Set<string | undefined>();
  for (let seed = 0; seed < seeds; seed++) seen.add(await sectorsAfter(seed, change));
  return seen;
}

describe("the simulated disk, when the power goes", () => {
  it("may have any sectors of an unsynced write, and nothing else", async () => {
    const seen = await outcomes(async (_, write) => write("b", 0, 4));
    assert.equal(seen.size, 16);
    for (const content of seen) assert.match(content as string, /^[ab]{4}$/);
  });

  it("has of two unsynced writes to a sector either, or the older, or none", async () => {
    const seen = await outcomes(async (_, write) => {
      await write("b", 1, 1);
      await write("c", 1, 1);
    });
    assert.deepEqual([...seen].sort(), ["aaaa", "abaa", "acaa"]);
  });

  it("may have grown by part of an unsynced write, with zeros where sectors are missing", async () => {
    const seen = await outcomes(async (_, write) => write("b", 3, 3));
    for (const content of ["aaaa", "aaabbb", "aaaa0b", "aaabb0", "aaab"])
      assert.ok(seen.has(content), content);
    for (const content of seen) assert.match(content as string, /^aaa[ab][0b]{0,2}$/);
  });

  it("has everything that a sync which returned has covered", async () => {
    const seen = await outcomes(async (world, write) => {
      await write("b", 0, 2);
      const file = await world.finish(world.disk.mount().open("/d/file", "update"));
      await world.finish(file.datasync());
      await write("c", 1, 1);
    }, 100);
    assert.deepEqual([...seen].sort(), ["bbaa", "bcaa"]);
  });

  it("need not have what was written while the sync ran", async () => {
    const seen = await outcomes(async (world, write) => {
      const file = await world.finish(world.disk.mount().open("/d/file", "update"));
      const syncing = file.datasync();
      const sync = world.waiting.splice(0)[0];
      await write("b", 0, 1);
      world.waiting.push(sync as (typeof world.waiting)[number]);
      await world.finish(syncing);
    }, 100);
    assert.deepEqual([...seen].sort(), ["aaaa", "baaa"]);
  });

  it("may lose for ever what a failed sync covered, though readers saw it and later syncs succeed", async () => {
    const seen = await outcomes(async (world, write) => {
      let failures = 1;
      const mount = world.disk.mount({
        fault: ({ kind }) => (kind === "datasync" && failures-- > 0 ? "EIO" : undefined),
      });
      const file = await world.finish(mount.open("/d/file", "update"));
      await write("b", 0, 2);
      await assert.rejects(world.finish(file.datasync()), { code: "EIO" });
      const content = world.disk.content("/d/file") as Buffer;
      assert.equal(content.toString("latin1", SECTOR - 1, SECTOR + 1), "bb");
      await world.finish(file.datasync());
    });
    assert.deepEqual([...seen].sort(), ["aaaa", "abaa", "baaa", "bbaa"]);
  });

  it("may lose a name that was not synced, whatever happened to the file", async () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 200; seed++) {
      const world = new SteppedDisk(seed);
      const mount = world.disk.mount();
      await world.finish(mount.makeDirectory("/d"));
      const create = async (name: string): Promise<void> => {
        const file = await world.finish(mount.open(`/d/${name}`, "create"));
        await world.finish(file.write([Buffer.from(name)], 0));
        await world.finish(file.datasync());
      };
      await create("synced");
      await world.finish(mount.syncDirectory("/d"));
      await create("new");
      await world.finish(mount.rename("/d/synced", "/d/renamed"));
      world.powerCut();
      const left = world.disk.paths().map((path) => `${path.slice(2)}:${world.disk.content(path)}`);
      seen.add(left.sort().join(" "));
    }
    assert.deepEqual([...seen].sort(), [
      "new:new renamed:synced",
      "new:new synced:synced",
      "renamed:synced",
      "synced:synced",
    ]);
  });

  it("does the same again for the same seed", async () => {
    const change: Parameters<typeof sectorsAfter>[1] = async (_, write) => {
      await write("b", 0, 4);
      await write("c", 2, 4);
    };
    for (let seed = 0; seed < 50; seed++) {
      assert.equal(await sectorsAfter(seed, change), await sectorsAfter(seed, change));
    }
  });
});

describe("the simulated disk, when a process is killed", () => {
  it("completes nothing for it any more; what was under way may still happen, and others go on", async () => {
    const seen = new Set<number>();
    for (let seed = 0; seed < 300; seed++) {
      const world = new SteppedDisk(seed);
      const mount = world.disk.mount();
      const file = await world.finish(mount.open("/file", "create"));
      let isDone = false;
      const done = (): void => {
        isDone = true;
      };
      file.write([Buffer.alloc(4 * SECTOR, "a")], 0).then(done, done);
      const steps = world.chance() < 0.5 ? 0 : 1;
      await world.run({ until: () => isDone || world.steps > steps });
      if (isDone) continue;
      mount.crash();
      await world.run();
      mount.exists("/file").then(done, done);
      await world.run();
      assert.equal(isDone, false);
      const other = world.disk.mount();
      assert.equal(await world.finish(other.exists("/file")), true);
      seen.add((world.disk.content("/file") as Buffer).length / SECTOR);
    }
    assert.deepEqual([...seen].sort(), [0, 1, 2, 3, 4]);
  });
});
