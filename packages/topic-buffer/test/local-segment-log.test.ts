import assert from "node:assert/strict";
import { encodeHeaderFrame, logName } from "@x/topic-gateway/protocol";
import fc from "fast-check";
import { describe, it } from "vitest";
import { type LocalSegmentLogOptions, openLocalSegmentLog } from "../src/local.js";
import { Frames, rejectsWith, SteppedDisk } from "./local-support.js";

function open(world: SteppedDisk, options: Partial<LocalSegmentLogOptions> = {}) {
  return world.finish(
    openLocalSegmentLog({ directory: "/data", fileSystem: world.disk.mount(), ...options }),
  );
}

/** A file system that counts what is read of logs. */
function counting(world: SteppedDisk): { reads: number; mount: ReturnType<SteppedDisk["disk"]["mount"]> } {
  const counter = {
    reads: 0,
    mount: world.disk.mount({
      fault: ({ kind, path }) => {
        if (kind === "read" && path.endsWith(".log")) counter.reads += 1;
        return undefined;
      },
    }),
  };
  return counter;
}

describe("opening a folder of segment logs", () => {
  it("refuses a file system that is not local, and leaves nothing there", async () => {
    const world = new SteppedDisk(1);
    const fileSystem = world.disk.mount({ isLocal: false });
    const error = await rejectsWith(
      world.finish(openLocalSegmentLog({ directory: "/data", fileSystem })),
      "invalid-argument",
    );
    assert.match(error.message, /\/data is not on a local file system/);
    assert.deepEqual(world.disk.paths(), []);
  });

  it("takes the random bytes that it is given for the id of a new store, and none for an old one", async () => {
    const world = new SteppedDisk(1);
    let asked = 0;
    const random = {
      bytes: (count: number) => {
        asked += 1;
        return new Uint8Array(count).fill(0xab);
      },
    };
    assert.equal((await open(world, { random })).id, "ab".repeat(16));
    assert.equal((await open(world, { random })).id, "ab".repeat(16));
    assert.equal(asked, 1);
  });

  it("owns the logs of all who made the root at the same time, soon after they have", async () => {
    const world = new SteppedDisk(1);
    const store = await open(world);
    const other = new Frames("cd".repeat(16));
    assert.equal(store.owns(new Frames(store.id).name), true);
    assert.equal(store.owns(other.name), false);
    const mount = world.disk.mount();
    await world.finish(mount.open(`/data/id-${"cd".repeat(16)}`, "create").then((file) => file.close()));
    await world.finish(store.seal(other.name).catch(() => {}));
    assert.equal(store.owns(other.name), true);
  });

  it("says what is wrong with a file system that fails", async () => {
    const world = new SteppedDisk(1);
    const fileSystem = world.disk.mount({
      fault: ({ kind }) => (kind === "syncDirectory" ? "EIO" : undefined),
    });
    const error = await rejectsWith(
      world.finish(openLocalSegmentLog({ directory: "/data", fileSystem })),
      "unavailable",
    );
    assert.match(error.message, /EIO/);
    assert.equal((error.cause as { code?: string }).code, "EIO");
  });

  for (const preallocateBytes of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    it(`refuses to prepare ${preallocateBytes} bytes`, async () => {
      const world = new SteppedDisk(1);
      await rejectsWith(open(world, { preallocateBytes }), "invalid-argument");
    });
  }
});

describe("the name of a log", () => {
  const id = "ab".repeat(16);
  const random = { bytes: (count: number) => new Uint8Array(count).fill(0xab) };
  const bad = [
    "",
    id,
    `${id}/orders.1.2.0123456789abcdef/..`,
    `${id}/../orders.1.2.0123456789abcdef`,
    `${id}/..%2f.1.2.0123456789abcdef`,
    `${id}/or/ders.1.2.0123456789abcdef`,
    `${id}/orders.1.2.0123456789ABCDEF`,
    `${id}/orders.1.2.0123456789abcde`,
    `${id}/orders.1.-2.0123456789abcdef`,
    `${id}/orders.1.2.0123456789abcdef\n`,
    `${id}/orders.1.2.0123456789abcdef\0`,
    `/${id}/orders.1.2.0123456789abcdef`,
    `../orders.1.2.0123456789abcdef`,
    `${id}/${"a".repeat(129)}.1.2.0123456789abcdef`,
    undefined as unknown as string,
    { toString: () => `${id}/orders.1.2.0123456789abcdef` } as unknown as string,
  ];

  it("is refused with a sentence when it is not one, by every method, and nothing is touched", async () => {
    const world = new SteppedDisk(1);
    const store = await open(world, { random });
    const before = world.disk.paths();
    const { header } = new Frames(id);
    for (const name of bad) {
      for (const call of [
        (): Promise<unknown> => store.create(name, header),
        () => store.seal(name),
        () => store.drop(name),
        async () => {
          for await (const _ of store.read(name, { lastSequence: 1 }));
        },
      ]) {
        const error = await rejectsWith(world.finish(call()), "invalid-argument");
        assert.match(error.message, /is not the name of a log: "\{store id\}/);
      }
    }
    assert.deepEqual(world.disk.paths(), before);
  });

  it("never leads out of the folder", async () => {
    const world = new SteppedDisk(1);
    const store = await open(world, { random });
    const part = fc.constantFrom("..", ".", "/", "\\", "a", "1", id, "0123456789abcdef", "%2e", "\0", " ");
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 12 }), async (parts) => {
        const name = parts.join("");
        await rejectsWith(world.finish(store.create(name, new Frames(id).header)), "invalid-argument");
      }),
      { numRuns: 300 },
    );
    assert.deepEqual(world.disk.paths(), [`data/id-${id}`]);
  });

  it("must hold the nonce of the header frame", async () => {
    const world = new SteppedDisk(1);
    const store = await open(world, { random });
    const { name } = new Frames(id, 1);
    await rejectsWith(world.finish(store.create(name, new Frames(id, 2).header)), "invalid-argument");
    await rejectsWith(world.finish(store.create(name, Buffer.alloc(0))), "invalid-argument");
    const { header } = new Frames(id, 1);
    await rejectsWith(world.finish(store.create(name, Buffer.concat([header, header]))), "invalid-argument");
    await rejectsWith(world.finish(store.create(name, header.subarray(0, -1))), "invalid-argument");
    assert.deepEqual(world.disk.paths(), [`data/id-${id}`]);
  });
});

describe("the writer of a log", () => {
  async function opened() {
    const world = new SteppedDisk(1);
    const store = await open(world, { preallocateBytes: 4096 });
    const frames = new Frames(store.id);
    const writer = await world.finish(store.create(frames.name, frames.header));
    return { world, store, frames, writer };
  }

  const mistakes: Readonly<Record<string, (frames: Frames) => Buffer>> = {
    "are from another log": () => new Frames("ab".repeat(16), 9).next([5]),
    "leave a sequence out": (frames) => {
      frames.next([1]);
      return frames.next([1]);
    },
    "are cut off": (frames) => frames.next([20]).subarray(0, -1),
    "are too few bytes for a frame": (frames) => frames.next([20]).subarray(0, 20),
    "come in the wrong order": (frames) => {
      const bytes = frames.next([3, 4]);
      const length = (frames.frames[0] as Buffer).length;
      return Buffer.concat([bytes.subarray(length), bytes.subarray(0, length)]);
    },
    "are of two writes": (frames) => Buffer.concat([frames.next([3]), frames.next([4])]),
    "name another frame as the one before": (frames) => {
      const bytes = frames.next([3]);
      bytes.writeUInt8(bytes.readUInt8(8) ^ 1, 8);
      return bytes;
    },
    "start with another header": (frames) => frames.header,
  };
  for (const [what, make] of Object.entries(mistakes)) {
    it(`refuses frames that ${what}, before it writes anything, and then everything`, async () => {
      const { world, store, frames, writer } = await opened();
      const log = world.disk.paths().find((path) => path.endsWith(".log")) as string;
      const before = world.disk.content(log);
      const good = new Frames(store.id).next([1]);
      await rejectsWith(world.finish(writer.append(make(frames))), "log-failed");
      await rejectsWith(world.finish(writer.append(good)), "log-failed");
      assert.deepEqual(world.disk.content(log), before);
      assert.equal((await world.finish(store.seal(frames.name))).lastSequence, 0);
    });
  }

  it("refuses a second append while one is under way, and everything after, but finishes the first", async () => {
    const { world, store, frames, writer } = await opened();
    const first = writer.append(frames.next([5]));
    const second = writer.append(frames.next([5]));
    await rejectsWith(second, "log-failed");
    await world.finish(first);
    await rejectsWith(world.finish(writer.append(Buffer.alloc(0))), "log-failed");
    assert.equal((await world.finish(store.seal(frames.name))).lastSequence, 1);
  });

  it("takes an empty append as a look whether the log is sealed", async () => {
    const { world, store, frames, writer } = await opened();
    await world.finish(writer.append(Buffer.alloc(0)));
    await world.finish(store.seal(frames.name));
    await rejectsWith(world.finish(writer.append(Buffer.alloc(0))), "log-sealed");
  });

  it("finishes the append that is under way when it is closed, and is closed with its store", async () => {
    const { world, store, frames, writer } = await opened();
    const append = writer.append(frames.next([5]));
    const closing = store[Symbol.asyncDispose]();
    await world.finish(Promise.all([append, closing]));
    await rejectsWith(world.finish(writer.append(frames.next([5]))), "log-failed");
    await rejectsWith(world.finish(store.seal(frames.name)), "closed");
    assert.equal((await world.finish((await open(world)).seal(frames.name))).lastSequence, 1);
  });

  it("prepares room ahead and never writes over what it appended, whatever the sizes", {
    timeout: 60_000,
  }, async () => {
    const sizes = fc.array(fc.oneof(fc.nat(300), fc.nat(5000), fc.constant(40_000)), {
      minLength: 1,
      maxLength: 12,
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(sizes, { maxLength: 12 }),
        fc.nat(),
        fc.nat(8192),
        async (appends, seed, room) => {
          const world = new SteppedDisk(seed);
          const store = await open(world, { preallocateBytes: room });
          const frames = new Frames(store.id);
          const writer = await world.finish(store.create(frames.name, frames.header));
          const appending = (async () => {
            for (const lengths of appends) await writer.append(frames.next(lengths));
          })();
          // The filling of room runs beside the appends, in any order.
          await world.run();
          await appending;
          const { lastSequence } = await world.finish((await open(world)).seal(frames.name));
          assert.equal(lastSequence, frames.frames.length);
          await world.finish(frames.expect(store.read(frames.name, { lastSequence }), lastSequence));
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe("a long log", () => {
  async function longLog() {
    const world = new SteppedDisk(1);
    const store = await open(world);
    const frames = new Frames(store.id);
    const writer = await world.finish(store.create(frames.name, frames.header));
    for (let i = 0; i < 60; i++) {
      await world.finish(writer.append(frames.next(Array.from({ length: 50 }, () => 2000))));
    }
    return { world, frames };
  }

  it("is read from the middle without the part before, once somebody has walked over it", async () => {
    const { world, frames } = await longLog();
    const counter = counting(world);
    const store = await open(world, { fileSystem: counter.mount });
    const readOne = async (sequence: number): Promise<number> => {
      counter.reads = 0;
      const options = { fromSequence: sequence, lastSequence: sequence };
      await world.finish(
        (async () => {
          for await (const chunk of store.read(frames.name, options)) {
            assert.equal(chunk.firstSequence, sequence);
            assert.ok(chunk.frames.equals(frames.frames[sequence - 1] as Buffer));
          }
        })(),
      );
      return counter.reads;
    };
    assert.ok((await readOne(2900)) > 5, "the first time it has to be found");
    for (const sequence of [2900, 1, 1500, 777, 2899]) {
      const reads = await readOne(sequence);
      assert.ok(reads <= 4, `sequence ${sequence} took ${reads} reads`);
    }
  });

  it("is sealed again without a scan, by anybody", async () => {
    const { world, frames } = await longLog();
    const counter = counting(world);
    const first = await world.finish((await open(world, { fileSystem: counter.mount })).seal(frames.name));
    assert.ok(counter.reads > 5);
    counter.reads = 0;
    const again = await world.finish((await open(world, { fileSystem: counter.mount })).seal(frames.name));
    assert.deepEqual(again, first);
    assert.ok(counter.reads <= 3, `${counter.reads} reads`);
  });

  it("is sealed by the store that wrote it without a scan", async () => {
    const world = new SteppedDisk(1);
    const counter = counting(world);
    const store = await open(world, { fileSystem: counter.mount });
    const frames = new Frames(store.id);
    const writer = await world.finish(store.create(frames.name, frames.header));
    for (let i = 0; i < 20; i++) await world.finish(writer.append(frames.next([100_000, 100_000])));
    const end = await world.finish(store.seal(frames.name));
    assert.equal(end.lastSequence, 40);
    assert.ok(counter.reads <= 3, `${counter.reads} reads`);
  });
});

describe("what is told about a seal", () => {
  it("says whether a torn write was cut", async () => {
    const world = new SteppedDisk(1);
    const store = await open(world);
    const frames = new Frames(store.id);
    const writer = await world.finish(store.create(frames.name, frames.header));
    await world.finish(writer.append(frames.next([5])));
    const log = world.disk.paths().find((path) => path.endsWith(".log")) as string;
    const torn = frames.next([500, 500]).subarray(0, 900);
    const handle = await world.finish(world.disk.mount().open(log, "update"));
    await world.finish(handle.write([torn], frames.offsetAfter(1)));
    const events: unknown[] = [];
    const other = await open(world, { onEvent: (event) => events.push(event) });
    const { end, lastSequence } = await world.finish(other.seal(frames.name));
    assert.equal(lastSequence, 2);
    assert.deepEqual(events, [{ type: "sealed", log: frames.name, end, torn: true }]);
  });

  it("has the time of the last message, or of the start, or of the lineage, whichever is latest", async () => {
    const world = new SteppedDisk(1);
    const store = await open(world);
    for (const [startTime, lineageTime, expected] of [
      [20n, 10n, 20n],
      [10n, 20n, 20n],
    ] as const) {
      const nonce = Buffer.alloc(8, Number(startTime));
      const body = Buffer.from(JSON.stringify({ startTime: String(startTime) }));
      const { frame } = encodeHeaderFrame(nonce, lineageTime, body);
      const name = logName(store.id, { topic: "t" as never, incarnation: 1n, epoch: 1n }, nonce);
      await world.finish(store.create(name, frame));
      assert.equal((await world.finish(store.seal(name))).lastTime, expected);
    }
  });
});
