import { hash16, utf8Keys } from "@x/space";
import { describe, expect, it } from "vitest";
import { call, createFanout, FanoutError, partition } from "../src/index.js";
import { settled } from "./support/fake-clock.js";
import { drain, handAnswered, type Server, server, steady } from "./support/servers.js";

const names = async ({ name }: Server): Promise<string> => name;

describe("a call", () => {
  it("with no points and no views gives nothing and fails nothing", async () => {
    const { chunks, error } = await drain(call([], [] as Server[], names, steady()));
    expect(chunks).toEqual([]);
    expect(error).toBeUndefined();
  });

  it("with no points does not mind views of any space, and does not read a views function", async () => {
    let read = 0;
    const views = (): Server[] => {
      read += 1;
      return [server("a")];
    };
    const fanout = createFanout(steady());
    expect(await drain(fanout.call([], views, names))).toEqual({ chunks: [], error: undefined });
    expect(await drain(fanout.call([], [server("a")], names))).toEqual({ chunks: [], error: undefined });
    expect(read).toBe(0);
  });

  it("with a point and no views fails and names the point", async () => {
    const { error } = await drain(call([77], [] as Server[], names, steady()));
    expect(error).toBeInstanceOf(FanoutError);
    expect(error).toMatchObject({
      code: "uncovered",
      message: expect.stringContaining("point 77 (offset 0)"),
      failures: [{ offset: 0, point: 77, reason: "uncovered", causes: [] }],
    });
  });

  it("gives one view its points sorted, by offsets that mean the caller's order", async () => {
    const points = [30, 10, 20];
    const { chunks } = await drain(call(points, [server("a")], async (_, offsets) => offsets, steady()));
    expect(chunks.map(({ result }) => result)).toEqual([[1, 2, 0]]);
    expect(chunks[0]?.offsets).toEqual([1, 2, 0]);
    expect(chunks[0]?.view.name).toBe("a");
    expect(chunks[0]?.duplicates).toEqual([]);
  });

  it("gives each of 10 views only points that it contains, each of 100 points once", async () => {
    const views = Array.from({ length: 10 }, (_, index) =>
      server(`${index}`, index * 1000, (index + 1) * 1000),
    );
    const points = Array.from({ length: 100 }, (_, index) => (index * 7919) % 10_000);
    const { chunks, error } = await drain(call(points, views, names, steady()));
    expect(error).toBeUndefined();
    expect(chunks).toHaveLength(10);
    for (const { view, offsets } of chunks) {
      for (const offset of offsets) expect(hash16.contains(view.serves, points[offset]!)).toBe(true);
    }
    const offsets = chunks.flatMap((chunk) => chunk.offsets).sort((a, b) => a - b);
    expect(offsets).toEqual(points.map((_, offset) => offset));
  });

  it("covers points of overlapping views with as few requests as possible", async () => {
    const views = [server("low", 0, 500), server("middle", 250, 750), server("high", 500, 1000)];
    const { chunks } = await drain(call([300, 450, 600, 700], views, names, steady()));
    expect(chunks.map(({ result }) => result)).toEqual(["middle"]);
  });

  it("cuts requests at maxPointsPerRequest", async () => {
    const points = Array.from({ length: 10 }, (_, index) => index);
    const { chunks } = await drain(
      call(points, [server("a")], names, { ...steady(), maxPointsPerRequest: 4 }),
    );
    expect(chunks.map(({ offsets }) => offsets.length).sort()).toEqual([2, 4, 4]);
  });

  it("gives all the results of a stream", async () => {
    const { chunks } = await drain(
      call(
        [1, 2],
        [server("a")],
        async function* (_, offsets) {
          for (const offset of offsets) yield `value of ${offset}`;
        },
        steady(),
      ),
    );
    expect(chunks.map(({ result }) => result)).toEqual(["value of 0", "value of 1"]);
  });

  it("takes string keys in the order of their bytes, bigints and bytes", async () => {
    const all = [{ serves: utf8Keys.range("", "\u{10ffff}") }];
    const keyed = await drain(call(["\u{1f600}", "\ue000"], all, async (_, offsets) => offsets, steady()));
    expect(keyed.chunks[0]?.result).toEqual([1, 0]);
    const hashes = [{ serves: { from: 0n, to: 10n } }];
    expect((await drain(call([5n, 1n], hashes, async (_, offsets) => offsets))).chunks[0]?.result).toEqual([
      1, 0,
    ]);
    const bytes = [{ serves: { from: new Uint8Array(), to: Uint8Array.of(255) } }];
    const points = [Uint8Array.of(7), Uint8Array.of(1)];
    expect((await drain(call(points, bytes, async (_, offsets) => offsets))).chunks[0]?.result).toEqual([
      1, 0,
    ]);
  });

  it("gathers a whole range from the start points of its partitions, and says what nobody serves", async () => {
    const views = [server("a", 0, 100), server("a2", 0, 100), server("b", 100, 200)];
    const fanout = createFanout<Server>(steady());
    const whole = partition({ from: 50, to: 150 }, views);
    const answers = await drain(
      fanout.call(whole.startPoints, views, async ({ serves }, offsets) =>
        offsets.map((offset) => hash16.intersect(whole.get(offset)!, serves)),
      ),
    );
    const ranges = answers.chunks.flatMap(({ result }) => result).sort((a, b) => a!.from - b!.from);
    expect(ranges).toEqual([
      { from: 50, to: 100 },
      { from: 100, to: 150 },
    ]);
    const gap = partition({ from: 150, to: 250 }, views);
    const { error } = await drain(fanout.call(gap.startPoints, views, names));
    expect(error).toMatchObject({ code: "uncovered", failures: [{ point: 200 }] });
  });

  it("does nothing before it is iterated", async () => {
    const { sent, rpc } = handAnswered();
    const { clock, random } = steady();
    const events: string[] = [];
    const fanout = createFanout<Server>({ clock, random, onEvent: ({ type }) => events.push(type) });
    const started = fanout.call([1], [server("a")], rpc, { timeoutMs: 5 });
    await clock.advance(100);
    expect(sent).toEqual([]);
    expect(events).toEqual([]);
    const next = started.next();
    expect(sent).toHaveLength(1);
    sent[0]?.resolve("now");
    expect((await next).value).toMatchObject({ result: "now" });
  });

  it("hands chunks to several waiting readers as they come, and then the end to all of them", async () => {
    const { sent, rpc } = handAnswered();
    const started = call([1, 101], [server("a", 0, 100), server("b", 100, 200)], rpc, steady());
    const reads = [started.next(), started.next(), started.next(), started.next()];
    for (const request of sent) request.resolve(request.server);
    const results = await Promise.all(reads);
    expect(results.map(({ done }) => done)).toEqual([false, false, true, true]);
    expect(await started.next()).toEqual({ done: true, value: undefined });
  });

  it("tells its failure once, and is over then", async () => {
    const started = call([1], [] as Server[], names, steady());
    await expect(started.next()).rejects.toMatchObject({ code: "uncovered" });
    expect(await started.next()).toEqual({ done: true, value: undefined });
  });

  it("is not disturbed by a caller who changes his points afterwards", async () => {
    const points = [3, 1, 2];
    const { sent, rpc } = handAnswered();
    const started = call(points, [server("a")], rpc, { ...steady(), retry: { maxAttempts: 1 } });
    const ended = drain(started);
    points.length = 0;
    sent[0]?.reject(new Error("no"));
    const { error } = await ended;
    expect((error as FanoutError).failures.map(({ point }) => point)).toEqual([3, 1, 2]);
  });

  it("holds its views as they were when they are wrapped by newViews, and shares nothing between calls", async () => {
    const fanout = createFanout<Server>(steady());
    const [first, second] = await Promise.all([
      drain(fanout.call([1], [server("a")], names)),
      drain(fanout.call([1], [server("b")], names)),
    ]);
    expect([first.chunks[0]?.result, second.chunks[0]?.result]).toEqual(["a", "b"]);
    await settled();
  });
});

describe("perPoint", () => {
  it("delivers each point once, with its own offset", async () => {
    const started = call(
      [20, 10],
      [server("a")],
      async function* (_, offsets) {
        for (const offset of offsets) yield { offset, value: `v${offset}` };
      },
      { ...steady(), perPoint: true },
    );
    const { chunks } = await drain(started);
    expect(chunks.map(({ offsets, result, duplicates }) => ({ offsets, result, duplicates }))).toEqual([
      { offsets: [1], result: "v1", duplicates: [] },
      { offsets: [0], result: "v0", duplicates: [] },
    ]);
  });

  it("sends only the points again that have no value yet, and delivers a value that comes twice once", async () => {
    const asked: number[][] = [];
    const { clock, random } = steady();
    const started = call(
      [0, 1, 2],
      [server("a"), server("b")],
      async function* (_, offsets) {
        asked.push([...offsets]);
        yield { offset: offsets[0]!, value: "first" };
        yield { offset: offsets[0]!, value: "again" };
        if (asked.length === 1) throw new Error("half-way");
        for (const offset of offsets) yield { offset, value: "later" };
      },
      { clock, random, perPoint: true },
    );
    const ended = drain(started);
    await clock.advance(1000);
    const { chunks, error } = await ended;
    expect(error).toBeUndefined();
    expect(asked).toEqual([
      [0, 1, 2],
      [1, 2],
    ]);
    expect(chunks.map(({ offsets, result }) => [offsets[0], result])).toEqual([
      [0, "first"],
      [1, "first"],
      [2, "later"],
    ]);
  });

  it('takes a request that ends without a point\'s value for failed with "no-value"', async () => {
    const started = call(
      [0, 1],
      [server("a")],
      async function* (_, offsets) {
        yield { offset: offsets[0]!, value: 1 };
      },
      { ...steady(), perPoint: true, retry: { maxAttempts: 1 } },
    );
    const { chunks, error } = await drain(started);
    expect(chunks).toHaveLength(1);
    expect(error).toMatchObject({
      code: "failed",
      failures: [{ offset: 1, causes: [{ error: { code: "no-value" } }] }],
    });
  });

  it("satisfies a point when its value arrives, not when the request ends", async () => {
    const started = call(
      [5],
      [server("a")],
      async function* (_, offsets) {
        yield { offset: offsets[0]!, value: "there" };
        await new Promise(() => {});
      },
      { ...steady(), perPoint: true },
    );
    const { chunks } = await drain(started);
    expect(chunks.map(({ result }) => result)).toEqual(["there"]);
  });
});
