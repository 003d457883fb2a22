import { describe, expect, it } from "vitest";
import { call, createFanout, FanoutError, type FanoutEvent, newViews, type Verdict } from "../src/index.js";
import { settled } from "./support/fake-clock.js";
import { drain, type Server, server, steady } from "./support/servers.js";

const names = async ({ name }: Server): Promise<string> => name;
const notMine = (): Verdict => ({ class: "not-mine" });

describe("views", () => {
  it("are an array, a list made by newViews, or anything with a length and at()", async () => {
    const array = [server("a")];
    const list = { length: 1, at: (index: number) => (index === 0 ? server("a") : undefined) };
    for (const views of [array, newViews(array), newViews(new Set(array)), list]) {
      expect((await drain(call([1], views, names, steady()))).chunks).toHaveLength(1);
    }
  });

  it("made by newViews stay as they are when the array changes", () => {
    const array = [server("a")];
    const views = newViews(array);
    array.push(server("b"));
    expect(views.length).toBe(1);
    expect(views.at(0)?.name).toBe("a");
  });

  it("that are no list, or of another space, are refused with what is wrong", async () => {
    for (const views of [
      undefined,
      null,
      5,
      "views",
      {},
      { length: -1, at: () => undefined },
      { length: 1 },
    ]) {
      const { error } = await drain(call([1], views as unknown as Server[], names, steady()));
      expect(error).toBeInstanceOf(FanoutError);
      expect(error).toMatchObject({ code: "invalid-argument" });
    }
    const strings = [{ serves: { from: "a", to: "b" } }] as unknown as Server[];
    expect((await drain(call([1], strings, names, steady()))).error).toMatchObject({
      code: "invalid-argument",
    });
    const backwards = [{ name: "x", serves: { from: 10, to: 5 } }];
    expect((await drain(call([1], backwards, names, steady()))).error).toMatchObject({
      code: "invalid-argument",
      message: expect.stringContaining("views.at(0)"),
    });
  });

  it("that throw when they are looked at are refused, and the fanout lives on", async () => {
    const clockAndChance = steady();
    const fanout = createFanout<Server>(clockAndChance);
    const hostile = {
      name: "x",
      get serves(): never {
        throw new Error("mine");
      },
    };
    const { error } = await drain(fanout.call([1], [hostile], names));
    expect(error).toMatchObject({ code: "invalid-argument" });
    expect((await drain(fanout.call([1], [server("a")], names))).chunks).toHaveLength(1);
    expect(clockAndChance.clock.timers).toBe(0);
  });

  it("that serve nothing are no help, and points between views are named", async () => {
    const views = [server("empty", 5, 5), server("low", 0, 10), server("high", 20, 30)];
    const { error } = await drain(call([1, 15, 25], views, names, steady()));
    expect(error).toMatchObject({
      code: "uncovered",
      failures: [{ offset: 1, point: 15, reason: "uncovered" }],
    });
  });
});

describe("a views function", () => {
  it("is read for each call, with a signal, and may answer later", async () => {
    let reads = 0;
    const views = async ({ signal }: { signal: AbortSignal }): Promise<Server[]> => {
      expect(signal.aborted).toBe(false);
      reads += 1;
      await settled();
      return [server(`v${reads}`)];
    };
    const fanout = createFanout<Server>(steady());
    expect((await drain(fanout.call([1], views, names))).chunks[0]?.result).toBe("v1");
    expect((await drain(fanout.call([1], views, names))).chunks[0]?.result).toBe("v2");
  });

  it("is read again when a server says that points are not its own, and only those are planned anew", async () => {
    const { clock, random } = steady();
    const events: FanoutEvent<Server>[] = [];
    let reads = 0;
    const views = (): Server[] => {
      reads += 1;
      return reads === 1
        ? [server("old", 0, 100), server("other", 100, 200)]
        : [server("new", 0, 100), server("other", 100, 200)];
    };
    const asked: string[] = [];
    const ended = drain(
      call(
        [50, 150],
        views,
        async ({ name }) => {
          asked.push(name);
          if (name === "old") throw new Error("moved");
          return name;
        },
        { clock, random, classify: notMine, onEvent: (event) => events.push(event) },
      ),
    );
    await clock.advance(5000);
    const { chunks, error } = await ended;
    expect(error).toBeUndefined();
    expect(asked.sort()).toEqual(["new", "old", "other"]);
    expect(chunks.map(({ result }) => result).sort()).toEqual(["new", "other"]);
    expect(events.filter(({ type }) => type === "views")).toHaveLength(1);
  });

  it("that throws, rejects or gives nonsense at first fails the call with its error", async () => {
    const error = new Error("no registry");
    const throws = (): never => {
      throw error;
    };
    for (const views of [throws, async () => throws()]) {
      const events: string[] = [];
      const { clock, random } = steady();
      const onEvent = ({ type }: FanoutEvent<Server>): void => void events.push(type);
      const ended = await drain(call([7], views, names, { clock, random, onEvent, timeoutMs: 100 }));
      expect(ended.error).toMatchObject({ code: "uncovered", cause: error, failures: [{ point: 7 }] });
      expect((ended.error as Error).message).toContain("no registry");
      expect(events).toEqual(["plan", "done"]);
      expect(clock.timers).toBe(0);
    }
    const nonsense = (() => 5) as unknown as () => Server[];
    expect((await drain(call([7], nonsense, names, steady()))).error).toMatchObject({
      code: "invalid-argument",
    });
  });

  it("that hangs is bounded by the idle timeout, its signal tells, and what it gives later is ignored", async () => {
    const { clock, random } = steady();
    let signal: AbortSignal | undefined;
    let answer: (views: Server[]) => void = () => {};
    const views = (context: { signal: AbortSignal }): Promise<Server[]> => {
      signal = context.signal;
      return new Promise((resolve) => {
        answer = resolve;
      });
    };
    const ended = drain(call([7], views, names, { clock, random, idleTimeoutMs: 300 }));
    await clock.advance(300);
    expect((await ended).error).toMatchObject({ code: "uncovered", cause: { code: "timeout" } });
    expect(signal?.aborted).toBe(true);
    answer([server("a")]);
    await settled();
    expect(clock.timers).toBe(0);
  });

  it("that hangs is bounded by the deadline, which allowPartial does not throw", async () => {
    for (const allowPartial of [false, true]) {
      const { clock, random } = steady();
      const hang = (): Promise<Server[]> => new Promise(() => {});
      const started = call([7], hang, names, { clock, random, timeoutMs: 100, allowPartial });
      const ended = drain(started);
      await clock.advance(100);
      const { error } = await ended;
      if (allowPartial) expect(error).toBeUndefined();
      else expect(error).toMatchObject({ code: "deadline" });
      expect(started.failures).toMatchObject([{ point: 7, reason: "deadline" }]);
      expect(clock.timers).toBe(0);
      await started.settled;
    }
  });

  it("that hangs is left at once when the caller leaves or aborts", async () => {
    const { clock, random } = steady();
    const signals: AbortSignal[] = [];
    const hang = ({ signal }: { signal: AbortSignal }): Promise<Server[]> => {
      signals.push(signal);
      return new Promise(() => {});
    };
    const left = call([7], hang, names, { clock, random });
    const pending = left.next();
    await left.return();
    expect(await pending).toEqual({ done: true, value: undefined });
    const controller = new AbortController();
    const aborted = drain(call([7], hang, names, { clock, random, signal: controller.signal }));
    await settled();
    controller.abort("reason");
    expect((await aborted).error).toBe("reason");
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
    expect(clock.timers).toBe(0);
  });

  it("that moves a point has it sent to its new server without a token", async () => {
    const { clock, random } = steady();
    let reads = 0;
    const views = (): Server[] => [server(`v${++reads}`)];
    const budget = { burst: 0, ratio: 0 };
    const ended = drain(
      call(
        [7],
        views,
        async ({ name }) => {
          if (name === "v1") throw new Error("moved");
          return name;
        },
        { clock, random, classify: notMine, budget },
      ),
    );
    await clock.advance(5000);
    expect(await ended).toMatchObject({ chunks: [{ result: "v2" }], error: undefined });
  });

  it("that fails or hangs when it is read again leaves a typed error, never a hang", async () => {
    for (const again of [() => Promise.reject(new Error("gone")), () => new Promise<never>(() => {})]) {
      const { clock, random } = steady();
      let reads = 0;
      const views = (): Server[] | Promise<Server[]> => {
        reads += 1;
        return reads === 1 ? [server("a")] : again();
      };
      const refuse = async (): Promise<never> => Promise.reject(new Error("not here"));
      const ended = drain(call([7], views, refuse, { clock, random, classify: notMine, idleTimeoutMs: 500 }));
      await clock.advance(60_000);
      expect((await ended).error).toMatchObject({ failures: [{ point: 7 }] });
      expect(clock.timers).toBe(0);
    }
  });
});

describe("views that lie", () => {
  const refuse = (asked: string[]) => async (view: Server) => {
    asked.push(view.name);
    throw new Error(`not at ${view.name}`);
  };
  const named = (name: string): Server => Object.assign(server(name), { toString: () => `server ${name}` });

  it("in a list are each asked once, and the error names the point and all of them", async () => {
    const { clock, random } = steady();
    const asked: string[] = [];
    const ended = drain(
      call([7], [named("a"), named("b")], refuse(asked), { clock, random, classify: notMine }),
    );
    await clock.advance(60_000);
    const { error } = await ended;
    expect(asked.sort()).toEqual(["a", "b"]);
    expect(error).toMatchObject({
      code: "uncovered",
      message: expect.stringContaining("point 7 (offset 0)"),
      failures: [{ point: 7, causes: [{ class: "not-mine" }, { class: "not-mine" }] }],
    });
    for (const name of asked) expect((error as Error).message).toContain(`server ${name}: not at ${name}`);
  });

  it("from a function, the same or others each time, end with a typed error after as many requests as are allowed", async () => {
    for (const isNew of [false, true]) {
      const { clock, random } = steady();
      const asked: string[] = [];
      let reads = 0;
      const views = (): Server[] => [named(isNew ? `v${++reads}` : "same")];
      const options = { budget: { burst: 1, ratio: 0 }, retry: { maxAttempts: 1000 } };
      const fanout = createFanout<Server>({
        clock,
        random,
        classify: notMine,
        serverOf: ({ name }) => name,
        ...options,
      });
      const ended = drain(fanout.call([7], views, refuse(asked)));
      await clock.advance(60_000);
      const { error } = await ended;
      expect(error).toMatchObject({ code: "failed", failures: [{ point: 7, reason: "budget" }] });
      expect((error as Error).message).toContain(`server ${asked[0]}`);
      // One is paid for, and two more are free where the points seem to have moved.
      expect(asked).toHaveLength(isNew ? 4 : 2);
      expect(clock.timers).toBe(0);
    }
  });
});
