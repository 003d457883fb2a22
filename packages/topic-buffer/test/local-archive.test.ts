import assert from "node:assert/strict";
import type { FrameChunk } from "@x/topic-gateway/protocol";
import { describe, it } from "vitest";
import { openLocalArchive } from "../src/local.js";
import { chanceOf, Frames, rejectsWith, SteppedDisk } from "./local-support.js";

const NAME = "orders/3/139000000000000000_0-63";

function segment(lengths: readonly number[]): { frames: Frames; chunks: () => AsyncGenerator<FrameChunk> } {
  const frames = new Frames("ab".repeat(16));
  frames.next(lengths);
  return {
    frames,
    async *chunks() {
      for (let at = 0; at < lengths.length; at += 3) {
        const some = frames.frames.slice(at, at + 3);
        yield { frames: Buffer.concat(some), firstSequence: at + 1, count: some.length };
      }
    },
  };
}

let opened = 0;

/** As another process each time: their random bytes differ. */
function open(world: SteppedDisk) {
  opened += 1;
  const chance = chanceOf(opened);
  const random = { bytes: (count: number) => Uint8Array.from({ length: count }, () => chance() * 256) };
  return openLocalArchive({ directory: "/archive", fileSystem: world.disk.mount(), random });
}

describe("the archive, when the power goes", () => {
  it("has what was put, or nothing, and a later put succeeds and leaves nothing unfinished", {
    timeout: 120_000,
  }, async () => {
    const { frames, chunks } = segment([10, 600, 3, 900, 0, 0, 40, 2000]);
    const last = frames.frames.length;
    const seen = { whole: 0, none: 0, unfinished: 0 };
    let isOver = false;
    for (let step = 0; !isOver; step++) {
      isOver = true;
      for (let variant = 0; variant < 20; variant++) {
        const world = new SteppedDisk(step * 100 + variant);
        let puts = 0;
        const put = async (): Promise<void> => {
          await (await open(world)).put(NAME, chunks(), { lastSequence: last });
          puts += 1;
        };
        // One alone, or two that do not know of each other.
        const lives = Array.from({ length: 1 + (variant % 2) }, put);
        for (const life of lives) life.catch(() => {});
        await world.run({ until: () => world.steps >= step });
        world.powerCut();
        if (puts < lives.length) isOver = false;

        if (world.disk.paths().some((path) => path.includes("unfinished"))) seen.unfinished += 1;
        const archive = await world.finish(open(world));
        const reading = world.finish(frames.expect(archive.read(NAME, { lastSequence: last }), last));
        if (puts > 0) await reading;
        const isThere = await reading.then(
          () => true,
          (error: { code?: string }) => {
            assert.equal(error.code, "log-missing", String(error));
            return false;
          },
        );
        seen[isThere ? "whole" : "none"] += 1;
        await world.finish(archive.put(NAME, chunks(), { lastSequence: last }));
        assert.equal(world.disk.paths().length, 1, "what an earlier put left unfinished is gone");
        world.powerCut();
        const later = await world.finish(open(world));
        await world.finish(frames.expect(later.read(NAME, { lastSequence: last }), last));
        await world.finish(later.drop(NAME));
        assert.deepEqual(world.disk.paths(), [], "nothing is left of it after a drop");
      }
    }
    for (const [outcome, count] of Object.entries(seen))
      assert.ok(count > 20, `${outcome} was seen ${count} times`);
  });
});

describe("damage in the archive", () => {
  it("is reported wherever a bit flips, with the segment, and a put writes the segment again if its end is damaged", {
    timeout: 60_000,
  }, async () => {
    const { frames, chunks } = segment([10, 60, 3, 0, 40]);
    const world = new SteppedDisk(1);
    const archive = await world.finish(open(world));
    await world.finish(archive.put(NAME, chunks(), { lastSequence: 5 }));
    const path = world.disk.paths().find((name) => name.endsWith(".seg")) as string;
    const size = (world.disk.content(path) as Buffer).length;
    const framesEnd = frames.offsetAfter(5) - frames.header.length;
    for (let position = 0; position < size; position++) {
      world.disk.damage(path, { position, mask: 1 << (position % 8) });
      const reading = frames.expect(archive.read(NAME, { lastSequence: 5 }), 5);
      const error = await rejectsWith(world.finish(reading), "corrupt");
      assert.ok(error.message.includes(NAME), error.message);
      if (position < framesEnd) {
        assert.match(error.message, /damaged at byte \d+, where sequence \d should be/);
        world.disk.damage(path, { position, mask: 1 << (position % 8) });
      } else {
        await world.finish(archive.put(NAME, chunks(), { lastSequence: 5 }));
        await world.finish(frames.expect(archive.read(NAME, { lastSequence: 5 }), 5));
      }
    }
  });
});

describe("a failing disk under the archive", () => {
  for (const kind of ["write", "datasync", "rename", "syncDirectory", "close"] as const) {
    it(`makes a put reject, and the next one succeeds (${kind})`, async () => {
      const { frames, chunks } = segment([10, 60, 3, 0, 40]);
      const world = new SteppedDisk(1);
      let failures = 1;
      const fileSystem = world.disk.mount({
        fault: (operation) => (operation.kind === kind && failures-- > 0 ? "EIO" : undefined),
      });
      const archive = await world.finish(openLocalArchive({ directory: "/archive", fileSystem }));
      const error = await rejectsWith(
        world.finish(archive.put(NAME, chunks(), { lastSequence: 5 })),
        "unavailable",
      );
      assert.equal((error.cause as { code?: string }).code, "EIO");
      await world.finish(archive.put(NAME, chunks(), { lastSequence: 5 }));
      await world.finish(frames.expect(archive.read(NAME, { lastSequence: 5 }), 5));
      assert.equal(world.disk.paths().length, 1);
    });
  }
});

describe("the name of an archived segment", () => {
  it("is refused with a sentence when it is not one, by every method", async () => {
    const world = new SteppedDisk(1);
    const archive = await world.finish(open(world));
    const bad = [
      "",
      "orders",
      "orders/3",
      "../3/1_0-63",
      "orders/3/../1_0-63",
      "orders/x/1_0-63",
      "orders/3/1_0-63/..",
      "/orders/3/1_0-63",
      "orders/3/1_0-63\n",
      "a b/3/1_0-63",
      undefined as unknown as string,
    ];
    for (const name of bad) {
      for (const call of [
        () => archive.put(name, segment([1]).chunks(), { lastSequence: 1 }),
        () => archive.drop(name),
        async () => {
          for await (const _ of archive.read(name, { lastSequence: 1 }));
        },
      ]) {
        const error = await rejectsWith(world.finish(call()), "invalid-argument");
        assert.match(error.message, /is not the name of an archived segment: "\{topic\}/);
      }
    }
    assert.deepEqual(world.disk.paths(), []);
  });

  it("keeps one last sequence: another one is refused", async () => {
    const world = new SteppedDisk(1);
    const archive = await world.finish(open(world));
    await world.finish(archive.put(NAME, segment([1, 2]).chunks(), { lastSequence: 2 }));
    await rejectsWith(
      world.finish(archive.put(NAME, segment([1]).chunks(), { lastSequence: 1 })),
      "log-exists",
    );
    for (const lastSequence of [-1, 0.5, Number.NaN]) {
      await rejectsWith(
        world.finish(archive.put(NAME, segment([1]).chunks(), { lastSequence })),
        "invalid-argument",
      );
    }
  });
});
