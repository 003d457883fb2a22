import { describe, expect, it } from "vitest";
import { view, Workbench } from "./scheduler-workbench.js";

const a = view("a");
const b = view("b");
const c = view("c");

describe("a call", () => {
  it("without points is over at once, and nothing is sent", () => {
    const bench = new Workbench();
    bench.start([], []);
    expect(bench.finish).toMatchObject({ code: "ok", failures: [] });
    expect(bench.sends).toEqual([]);
  });

  it("with a point in no view of a list fails at once, names the point, and sends nothing for the others", () => {
    const bench = new Workbench();
    bench.start([7, 200], [view("a", 0, 100)]);
    expect(bench.finish).toMatchObject({
      code: "uncovered",
      failures: [{ offset: 1, point: 200, reason: "uncovered", causes: [] }],
    });
    expect(bench.sends).toEqual([]);
    expect(bench.state.requests.size).toBe(0);
  });

  it("that wants what there is sends the others", () => {
    const bench = new Workbench();
    bench.start([7, 200], [view("a", 0, 100)], { sendPartial: true });
    expect(bench.lastSend.offsets).toEqual([0]);
    bench.end(bench.lastSend.request);
    expect(bench.finish).toMatchObject({ code: "uncovered", failures: [{ offset: 1 }] });
  });

  it("is over in the step in which its last point is satisfied, and losers are aborted before that", () => {
    const bench = new Workbench();
    bench.start([1], [a, b], { hedge: { afterMs: 10 } });
    bench.pass(10);
    expect(bench.sends).toHaveLength(2);
    bench.end(bench.lastSend.request);
    expect(bench.last.map(({ type }) => type).filter((type) => type !== "tell")).toEqual(["abort", "finish"]);
    expect(bench.told).toEqual(["end", "cancel", "done"]);
  });

  it("delivers what can be delivered when a point fails, and names the point with each cause", () => {
    const bench = new Workbench();
    bench.start([1, 200], [view("a", 0, 100), view("b", 100, 300)]);
    const [one, two] = bench.sends;
    bench.fail(one!.request, "not-retryable");
    expect(bench.finish).toBe(undefined);
    bench.result(two!.request);
    expect(bench.of("deliver")).toEqual([{ type: "deliver", request: two!.request, duplicates: [] }]);
    bench.end(two!.request);
    expect(bench.finish).toMatchObject({
      code: "failed",
      failures: [
        {
          offset: 0,
          point: 1,
          reason: "not-retryable",
          causes: [{ error: "error of 1", class: "not-retryable" }],
        },
      ],
    });
  });

  it("that is stopped aborts everything, leaves the queue and is forgotten", () => {
    const bench = new Workbench({ maxInFlightPerServer: 1 });
    const call = bench.start([1, 2, 3], [a], { maxPointsPerRequest: 1 });
    expect(bench.sends).toHaveLength(1);
    bench.step({ type: "stop", call });
    expect(bench.of("abort")).toHaveLength(1);
    expect(bench.finish).toMatchObject({ code: "stopped", failures: [] });
    expect(bench.state.wakeAtMs).toBe(Number.POSITIVE_INFINITY);
  });

  it("at its deadline aborts everything and names what is open", () => {
    const bench = new Workbench();
    bench.start([1, 200], [view("a", 0, 100), view("b", 100, 300)], { deadlineMs: 50 });
    expect(bench.lastSend.timeoutMs).toBe(50);
    bench.end(bench.sends[0]!.request);
    bench.pass(50);
    expect(bench.of("abort")).toHaveLength(1);
    expect(bench.finish).toMatchObject({ code: "deadline", failures: [{ offset: 1, reason: "deadline" }] });
  });

  it("refuses views that are none without a trace", () => {
    const bench = new Workbench();
    expect(() => bench.start([1], [{ server: "a", serves: { from: 9, to: 3 } }])).toThrow("serves");
    expect(bench.state.calls.size).toBe(0);
  });

  it("ignores events of requests and calls that are over or never were", () => {
    const bench = new Workbench();
    bench.start([1], [a]);
    bench.end(1);
    for (const event of [
      { type: "end", request: 1 },
      { type: "result", request: 99 },
      { type: "stop", call: 1 },
      { type: "resume", call: 7 },
    ] as const) {
      expect(bench.step(event)).toEqual([]);
    }
  });
});

describe("a result", () => {
  it("with perPoint satisfies its point, and a second one for it is thrown away", () => {
    const bench = new Workbench();
    bench.start([1, 2], [a], { perPoint: true });
    bench.result(1, 0);
    expect(bench.of("deliver")).toHaveLength(1);
    expect(bench.result(1, 0)).toEqual([]);
    bench.result(1, 1);
    expect(bench.finish?.code).toBe("ok");
    // It has nothing left to do, so nobody waits for its end.
    expect(bench.of("abort")).toHaveLength(1);
  });

  it("with perPoint for a point that was not asked for fails the request", () => {
    const bench = new Workbench();
    bench.start([1, 200], [view("a", 0, 100), view("b", 0, 300)], { perPoint: true, maxPointsPerRequest: 1 });
    bench.result(1, 1);
    expect(bench.of("abort")).toEqual([{ type: "abort", request: 1 }]);
    expect(bench.of("tell")[0]?.event).toMatchObject({ type: "fail", error: { code: "bad-result" } });
  });

  it("that is missing at the end of a perPoint request is asked for again, elsewhere", () => {
    const bench = new Workbench();
    bench.start([1, 2], [a, b], { perPoint: true });
    bench.result(1, 0);
    bench.end(1);
    expect(bench.of("tell")[0]?.event).toMatchObject({ type: "fail", error: { code: "no-value" } });
    bench.pass(10);
    expect(bench.lastSend).toMatchObject({ offsets: [1], attempt: 2 });
    expect(bench.lastSend.view).not.toBe(bench.sends[0]!.view);
  });

  it("is marked where another request has delivered before", () => {
    const bench = new Workbench();
    bench.start([1, 2], [a, b]);
    bench.result(1);
    expect(bench.of("deliver")[0]?.duplicates).toEqual([]);
    bench.fail(1);
    bench.pass(10);
    bench.result(2);
    expect(bench.of("deliver")[0]?.duplicates).toEqual([0, 1]);
    bench.result(2);
    expect(bench.of("deliver")[0]?.duplicates).toEqual([0, 1]);
  });
});

describe("a re-send", () => {
  it("waits between 0 and baseMs, twice that, and so on, and stops after maxAttempts", () => {
    const bench = new Workbench();
    bench.start([1], [a, b]);
    for (const limit of [10, 20, 40, 80]) {
      bench.fail(bench.lastSend.request);
      expect(bench.of("send")).toEqual([]);
      expect(bench.state.wakeAtMs).toBeGreaterThan(bench.nowMs);
      expect(bench.state.wakeAtMs).toBeLessThanOrEqual(bench.nowMs + limit);
      bench.pass(limit);
    }
    expect(bench.sends.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5]);
    // The other server first, and then those that failed it before.
    expect(bench.sends[1]!.view).not.toBe(bench.sends[0]!.view);
    bench.fail(bench.lastSend.request);
    expect(bench.finish).toMatchObject({ code: "failed", failures: [{ reason: "attempts" }] });
    expect(bench.finish?.failures[0]?.causes).toHaveLength(5);
  });

  it("after unreachable goes out at once, and costs nothing while the peers answer", () => {
    const bench = new Workbench({ budget: { burst: 1, ratio: 0 } });
    // All three have answered.
    for (const only of [a, b, c]) {
      bench.start([1], [only]);
      bench.end(bench.lastSend.request);
    }
    bench.start([1], [a, b, c]);
    const first = bench.lastSend;
    bench.fail(first.request, "unreachable");
    expect(bench.told).toEqual(["fail", "retry"]);
    expect(bench.lastSend.view).not.toBe(first.view);
    expect(bench.state.budget.tokens).toBe(1);
    // The second one has to be paid for.
    bench.fail(bench.lastSend.request, "unreachable");
    bench.pass(20);
    expect(bench.state.budget.tokens).toBe(0);
  });

  it("costs a token when the peers have said nothing for a second", () => {
    const bench = new Workbench({ budget: { burst: 1, ratio: 0 } });
    for (const only of [a, b, c]) {
      bench.start([1], [only]);
      bench.end(bench.lastSend.request);
    }
    bench.pass(1001);
    bench.start([1], [a, b, c]);
    bench.fail(bench.lastSend.request, "unreachable");
    expect(bench.told).toEqual(["fail", "retry"]);
    expect(bench.state.budget.tokens).toBe(0);
  });

  it("is not made without a token: the points fail, and say so", () => {
    const bench = new Workbench({ budget: { burst: 0, ratio: 0 } });
    bench.start([1], [a, b]);
    bench.fail(1);
    bench.pass(10);
    expect(bench.told).toEqual(["throttled", "done"]);
    expect(bench.finish).toMatchObject({
      code: "failed",
      failures: [{ reason: "budget", causes: [{ class: "retryable" }] }],
    });
  });

  it("goes to a server that asked for a pause only when that is over, and to others at once", () => {
    const bench = new Workbench();
    bench.start([1], [a, b]);
    const first = bench.lastSend.view;
    bench.fail(1, { class: "overloaded", pushbackMs: 500 });
    bench.pass(10);
    const second = bench.lastSend.view;
    expect(second).not.toBe(first);
    bench.fail(bench.lastSend.request, { class: "overloaded", pushbackMs: 5000 });
    bench.pass(480);
    expect(bench.sends).toHaveLength(2);
    bench.pass(20);
    expect(bench.lastSend.view).toBe(first);
  });

  it("carries only what is not satisfied and nobody else carries", () => {
    const bench = new Workbench();
    bench.start([1, 2, 3], [a, b], { perPoint: true });
    bench.result(1, 1);
    bench.fail(1);
    bench.pass(10);
    expect(bench.lastSend.offsets).toEqual([0, 2]);
  });
});

describe("points that a server says are not its own", () => {
  it("are planned again over the views that are read then, and nothing else is", () => {
    const bench = new Workbench();
    const call = bench.start([1, 200], [view("a", 0, 100), view("b", 100, 300)], { viewsCanBeRead: true });
    bench.fail(1, "not-mine");
    expect(bench.of("read-views")).toHaveLength(1);
    bench.pass(1000);
    expect(bench.sends).toHaveLength(2);
    bench.step({ type: "views", call, views: [view("c", 0, 300)] });
    expect(bench.told).toEqual(["views", "retry"]);
    expect(bench.lastSend).toMatchObject({ offsets: [0], view: { server: "c" } });
    expect(bench.of("abort")).toEqual([]);
  });

  it("go to another view of a list, and never to that one again", () => {
    const bench = new Workbench();
    bench.start([1], [a, b]);
    bench.fail(1, "not-mine");
    bench.pass(10);
    bench.fail(2, "not-mine");
    bench.pass(1000);
    expect(bench.sends).toHaveLength(2);
    expect(bench.finish).toMatchObject({ code: "uncovered", failures: [{ causes: [{}, {}] }] });
  });

  it("fail with the error when the views cannot be read as often as a point may be sent", () => {
    const bench = new Workbench();
    const call = bench.start([1], [a], {
      viewsCanBeRead: true,
      retry: { maxAttempts: 3, baseMs: 10, maxMs: 10 },
    });
    bench.fail(1, "not-mine");
    for (let reading = 1; reading <= 3; reading++) {
      expect(bench.of("read-views")).toHaveLength(1);
      bench.step({ type: "views-error", call, error: `error ${reading}` });
      if (reading < 3) bench.pass(10);
    }
    expect(bench.finish).toMatchObject({
      code: "uncovered",
      viewsError: "error 3",
      failures: [{ causes: [{ class: "not-mine" }] }],
    });
  });
});

describe("a hedge", () => {
  it("goes to another server after the delay, with what is open, and the first answer wins", () => {
    const bench = new Workbench();
    bench.start([1, 2], [a, b], { perPoint: true, hedge: { afterMs: 30 } });
    bench.result(1, 0);
    bench.pass(29);
    expect(bench.sends).toHaveLength(1);
    bench.pass(1);
    expect(bench.of("tell")[0]?.event).toMatchObject({ type: "hedge", of: 1, attempt: 1 });
    expect(bench.lastSend.offsets).toEqual([1]);
    expect(bench.lastSend.view).not.toBe(bench.sends[0]!.view);
    bench.result(2, 1);
    expect(bench.of("abort").map(({ request }) => request)).toEqual([1, 2]);
    expect(bench.finish?.code).toBe("ok");
  });

  it("that fails leaves the request as it was, and takes over when the request fails", () => {
    const bench = new Workbench();
    bench.start([1], [a, b, c], { hedge: { afterMs: 10, maxHedges: 2 } });
    bench.pass(10);
    bench.fail(2, "not-retryable");
    expect(bench.finish).toBe(undefined);
    bench.pass(10);
    expect(bench.sends).toHaveLength(3);
    bench.fail(1);
    bench.pass(9);
    expect(bench.sends).toHaveLength(3);
    bench.end(3);
    expect(bench.finish?.code).toBe("ok");
  });

  it("without a token is skipped, told of once, and made when there is one", () => {
    const bench = new Workbench({ budget: { burst: 1, ratio: 0.5 } });
    bench.start([1], [a, b], { hedge: { afterMs: 10 } });
    bench.start([1], [a, b], { hedge: { afterMs: 10 } });
    bench.pass(10);
    expect(bench.told).toEqual(["hedge", "throttled"]);
    bench.pass(500);
    expect(bench.told).toEqual([]);
    bench.start([1], [a, b]);
    bench.start([1], [a, b]);
    expect(bench.told).toEqual(["plan", "send", "hedge"]);
  });

  it("waits for the percentile of what was seen lately, once 20 latencies were", () => {
    const bench = new Workbench();
    const options = { hedge: { percentile: 0.88, initialMs: 77 } };
    bench.start([1], [a, b], options);
    expect(bench.state.wakeAtMs).toBe(bench.nowMs + 77);
    bench.end(1);
    for (let latencyMs = 2; latencyMs <= 20; latencyMs++) {
      bench.start([1], [a, b]);
      bench.pass(latencyMs);
      bench.end(bench.lastSend.request);
    }
    bench.start([1], [a, b], options);
    const delayMs = bench.state.wakeAtMs - bench.nowMs;
    expect(delayMs).toBeGreaterThanOrEqual(18);
    expect(delayMs).toBeLessThan(18 * 1.05);
  });

  it("that is tied ends the other half when its server begins first, and not when the other has begun", () => {
    const tied = { hedge: { afterMs: 1, tied: true } };
    const bench = new Workbench();
    bench.start([1], [a, b], tied);
    bench.pass(1);
    expect(bench.lastSend.tiedTo).toBe(1);
    bench.step({ type: "begun", request: 2 });
    expect(bench.of("abort")).toEqual([{ type: "abort", request: 1 }]);
    bench.end(2);
    expect(bench.finish?.code).toBe("ok");

    bench.start([1], [a, b], tied);
    bench.pass(1);
    const [one, two] = bench.sends.slice(-2);
    bench.result(one!.request);
    expect(bench.step({ type: "begun", request: two!.request })).toEqual([]);
  });
});

describe("time in which the reader is behind", () => {
  it("sends nothing, and does not count for hedges and idle timeouts, but for the deadline", () => {
    const bench = new Workbench();
    const call = bench.start([1], [a, b], { hedge: { afterMs: 10 }, deadlineMs: 500 });
    bench.pass(5);
    bench.step({ type: "pause", call });
    bench.pass(100);
    expect(bench.sends).toHaveLength(1);
    bench.step({ type: "resume", call });
    bench.pass(4);
    expect(bench.sends).toHaveLength(1);
    bench.pass(1);
    expect(bench.sends).toHaveLength(2);
    bench.step({ type: "pause", call });
    bench.pass(400);
    expect(bench.finish?.code).toBe("deadline");
  });

  it("holds back re-sends until it is over", () => {
    const bench = new Workbench();
    const call = bench.start([1], [a, b]);
    bench.step({ type: "pause", call });
    bench.fail(1);
    bench.pass(5000);
    expect(bench.sends).toHaveLength(1);
    bench.step({ type: "resume", call });
    expect(bench.sends).toHaveLength(2);
  });
});

describe("a server", () => {
  it("that says nothing for idleTimeoutMs has failed the request, and each result counts", () => {
    const bench = new Workbench();
    bench.start([1], [a, b], { idleTimeoutMs: 100 });
    bench.pass(90);
    bench.result(1);
    bench.pass(99);
    expect(bench.last).toEqual([]);
    bench.pass(1);
    expect(bench.of("abort")).toEqual([{ type: "abort", request: 1 }]);
    expect(bench.of("tell")[0]?.event).toMatchObject({
      type: "fail",
      class: "retryable",
      error: { code: "timeout" },
    });
  });

  it("never has more requests than allowed; what waits goes round robin over the calls", () => {
    const bench = new Workbench({ maxInFlightPerServer: 1 });
    bench.start([1, 2, 3], [a], { maxPointsPerRequest: 1 });
    bench.start([4], [a]);
    bench.start([5], [a]);
    const order: number[] = [];
    while (bench.state.requests.size > 0) {
      expect(bench.state.requests.size).toBe(1);
      order.push(bench.lastSend.call);
      bench.end(bench.lastSend.request);
    }
    expect(order).toEqual([1, 1, 2, 3, 1]);
  });

  it("that failed is used last until its suspicion is over, then tried by one request", () => {
    const bench = new Workbench();
    bench.start([1], [a]);
    bench.fail(1, "unreachable");
    const dead = bench.lastSend.request;
    bench.step({ type: "stop", call: 1 });
    expect(dead).toBe(2);
    for (let call = 0; call < 20; call++) {
      bench.start([1], [a, b]);
      expect(bench.lastSend.view).toBe(b);
    }
    bench.pass(1000);
    const tried = [0, 1, 2, 3].map(() => {
      bench.start([1], [a, b]);
      return bench.lastSend;
    });
    expect(tried.filter(({ view }) => view === a)).toHaveLength(1);
    // When it answers, it is one of two again.
    bench.end(tried.find(({ view }) => view === a)!.request);
    const after = Array.from({ length: 20 }, () => {
      bench.start([1], [a, b]);
      return bench.lastSend.view;
    });
    expect(after.filter((used) => used === a).length).toBeGreaterThan(5);
  });

  it("that is nearer is used while it is well and has room", () => {
    const bench = new Workbench({
      maxInFlightPerServer: 2,
      locality: ({ server }) => (server === "a" ? -1 : 40),
    });
    for (let call = 0; call < 4; call++) bench.start([1], [a, b]);
    expect(bench.sends.map(({ view }) => view.server)).toEqual(["a", "a", "b", "b"]);
  });

  it("with fewer requests and lower latency gets more", () => {
    const bench = new Workbench();
    for (const [only, latencyMs] of [
      [a, 50],
      [b, 5],
    ] as const) {
      bench.start([1], [only]);
      bench.pass(latencyMs);
      bench.end(bench.lastSend.request);
    }
    const used = Array.from({ length: 22 }, () => {
      bench.start([1], [a, b]);
      return bench.lastSend.view.server;
    });
    // 20 at b cost as much as 2 at a.
    expect(used.filter((server) => server === "a").length).toBeLessThanOrEqual(3);
  });

  it("is forgotten when nobody has used it for ten minutes", () => {
    const bench = new Workbench();
    bench.start([1], [a, b]);
    bench.end(1);
    bench.pass(599_000);
    bench.step({ type: "tick" });
    expect(bench.state.servers.size).toBe(2);
    bench.pass(62_000);
    bench.step({ type: "tick" });
    expect(bench.state.servers.size).toBe(0);
  });

  it("is as new as its view without serverOf, and 50,000 calls with new views do not fill the memory", () => {
    const bench = new Workbench({ serverOf: (each) => each });
    for (let call = 0; call < 50_000; call++) {
      bench.start([1], [view("a")]);
      bench.end(bench.lastSend.request);
    }
    expect(bench.state.servers.size).toBeLessThanOrEqual(10_000);
  });
});
