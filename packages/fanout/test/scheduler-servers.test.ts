import { describe, expect, it } from "vitest";
import { view, Workbench } from "./scheduler-workbench.js";

const a = view("a");
const b = view("b");

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
  }, 60_000);
});
