import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { decodeBody, type FrameChunk } from "../src/protocol.js";
import { readSegment } from "../src/subscribe/segment-reader.js";
import { type FakeLog, type FakeProcess, SubscribeWorld } from "./support/subscribe-world.js";

let world: SubscribeWorld;
let process: FakeProcess;
let stop: AbortController;

beforeEach(async () => {
  world = await SubscribeWorld.open();
  process = await world.process();
  stop = new AbortController();
});

afterEach(async () => {
  stop.abort(new Error("over"));
  await world.settle();
  await world[Symbol.asyncDispose]();
});

interface Reading {
  readonly texts: string[];
  state: "reading" | "ended" | unknown;
}

async function read(log: FakeLog, { after = 0, from = process } = {}): Promise<Reading> {
  // Only a segment that the view knows of is ever read.
  await world.settle();
  const reading: Reading = { texts: [], state: "reading" };
  const { signal } = stop;
  void (async () => {
    try {
      const options = { after, incarnation: world.incarnation, signal };
      for await (const { bytes, bounds } of readSegment(from.context, log.id, options)) {
        for (let i = 0; i < bounds.length; i += 2) {
          const { data } = decodeBody(bytes.subarray(bounds[i], bounds[i + 1]));
          reading.texts.push(Buffer.from(data).toString());
        }
      }
      reading.state = "ended";
    } catch (error) {
      reading.state = error;
    }
  })();
  return reading;
}

const failures = (): string[] =>
  process.events.flatMap((event) => (event.type === "read-failed" ? [event.message] : []));

describe("reading a segment", () => {
  it("follows an open one and ends only when its record says where it ends", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1", "k:2", "k:3"]);
    const reading = await read(log, { after: 1 });
    await world.settle();
    expect(reading.texts).toEqual(["k:2", "k:3"]);
    log.append("k:4");
    await world.settle();
    expect(reading).toEqual({ texts: ["k:2", "k:3", "k:4"], state: "reading" });
    await world.seal(log);
    await world.settle();
    expect(reading.state).toBe("ended");
  });

  it("ends when the change that shows who serves it has also ended the reading", async () => {
    const log = await world.open("0-65535", undefined);
    const reading = await read(log);
    const reason = new Error("enough");
    process.context.cache.listen(() => stop.abort(reason));
    await world.serve(log, "a:1");
    await world.settle();
    expect(reading.state).toBe(reason);
    expect(world.buffer("a:1").reads).toBe(0);
  });

  it("goes on with whoever takes the segment over, behind what it has, though the old one hangs", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1", "k:2"]);
    const reading = await read(log);
    await world.settle();
    world.buffer("a:1").hangs = true;
    log.append("k:3");
    // Hidden from the old one's stream: it is held up before it can look.
    world.buffer("a:1").misbehave = () => undefined;
    await world.seal(log, "b:1");
    await world.settle();
    expect(reading).toEqual({ texts: ["k:1", "k:2", "k:3"], state: "ended" });
    expect(failures()).toEqual([]);
  });

  it("waits while nobody serves it, without asking anybody", async () => {
    const log = await world.open("0-65535", undefined, [], ["k:1"]);
    const reading = await read(log);
    await world.advance(10_000);
    expect(reading.texts).toEqual([]);
    await world.serve(log, "b:1");
    await world.settle();
    expect(reading.texts).toEqual(["k:1"]);
    expect(world.buffer("b:1").reads).toBe(1);
  });

  it("tries a server that fails again, less and less often, and tells of it", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1"]);
    world.buffer("a:1").isDown = true;
    const reading = await read(log);
    await world.advance(10_000);
    const { reads } = world.buffer("a:1");
    expect(reads).toBeGreaterThan(8);
    expect(reads).toBeLessThan(40);
    expect(failures().length).toBe(reads);
    world.buffer("a:1").isDown = false;
    await world.advance(2_000);
    expect(reading.texts).toEqual(["k:1"]);
  });

  it("drops sequences that come again", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1", "k:2", "k:3", "k:4"]);
    const buffer = world.buffer("a:1");
    buffer.chunkMessages = 2;
    buffer.misbehave = (chunk) =>
      chunk.firstSequence === 3 ? { ...chunk, frames: log.frames(1, 4) } : chunk;
    const reading = await read(log);
    await world.settle();
    expect(reading.texts).toEqual(["k:1", "k:2", "k:3", "k:4"]);
  });

  it.each([
    ["a gap", (log: FakeLog): FrameChunk => ({ frames: log.frames(4, 4), firstSequence: 4, count: 1 })],
    [
      "damaged bytes",
      (log: FakeLog): FrameChunk => {
        const frames = Buffer.from(log.frames(3, 4));
        frames[frames.length - 1] = (frames.at(-1) as number) ^ 1;
        return { frames, firstSequence: 3, count: 2 };
      },
    ],
  ])("delivers nothing out of a chunk with %s, tells of it, and reads anew", async (_, bad) => {
    const log = await world.open("0-65535", "a:1", [], ["k:1", "k:2", "k:3", "k:4"]);
    const buffer = world.buffer("a:1");
    buffer.chunkMessages = 2;
    let isBad = true;
    buffer.misbehave = (chunk) => {
      if (chunk.firstSequence !== 3 || !isBad) return chunk;
      isBad = false;
      return bad(log);
    };
    const reading = await read(log);
    await world.settle();
    expect(reading.texts).toEqual(["k:1", "k:2"]);
    expect(failures().length).toBe(1);
    await world.advance(1000);
    expect(reading.texts).toEqual(["k:1", "k:2", "k:3", "k:4"]);
  });

  it("never goes beyond the recorded end, whatever a server has", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1", "k:2"]);
    await world.seal(log);
    log.append("k:3");
    const reading = await read(log);
    await world.settle();
    expect(reading).toEqual({ texts: ["k:1", "k:2"], state: "ended" });
  });

  it("reads an archived segment from the archive, and says so when there is none", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1", "k:2"]);
    await world.seal(log);
    await world.archive(log);
    const withArchive = await world.process({ archive: true });
    const without = await read(log);
    const reading = await read(log, { from: withArchive });
    await world.settle();
    expect(reading).toEqual({ texts: ["k:1", "k:2"], state: "ended" });
    expect(without).toEqual({ texts: [], state: "reading" });
    expect(failures()).toEqual(["the segment was archived, and this client has no archive"]);
  });

  it("moves over to the archive in the middle", async () => {
    process = await world.process({ archive: true });
    const log = await world.open("0-65535", "a:1", [], ["k:1", "k:2", "k:3"]);
    const buffer = world.buffer("a:1");
    buffer.misbehave = (chunk) => ({ ...chunk, frames: log.frames(1, 2), count: 2 });
    const reading = await read(log);
    await world.settle();
    expect(reading.texts).toEqual(["k:1", "k:2"]);
    await world.seal(log);
    await world.archive(log);
    await world.settle();
    expect(reading).toEqual({ texts: ["k:1", "k:2", "k:3"], state: "ended" });
  });

  it("ends when the segment is deleted", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1"]);
    const reading = await read(log);
    await world.settle();
    await world.seal(log, null);
    await world.tombstone(log);
    await world.settle();
    expect(reading.state).toBe("ended");
  });

  it("rejects with the reason of its signal, and leaves no timer behind", async () => {
    const log = await world.open("0-65535", "a:1", [], ["k:1"]);
    const timers = world.clock.timers;
    world.buffer("a:1").isDown = true;
    const failing = await read(log);
    await world.settle();
    const reason = new Error("enough");
    stop.abort(reason);
    await world.settle();
    expect(failing.state).toBe(reason);
    expect(world.clock.timers).toBe(timers);
  });
});
