import assert from "node:assert/strict";
import { type SegmentEnd, TopicError } from "@x/topic-gateway/protocol";
import { describe, it } from "vitest";
import type { DiskOperation } from "../../../apps/harness/src/sim/disk.js";
import { openLocalSegmentLog } from "../src/local.js";
import { Frames, rejectsWith, SteppedDisk } from "./local-support.js";

type Files = "any file system" | "a file system with shorter ways";
const FILES: readonly Files[] = ["any file system", "a file system with shorter ways"];

const filesOf = (
  files: Files,
  world: SteppedDisk,
  fault?: (operation: DiskOperation) => string | undefined,
) =>
  files === "any file system"
    ? world.disk.mount(fault && { fault })
    : world.mountWithShortWays(fault && { fault });

const open = (world: SteppedDisk, files: Files = "any file system") =>
  openLocalSegmentLog({ directory: "/data", fileSystem: filesOf(files, world), preallocateBytes: 1024 });

const WRITER = 0;

interface Race {
  readonly world: SteppedDisk;
  readonly frames: Frames;
  acknowledged: number;
  readonly ends: SegmentEnd[];
  refusal?: unknown;
  /** Of the others: there must be none. */
  readonly errors: unknown[];
}

/** A writer that appends until it is refused, against others that do something with its log. Nothing has happened yet. */
async function startRace(
  world: SteppedDisk,
  options: {
    readonly appends: readonly (readonly number[])[];
    readonly others: readonly ("seal" | "seal, drop")[];
    readonly files: Files;
  },
): Promise<Race> {
  const store = await world.finish(open(world, options.files));
  const others = await Promise.all(options.others.map(() => world.finish(open(world))));
  const frames = new Frames(store.id);
  const writer = await world.finish(store.create(frames.name, frames.header));
  await world.finish(writer.append(frames.next([30])));
  const race: Race = { world, frames, acknowledged: 1, ends: [], errors: [] };
  const appendAll = async (): Promise<void> => {
    for (const lengths of options.appends) {
      await writer.append(frames.next(lengths));
      race.acknowledged = frames.frames.length;
    }
  };
  await world.as(WRITER, () => {
    appendAll().catch((error: unknown) => {
      race.refusal = error;
    });
  });
  for (const [i, other] of others.entries()) {
    const act = async (): Promise<void> => {
      race.ends.push(await other.seal(frames.name));
      if (options.others[i] === "seal, drop") await other.drop(frames.name);
    };
    await world.as(i + 1, () => {
      act().catch((error: unknown) => race.errors.push(error));
    });
  }
  return race;
}

function check({ ends, frames, acknowledged, refusal, errors }: Race): void {
  assert.deepEqual(errors, []);
  for (const { end, lastSequence } of ends) {
    assert.ok(
      acknowledged <= lastSequence,
      `${acknowledged} was acknowledged, but the log ends with ${lastSequence}`,
    );
    assert.equal(end, frames.offsetAfter(lastSequence));
  }
  if (refusal) assert.ok(refusal instanceof TopicError && refusal.code === "log-sealed", String(refusal));
}

/** What was told is still there after a power cut. */
async function checkAfterPowerCut({ world, ends, frames }: Race): Promise<void> {
  world.powerCut();
  const lastSequence = Math.max(...ends.map((end) => end.lastSequence));
  const store = await world.finish(open(world));
  await world.finish(frames.expect(store.read(frames.name, { lastSequence }), lastSequence));
  assert.ok((await world.finish(store.seal(frames.name))).lastSequence >= lastSequence);
}

/** Runs a race once for each order in which the steps of the writer can fall among those of the others. */
async function everyOrder(run: (choose: () => boolean) => Promise<void>): Promise<number> {
  let path: boolean[] = [];
  for (let count = 1; ; count++) {
    let at = 0;
    await run(() => {
      if (at === path.length) path.push(true);
      at += 1;
      return path[at - 1] as boolean;
    });
    path = path.slice(0, at);
    while (path.at(-1) === false) path.pop();
    if (path.length === 0) return count;
    path[path.length - 1] = false;
  }
}

/** `writerNext` decides when both the writer and others could go on. */
async function runInOrder(race: Race, writerNext: () => boolean, until?: () => boolean): Promise<void> {
  await race.world.run({
    ...(until && { until }),
    choose: (waiting) => {
      const writer = waiting.findIndex((step) => step.actor === WRITER);
      const others = waiting.flatMap((step, i) => (step.actor === WRITER ? [] : [i]));
      if (others.length === 0 || (writer !== -1 && writerNext())) return writer;
      return others[Math.floor(race.world.chance() * others.length)] as number;
    },
  });
}

describe.each(FILES)("sealing while the writer appends, on %s", (files) => {
  it("has every acknowledged append below the end, in every order of the steps", {
    timeout: 120_000,
  }, async () => {
    const seen = { acknowledged: 0, refused: 0, refusedButThere: 0 };
    const orders = await everyOrder(async (choose) => {
      // The disk's chance decides only whether others see a first part of a write: here they don't, that would be too many orders.
      const world = new SteppedDisk(1, { chance: () => 0.9 });
      const race = await startRace(world, { appends: [[40, 700]], others: ["seal"], files });
      await runInOrder(race, choose);
      check(race);
      assert.equal(race.ends.length, 1);
      if (race.refusal) seen.refused += 1;
      else seen.acknowledged += 1;
      if (race.refusal && (race.ends[0] as SegmentEnd).lastSequence > 1) seen.refusedButThere += 1;
    });
    // What is looked at in no time is a step less.
    assert.ok(orders > (files === "any file system" ? 2000 : 500), `only ${orders} orders`);
    for (const [outcome, count] of Object.entries(seen)) assert.ok(count > 0, `${outcome} never happened`);
  });

  it("has it with several sealers, several appends and a power cut behind, in random orders", {
    timeout: 120_000,
  }, async () => {
    const different = new Set<number>();
    for (let seed = 0; seed < (files === "any file system" ? 2000 : 600); seed++) {
      const world = new SteppedDisk(seed);
      const sealers = 1 + (seed % 3);
      const race = await startRace(world, {
        appends: [[40], [600, 600, 10], [0], [900], [3, 3, 3, 3], [1], [1], [1], [1]],
        others: Array.from({ length: sealers }, () => "seal" as const),
        files,
      });
      // At times the writer waits until another was far enough, or runs ahead.
      const haste = 0.05 + 0.85 * world.chance();
      // The power goes when all is over, or at the moment in which the last sealer has its answer.
      const until = seed % 4 === 0 ? () => false : () => race.ends.length === sealers;
      await runInOrder(race, () => world.chance() < haste, until);
      check(race);
      assert.equal(race.ends.length, sealers);
      different.add(new Set(race.ends.map((end) => end.lastSequence)).size);
      await checkAfterPowerCut(race).catch((error: unknown) => {
        throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
      });
    }
    assert.ok(different.size > 1, "sealers that found different ends while the writer was writing were seen");
  });

  it("a writer that slept through seal and drop is refused, in every order of the steps", {
    timeout: 300_000,
  }, async () => {
    let refused = 0;
    await everyOrder(async (choose) => {
      const world = new SteppedDisk(1, { chance: () => 0.9 });
      const race = await startRace(world, { appends: [[40]], others: ["seal, drop"], files });
      await runInOrder(race, choose);
      check(race);
      if (race.refusal) refused += 1;
    });
    assert.ok(refused > 0);
  });
});

describe.each(FILES)("a write or a sync that fails, on %s", (files) => {
  for (const kind of ["write", "datasync", "exists"] as const) {
    it(`ends the log for its writer, for ever, and loses nothing that anybody was told (${kind})`, {
      timeout: 120_000,
    }, async () => {
      for (let seed = 0; seed < (files === "any file system" ? 300 : 100); seed++) {
        const world = new SteppedDisk(seed);
        const seen = { failAt: -1, count: 0, after: 0 };
        const fault = (operation: DiskOperation): string | undefined => {
          if (!/\.log(\.seal)?$/.test(operation.path)) return undefined;
          if (seen.failAt >= 0 && seen.count > seen.failAt) seen.after += 1;
          if (operation.kind !== kind) return undefined;
          seen.count += 1;
          return seen.count - 1 === seen.failAt ? "EIO" : undefined;
        };
        const store = await world.finish(
          openLocalSegmentLog({
            directory: "/data",
            fileSystem: filesOf(files, world, fault),
            preallocateBytes: 0,
          }),
        );
        const frames = new Frames(store.id);
        const writer = await world.finish(store.create(frames.name, frames.header));
        await world.finish(writer.append(frames.next([100])));
        seen.failAt = seen.count + Math.floor(world.chance() * 3);
        let acknowledged = 1;
        let last: Buffer = Buffer.alloc(0);
        const appendAll = async (): Promise<never> => {
          for (;;) {
            last = frames.next([200, 900, 10]);
            await writer.append(last);
            acknowledged = frames.frames.length;
          }
        };
        await rejectsWith(world.finish(appendAll()), "log-failed");
        seen.after = 0;
        await rejectsWith(writer.append(last), "log-failed");
        await rejectsWith(writer.append(Buffer.alloc(0)), "log-failed");
        assert.equal(seen.after, 0, "the disk was not even asked again");
        const other = await world.finish(open(world));
        const { lastSequence } = await world.finish(other.seal(frames.name));
        assert.ok(acknowledged <= lastSequence);
        await world.finish(frames.expect(other.read(frames.name, { lastSequence }), lastSequence));
        world.powerCut();
        const later = await world.finish(open(world));
        const reading = frames.expect(later.read(frames.name, { lastSequence }), lastSequence);
        await world.finish(reading).catch((error: unknown) => {
          throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
        });
      }
    });
  }

  it("ahead of the writer costs it only the prepared room", async () => {
    const world = new SteppedDisk(1);
    const events: string[] = [];
    let opened = 0;
    // The log is created, opened for appends if there is a shorter way, and opened to be filled.
    const roomIs = files === "any file system" ? 2 : 3;
    const fault = ({ kind, path }: DiskOperation): string | undefined => {
      if (kind !== "open" || !path.endsWith(".log")) return undefined;
      opened += 1;
      return opened === roomIs ? "EMFILE" : undefined;
    };
    const store = await world.finish(
      openLocalSegmentLog({
        directory: "/data",
        fileSystem: filesOf(files, world, fault),
        preallocateBytes: 1024,
        onEvent: (event) => events.push(event.type),
      }),
    );
    const frames = new Frames(store.id);
    const writer = await world.finish(store.create(frames.name, frames.header));
    for (let i = 0; i < 20; i++) await world.finish(writer.append(frames.next([200])));
    await world.finish(writer.close());
    const end = await world.finish(store.seal(frames.name));
    assert.equal(end.lastSequence, 20);
    assert.deepEqual(events, ["preallocation-failed", "sealed"]);
  });
});
