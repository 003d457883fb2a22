import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { call, createFanout, type FanoutError, type Rpc } from "../src/index.js";
import { settled } from "./support/fake-clock.js";
import { drain, handAnswered, type Server, server, steady } from "./support/servers.js";

// TypeScript keeps none of this out of a program that is not all TypeScript.

const one = [server("a")];
const pair = [server("a"), server("b")];
const once = { retry: { maxAttempts: 1 }, hedge: false } as const;

const unhandled: unknown[] = [];
const note = (reason: unknown): void => void unhandled.push(reason);

beforeEach(() => {
  unhandled.length = 0;
  process.on("unhandledRejection", note);
});

afterEach(async () => {
  await settled();
  process.off("unhandledRejection", note);
  expect(unhandled).toEqual([]);
});

function rpc(misbehave: (view: Server, offsets: readonly number[]) => unknown): Rpc<Server, unknown> {
  return misbehave as Rpc<Server, unknown>;
}

async function causeOf(misbehave: (view: Server, offsets: readonly number[]) => unknown): Promise<unknown> {
  const { clock, random } = steady();
  const ended = drain(call([1], one, rpc(misbehave), { clock, random, ...once }));
  await clock.advance(20_000);
  const { error } = await ended;
  expect(error).toMatchObject({ code: "failed", failures: [{ offset: 0, point: 1 }] });
  expect(clock.timers).toBe(0);
  return (error as FanoutError).failures[0]?.causes[0]?.error;
}

describe("an rpc", () => {
  it("that throws at once has failed like one that rejects", async () => {
    const error = new Error("at once");
    expect(
      await causeOf(() => {
        throw error;
      }),
    ).toBe(error);
  });

  it("that throws at once at one server is sent to the other", async () => {
    const { clock, random } = steady();
    let sends = 0;
    const ended = drain(
      call(
        [1],
        pair,
        rpc(({ name }) => {
          sends += 1;
          if (sends === 1) throw new Error("at once");
          return Promise.resolve(name);
        }),
        { clock, random },
      ),
    );
    await clock.advance(1000);
    expect((await ended).chunks).toHaveLength(1);
  });

  for (const [what, value] of [
    ["nothing", undefined],
    ["null", null],
    ["a number", 5],
    ["an array", [1, 2]],
    ["an object", {}],
    ["a function", () => {}],
    ["an async iterable without an iterator", { [Symbol.asyncIterator]: () => 7 }],
  ] as const) {
    it(`that returns ${what} gets "bad-result", and is not tried again`, async () => {
      const { clock, random } = steady();
      let sends = 0;
      const ended = drain(
        call(
          [1],
          pair,
          rpc(() => {
            sends += 1;
            return value;
          }),
          { clock, random },
        ),
      );
      await clock.advance(1000);
      expect((await ended).error).toMatchObject({ code: "failed", cause: { code: "bad-result" } });
      expect(sends).toBe(1);
    });
  }

  it("that rejects with undefined or null has failed all the same", async () => {
    expect(await causeOf(() => Promise.reject(undefined))).toBeUndefined();
    expect(await causeOf(() => Promise.reject(null))).toBeNull();
  });

  it("whose error throws when it is looked at is named all the same", async () => {
    const hostile = new Proxy(new Error("hidden"), {
      get() {
        throw new Error("hands off");
      },
      getPrototypeOf() {
        throw new Error("hands off");
      },
    });
    const { error } = await drain(
      call(
        [1],
        one,
        rpc(() => Promise.reject(hostile)),
        { ...steady(), ...once },
      ),
    );
    expect(error).toMatchObject({ code: "failed", message: expect.stringContaining("point 1 (offset 0)") });
    expect((error as FanoutError).failures[0]?.causes[0]?.error === hostile).toBe(true);
  });

  it("that returns thenables of any kind does not confuse the call", async () => {
    const thrown = new Error("then throws");
    expect(
      await causeOf(() => ({
        then() {
          throw thrown;
        },
      })),
    ).toBe(thrown);
    expect(
      await causeOf(() => ({
        get then() {
          throw thrown;
        },
      })),
    ).toBe(thrown);
    const eager = {
      then(resolve: (value: string) => void, reject: (error: unknown) => void) {
        resolve("first");
        resolve("second");
        reject(new Error("third"));
      },
    };
    const { chunks, error } = await drain(
      call(
        [1],
        one,
        rpc(() => eager),
        steady(),
      ),
    );
    expect(chunks.map(({ result }) => result)).toEqual(["first"]);
    expect(error).toBeUndefined();
  });

  it("whose promise has a constructor that throws does not break the call", async () => {
    const promise = Promise.resolve("fine");
    Object.defineProperty(promise, "constructor", {
      get() {
        throw new Error("no constructor");
      },
    });
    expect(await causeOf(() => promise)).toMatchObject({ message: "no constructor" });
  });

  it("whose iterator gives no result objects, or throws from next, done and value, has failed", async () => {
    const iterate = (next: () => unknown) => () => ({ [Symbol.asyncIterator]: () => ({ next }) });
    expect(await causeOf(iterate(() => 5))).toMatchObject({ code: "bad-result" });
    expect(await causeOf(iterate(() => undefined))).toMatchObject({ code: "bad-result" });
    const error = new Error("thrown");
    const fail = (): never => {
      throw error;
    };
    expect(await causeOf(iterate(fail))).toBe(error);
    expect(await causeOf(iterate(() => Object.defineProperty({}, "done", { get: fail })))).toBe(error);
    expect(await causeOf(iterate(() => Object.defineProperty({ done: false }, "value", { get: fail })))).toBe(
      error,
    );
  });

  it("that never returns is given up after the idle timeout", async () => {
    expect(await causeOf(() => new Promise(() => {}))).toMatchObject({ code: "timeout" });
    expect(
      await causeOf(() => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) })),
    ).toMatchObject({ code: "timeout" });
  });

  for (const [what, close] of [
    [
      "throws",
      () => {
        throw new Error("return() throws");
      },
    ],
    ["rejects", () => Promise.reject(new Error("return() rejects"))],
    ["hangs", () => new Promise(() => {})],
    ["is no function", 5],
  ] as const) {
    it(`whose iterator's return() ${what} does not hold the reader up when he leaves`, async () => {
      const started = call(
        [1],
        one,
        rpc(() => ({
          [Symbol.asyncIterator]: () => ({ next: async () => ({ done: false, value: 1 }), return: close }),
        })),
        steady(),
      );
      for await (const _ of started) break;
      expect(await started.next()).toEqual({ done: true, value: undefined });
      if (what !== "hangs") await started.settled;
    });
  }

  it("cannot change the offsets that the reader gets", async () => {
    const { chunks, error } = await drain(
      call(
        [3, 1, 2],
        one,
        rpc(async (_, offsets) => {
          expect(() => (offsets as number[]).reverse()).toThrow(TypeError);
          return "done";
        }),
        steady(),
      ),
    );
    expect(error).toBeUndefined();
    expect(chunks[0]?.offsets).toEqual([1, 2, 0]);
  });

  it('with perPoint that yields something else, or an offset that was not asked for, gets "bad-result"', async () => {
    for (const yielded of [
      undefined,
      "value",
      { offset: 0 },
      { value: 1 },
      { offset: 7, value: 1 },
      { offset: "0", value: 1 },
    ]) {
      const { clock, random } = steady();
      let closed = false;
      const started = call(
        [1],
        one,
        rpc(async function* () {
          try {
            yield yielded;
          } finally {
            closed = true;
          }
        }) as Rpc<Server, never>,
        { clock, random, ...once, perPoint: true },
      );
      const { error } = await drain(started);
      expect(error).toMatchObject({ code: "failed", cause: { code: "bad-result" } });
      await started.settled;
      expect(closed).toBe(true);
    }
  });

  it("with perPoint that gives one value again and again is ended, and its other points go elsewhere", async () => {
    const { clock, random } = steady();
    let given = 0;
    let liar: string | undefined;
    const ended = drain(
      call(
        [1, 2],
        pair,
        async function* ({ name }, offsets) {
          liar ??= name;
          if (name !== liar) {
            for (const offset of offsets) yield { offset, value: name };
            return;
          }
          for (;;) {
            given++;
            yield { offset: 0, value: name };
            await new Promise<void>((resolve) => clock.setTimer(40, resolve));
          }
        },
        { clock, random, perPoint: true, hedge: false, idleTimeoutMs: 50 },
      ),
    );
    await clock.advance(1000);
    const { chunks, error } = await ended;
    expect(error).toBeUndefined();
    expect(chunks.map(({ offsets, result }) => [...offsets, result])).toEqual([
      [0, liar],
      [1, liar === "a" ? "b" : "a"],
    ]);
    expect(given).toBe(5);
  });

  it("that calls the fanout again from within is fine", async () => {
    const fanout = createFanout<Server>(steady());
    const { chunks } = await drain(
      fanout.call([1], one, ({ name }) => {
        const inner = fanout.call([2], one, async () => `inner of ${name}`);
        return inner.next().then(({ value }) => value?.result);
      }),
    );
    expect(chunks.map(({ result }) => result)).toEqual(["inner of a"]);
  });
});

describe("a listener of a request's signal that throws", () => {
  it("harms neither the reader nor the other requests", async () => {
    // Node tells the process of it, as for every event target.
    const told: unknown[] = [];
    const others = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.on("uncaughtException", (error) => told.push(error));
    try {
      const { sent, rpc } = handAnswered();
      const halves = [server("low", 0, 100), server("high", 100, 200)];
      const started = call(
        [1, 150],
        halves,
        (view, offsets, context) => {
          context.signal.addEventListener("abort", () => {
            throw new Error("in a listener");
          });
          return rpc(view, offsets, context);
        },
        steady(),
      );
      const first = started.next();
      await started.return();
      expect(await first).toEqual({ done: true, value: undefined });
      expect(sent.map(({ context }) => context.signal.aborted)).toEqual([true, true]);
      await settled();
      expect(told).toHaveLength(2);
    } finally {
      process.removeAllListeners("uncaughtException");
      for (const listener of others) process.on("uncaughtException", listener);
    }
  });
});

describe("a hook, a classifier and a serverOf", () => {
  it("that throw are survived", async () => {
    const fail = (): never => {
      throw new Error("thrown");
    };
    const { clock, random } = steady();
    const fanout = createFanout<Server>({
      clock,
      random,
      onEvent: fail,
      classify: fail,
      serverOf: fail,
      locality: fail,
    });
    expect((await drain(fanout.call([1], one, async () => "ok"))).chunks).toHaveLength(1);
    const { error } = await drain(fanout.call([1], pair, async () => Promise.reject(new Error("no"))));
    expect(error).toMatchObject({ failures: [{ reason: "not-retryable" }] });
  });

  it("that return nonsense are survived", async () => {
    for (const verdict of [undefined, null, 5, "no-class", {}, { class: "no-class" }]) {
      const { clock, random } = steady();
      const fanout = createFanout<Server>({
        clock,
        random,
        classify: () => verdict as "retryable",
        locality: () => Number.NaN,
      });
      const { error } = await drain(fanout.call([1], pair, async () => Promise.reject(new Error("no"))));
      expect(error).toMatchObject({ failures: [{ reason: "not-retryable" }] });
    }
  });

  it("that begin another call are fine", async () => {
    const { clock, random } = steady();
    const inner: Promise<unknown>[] = [];
    const fanout = createFanout<Server>({
      clock,
      random,
      onEvent: ({ type, call }) => {
        if (type === "plan" && call < 5) inner.push(drain(fanout.call([call], one, async () => "inner")));
      },
    });
    expect((await drain(fanout.call([1], one, async () => "outer"))).chunks).toHaveLength(1);
    expect(await Promise.all(inner)).toHaveLength(4);
  });
});
