import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BlobError, type BlobStore, memoryStore, refOf } from "../src/index.js";
import { settle } from "./replica-fakes.js";
import { hedgeAfterMs, never, replicaOver, type Watched, watch } from "./replica-hung-support.js";

const content = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
const ref = refOf(content);

interface Behaviour {
  readonly bytes?: Uint8Array;
  readonly size: number;
  /** From this position on nothing comes, or an error does. */
  readonly hangAt?: number;
  readonly failAt?: number;
  readonly deaf?: boolean;
  /** Positions at which it is held up until then, or until that fails. */
  readonly gates?: ReadonlyMap<number, Promise<void>>;
}

function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open: () => open(), opened };
}

function streaming(behaviour: Behaviour) {
  const { bytes = content, size, hangAt, failAt, deaf = false, gates } = behaviour;
  const inner = memoryStore();
  const seen = { opened: 0, open: 0, given: 0 };
  const store: BlobStore = {
    get: (each, options) => inner.get(each, options),
    put: (each, options) => inner.put(each, options),
    listRefs: (after, options) => inner.listRefs(after, options),
    async *stream(_ref, options) {
      seen.opened++;
      seen.open++;
      try {
        for (let at = 0; at < bytes.length; at += size) {
          if (failAt !== undefined && at >= failAt) throw new BlobError("unavailable", "the line is cut");
          await gates?.get(at);
          if (hangAt !== undefined && at >= hangAt) await never(options?.signal, deaf);
          seen.given += Math.min(size, bytes.length - at);
          yield bytes.slice(at, at + size);
        }
      } finally {
        seen.open--;
      }
    },
  };
  return { store, seen };
}

async function read(behaviours: readonly Behaviour[]) {
  const stores = behaviours.map(streaming);
  const { replica, clock, events } = await replicaOver(stores.map(({ store }) => store));
  const pieces: Uint8Array[] = [];
  const bytes = () => Uint8Array.from(Buffer.concat(pieces));
  const reading: Watched<void> = watch(
    (async () => {
      for await (const piece of replica.stream!(ref)) pieces.push(piece);
    })(),
  );
  await settle();
  return { replica, clock, events, seen: stores.map(({ seen }) => seen), bytes, reading };
}

describe("streaming from a replica where a store hangs", () => {
  for (const deaf of [false, true]) {
    it(`goes to the next where ${deaf ? "a deaf" : "a"} store does not begin, as soon as for a get`, async () => {
      const { clock, reading, bytes, seen, replica } = await read([
        { size: 64, hangAt: 0, deaf },
        { size: 64 },
      ]);
      await clock.advance(hedgeAfterMs - 1);
      expect([reading.settled, seen[1]!.opened]).toEqual([false, 0]);
      await clock.advance(1);
      expect(reading).toEqual({ settled: true, value: undefined });
      expect(bytes()).toEqual(content);
      expect([seen[0]!.open, clock.timers]).toEqual([deaf ? 1 : 0, 0]);
      expect(replica.state().sync.map(({ slow }) => slow)).toEqual([1, 0]);
      // Asked last from now on.
      for await (const _ of replica.stream!(ref));
      expect(seen.map(({ opened }) => opened)).toEqual([1, 2]);
    });

    it(`goes on from the next where ${deaf ? "a deaf" : "a"} store stops in the middle`, async () => {
      for (const hangAt of [1, 64, 500, 999]) {
        const { clock, reading, bytes, seen } = await read([
          { size: 64, hangAt, deaf },
          { size: 77, failAt: 300 },
          { size: 50 },
        ]);
        expect(reading.settled).toBe(hangAt === 999);
        await clock.advance(1000);
        expect(reading).toEqual({ settled: true, value: undefined });
        expect(bytes()).toEqual(content);
        expect(seen.map(({ opened }) => opened)).toEqual(hangAt === 999 ? [1, 0, 0] : [1, 1, 1]);
        expect(clock.timers).toBe(0);
      }
    });
  }

  it("goes on with the first where that wakes up, and reads on from the other when it stops again", async () => {
    const [first, second] = [gate(), gate()];
    const { clock, reading, bytes, seen } = await read([
      { size: 10, hangAt: 800, gates: new Map([[500, first.opened]]) },
      { size: 10, gates: new Map([[200, second.opened]]) },
    ]);
    await clock.advance(5000);
    expect([reading.settled, seen[0]!.given, seen[1]!.given, bytes().length]).toEqual([false, 500, 200, 490]);
    second.open();
    first.open();
    await settle();
    // The other is not read on while the first gives more.
    expect([seen[0]!.given, bytes().length]).toEqual([800, 790]);
    expect(seen[1]!.given).toBeLessThan(300);
    await clock.advance(1000);
    expect(reading).toEqual({ settled: true, value: undefined });
    expect(bytes()).toEqual(content);
    expect(seen.map(({ open, opened }) => [open, opened])).toEqual([
      [0, 1],
      [0, 1],
    ]);
    expect(clock.timers).toBe(0);
  });

  it("asks no third store as long as one that was left behind can go on", async () => {
    const [first, second] = [gate(), gate()];
    const { clock, reading, bytes, seen } = await read([
      { size: 10, hangAt: 800, gates: new Map([[500, first.opened]]) },
      { size: 10, gates: new Map([[200, second.opened]]) },
      { size: 10 },
    ]);
    await clock.advance(1000);
    second.open();
    first.open();
    await clock.advance(1000);
    expect(reading).toEqual({ settled: true, value: undefined });
    expect(bytes()).toEqual(content);
    expect(seen.map(({ opened }) => opened)).toEqual([1, 1, 0]);
  });

  it("has the causes of all where the last ones fail at the same moment", async () => {
    const cut = gate();
    const failing = cut.opened.then(() => Promise.reject(new BlobError("refused", "not any more")));
    const { clock, reading } = await read([
      { size: 10, gates: new Map([[0, failing]]) },
      { size: 10, gates: new Map([[0, failing]]) },
    ]);
    await clock.advance(hedgeAfterMs);
    cut.open();
    await settle();
    expect(reading.error).toMatchObject({ failures: [{ store: "s0" }, { store: "s1" }] });
    expect(clock.timers).toBe(0);
  });

  it("goes on with a store that woke up behind the one that has stopped now", async () => {
    for (const size of [10, 7, 33]) {
      const wake = gate();
      const { clock, reading, bytes } = await read([
        { size: 10, gates: new Map([[300, wake.opened]]) },
        { size, hangAt: 800 },
      ]);
      await clock.advance(1000);
      expect(bytes().length).toBeGreaterThan(750);
      wake.open();
      await clock.advance(1000);
      expect(reading).toEqual({ settled: true, value: undefined });
      expect(bytes()).toEqual(content);
    }
  });

  it("does not blame a store that woke up for what another gave meanwhile", async () => {
    const damaged = content.slice();
    damaged[600]! ^= 1;
    const wake = gate();
    const { clock, reading, bytes, events } = await read([
      { size: 10, gates: new Map([[300, wake.opened]]) },
      { size: 10, bytes: damaged, hangAt: 800 },
    ]);
    await clock.advance(1000);
    expect(bytes().length).toBe(790);
    wake.open();
    await clock.advance(1000);
    expect(reading.error).toMatchObject({ code: "corrupt" });
    expect(String(reading.error)).toContain("s1");
    expect(bytes().length).toBeLessThan(content.length);
    expect(events.filter(({ event }) => event === "corrupt")).toEqual([]);
  });

  it("ends with each store's cause where all have stopped, one of them by hanging", async () => {
    const { clock, reading, bytes } = await read([
      { size: 64, hangAt: 500 },
      { size: 64, failAt: 300 },
    ]);
    await clock.advance(70_000);
    expect(reading.error).toMatchObject({
      code: "all-failed",
      failures: [
        { store: "s1", error: { message: "the line is cut" } },
        { store: "s0", error: { code: "unavailable", store: "s0" } },
      ],
    });
    expect(bytes().length).toBeLessThan(content.length);
    expect(clock.timers).toBe(0);
  });

  it("stops all that it has asked when the caller leaves", async () => {
    const { replica, clock, seen } = await read([
      { size: 64, hangAt: 500 },
      { size: 64, hangAt: 300 },
    ]);
    await clock.advance(1000);
    expect(seen.map(({ open }) => open)).toEqual([1, 1]);
    const controller = new AbortController();
    const reason = new Error("enough");
    const more = watch(
      (async () => {
        for await (const _ of replica.stream!(ref, { signal: controller.signal }));
      })(),
    );
    await clock.advance(2000);
    expect(seen.map(({ open }) => open)).toEqual([2, 2]);
    controller.abort(reason);
    await settle();
    expect(more.error).toBe(reason);
    expect(seen.map(({ open }) => open)).toEqual([1, 1]);
  });

  it("gives the content or an error, and never all of something else, whatever the stores do", async () => {
    const position = fc.option(fc.integer({ min: 0, max: 1100 }), { nil: undefined });
    const behaviour = fc.record({
      size: fc.integer({ min: 40, max: 400 }),
      hangAt: position,
      failAt: position,
      flippedAt: fc.option(fc.integer({ min: 0, max: 999 }), { nil: undefined }),
      deaf: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(behaviour, { minLength: 1, maxLength: 4 }), async (drawn) => {
        const behaviours = drawn.map(({ flippedAt, hangAt, failAt, ...rest }): Behaviour => {
          const bytes = content.slice();
          if (flippedAt !== undefined) bytes[flippedAt]! ^= 1;
          return {
            ...rest,
            bytes,
            ...(hangAt !== undefined && { hangAt }),
            ...(failAt !== undefined && { failAt }),
          };
        });
        // One that ends, so that the others are given up in the end.
        const { clock, reading, bytes, replica } = await read([...behaviours, { size: 100, failAt: 0 }]);
        await clock.advance(200_000);
        expect(reading.settled).toBe(true);
        if (reading.error === undefined) expect(bytes()).toEqual(content);
        else expect(bytes().length).toBeLessThan(content.length);
        const stops = (at: number | undefined, size: number) =>
          at !== undefined && Math.ceil(at / size) * size < content.length;
        const someWhole = drawn.some(
          ({ size, hangAt, failAt, flippedAt }) =>
            flippedAt === undefined && !stops(hangAt, size) && !stops(failAt, size),
        );
        if (someWhole && drawn.every(({ flippedAt }) => flippedAt === undefined)) {
          expect(reading.error).toBeUndefined();
        }
        const closing = watch(replica[Symbol.asyncDispose]());
        await clock.advance(60_000);
        expect([closing.settled, clock.timers]).toEqual([true, 0]);
      }),
      { numRuns: 150 },
    );
  });
});
