import { describe, expect, it } from "vitest";
import { type Clock, call, createFanout, type FanoutEvent } from "../src/index.js";
import { FakeClock, settled } from "./support/fake-clock.js";
import { drain, handAnswered, type Server, server, steady } from "./support/servers.js";

const pair = [server("a"), server("b")];

/** The fake clock, whose times may be bent on their way to the fanout, with the delays that were asked for. */
function bent(clock: FakeClock, now: () => number = () => clock.monotonicMs()): Clock & { delays: number[] } {
  const delays: number[] = [];
  return {
    delays,
    monotonicMs: now,
    setTimer: (delayMs, callback) => {
      delays.push(delayMs);
      return clock.setTimer(delayMs, callback);
    },
  };
}

describe("what happens while a step is carried out", () => {
  it("comes after it: a call that a hook begins does not cut into the one whose step it was told of", async () => {
    const order: string[] = [];
    const inner: Promise<unknown>[] = [];
    const rpc = async ({ name }: Server): Promise<string> => name;
    const fanout = createFanout<Server>({
      ...steady(),
      onEvent: ({ type, call }) => {
        order.push(`${type} ${call}`);
        if (type === "plan" && call === 1) {
          inner.push(drain(fanout.call([1], [pair[0]!], rpc)));
          order.push("begun");
        }
      },
    });
    // Two requests, so that something is left to do when the hook is told of the plan.
    const halves = [server("low", 0, 100), server("high", 100, 200)];
    await drain(fanout.call([1, 150], halves, rpc));
    await Promise.all(inner);
    expect(order.slice(0, 6)).toEqual(["plan 1", "begun", "send 1", "send 1", "plan 2", "send 2"]);
  });

  it("comes after it: an rpc that leaves the call at once does not end it before its other requests are sent", async () => {
    const events: string[] = [];
    const halves = [server("low", 0, 100), server("high", 100, 200)];
    const asked: string[] = [];
    const started = call(
      [1, 150],
      halves,
      ({ name }, _offsets, { signal }) => {
        asked.push(`${name} ${signal.aborted}`);
        void started.return();
        return new Promise<string>(() => {});
      },
      { ...steady(), onEvent: ({ type }: FanoutEvent<Server>) => events.push(type) },
    );
    expect((await started.next()).done).toBe(true);
    expect(asked).toEqual(["low false", "high false"]);
    expect(events).toEqual(["plan", "send", "send", "cancel", "cancel", "done"]);
  });
});

describe("what is due", () => {
  it("happens though there is always something else to do", async () => {
    const fake = new FakeClock();
    let reads = 0;
    // As in a process: time passes while it is looked at, and a timer takes a millisecond at least.
    const clock: Clock = {
      monotonicMs: () => fake.monotonicMs() + ++reads * 1e-6,
      setTimer: (delayMs, callback) => fake.setTimer(Math.max(1, delayMs), callback),
    };
    const { sent, rpc } = handAnswered();
    const fanout = createFanout<Server>({ ...steady(), clock });
    const hedged = fanout.call([1], pair, rpc, { hedge: { afterMs: 0 } });
    const over = hedged.next();
    await settled();
    for (let step = 0; step < 10; step++) {
      await drain(fanout.call([1], pair, async () => "at once", { hedge: false }));
      await fake.advance(0.4);
    }
    expect(sent).toHaveLength(2);
    await hedged.return();
    await over;
  });
});

describe("a clock that goes back", () => {
  it("stands still for the fanout: no event is told of an earlier time, and nothing comes later for it", async () => {
    const fake = new FakeClock();
    let offsetMs = 0;
    const clock = bent(fake, () => fake.monotonicMs() + offsetMs);
    const times: number[] = [];
    const { sent, rpc } = handAnswered();
    const fanout = createFanout<Server>({
      ...steady(fake),
      clock,
      onEvent: ({ atMs }) => times.push(atMs),
    });
    await fake.advance(5000);
    const first = drain(fanout.call([1], pair, rpc));
    sent[0]?.resolve("x");
    await first;
    offsetMs = -3000;
    let error: unknown;
    void drain(fanout.call([1], pair, rpc, { timeoutMs: 70, hedge: false })).then((ended) => {
      error = ended.error;
    });
    await settled();
    // The time is what it was for the fanout, so its deadline is neither in the past nor 3 s away.
    expect(error).toBeUndefined();
    expect(clock.delays.at(-1)).toBe(70);
    offsetMs = 0;
    await fake.advance(70);
    expect(error).toMatchObject({ code: "deadline" });
    expect(times.length).toBeGreaterThan(5);
    expect(times).toEqual([...times].sort((a, b) => a - b));
  });
});

describe("a deadline beyond what timers can do", () => {
  it("is waited for in steps of at most 2 ** 31 - 1 ms, and is neither early nor late", async () => {
    const days = 24 * 3600 * 1000;
    const fake = new FakeClock();
    const clock = bent(fake);
    const { rpc } = handAnswered();
    let error: unknown;
    const timeoutMs = 60 * days;
    void drain(
      call([1], pair, rpc, { ...steady(fake), clock, timeoutMs, hedge: false, idleTimeoutMs: Infinity }),
    ).then((ended) => {
      error = ended.error;
    });
    await settled();
    expect(clock.delays).toEqual([2 ** 31 - 1]);
    await fake.advance(60 * days - 1);
    expect(error).toBeUndefined();
    await fake.advance(1);
    expect(error).toMatchObject({ code: "deadline" });
    for (const delayMs of clock.delays) expect(delayMs).toBeLessThan(2 ** 31);
  });
});
