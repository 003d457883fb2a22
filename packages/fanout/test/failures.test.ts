import { describe, expect, it } from "vitest";
import { call, createFanout, FanoutError, type FanoutEvent } from "../src/index.js";
import { settled } from "./support/fake-clock.js";
import { drain, handAnswered, type Server, server, steady } from "./support/servers.js";

const pair = [server("a"), server("b")];

describe("a failed request", () => {
  it("is sent again to another view", async () => {
    const { clock, random } = steady();
    const asked: string[] = [];
    const ended = drain(
      call(
        [1],
        pair,
        async ({ name }) => {
          asked.push(name);
          if (asked.length === 1) throw new Error("broken");
          return name;
        },
        { clock, random },
      ),
    );
    await clock.advance(1000);
    const { chunks, error } = await ended;
    expect(error).toBeUndefined();
    expect(asked).toHaveLength(2);
    expect(new Set(asked)).toEqual(new Set(["a", "b"]));
    expect(chunks.map(({ result }) => result)).toEqual([asked[1]]);
  });

  it("delivers its results before its failure, and marks what comes again as duplicates", async () => {
    const { clock, random } = steady();
    let sends = 0;
    const ended = drain(
      call(
        [1, 2],
        pair,
        async function* () {
          sends += 1;
          yield `part of ${sends}`;
          if (sends === 1) throw new Error("half-way");
        },
        { clock, random },
      ),
    );
    await clock.advance(1000);
    const { chunks, error } = await ended;
    expect(error).toBeUndefined();
    expect(chunks.map(({ result, duplicates }) => [result, duplicates])).toEqual([
      ["part of 1", []],
      ["part of 2", [0, 1]],
    ]);
  });

  it("delivers a partial result and then reports the failure when nothing is left to try", async () => {
    const { chunks, error } = await drain(
      call(
        [1],
        [server("a")],
        async function* () {
          yield "partial";
          throw new Error("then it broke");
        },
        { ...steady(), retry: { maxAttempts: 1 } },
      ),
    );
    expect(chunks.map(({ result }) => result)).toEqual(["partial"]);
    expect(error).toMatchObject({ code: "failed", message: expect.stringContaining("then it broke") });
  });

  it("of one view in 100 does not keep the others' results from the reader", async () => {
    const views = Array.from({ length: 100 }, (_, index) =>
      server(`${index}`, index * 100, (index + 1) * 100),
    );
    const points = Array.from({ length: 10_000 }, (_, index) => index);
    const { clock, random } = steady();
    const ended = drain(
      call(
        points,
        views,
        async ({ name }) => {
          if (name === "50") throw new Error("always");
          return name;
        },
        { clock, random },
      ),
    );
    await clock.advance(60_000);
    const { chunks, error } = await ended;
    expect(chunks.reduce((sum, { offsets }) => sum + offsets.length, 0)).toBe(9900);
    expect((error as FanoutError).failures).toHaveLength(100);
  });
});

describe("when all views fail", () => {
  it("names the point, every view and every cause", async () => {
    const { clock, random } = steady();
    const views = [
      { ...server("a"), toString: () => "server A" },
      { ...server("b"), toString: () => "server B" },
    ];
    const ended = drain(
      call(
        [42, 43, 44],
        views,
        async ({ name }) => {
          throw new Error(`${name} is broken`);
        },
        { clock, random, retry: { maxAttempts: 2 } },
      ),
    );
    await clock.advance(10_000);
    const error = (await ended).error as FanoutError;
    expect(error).toBeInstanceOf(FanoutError);
    expect(error.code).toBe("failed");
    expect(error.message).toContain("point 42 (offset 0)");
    expect(error.message).toContain("server A: a is broken");
    expect(error.message).toContain("server B: b is broken");
    expect(error.message).toContain("2 more points");
    expect(error.failures.map(({ offset, point, reason }) => [offset, point, reason])).toEqual([
      [0, 42, "attempts"],
      [1, 43, "attempts"],
      [2, 44, "attempts"],
    ]);
    for (const { causes } of error.failures) expect(causes).toHaveLength(2);
    expect(error.cause).toBe(error.failures[0]?.causes[0]?.error);
  });

  it("does not try a refusal again", async () => {
    let sends = 0;
    const { error } = await drain(
      call(
        [1],
        pair,
        async () => {
          sends += 1;
          throw Object.assign(new Error("no such thing"), { code: 5 });
        },
        steady(),
      ),
    );
    expect(sends).toBe(1);
    expect(error).toMatchObject({ code: "failed", failures: [{ reason: "not-retryable" }] });
  });

  it("sends at most what attempts and budget allow, over 10 replicas too", async () => {
    const { clock, random } = steady();
    const replicas = Array.from({ length: 10 }, (_, index) => server(`${index}`));
    const fanout = createFanout<Server>({ clock, random, budget: { burst: 3, ratio: 0 } });
    let sends = 0;
    const down = async (): Promise<never> => {
      sends += 1;
      throw Object.assign(new Error("too much"), { code: 8 });
    };
    for (let count = 0; count < 20; count++) {
      const ended = drain(fanout.call([1], replicas, down));
      await clock.advance(10_000);
      expect((await ended).error).toMatchObject({ code: "failed" });
    }
    expect(sends).toBeLessThanOrEqual(23);
    expect(fanout.stats().tokens).toBeLessThan(1);
  });

  it("fails a call that has no budget at its live request's end, and does not kill that request", async () => {
    const { clock, random } = steady();
    const { sent, rpc } = handAnswered();
    const fanout = createFanout<Server>({
      clock,
      random,
      budget: { burst: 0, ratio: 0 },
      hedge: { afterMs: 10 },
    });
    const ended = drain(fanout.call([1], pair, rpc));
    await clock.advance(100);
    // The hedge was throttled.
    expect(sent).toHaveLength(1);
    expect(sent[0]?.context.signal.aborted).toBe(false);
    sent[0]?.resolve("late, and there");
    expect((await ended).chunks.map(({ result }) => result)).toEqual(["late, and there"]);
  });
});

describe("allowPartial", () => {
  it("gives what there is, and then the points that failed, without throwing", async () => {
    const views = [server("good", 0, 100), server("bad", 100, 200)];
    const started = call(
      [150, 50, 250],
      views,
      async ({ name }) => {
        if (name === "bad") throw Object.assign(new Error("refused"), { code: 7 });
        return name;
      },
      { ...steady(), allowPartial: true },
    );
    const { chunks, error } = await drain(started);
    expect(error).toBeUndefined();
    expect(chunks.map(({ offsets }) => offsets)).toEqual([[1]]);
    expect(started.failures.map(({ offset, point, reason }) => [offset, point, reason])).toEqual([
      [0, 150, "not-retryable"],
      [2, 250, "uncovered"],
    ]);
    expect(started.failures[0]?.causes[0]?.view.name).toBe("bad");
  });
});

describe("a deadline", () => {
  it("ends the call, aborts its requests and names the points", async () => {
    const { clock, random } = steady();
    const { sent, rpc } = handAnswered();
    const ended = drain(call([9], [server("a")], rpc, { clock, random, timeoutMs: 500 }));
    await clock.advance(499);
    expect(sent[0]?.context.signal.aborted).toBe(false);
    await clock.advance(1);
    expect((await ended).error).toMatchObject({
      code: "deadline",
      message: expect.stringContaining("point 9 (offset 0)"),
      failures: [{ point: 9, reason: "deadline" }],
    });
    for (const { context } of sent) expect(context.signal.aborted).toBe(true);
    expect(clock.timers).toBe(0);
  });

  it("is what a re-send and a hedge get the rest of", async () => {
    const { clock, random } = steady();
    const { sent, rpc } = handAnswered();
    void drain(call([9], pair, rpc, { clock, random, timeoutMs: 1000, hedge: { afterMs: 300 } }));
    await clock.advance(0);
    expect(sent[0]?.context.timeoutMs).toBe(1000);
    await clock.advance(300);
    expect(sent[1]?.context.timeoutMs).toBe(700);
    await clock.advance(1000);
  });

  it("of 0 ms ends the call with what is there at once, which is nothing", async () => {
    const { clock, random } = steady();
    const { rpc } = handAnswered();
    const ended = drain(call([9], pair, rpc, { clock, random, timeoutMs: 0 }));
    await clock.advance(1);
    expect((await ended).error).toMatchObject({ code: "deadline" });
  });
});

describe("a request that gives nothing", () => {
  it("has failed after idleTimeoutMs, and its points go to another server", async () => {
    const { clock, random } = steady();
    const { sent, rpc } = handAnswered();
    const ended = drain(call([9], pair, rpc, { clock, random, idleTimeoutMs: 200, hedge: false }));
    await clock.advance(200);
    expect(sent[0]?.context.signal.aborted).toBe(true);
    await clock.advance(20);
    expect(sent[1]?.server).not.toBe(sent[0]?.server);
    sent[1]?.resolve("ok");
    sent[0]?.resolve("much too late");
    expect((await ended).chunks.map(({ result }) => result)).toEqual(["ok"]);
  });

  it("names the timeout when there is nobody else", async () => {
    const { clock, random } = steady();
    const options = { clock, random, idleTimeoutMs: 200, hedge: false, retry: { maxAttempts: 1 } } as const;
    const ended = drain(call([9], [server("a")], handAnswered().rpc, options));
    await clock.advance(200);
    expect((await ended).error).toMatchObject({ code: "failed", cause: { code: "timeout" } });
  });
});

describe("a hedge", () => {
  it("goes to another server when the first one is slow, and the first answer wins", async () => {
    const { clock, random } = steady();
    const { sent, rpc } = handAnswered();
    const events: FanoutEvent<Server>[] = [];
    const onEvent = (event: FanoutEvent<Server>): void => void events.push(event);
    const ended = drain(call([9], pair, rpc, { clock, random, onEvent, hedge: { afterMs: 50 } }));
    await clock.advance(49);
    expect(sent).toHaveLength(1);
    await clock.advance(1);
    expect(sent).toHaveLength(2);
    expect(sent[1]?.server).not.toBe(sent[0]?.server);
    sent[1]?.resolve("quick");
    const { chunks } = await ended;
    expect(chunks.map(({ result }) => result)).toEqual(["quick"]);
    expect(sent[0]?.context.signal.aborted).toBe(true);
    expect(events.map(({ type }) => type)).toContain("hedge");
    expect(events.at(-1)).toMatchObject({ type: "done", satisfied: 1, failed: 0 });
  });

  it("that is wasted may fail: nobody hears of it", async () => {
    const { clock, random } = steady();
    const { sent, rpc } = handAnswered();
    const ended = drain(call([9], pair, rpc, { clock, random, hedge: { afterMs: 50 } }));
    await clock.advance(50);
    sent[0]?.resolve("first after all");
    sent[1]?.reject(new Error("wasted"));
    expect(await ended).toMatchObject({ chunks: [{ result: "first after all" }], error: undefined });
    await settled();
  });

  it("that fails does not mask the live request", async () => {
    const { clock, random } = steady();
    const { sent, rpc } = handAnswered();
    const retry = { maxAttempts: 1 };
    const ended = drain(call([9], pair, rpc, { clock, random, retry, hedge: { afterMs: 50 } }));
    await clock.advance(50);
    sent[1]?.reject(Object.assign(new Error("the hedge is refused"), { code: 3 }));
    await clock.advance(10);
    sent[0]?.resolve("still there");
    expect(await ended).toMatchObject({ chunks: [{ result: "still there" }], error: undefined });
  });
});
