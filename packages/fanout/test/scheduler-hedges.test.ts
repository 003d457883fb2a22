import { describe, expect, it } from "vitest";
import type { TestView } from "./scheduler-oracle-model.js";
import { view, Workbench } from "./scheduler-workbench.js";

const a = view("a");
const b = view("b");
const c = view("c");

/** Each of them refuses a connection, so it is suspect. */
function suspect(bench: Workbench, ...servers: readonly TestView[]): void {
  for (const server of servers) {
    const call = bench.start([1], [server], { retry: { maxAttempts: 1, baseMs: 0, maxMs: 0 } });
    expect(bench.lastSend.call).toBe(call);
    bench.fail(bench.lastSend.request, "unreachable");
    expect(bench.state.servers.get(server.server)?.strikes).toBe(1);
  }
}

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

  it("is not sent for what was answered while the process stood still, and a call in time then has not failed", () => {
    const bench = new Workbench();
    for (let call = 0; call < 3; call++) {
      bench.start([1], [a, b], { hedge: { afterMs: 10 }, deadlineMs: bench.nowMs + 40 });
    }
    // The timer is late, and the answers that are there are told before it.
    bench.nowMs += 50;
    bench.end(1);
    expect(bench.finish?.code).toBe("ok");
    bench.end(2);
    expect(bench.finish?.code).toBe("ok");
    expect(bench.sends).toHaveLength(3);
    bench.pass(0);
    expect(bench.finish?.code).toBe("deadline");
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

  it("goes to a suspect only when no other server is left, and takes a token for it", () => {
    const bench = new Workbench({ budget: { burst: 2, ratio: 0 } });
    suspect(bench, a, b);
    bench.start([1], [a, b, c, view("d")], { hedge: { afterMs: 10 } });
    bench.pass(10);
    // The one is slow, and the other is well.
    expect(
      bench.sends
        .slice(-2)
        .map(({ view }) => view.server)
        .sort(),
    ).toEqual(["c", "d"]);
    // Whichever of them loses is under suspicion, too.
    const quick = bench.sends.slice(-2).find(({ view }) => view === c)!;
    bench.end(quick.request);

    bench.start([1], [a, b, c], { hedge: { afterMs: 10 } });
    expect(bench.lastSend.view).toBe(c);
    bench.pass(10);
    expect(bench.told).toEqual(["hedge"]);
    expect([a, b]).toContain(bench.lastSend.view);
    expect(bench.state.budget.tokens).toBe(0);
    bench.start([1], [a, b, c], { hedge: { afterMs: 10 } });
    bench.pass(1000);
    expect(bench.told).toEqual(["throttled"]);
  });

  it("of the second round goes to a server with other points of the request rather than to a suspect, and to the suspect with the rest", () => {
    const bench = new Workbench();
    const d = view("d");
    suspect(bench, d);
    const low = view("low", 0, 6);
    const high = view("high", 4, 100);
    bench.start([1, 5, 9], [a, low, high, d], { hedge: { afterMs: 10, maxHedges: 2 } });
    const sent = (): unknown => bench.of("send").map(({ view, offsets }) => [view.server, offsets]);
    expect(sent()).toEqual([["a", [0, 1, 2]]]);
    bench.pass(10);
    expect(sent()).toEqual([
      ["low", [0, 1]],
      ["high", [2]],
    ]);
    bench.pass(10);
    expect(sent()).toEqual([
      ["high", [1]],
      ["d", [0]],
      ["d", [2]],
    ]);
    expect(bench.state.budget.tokens).toBeCloseTo(10 - 5);
  });

  it("leaves half of the bucket alone when it goes to a suspect, unless servers answer at the moment", () => {
    const bench = new Workbench({ budget: { burst: 4, ratio: 0 } });
    suspect(bench, a);
    const hedge = (): readonly string[] => {
      bench.start([1], [a, c], { hedge: { afterMs: 10 } });
      expect(bench.lastSend.view).toBe(c);
      bench.pass(10);
      return bench.told;
    };
    expect([hedge(), hedge(), hedge()]).toEqual([["hedge"], ["hedge"], ["hedge"]]);
    expect(bench.state.budget.tokens).toBe(1);
    expect(hedge()).toEqual([]);
    bench.end(bench.lastSend.request);
    expect(hedge()).toEqual(["hedge"]);
  });

  it("that a suspect answers makes it one of the others again", () => {
    const bench = new Workbench();
    suspect(bench, a);
    bench.start([1], [a, c], { hedge: { afterMs: 10 } });
    bench.pass(10);
    expect(bench.lastSend.view).toBe(a);
    bench.end(bench.lastSend.request);
    expect(bench.finish?.code).toBe("ok");
    expect(bench.state.servers.get("a")).toMatchObject({ strikes: 0 });
  });

  it("goes neither to a suspect that has no room, nor to one that failed these points, nor to one that asked for a pause", () => {
    const bench = new Workbench({ maxInFlightPerServer: 1 });
    suspect(bench, a);
    bench.start([1], [a]);
    bench.start([1], [b]);
    bench.fail(bench.lastSend.request, { class: "overloaded", pushbackMs: 60_000 });
    // The one is full and suspect, the other wants nothing.
    bench.start([1], [a, b, c], { hedge: { afterMs: 10 } });
    const sends = bench.sends.length;
    bench.pass(5000);
    expect(bench.sends).toHaveLength(sends);
    bench.end(bench.lastSend.request);

    const d = view("d");
    bench.start([1], [c, d], { hedge: { afterMs: 10 } });
    const failed = bench.lastSend.view;
    bench.fail(bench.lastSend.request, "unreachable");
    const other = bench.lastSend.view;
    expect(other).not.toBe(failed);
    bench.pass(5000);
    expect(bench.lastSend.view).toBe(other);
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

  it("that is tied is not made when the request's server has begun", () => {
    const bench = new Workbench();
    bench.start([1], [a, b], { hedge: { afterMs: 10, tied: true } });
    expect(bench.lastSend.tied).toBe(true);
    bench.step({ type: "begun", request: 1 });
    bench.pass(5000);
    expect(bench.sends).toHaveLength(1);
    expect(bench.state.budget.tokens).toBe(10);
  });
});
