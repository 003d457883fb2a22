import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { type EmbeddedCoord, openEmbeddedCoord } from "../src/embedded.js";
import { CoordError } from "../src/errors.js";
import { FakeClock } from "./support/fake-clock.js";
import { Ledger } from "./support/ledger.js";
import { type Keep, MemoryFileSystem } from "./support/memory-file-system.js";
import { randomBytesFrom, randomFrom } from "./support/random.js";

const directory = "/store";

interface Run {
  readonly disk: MemoryFileSystem;
  readonly ledger: Ledger;
  readonly random: () => number;
}

/** So small that a run of some dozen writes goes through several log files and loses history. */
function open({ disk, random }: Run): Promise<EmbeddedCoord> {
  return openEmbeddedCoord({
    directory,
    fileSystem: disk,
    clock: new FakeClock(),
    randomBytes: randomBytesFrom(random),
    walBytes: 600,
    historyRevisions: 20,
  });
}

/** Three writers at once, one of them with leases. */
async function work(coord: EmbeddedCoord, { ledger, random }: Run, writes: number): Promise<void> {
  const { id } = await coord.grantLease(60_000);
  const writer = async (name: string, lease?: bigint): Promise<void> => {
    for (let index = 0; index < writes; index++) {
      await ledger.write(
        coord,
        `${name}/${Math.floor(random() * 3)}`,
        lease,
        "x".repeat(Math.floor(random() * 60)),
      );
    }
  };
  await Promise.all([writer("a"), writer("b"), writer("leased", id)]);
  await coord.revokeLease(id);
}

/** The power is cut just before the `cutAt`-th operation on the disk. False if there were not so many. */
async function runUntilCut(run: Run, cutAt: number): Promise<boolean> {
  let operations = 0;
  const cut = new Promise<true>((resolve) => {
    run.disk.hook = async () => {
      operations += 1;
      if (operations < cutAt) return;
      resolve(true);
      await new Promise(() => undefined);
    };
  });
  const finished = (async () => {
    const coord = await open(run);
    await work(coord, run, 8);
    await coord.close();
    return false;
  })();
  return await Promise.race([cut, finished]);
}

async function crashEverywhere(keepOf: (random: () => number) => Keep, seed: number): Promise<number> {
  let cuts = 0;
  for (let cutAt = 1; ; cutAt++) {
    const random = randomFrom(seed * 100_000 + cutAt);
    const keep = keepOf(random);
    let run: Run = { disk: new MemoryFileSystem(), ledger: new Ledger(), random };
    if (!(await runUntilCut(run, cutAt))) return cuts;
    cuts += 1;
    // A second crash, on what the first one left, soon after the start or during it.
    run = { ...run, disk: run.disk.afterCut(keep) };
    if (await runUntilCut(run, 1 + Math.floor(random() * 30)))
      run = { ...run, disk: run.disk.afterCut(keep) };
    const coord = await open(run);
    await run.ledger.check(coord);
    await coord.close();
  }
}

describe("a power cut at any moment loses nothing acknowledged", () => {
  const outcomes: Readonly<Record<string, (random: () => number) => Keep>> = {
    "everything that was not synced is lost": () => () => false,
    "everything happens to be there": () => () => true,
    "half of what was not synced is lost, sector by sector": (random) => () => random() < 0.5,
    "a little of what was not synced is lost": (random) => () => random() < 0.9,
    "a little of what was not synced is kept": (random) => () => random() < 0.1,
  };
  for (const [name, keepOf] of Object.entries(outcomes)) {
    it(`when ${name}`, { timeout: 60_000 }, async () => {
      for (const seed of [1, 2, 3]) assert.ok((await crashEverywhere(keepOf, seed)) > 50);
    });
  }
});

describe("a second opener at any moment", () => {
  it("gets all that the first acknowledged, and the first acknowledges nothing more", {
    timeout: 60_000,
  }, async () => {
    let finished = false;
    for (let at = 1; !finished; at++) {
      const random = randomFrom(at);
      const ledger = new Ledger();
      const disk = new MemoryFileSystem();
      const first: Run = { disk, ledger, random };
      const second: Run = { disk: new MemoryFileSystem(disk), ledger, random };
      let operations = 0;
      let taker: EmbeddedCoord | undefined;
      disk.hook = async () => {
        operations += 1;
        if (operations === at) taker = await open(second);
      };
      let generation = 0;
      const outcome = await (async () => {
        const coord = await open(first);
        generation = coord.generation;
        await work(coord, first, 8);
        await coord.close();
      })().catch((error: unknown) => error);
      finished = taker === undefined;
      // So early that the first one's opening became the second: then it goes on.
      if (taker === undefined || generation > taker.generation) {
        assert.equal(outcome, undefined);
        continue;
      }
      const acknowledged = ledger.acknowledged;
      // Without an error it was finished before its next look at the fence, when it closed.
      if (outcome !== undefined)
        assert.ok(outcome instanceof CoordError && outcome.code === "fenced", String(outcome));
      await ledger.check(taker);
      await work(taker, second, 4);
      assert.ok(ledger.acknowledged > acknowledged);
      await taker.close();
      // What the first still wrote into its own log does not come up again.
      const third = await open({ ...second, disk: second.disk.afterCut(() => true) });
      await ledger.check(third);
    }
  });
});

describe("the same seed", () => {
  it("makes the same files, byte by byte, and the same answers", async () => {
    const runs = await Promise.all(
      [1, 2].map(async () => {
        const random = randomFrom(7);
        const run: Run = { disk: new MemoryFileSystem(), ledger: new Ledger(), random };
        const operations: string[] = [];
        run.disk.hook = async (operation, path) => void operations.push(`${operation} ${path}`);
        const coord = await open(run);
        await work(coord, run, 20);
        const { revision, kvs } = await coord.get({ prefix: "" });
        await coord.close();
        const files = run.disk.paths().map((path) => [path, [...run.disk.contentOf(path)]]);
        return { operations, revision, kvs, files };
      }),
    );
    assert.deepEqual(runs[0], runs[1]);
  });
});
