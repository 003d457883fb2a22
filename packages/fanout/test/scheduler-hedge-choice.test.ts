import fc from "fast-check";
import { expect, it } from "vitest";
import type { TestView } from "./scheduler-oracle-model.js";
import { view, Workbench } from "./scheduler-workbench.js";

const slow = view("slow");
const only = { retry: { maxAttempts: 1, baseMs: 0, maxMs: 0 } };
const other = fc.record({
  isSuspect: fc.boolean(),
  isFull: fc.boolean(),
  isPaused: fc.boolean(),
  serves: fc.boolean(),
  distance: fc.nat(2),
});

it("a hedge goes to the nearest of the others that have room, serve the point and want requests: the well ones, or else the suspects", () => {
  fc.assert(
    fc.property(fc.array(other, { maxLength: 5 }), fc.nat(), (others, seed) => {
      const views = others.map(({ serves }, index) => view(String(index), serves ? 0 : 100));
      const bench = new Workbench({
        maxInFlightPerServer: 1,
        locality: ({ server }) => (server === "slow" ? -1 : others[Number(server)]!.distance),
        seed,
      });
      const everywhere = (index: number): TestView => view(String(index));
      for (const [index, { isSuspect, isFull, isPaused }] of others.entries()) {
        if (isSuspect) {
          bench.start([1], [everywhere(index)], only);
          bench.fail(bench.lastSend.request, "unreachable");
        }
        if (isPaused) {
          bench.start([1], [everywhere(index)], only);
          bench.fail(bench.lastSend.request, { class: "overloaded", pushbackMs: 60_000 });
        } else if (isFull) bench.start([1], [everywhere(index)]);
      }
      const call = bench.start([1], [...views, slow], { hedge: { afterMs: 10 } });
      expect(bench.lastSend).toMatchObject({ call, view: slow });
      const sends = bench.sends.length;
      bench.pass(10);

      const usable = [...others.entries()].filter(
        ([, { isFull, isPaused, serves }]) => serves && !isPaused && !isFull,
      );
      const well = usable.filter(([, { isSuspect }]) => !isSuspect);
      const best = well.length > 0 ? well : usable;
      const nearest = Math.min(...best.map(([, { distance }]) => distance));
      const allowed = best.filter(([, { distance }]) => distance === nearest).map(([index]) => String(index));
      const hedges = bench.sends.slice(sends);
      expect(hedges).toHaveLength(Math.min(1, allowed.length));
      for (const hedge of hedges) expect(allowed).toContain(hedge.view.server);
    }),
    { numRuns: 500 },
  );
});
