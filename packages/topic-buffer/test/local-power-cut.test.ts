import assert from "node:assert/strict";
import { TopicError } from "@x/topic-gateway/protocol";
import { describe, it } from "vitest";
import { type LocalSegmentLog, openLocalSegmentLog } from "../src/local.js";
import { Frames, rejectsWith, SteppedDisk } from "./local-support.js";

const appends: readonly (readonly number[])[] = [
  [10],
  [300, 1, 700, 20],
  [],
  Array.from({ length: 40 }, (_, i) => i * 3),
  [2500],
  [5, 5],
  [1200, 1200, 1200],
];

interface Progress {
  id?: string;
  frames?: Frames;
  created: boolean;
  acknowledged: number;
  sent: number;
  /** The last sequence of an end that a seal gave. */
  sealed: number;
  /** What was found after the power cut. */
  found?: number;
}

function open(world: SteppedDisk): Promise<LocalSegmentLog> {
  return openLocalSegmentLog({ directory: "/data", fileSystem: world.disk.mount(), preallocateBytes: 2048 });
}

/** What a process does before the lights go out. */
async function live(world: SteppedDisk, progress: Progress, shortWays: boolean): Promise<void> {
  const fileSystem = shortWays ? world.mountWithShortWays() : world.disk.mount();
  const store = await openLocalSegmentLog({ directory: "/data", fileSystem, preallocateBytes: 2048 });
  progress.id = store.id;
  const frames = new Frames(store.id);
  progress.frames = frames;
  const writer = await store.create(frames.name, frames.header);
  progress.created = true;
  for (const lengths of appends) {
    const bytes = frames.next(lengths);
    progress.sent = frames.frames.length;
    await writer.append(bytes);
    progress.acknowledged = frames.frames.length;
  }
  const end = await store.seal(frames.name);
  progress.sealed = end.lastSequence;
  assert.equal(end.lastSequence, progress.sent);
}

/** Everything that must be so once the machine is up again. */
async function checkAfter(world: SteppedDisk, progress: Progress): Promise<void> {
  const store = await world.finish(open(world));
  const { frames } = progress;
  if (!frames) return;
  // An id that was told is the store's for ever: logs that bear it are recorded by now.
  const { name } = frames;
  if (!progress.created) {
    // Never recorded by anybody, so it may be there or not, but it does not come back with something in it.
    const end = await world.finish(store.seal(name).catch((error: unknown) => error));
    if (end instanceof TopicError) assert.ok(["log-missing", "corrupt"].includes(end.code), String(end));
    else assert.equal((end as { lastSequence: number }).lastSequence, 0);
    return;
  }
  let told = Math.max(progress.acknowledged, progress.sealed);
  for (let cut = 0; cut < 3; cut++) {
    const opened = await world.finish(open(world));
    const end = await world.finish(opened.seal(name));
    assert.ok(told <= end.lastSequence, `${told} was told before, ${end.lastSequence} is left`);
    assert.ok(end.lastSequence <= progress.sent, "nothing is there that nobody sent");
    assert.equal(end.end, frames.offsetAfter(end.lastSequence));
    told = end.lastSequence;
    progress.found ??= told;
    const { lastSequence } = end;
    await world.finish(frames.expect(opened.read(name, { lastSequence }), lastSequence));
    // At once, or somewhere in another seal.
    const again = opened.seal(name).catch(() => {});
    const after = world.steps + Math.floor(world.chance() * 20);
    await world.run({ until: () => world.steps >= after });
    void again;
    world.powerCut();
    await world.finish(
      frames.expect((await world.finish(open(world))).read(name, { lastSequence }), lastSequence),
    );
  }
}

async function cutAt(step: number, seed: number, shortWays: boolean): Promise<Progress> {
  const world = new SteppedDisk(seed);
  const progress: Progress = { created: false, acknowledged: 0, sent: 0, sealed: 0 };
  const life = live(world, progress, shortWays);
  life.catch(() => {});
  // Operations of the one process mostly come in order, but the preparation of room runs beside its appends.
  await world.run({ until: () => world.steps >= step });
  world.powerCut();
  await checkAfter(world, progress);
  return progress;
}

describe.each([
  ["any file system", false],
  ["a file system with shorter ways", true],
])("a power cut at any moment, on %s", (_, shortWays) => {
  it("loses nothing acknowledged and invents nothing, at every step of the disk with many torn outcomes", {
    timeout: 120_000,
  }, async () => {
    const outcomes = new Set<string>();
    const torn = new Set<number>();
    let step = 0;
    for (let isComplete = false; !isComplete; step++) {
      isComplete = true;
      for (let variant = 0; variant < 12; variant++) {
        const seed = step * 1000 + variant;
        const progress = await cutAt(step, seed, shortWays).catch((error: unknown) => {
          throw new Error(`step ${step}, seed ${seed}: ${String(error)}`, { cause: error });
        });
        const { acknowledged, sent, found = acknowledged } = progress;
        outcomes.add(`${acknowledged}/${sent}`);
        if (found > acknowledged && found < sent) torn.add(found - acknowledged);
        isComplete &&= progress.sealed > 0;
      }
    }
    // All of it was seen: cuts before, within and after each append.
    assert.ok(step * 12 > 600, `only ${step} steps`);
    // The append of nothing takes no step of the disk if names are looked at in no time: no cut falls into it.
    assert.equal(outcomes.size, appends.length + (shortWays ? 1 : 2), [...outcomes].join(" "));
    // And writes did tear: of the 40 messages of one append, some were there and others not.
    assert.ok(torn.size > 3, `tails of these lengths were found: ${[...torn].join(" ")}`);
  });
});

describe("damage", () => {
  async function written(): Promise<{ world: SteppedDisk; frames: Frames; path: string }> {
    const world = new SteppedDisk(1);
    const store = await world.finish(open(world));
    const frames = new Frames(store.id);
    const writer = await world.finish(store.create(frames.name, frames.header));
    for (const lengths of [[30], [1, 2, 60], [40], [7, 8]])
      await world.finish(writer.append(frames.next(lengths)));
    const path = world.disk.paths().find((name) => name.endsWith(".log"))!;
    return { world, frames, path };
  }

  it("is reported with log, byte and sequence wherever a bit flips in what was durable before the last write", {
    timeout: 120_000,
  }, async () => {
    const { world, frames, path } = await written();
    const lastGroup = frames.groups.at(-1)!;
    const from = frames.offsetAfter(0);
    for (let position = 0; position < frames.offsetAfter(lastGroup - 1); position++) {
      const mask = 1 << (position % 8);
      world.disk.damage(path, { position, mask });
      const store = await world.finish(open(world));
      const error = await rejectsWith(world.finish(store.seal(frames.name)), "corrupt");
      const broken = frames.frames.findIndex((_, i) => position < frames.offsetAfter(i + 1));
      const where =
        position < from ? "byte 0:" : `byte ${frames.offsetAfter(broken)}, where sequence ${broken + 1} `;
      assert.ok(error.message.includes(`the log ${frames.name} is damaged at ${where}`), error.message);
      const reading = frames.expect(store.read(frames.name, { lastSequence: 7 }), 7);
      assert.ok((await rejectsWith(world.finish(reading), "corrupt")).message.includes(where));
      world.disk.damage(path, { position, mask });
    }
    const store = await world.finish(open(world));
    assert.equal((await world.finish(store.seal(frames.name))).lastSequence, 7);
  });

  it("in the last write cannot be told from a torn tail: it is cut there, and all before it is kept", async () => {
    const { world, frames, path } = await written();
    const lastGroup = frames.groups.at(-1)!;
    const seen = new Set<number>();
    for (let position = frames.offsetAfter(lastGroup - 1); position < frames.offsetAfter(7); position++) {
      world.disk.damage(path, { position, mask: 255 });
      const { lastSequence } = await world.finish((await world.finish(open(world))).seal(frames.name));
      seen.add(lastSequence);
      world.disk.damage(path, { position, mask: 255 });
      // The end was left in the marker; it is where the next scan would start.
      const marker = world.disk.paths().find((name) => name.endsWith(".seal"))!;
      world.disk.damage(marker, { position: 9, mask: 255 });
    }
    assert.deepEqual([...seen].sort(), [lastGroup - 1, lastGroup]);
  });

  it("of the end that a seal left makes the next one scan again", async () => {
    const { world, frames } = await written();
    const end = await world.finish((await world.finish(open(world))).seal(frames.name));
    const marker = world.disk.paths().find((name) => name.endsWith(".seal"))!;
    for (let position = 0; position < 40; position++) {
      world.disk.damage(marker, { position, mask: 16 });
      assert.deepEqual(await world.finish((await world.finish(open(world))).seal(frames.name)), end);
      assert.deepEqual(await world.finish((await world.finish(open(world))).seal(frames.name)), end);
    }
  });

  it("is reported when a sealed log became shorter than its end", async () => {
    const { world, frames, path } = await written();
    await world.finish((await world.finish(open(world))).seal(frames.name));
    const file = await world.finish(world.disk.mount().open(path, "update"));
    await world.finish(file.truncate(frames.offsetAfter(5)));
    const store = await world.finish(open(world));
    await rejectsWith(world.finish(store.seal(frames.name)), "corrupt");
  });
});
