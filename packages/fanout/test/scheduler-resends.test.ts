import { describe, expect, it } from "vitest";
import { view, Workbench } from "./scheduler-workbench.js";

const a = view("a");
const b = view("b");
const c = view("c");

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

  // The one that failed is no peer of its own.
  it.each([
    [0, 2, "costs a token"],
    [1, 3, "costs a token"],
    [1, 2, "is free"],
    [2, 3, "is free"],
    [1, 1, "is free"],
    [2, 4, "is free"],
    [1, 4, "costs a token"],
  ])("after unreachable, with %i of %i peers that answer, %s", (answering, count, what) => {
    const bench = new Workbench({ budget: { burst: 1, ratio: 0 } });
    const peers = Array.from({ length: count }, (_, index) => view(`peer ${index}`));
    // It answers too, and servers of other points do, and neither counts.
    for (const only of [a, view("elsewhere"), ...peers.slice(0, answering)]) {
      bench.start([1], [only]);
      bench.end(bench.lastSend.request);
    }
    bench.start([1], [a, ...peers, view("elsewhere", 60_000)], { hedge: false });
    while (bench.lastSend.view !== a) {
      bench.step({ type: "stop", call: bench.lastSend.call });
      bench.start([1], [a, ...peers, view("elsewhere", 60_000)], { hedge: false });
    }
    bench.pass(1000);
    bench.fail(bench.lastSend.request, "unreachable");
    expect(bench.told).toEqual(["fail", "retry"]);
    expect(bench.state.budget.tokens).toBe(what === "is free" ? 1 : 0);
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

  const once = { budget: { burst: 1, ratio: 0 } };
  const read = { viewsCanBeRead: true };

  it("are sent to their new server for free", () => {
    const bench = new Workbench({ budget: { burst: 0, ratio: 0 } });
    const call = bench.start([1, 2], [a], read);
    bench.fail(1, "not-mine");
    bench.step({ type: "views", call, views: [b] });
    bench.pass(10);
    expect(bench.lastSend).toMatchObject({ view: b, offsets: [0, 1], attempt: 2 });
    bench.end(2);
    expect(bench.finish?.code).toBe("ok");
  });

  it("are sent for free to a server that is new, also while the one that refused them is still in the views", () => {
    const bench = new Workbench({ budget: { burst: 0, ratio: 0 } });
    const call = bench.start([1], [a], read);
    bench.fail(1, "not-mine");
    bench.step({ type: "views", call, views: [a, b] });
    bench.pass(10);
    expect(bench.lastSend.view).toBe(b);
  });

  it("are sent for free to a replica when the views have taken them from the one that refused them", () => {
    const bench = new Workbench({ budget: { burst: 0, ratio: 0 } });
    const call = bench.start([1], [a, b], read);
    const [left, right] = bench.lastSend.view === a ? [b, a] : [a, b];
    bench.fail(1, "not-mine");
    // It has others now.
    bench.step({ type: "views", call, views: [left, { ...right, serves: { from: 500, to: 600 } }] });
    bench.pass(10);
    expect(bench.lastSend.view).toBe(left);
  });

  it("are sent for free when nobody had them for a while", () => {
    const bench = new Workbench({ budget: { burst: 0, ratio: 0 } });
    const call = bench.start([1], [a], read);
    bench.fail(1, "not-mine");
    bench.step({ type: "views", call, views: [] });
    bench.pass(1000);
    bench.step({ type: "views", call, views: [b] });
    bench.pass(10);
    expect(bench.lastSend.view).toBe(b);
  });

  it("pay for the next try when the views say the same as before, whatever else has changed in them", () => {
    for (const views of [[a], [a, view("b", 100)], [a, b, c]]) {
      const bench = new Workbench(once);
      const known = views.includes(b) ? [a, b] : [a];
      const call = bench.start([1], known, read);
      const refused = bench.lastSend.view;
      bench.fail(1, "not-mine");
      // The one that refused them still claims them, and the one that is left had them before.
      bench.step({ type: "views", call, views: views.filter((each) => each !== c || refused === c) });
      bench.pass(10);
      expect(bench.sends).toHaveLength(2);
      expect(bench.state.budget.tokens).toBe(0);
      bench.fail(2, "not-mine");
      bench.step({ type: "views", call, views: known });
      bench.pass(20);
      expect(bench.finish).toMatchObject({ code: "failed", failures: [{ reason: "budget" }] });
    }
  });

  it("pay when only some of those that go together have moved", () => {
    const bench = new Workbench(once);
    // Both points were at a, and one of them at c too, which has both now.
    const call = bench.start([1, 200], [a], read);
    bench.fail(1, "not-mine");
    bench.step({ type: "views", call, views: [a, view("c", 0, 100)] });
    bench.pass(10);
    expect(bench.sends.slice(1).map(({ view, offsets }) => [view.server, offsets])).toEqual([
      ["c", [0]],
      ["a", [1]],
    ]);
    // The one that has moved was free.
    expect(bench.state.budget.tokens).toBe(0);
  });

  it("are sent for free twice, then pay: views that lie do not multiply the load, and the failure is named", () => {
    const bench = new Workbench(once);
    const options = { ...read, retry: { maxAttempts: 1000, baseMs: 0, maxMs: 0 } };
    const call = bench.start([1], [view("s1")], options);
    for (let server = 1; bench.finish === undefined; server++) {
      expect(server).toBeLessThan(10);
      bench.fail(bench.lastSend.request, "not-mine");
      bench.step({ type: "views", call, views: [view(`s${server + 1}`)] });
    }
    // The first send, two free ones, and one for the token.
    expect(bench.sends.map(({ view }) => view.server)).toEqual(["s1", "s2", "s3", "s4"]);
    expect(bench.finish).toMatchObject({
      code: "failed",
      failures: [{ reason: "budget", causes: [{}, {}, {}, { class: "not-mine" }] }],
    });
  });

  it("pay for the next try when that one failed for another reason", () => {
    const bench = new Workbench(once);
    const call = bench.start([1], [a], read);
    bench.fail(1, "not-mine");
    bench.step({ type: "views", call, views: [b, c] });
    bench.pass(10);
    expect(bench.state.budget.tokens).toBe(1);
    bench.fail(2, "retryable");
    bench.pass(20);
    expect(bench.sends).toHaveLength(3);
    expect(bench.state.budget.tokens).toBe(0);
  });
});
