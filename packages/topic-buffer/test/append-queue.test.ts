import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AppendQueue, type AppendSender } from "../src/append-queue.js";
import { settled } from "./support/fake-clock.js";

setFlagsFromString("--expose-gc");
const collect: () => void = runInNewContext("gc");

const sender: AppendSender = { acknowledge() {}, decline() {}, refuse() {}, refuseLater() {} };

describe("the queue of a range", () => {
  it("lets go of a batch once it was taken, however long others wait behind it", async () => {
    const queue = new AppendQueue();
    const bodies: WeakRef<Buffer>[] = [];
    const push = (batch: number): void => {
      const body = Buffer.allocUnsafeSlow(1024);
      bodies.push(new WeakRef(body));
      queue.push(sender, batch, [body], body.length);
    };
    // A saturated range: two come for two that go, and it is never empty.
    for (let batch = 0; batch < 32; batch++) push(batch);
    for (let batch = 32; batch < 900; batch += 2) {
      push(batch);
      push(batch + 1);
      expect(queue.take(2048).items).toHaveLength(2);
    }
    await settled();
    collect();
    expect(queue.bytes).toBe(32 * 1024);
    // One or two may still be in a register of the loop above.
    expect(bodies.filter((body) => body.deref()).length).toBeLessThanOrEqual(34);
    for (let batch = 868; batch < 900; batch++) expect(queue.take(1).items[0]?.batch).toBe(batch);
    expect(queue.isEmpty).toBe(true);
  });

  it("gives whole batches in their order, as many as a limit holds but at least one", () => {
    const step = fc.oneof(
      fc.record({ push: fc.integer({ min: 1, max: 100 }), times: fc.integer({ min: 1, max: 600 }) }),
      fc.record({ take: fc.integer({ min: 1, max: 30_000 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const queue = new AppendQueue();
        const model: { batch: number; bytes: number }[] = [];
        let next = 1;
        for (const one of steps) {
          if ("push" in one) {
            for (let i = 0; i < one.times; i++) {
              queue.push(sender, next, [], one.push);
              model.push({ batch: next, bytes: one.push });
              next += 1;
            }
          } else if (model.length > 0) {
            const expected = [model.shift() as (typeof model)[number]];
            let bytes = expected[0]?.bytes ?? 0;
            while (model[0] && bytes + model[0].bytes <= one.take) {
              bytes += model[0].bytes;
              expected.push(model.shift() as (typeof model)[number]);
            }
            const group = queue.take(one.take);
            expect(group.items.map(({ batch }) => batch)).toEqual(expected.map(({ batch }) => batch));
            expect(group.bytes).toBe(bytes);
          }
          expect(queue.bytes).toBe(model.reduce((sum, { bytes }) => sum + bytes, 0));
          expect(queue.isEmpty).toBe(model.length === 0);
        }
      }),
      { numRuns: 50 },
    );
  });
});
