import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addFall, noPenalty, penaltyAt, release, reuseMs } from "../src/judgement/damping.js";
import { type JudgementContext, newServer, next, wakeMs } from "../src/judgement/server-state.js";
import { resolveJudgement, resolveProbing } from "../src/judgement/settings.js";
import { addInterval, maxIntervals, noIntervals, silenceLimitMs, zOf } from "../src/judgement/silence.js";
import { chance } from "./support/world.js";

const probing = resolveProbing();
const settings = resolveJudgement(probing);
const limits = { z: zOf(settings.phi), intervalMs: probing.intervalMs, maxSilenceMs: settings.maxSilenceMs };
const context: JudgementContext = { settings, limits };

describe("the limit of silence", { timeout: 60_000 }, () => {
  it.each([
    // Quantiles of the normal distribution, from tables (one-sided tails).
    [-Math.log10(0.05), 1.6449],
    [2, 2.3263],
    [3, 3.0902],
    [6, 4.7534],
    [8, 5.612],
    [9, 5.9978],
    [12, 7.0345],
  ])("takes phi %f for %f deviations", (phi, z) => {
    expect(zOf(phi)).toBeCloseTo(z, 3);
  });

  it("is 600 ms for a server that is as regular as can be, and the longest silence for one that is not", () => {
    let regular = noIntervals;
    let irregular = noIntervals;
    for (let count = 0; count < 200; count++) {
      regular = addInterval(regular, 225);
      irregular = addInterval(irregular, count % 2 === 0 ? 20 : 530);
    }
    expect(silenceLimitMs(regular, limits)).toBeCloseTo(600.75, 0);
    expect(silenceLimitMs(noIntervals, limits)).toBeCloseTo(600.75, 0);
    expect(silenceLimitMs(irregular, limits)).toBe(800);
  });

  it("looks at a bounded number of intervals", () => {
    let intervals = noIntervals;
    for (let count = 0; count < 1000; count++) intervals = addInterval(intervals, 1000);
    for (let count = 0; count < maxIntervals; count++) intervals = addInterval(intervals, 10);
    expect(intervals.values).toHaveLength(maxIntervals);
    expect(intervals.sum).toBeCloseTo(10 * maxIntervals);
  });

  it("gives up nobody in a million heartbeats of which 30 % are late by 0 to 300 ms", () => {
    const random = chance(2024);
    let ejections = 0;
    let heartbeats = 0;
    // Many servers with a short history, one with a long one: what is known of a server differs.
    for (const [servers, beats] of [
      [10_000, 50],
      [1, 500_000],
    ] as const) {
      for (let server = 0; server < servers; server++) {
        let state = next(newServer, { type: "connection", state: "ready", atMs: 0 }, context);
        let startMs = 0;
        for (let beat = 0; beat < beats; beat++) {
          const answerMs = startMs + (random() < 0.3 ? 300 * random() : 1);
          // The timer goes off before the answer if it is due before it.
          if (wakeMs(state, context) <= answerMs) {
            state = next(state, { type: "time", atMs: wakeMs(state, context) }, context);
            if (state.silent) ejections++;
          }
          state = next(state, { type: "good", atMs: answerMs }, context);
          heartbeats++;
          // As the registry does: the next one after a jittered interval, and not before the answer.
          startMs = Math.max(answerMs, startMs + probing.intervalMs * (1 - probing.jitter * random()));
        }
      }
    }
    expect(heartbeats).toBe(1_000_000);
    expect(ejections).toBe(0);
  });

  it("gives up everybody who stops, within the longest silence, whatever came before", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1000, noNaN: true }), { maxLength: 100 }), (gaps) => {
        let state = next(newServer, { type: "connection", state: "ready", atMs: 0 }, context);
        let atMs = 0;
        for (const gap of gaps) {
          atMs += gap;
          state = next(state, { type: "good", atMs }, context);
        }
        expect(wakeMs(state, context)).toBeLessThanOrEqual(atMs + settings.maxSilenceMs);
        const due = wakeMs(state, context);
        state = next(state, { type: "time", atMs: due }, context);
        expect(state.silent).toBe(true);
        expect(state.verdict).toBe("unwell");
      }),
    );
  });
});

describe("the penalty for falls", { timeout: 60_000 }, () => {
  const damping = { suppress: 2, reuse: 0.75, halfLifeMs: 15_000, maxMs: 60_000 };

  it("is 1 for a fall and halves in the half-life", () => {
    const penalty = addFall(noPenalty, 1000, damping);
    expect(penaltyAt(penalty, 1000, damping)).toBe(1);
    expect(penaltyAt(penalty, 16_000, damping)).toBeCloseTo(0.5);
    expect(penaltyAt(penalty, 31_000, damping)).toBeCloseTo(0.25);
  });

  it("holds down with the third fall in a few seconds, and until it is down at the reuse threshold", () => {
    let penalty = noPenalty;
    for (const atMs of [0, 1000]) penalty = addFall(penalty, atMs, damping);
    expect(penalty.suppressed).toBe(false);
    penalty = addFall(penalty, 2000, damping);
    expect(penalty.suppressed).toBe(true);
    const endMs = reuseMs(penalty, damping);
    expect(release(penalty, endMs - 1, damping).suppressed).toBe(true);
    const released = release(penalty, endMs, damping);
    expect(released.suppressed).toBe(false);
    expect(released.value).toBeCloseTo(0.75);
  });

  it("never holds down longer than the most after the last fall, however many there were", () => {
    let penalty = noPenalty;
    for (let fall = 0; fall < 10_000; fall++) penalty = addFall(penalty, 10 * fall, damping);
    expect(reuseMs(penalty, damping) - 10 * 9_999).toBeCloseTo(60_000);
  });
});

describe("a judgement", { timeout: 60_000 }, () => {
  it("returns the same state for what changes nothing", () => {
    const ready = next(newServer, { type: "connection", state: "ready", atMs: 0 }, context);
    expect(next(ready, { type: "connection", state: "ready", atMs: 1 }, context)).toBe(ready);
    expect(next(ready, { type: "time", atMs: 1 }, context)).toBe(ready);
    expect(next(ready, { type: "heard", word: "serving", atMs: 1 }, context)).toBe(ready);
    expect(next(ready, { type: "report", ok: true, mayEject: true, atMs: 1 }, context)).toBe(ready);
  });

  it("never changes a state that it was given", () => {
    const freeze = <T>(value: T): T => {
      if (typeof value === "object" && value !== null) {
        Object.freeze(value);
        for (const inner of Object.values(value)) freeze(inner);
      }
      return value;
    };
    const event = fc.oneof(
      fc.record({
        type: fc.constant("connection" as const),
        state: fc.constantFrom("ready" as const, "failed" as const),
      }),
      fc.record({
        type: fc.constantFrom("good" as const, "bad" as const, "denied" as const, "time" as const),
      }),
      fc.record({
        type: fc.constant("heard" as const),
        word: fc.constantFrom("serving" as const, "not-serving" as const, "nothing" as const),
      }),
      fc.record({ type: fc.constant("report" as const), ok: fc.boolean(), mayEject: fc.boolean() }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(event, fc.nat(1000)), { maxLength: 60 }), (events) => {
        let state = freeze(newServer);
        let atMs = 0;
        for (const [what, gap] of events) {
          atMs += gap;
          state = freeze(next(state, { ...what, atMs }, context));
          expect(state.good === 0 || state.bad === 0).toBe(true);
          if (state.verdict === "well") expect(state.known).toBe(true);
        }
      }),
    );
  });
});
