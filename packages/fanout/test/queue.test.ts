import fc from "fast-check";
import { expect, it } from "vitest";
import { Queue } from "../src/queue.js";

it("a queue gives what came first, after any history of pushing, taking and clearing", () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ push: fc.integer({ min: 1, max: 40 }) }) },
    { weight: 4, arbitrary: fc.record({ shift: fc.integer({ min: 1, max: 40 }) }) },
    // So many that it gives memory back when it is empty.
    { weight: 1, arbitrary: fc.record({ push: fc.constant(2_000) }) },
    { weight: 1, arbitrary: fc.record({ shift: fc.constant(3_000) }) },
    { weight: 1, arbitrary: fc.record({ clear: fc.constant(true) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const queue = new Queue<{ readonly id: number }>();
      let expected: { readonly id: number }[] = [];
      let id = 0;
      for (const { push = 0, shift = 0, clear = false } of steps as readonly {
        readonly push?: number;
        readonly shift?: number;
        readonly clear?: boolean;
      }[]) {
        for (let count = 0; count < push; count++) {
          const item = { id: id++ };
          queue.push(item);
          expected.push(item);
        }
        for (const item of expected.slice(0, shift)) expect(queue.shift()).toBe(item);
        expected = expected.slice(shift);
        if (expected.length === 0) expect(queue.shift()).toBe(undefined);
        if (clear) {
          queue.clear();
          expected = [];
        }
        expect(queue.length).toBe(expected.length);
      }
    }),
    { numRuns: 100 },
  );
});
