import { hash16 } from "@x/space";
import { expect } from "vitest";
import type { ErrorClass } from "../src/errors.js";
import { sortPoints } from "../src/plan/sort-points.js";
import type { ResolvedCallOptions } from "../src/scheduler/contract.js";
import { draw, drawIndex, type Random } from "../src/scheduler/random.js";
import { Oracle } from "./scheduler-oracle.js";
import type { OracleCall, TestView } from "./scheduler-oracle-model.js";

const classes: readonly ErrorClass[] = [
  "retryable",
  "retryable",
  "unreachable",
  "unreachable",
  "overloaded",
  "not-mine",
  "not-retryable",
];

/** Drives a scheduler with whatever may happen, then lets time pass until every call is over. Returns the number of steps. */
export function randomRun(seed: number, steps: number): Oracle {
  const random: Random = { word: seed };
  const chance = (probability: number): boolean => draw(random) < probability;
  const one = <T>(list: readonly T[]): T => list[drawIndex(random, list.length)]!;
  const serverCount = 1 + drawIndex(random, 5);
  const servers = Array.from({ length: serverCount }, (_, index) => `s${index}`);
  const stopped = new Set(servers.filter(() => chance(0.2)));
  const oracle = new Oracle({
    serverOf: ({ server }) => server,
    locality: chance(0.5) ? () => 0 : ({ server }) => server.charCodeAt(1) % 2,
    maxInFlightPerServer: one([1, 2, 5, 100]),
    budget: { burst: one([0, 1, 3, 10, 1000]), ratio: one([0, 0.02, 0.1, 1]) },
    seed,
    traced: true,
  });
  const randomViews = (): TestView[] => {
    const views: TestView[] = [];
    if (chance(0.8)) views.push({ server: one(servers), serves: { from: 0, to: 100 } });
    for (let count = drawIndex(random, 8); count > 0; count--) {
      const from = drawIndex(random, 100);
      views.push({ server: one(servers), serves: { from, to: from + drawIndex(random, 101 - from) } });
    }
    return views;
  };
  const randomOptions = (): ResolvedCallOptions => ({
    maxPointsPerRequest: one([1, 3, 1000]),
    plan: one(["fewest", "balanced"]),
    hedge: one([
      false,
      { afterMs: one([0, 5, 50]), maxHedges: one([1, 2]), tied: chance(0.5) },
      { percentile: 0.9, minMs: 1, initialMs: 10, maxHedges: one([1, 3]), tied: false },
    ]),
    retry: { maxAttempts: one([1, 2, 5]), baseMs: one([0, 10]), maxMs: one([0, 50, 1000]) },
    idleTimeoutMs: one([20, 500, 10_000]),
    maxBufferedChunks: 64,
    perPoint: chance(0.5),
    deadlineMs: chance(0.5) ? Number.POSITIVE_INFINITY : oracle.nowMs + one([0, 30, 3000]),
    viewsCanBeRead: chance(0.5),
    sendPartial: chance(0.5),
  });
  const open = (): OracleCall[] =>
    [...oracle.calls.values()].filter(({ finished }) => finished === undefined);
  let lastCall = 0;
  oracle.step({ type: "tick", nowMs: 0 });

  const act = (isEnd: boolean): void => {
    // Sometimes the clock goes back.
    const at = { nowMs: chance(0.05) ? oracle.nowMs - 5 : oracle.nowMs };
    const choice = draw(random);
    const calls = open();
    const waiting = calls.filter(({ reading }) => reading);
    if (waiting.length > 0 && chance(0.2)) {
      const call = one(waiting).id;
      if (chance(0.2)) oracle.step({ ...at, type: "views-error", call, error: "no views" });
      else oracle.step({ ...at, type: "views", call, views: randomViews() });
    } else if (choice < 0.1 && !isEnd) {
      const points = Array.from({ length: one([0, 1, 1, 2, 10, 30]) }, () => drawIndex(random, 100));
      const options = randomOptions();
      oracle.step({
        ...at,
        type: "start",
        call: ++lastCall,
        points: sortPoints(hash16, points),
        views: randomViews(),
        options,
      });
    } else if (choice < 0.35) {
      oracle.step({ type: "tick", nowMs: oracle.nowMs + one([0, 1, 5, 20, 100]) });
    } else if (choice < 0.45) {
      const { wakeAtMs } = oracle.state;
      if (wakeAtMs < Number.POSITIVE_INFINITY) oracle.step({ type: "tick", nowMs: wakeAtMs + one([0, 0.3]) });
    } else if (choice < 0.5 && calls.length > 0) {
      const call = one(calls);
      oracle.step({ ...at, type: call.paused || isEnd ? "resume" : "pause", call: call.id });
    } else if (choice < 0.51 && calls.length > 0) {
      oracle.step({ ...at, type: "stop", call: one(calls).id });
    } else if (choice < 0.55 && oracle.dead.length > 0) {
      const request = one(oracle.dead);
      const type = one(["end", "begun"] as const);
      if (chance(0.5)) oracle.step({ ...at, type, request });
      else oracle.step({ ...at, type: "error", request, error: "late", verdict: { class: one(classes) } });
    } else {
      const live = [...oracle.live.values()].filter(({ view }) => !stopped.has(view.server));
      if (live.length === 0) return;
      const { id, offsets, call } = one(live);
      const { hedge } = call.options;
      if (hedge !== false && hedge.tied && chance(0.1)) oracle.step({ ...at, type: "begun", request: id });
      else if (chance(0.3)) {
        const verdict = {
          class: one(classes),
          ...(chance(0.3) ? { pushbackMs: one([1, 30, Infinity]) } : {}),
        };
        oracle.step({ ...at, type: "error", request: id, error: `error of ${id}`, verdict });
      } else if (chance(0.5)) {
        // Now and then a value that nobody asked for.
        const offset = chance(0.01) ? call.points.length + 3 : one(offsets);
        oracle.step({ ...at, type: "result", request: id, ...(call.options.perPoint ? { offset } : {}) });
        if (offset >= call.points.length && call.options.perPoint) expect(oracle.live.has(id)).toBe(false);
      } else oracle.step({ ...at, type: "end", request: id });
    }
  };

  for (let step = 0; step < steps; step++) act(false);
  // Nothing new now, and what was asked is answered: everything must come to an end.
  for (let step = 0; open().length > 0; step++) {
    expect(step).toBeLessThan(20_000);
    for (const call of open())
      if (call.paused) oracle.step({ nowMs: oracle.nowMs, type: "resume", call: call.id });
    for (const call of open()) {
      if (call.reading)
        oracle.step({ nowMs: oracle.nowMs, type: "views", call: call.id, views: randomViews() });
    }
    if (chance(0.5)) act(true);
    const { wakeAtMs } = oracle.state;
    if (wakeAtMs < Number.POSITIVE_INFINITY) oracle.step({ type: "tick", nowMs: wakeAtMs });
    else expect(open().every(({ reading }) => reading)).toBe(true);
  }
  expect(oracle.live.size).toBe(0);
  oracle.step({ type: "tick", nowMs: oracle.nowMs + 700_000 });
  expect(oracle.state.servers.size).toBe(0);
  return oracle;
}
