import { describe, expect, it } from "vitest";
import { view, Workbench } from "./scheduler-workbench.js";

const a = view("a");
const b = view("b");

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
