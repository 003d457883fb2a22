import { AsyncLocalStorage } from "node:async_hooks";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { call, createFanout } from "../src/index.js";
import { FakeClock, settled } from "./support/fake-clock.js";
import { drain, handAnswered, type Server, server, steady } from "./support/servers.js";

const pair = [server("a"), server("b")];
const halves = [server("low", 0, 100), server("high", 100, 200)];

/** A signal that counts who listens. */
function countedSignal(): { controller: AbortController; listeners: () => number } {
  const controller = new AbortController();
  const { signal } = controller;
  let count = 0;
  const { addEventListener, removeEventListener } = signal;
  const heard = new Set<unknown>();
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    if (!heard.has(args[1])) count += 1;
    heard.add(args[1]);
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
    if (heard.delete(args[1])) count -= 1;
    removeEventListener.apply(signal, args);
  };
  return { controller, listeners: () => count };
}

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

describe("a signal", () => {
  it("that is aborted already rejects with its own reason, and nothing is sent", async () => {
    const reason = { not: "even an error" };
    const { sent, rpc } = handAnswered();
    const { error } = await drain(call([1], pair, rpc, { ...steady(), signal: AbortSignal.abort(reason) }));
    expect(error).toBe(reason);
    expect(sent).toEqual([]);
  });

  it("ends the call with its reason, aborts its requests with it, and leaves no listener and no timer", async () => {
    const { clock, random } = steady();
    const { sent, rpc } = handAnswered();
    const { controller, listeners } = countedSignal();
    const ended = drain(
      call([1, 150], halves, rpc, { clock, random, signal: controller.signal, timeoutMs: 9e9 }),
    );
    await settled();
    expect(listeners()).toBe(1);
    expect(clock.timers).toBe(1);
    const reason = new Error("enough");
    controller.abort(reason);
    expect((await ended).error).toBe(reason);
    expect(sent.map(({ context }) => context.signal.reason)).toEqual([reason, reason]);
    expect(listeners()).toBe(0);
    expect(clock.timers).toBe(0);
  });

  it("drops chunks that were not read yet", async () => {
    const controller = new AbortController();
    const started = call([1, 150], halves, async ({ name }) => name, {
      ...steady(),
      signal: controller.signal,
    });
    expect((await started.next()).done).toBe(false);
    await settled();
    controller.abort("no more");
    await expect(started.next()).rejects.toBe("no more");
    expect((await started.next()).done).toBe(true);
  });

  it("is not listened to any more after the end, after a failure and after leaving", async () => {
    const { controller, listeners } = countedSignal();
    const { signal } = controller;
    const { clock, random } = steady();
    const retry = { maxAttempts: 1 };
    await drain(call([1], pair, async () => 1, { clock, random, signal }));
    expect(listeners()).toBe(0);
    const refuse = async (): Promise<never> => Promise.reject(new Error("no"));
    await drain(call([1], pair, refuse, { clock, random, signal, retry }));
    expect(listeners()).toBe(0);
    for await (const _ of call([1, 150], halves, async () => 1, { clock, random, signal })) break;
    expect(listeners()).toBe(0);
    expect(clock.timers).toBe(0);
  });

  it("is the way out when a loser that is waited for never returns", async () => {
    const controller = new AbortController();
    const { clock, random } = steady();
    const { sent, rpc } = handAnswered();
    const options = { clock, random, hedge: { afterMs: 5 }, waitForLosers: true, signal: controller.signal };
    const started = call([1], pair, rpc, options);
    const ended = drain(started);
    await clock.advance(5);
    sent[1]?.resolve("answer");
    await settled();
    controller.abort("out");
    expect((await ended).error).toBe("out");
    sent[0]?.resolve("after all");
    await started.settled;
    expect(await started.next()).toEqual({ done: true, value: undefined });
  });
});

describe("leaving the loop", () => {
  for (const way of ["break", "return", "throw", "dispose"] as const) {
    it(`by ${way} aborts all requests, waits for none of them, and leaves no timer`, async () => {
      const { clock, random } = steady();
      const { sent, rpc } = handAnswered();
      const started = call([1, 150], halves, rpc, { clock, random, timeoutMs: 1000 });
      const first = started.next();
      sent[0]?.resolve("one");
      await first;
      if (way === "return") expect(await started.return()).toEqual({ done: true, value: undefined });
      else if (way === "throw") await expect(started.throw(new Error("mine"))).rejects.toThrow("mine");
      else if (way === "dispose") await started[Symbol.asyncDispose]();
      else {
        const { sent: more, rpc: other } = handAnswered();
        const loop = (async () => {
          for await (const _ of call([1, 150], halves, other, { clock, random })) break;
        })();
        more[0]?.resolve("one");
        await loop;
        expect(more[1]?.context.signal.aborted).toBe(true);
        await started.return();
      }
      expect(sent[1]?.context.signal.aborted).toBe(true);
      expect(clock.timers).toBe(0);
      expect((await started.next()).done).toBe(true);
      sent[1]?.reject(new Error("nobody is interested"));
      await started.settled;
    });
  }

  it("ends a next() that is under way", async () => {
    const { rpc } = handAnswered();
    const started = call([1], pair, rpc, steady());
    const pending = started.next();
    await started.return();
    expect(await pending).toEqual({ done: true, value: undefined });
  });

  it("before the first chunk was asked for does nothing at all", async () => {
    const { sent, rpc } = handAnswered();
    const started = call([1], pair, rpc, steady());
    await started.return();
    await started.settled;
    expect(await started.next()).toEqual({ done: true, value: undefined });
    expect(sent).toEqual([]);
  });

  it("closes the iterators of its requests", async () => {
    let closed = 0;
    const started = call(
      [1],
      [server("a")],
      async function* () {
        try {
          yield 1;
          yield 2;
        } finally {
          closed += 1;
        }
      },
      steady(),
    );
    for await (const _ of started) break;
    await started.settled;
    expect(closed).toBe(1);
  });

  it("from within an rpc and from within a hook is fine", async () => {
    const { clock, random } = steady();
    const fanout = createFanout<Server>({ clock, random, onEvent: () => void inner?.return() });
    let inner: ReturnType<typeof start> | undefined;
    const start = () => fanout.call([1, 150], halves, async () => void inner?.return());
    inner = start();
    expect(await drain(inner)).toMatchObject({ error: undefined });
    await inner.settled;
    expect(clock.timers).toBe(0);
  });
});

describe("a loser", () => {
  const slow = async () => {
    const { clock, random } = steady();
    const { sent, rpc } = handAnswered();
    const begin = (waitForLosers: boolean) =>
      call([1], pair, rpc, { clock, random, hedge: { afterMs: 500 }, waitForLosers });
    return { clock, sent, begin };
  };

  it("that ignores its signal does not hold the caller up: it is released in the turn of the last point", async () => {
    const { clock, sent, begin } = await slow();
    const started = begin(false);
    let ended = false;
    void drain(started).then(() => {
      ended = true;
    });
    await clock.advance(500);
    let losersBack = false;
    void started.settled.then(() => {
      losersBack = true;
    });
    sent[1]?.resolve("answer");
    // No timer, no I/O: only what follows from the answer itself.
    for (let turn = 0; turn < 20 && !ended; turn++) await Promise.resolve();
    expect(ended).toBe(true);
    expect(clock.timers).toBe(0);
    await clock.advance(2500);
    expect(losersBack).toBe(false);
    sent[0]?.resolve("3 s late");
    await started.settled;
    expect(losersBack).toBe(true);
  });

  it("is waited for with waitForLosers, in the loop and when leaving it", async () => {
    for (const leave of [false, true]) {
      const { clock, sent, begin } = await slow();
      const started = begin(true);
      const first = started.next();
      await clock.advance(500);
      sent[1]?.resolve("answer");
      expect((await first).value).toMatchObject({ result: "answer" });
      let ended = false;
      const end = (leave ? started.return() : started.next()).then(({ done }) => {
        ended = done ?? false;
      });
      await clock.advance(2500);
      expect(ended).toBe(false);
      sent[0]?.reject(new Error("late"));
      await end;
      expect(ended).toBe(true);
    }
  });

  it("is not waited for any longer when the signal aborts, also by who has left the loop", async () => {
    for (const before of [false, true]) {
      const controller = new AbortController();
      const { clock, random } = steady();
      const { sent, rpc } = handAnswered();
      const options = {
        clock,
        random,
        hedge: { afterMs: 5 },
        waitForLosers: true,
        signal: controller.signal,
      };
      const started = call([1], pair, rpc, options);
      const first = started.next();
      await clock.advance(5);
      sent[1]?.resolve("answer");
      await first;
      if (before) controller.abort("out");
      const left = started.return();
      left.catch(() => {});
      await settled();
      controller.abort("out");
      await expect(left).rejects.toBe("out");
      sent[0]?.resolve("after all");
      await started.settled;
      expect(await started.return()).toEqual({ done: true, value: undefined });
    }
  });

  it("yields in vain after it was cancelled, and is closed", async () => {
    const { clock, random } = steady();
    let closed = false;
    let wake: () => void = () => {};
    let sends = 0;
    const started = call(
      [1],
      pair,
      async function* () {
        sends += 1;
        if (sends === 2) {
          yield "quick";
          return;
        }
        try {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          yield "in vain";
          expect.unreachable();
        } finally {
          closed = true;
        }
      },
      { clock, random, hedge: { afterMs: 5 } },
    );
    const ended = drain(started);
    await clock.advance(5);
    expect((await ended).chunks.map(({ result }) => result)).toEqual(["quick"]);
    wake();
    await started.settled;
    expect(closed).toBe(true);
  });
});

describe("what the caller runs", () => {
  it("runs in the async context in which the call was begun, whichever call's event leads to it", async () => {
    const storage = new AsyncLocalStorage<string>();
    const { clock, random } = steady();
    const seen: string[] = [];
    const see = (what: string): void => void seen.push(`${what} ${storage.getStore()}`);
    const fanout = createFanout<Server>({
      clock,
      random,
      maxInFlightPerServer: 1,
      onEvent: ({ type, call }) => see(`${type} of ${call}`),
    });
    const { sent, rpc } = handAnswered();
    const begin = (name: string) =>
      storage.run(name, () =>
        drain(
          fanout.call([1], [pair[0]!], (...args: Parameters<typeof rpc>) => {
            see("rpc");
            return rpc(...args);
          }),
        ),
      );
    const both = [begin("1"), begin("2")];
    await settled();
    // The second request can only go when the first one is back.
    expect(sent).toHaveLength(1);
    sent[0]?.resolve("x");
    await settled();
    sent[1]?.resolve("y");
    await Promise.all(both);
    expect(seen.filter((entry) => entry.startsWith("rpc"))).toEqual(["rpc 1", "rpc 2"]);
    for (const entry of seen) {
      const [, id, store] = /of (\d) (\d)/.exec(entry) ?? [];
      expect(id).toBe(store);
    }
  });
});

describe("timers", () => {
  it("are one per fanout, and none when no call lives", async () => {
    const clock = new FakeClock();
    const { sent, rpc } = handAnswered();
    const fanout = createFanout<Server>(steady(clock));
    const calls = Array.from({ length: 5 }, (_, index) =>
      drain(fanout.call([1], pair, rpc, { timeoutMs: 1000 + index, hedge: { afterMs: 100 + index } })),
    );
    await settled();
    expect(clock.timers).toBe(1);
    for (const request of sent) request.resolve("x");
    await Promise.all(calls);
    expect(clock.timers).toBe(0);
  });
});
