import { hash64, type Space } from "@x/space";
import { describe, expect, it } from "vitest";
import { type CallOptions, call, createFanout, FanoutError, type FanoutOptions } from "../src/index.js";
import { drain, type Server, server, steady } from "./support/servers.js";

const names = async ({ name }: Server): Promise<string> => name;

const shared: [Record<string, unknown>, string][] = [
  [{ maxPointsPerRequest: 0 }, "maxPointsPerRequest"],
  [{ maxPointsPerRequest: 1.5 }, "maxPointsPerRequest"],
  [{ maxPointsPerRequest: "10" }, "maxPointsPerRequest"],
  [{ plan: "least" }, "plan"],
  [{ hedge: true }, "hedge"],
  [{ hedge: {} }, "hedge"],
  [{ hedge: { afterMs: 1, percentile: 0.5 } }, "hedge"],
  [{ hedge: { afterMs: -1 } }, "hedge.afterMs"],
  [{ hedge: { afterMs: Number.NaN } }, "hedge.afterMs"],
  [{ hedge: { percentile: 95 } }, "hedge.percentile"],
  [{ hedge: { percentile: 1 } }, "hedge.percentile"],
  [{ hedge: { percentile: 0.5, minMs: -1 } }, "hedge.minMs"],
  [{ hedge: { percentile: 0.5, initialMs: "1" } }, "hedge.initialMs"],
  [{ hedge: { afterMs: 1, maxHedges: 0 } }, "hedge.maxHedges"],
  [{ hedge: { afterMs: 1, tied: 1 } }, "hedge.tied"],
  [{ retry: 5 }, "retry"],
  [{ retry: { maxAttempts: 0 } }, "retry.maxAttempts"],
  [{ retry: { baseMs: Number.NaN } }, "retry.baseMs"],
  [{ retry: { maxMs: -1 } }, "retry.maxMs"],
  [{ idleTimeoutMs: 0 }, "idleTimeoutMs"],
  [{ idleTimeoutMs: Number.NaN }, "idleTimeoutMs"],
  [{ maxBufferedChunks: 0 }, "maxBufferedChunks"],
];

describe("options of a fanout that cannot be", () => {
  const own: [Record<string, unknown>, string][] = [
    [{ maxInFlightPerServer: 0 }, "maxInFlightPerServer"],
    [{ budget: 5 }, "budget"],
    [{ budget: { burst: -1 } }, "budget.burst"],
    [{ budget: { ratio: Number.POSITIVE_INFINITY } }, "budget.ratio"],
    [{ serverOf: "name" }, "serverOf"],
    [{ locality: 3 }, "locality"],
    [{ classify: {} }, "classify"],
    [{ onEvent: {} }, "onEvent"],
    [{ random: 4 }, "random"],
    [{ clock: {} }, "clock"],
    [{ space: {} }, "space"],
  ];
  for (const [options, name] of [...shared, ...own]) {
    it(`are refused at once, by name: ${JSON.stringify(options)}`, () => {
      const create = (): unknown => createFanout(options as FanoutOptions<Server, number>);
      expect(create).toThrow(FanoutError);
      expect(create).toThrow(
        expect.objectContaining({ code: "invalid-argument", message: expect.stringContaining(name) }),
      );
    });
  }
});

describe("arguments of a call that cannot be", () => {
  const own: [Record<string, unknown>, string][] = [
    [{ timeoutMs: -1 }, "timeoutMs"],
    [{ timeoutMs: "5" }, "timeoutMs"],
    [{ perPoint: 1 }, "perPoint"],
    [{ allowPartial: "yes" }, "allowPartial"],
    [{ waitForLosers: null }, "waitForLosers"],
    [{ signal: {} }, "signal"],
  ];
  for (const [options, name] of [...shared, ...own]) {
    it(`are refused when it is iterated, by name: ${JSON.stringify(options)}`, async () => {
      const fanout = createFanout<Server>(steady());
      const { error } = await drain(fanout.call([1], [server("a")], names, options as { perPoint?: false }));
      expect(error).toBeInstanceOf(FanoutError);
      expect(error).toMatchObject({ code: "invalid-argument", message: expect.stringContaining(name) });
      expect((await drain(fanout.call([1], [server("a")], names))).error).toBeUndefined();
    });
  }

  it("are refused by the one-shot call in the same way, also those of its fanout", async () => {
    const started = call([1], [server("a")], names, { maxInFlightPerServer: -5 });
    expect((await drain(started)).error).toMatchObject({ code: "invalid-argument" });
    await started.settled;
  });

  it("are points that are none, of two kinds, or no array, with the offset", async () => {
    for (const [points, text] of [
      [[1, 2, "three"], "points[2]"],
      [[1, -1], "points[1]"],
      [[{}], "points[0]"],
      [[undefined], "points[0]"],
      ["abc", "array"],
      [{ length: 1 }, "array"],
      [null, "array"],
    ] as const) {
      const { error } = await drain(call(points as unknown as number[], [server("a")], names, steady()));
      expect(error).toBeInstanceOf(FanoutError);
      expect(error).toMatchObject({ code: "invalid-argument", message: expect.stringContaining(text) });
    }
  });

  it("are points of another space than the fanout's", async () => {
    const fanout = createFanout({ ...steady(), space: hash64 as unknown as Space<number> });
    const { error } = await drain(fanout.call([1], [server("a")], names));
    expect(error).toMatchObject({ code: "invalid-argument", message: expect.stringContaining("points[0]") });
  });

  it("are an rpc that is no function", async () => {
    const { error } = await drain(call([1], [server("a")], "rpc" as unknown as typeof names, steady()));
    expect(error).toMatchObject({ code: "invalid-argument", message: expect.stringContaining("rpc") });
  });

  it("are options that are no object", async () => {
    for (const options of [null, 5] as unknown as CallOptions[]) {
      const fanout = createFanout<Server>(steady());
      const { error } = await drain(fanout.call([1], [server("a")], names, options as { perPoint?: false }));
      expect(error).toMatchObject({ code: "invalid-argument" });
    }
  });
});

describe("options of a call", () => {
  it("come before those of its fanout, one by one", async () => {
    const { clock, random } = steady();
    const sends: number[] = [];
    const fanout = createFanout<Server>({ clock, random, maxPointsPerRequest: 1, retry: { maxAttempts: 1 } });
    const count = async (_: Server, offsets: readonly number[]): Promise<void> =>
      void sends.push(offsets.length);
    await drain(fanout.call([1, 2], [server("a")], count));
    await drain(fanout.call([1, 2], [server("a")], count, { maxPointsPerRequest: 5 }));
    expect(sends).toEqual([1, 1, 2]);
    let tries = 0;
    const fail = async (): Promise<never> => {
      tries += 1;
      throw new Error("no");
    };
    const ended = drain(fanout.call([1], [server("a"), server("b")], fail, { retry: { baseMs: 1 } }));
    await clock.advance(1000);
    await ended;
    // Only the base changed: there is still one attempt.
    expect(tries).toBe(1);
  });
});

describe("stats", () => {
  it("give the tokens and, by server, what is under way and how fast it was", async () => {
    const { clock, random } = steady();
    const fanout = createFanout<Server>({
      clock,
      random,
      serverOf: ({ name }) => name,
      budget: { burst: 3 },
    });
    expect(fanout.stats()).toEqual({ tokens: 3, servers: [] });
    let answer: (value: string) => void = () => {};
    const ended = drain(
      fanout.call(
        [1],
        [server("a")],
        () =>
          new Promise<string>((resolve) => {
            answer = resolve;
          }),
      ),
    );
    await clock.advance(40);
    expect(fanout.stats().servers).toMatchObject([{ server: "a", inFlight: 1, suspect: false }]);
    answer("x");
    await ended;
    expect(fanout.stats().servers).toMatchObject([
      { server: "a", inFlight: 0, latencyMs: 40, suspect: false },
    ]);
  });
});
