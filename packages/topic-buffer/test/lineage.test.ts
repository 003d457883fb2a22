import {
  formatHashRange,
  parseTopicName,
  rangesOfFactor,
  rangesOverlap,
  type SegmentName,
  type SegmentRecord,
  type SegmentView,
  segmentName,
  type TopicView,
} from "@x/topic-gateway/protocol";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lineageOf } from "../src/lineage.js";

const topic = parseTopicName("t");

function emptyTopic(): TopicView {
  return {
    name: topic,
    config: { factor: 16, incarnation: 1n, layout: 1n },
    leases: new Map(),
    segments: new Map(),
    subscriptions: new Map(),
  };
}

function add(
  view: TopicView,
  startTime: bigint,
  range: { from: number; to: number },
  record: Partial<SegmentRecord>,
): SegmentView {
  const id = { topic, startTime, range };
  const state = record.state ?? "sealed";
  const segment: SegmentView = {
    id,
    record: {
      incarnation: 1n,
      layout: 1n,
      epoch: 1n,
      log: `log/${startTime}`,
      predecessors: [],
      state,
      ...(state !== "open" && { sealed: { end: 0, lastSequence: 0, lastTime: startTime + 5n } }),
      ...record,
    },
    createRevision: startTime,
    modRevision: startTime,
    server: undefined,
  };
  view.segments.set(segmentName(id), segment);
  return segment;
}

describe("the lineage of a range", () => {
  it("keeps every earlier overlapping segment before a later one by way of the recorded predecessors, over any resizes", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ factor: fc.integer({ min: 13, max: 16 }), which: fc.nat(7) }), {
          maxLength: 14,
        }),
        (steps) => {
          const view = emptyTopic();
          for (const [i, { factor, which }] of steps.entries()) {
            const ranges = rangesOfFactor(factor);
            const range = ranges[which % ranges.length] as { from: number; to: number };
            const { predecessors } = lineageOf(view, range, 1n);
            add(view, BigInt(100 * (i + 1)), range, { predecessors });
          }
          const all = [...view.segments.values()];
          const before = (name: SegmentName): Set<SegmentName> => {
            const found = new Set<SegmentName>();
            const open = [name];
            for (let next = open.pop(); next; next = open.pop()) {
              for (const predecessor of view.segments.get(next)?.record?.predecessors ?? []) {
                if (!found.has(predecessor)) open.push(predecessor);
                found.add(predecessor);
              }
            }
            return found;
          };
          for (const later of all) {
            const ancestors = before(segmentName(later.id));
            for (const earlier of all) {
              if (
                earlier.id.startTime >= later.id.startTime ||
                !rangesOverlap(earlier.id.range, later.id.range)
              )
                continue;
              expect(ancestors.has(segmentName(earlier.id))).toBe(true);
            }
            // And none is named that another one already implies.
            for (const name of later.record?.predecessors ?? []) {
              for (const other of later.record?.predecessors ?? [])
                expect(before(other).has(name)).toBe(false);
            }
          }
        },
      ),
    );
  });

  it("names the last one of a chain only, whatever the chain's length", () => {
    const view = emptyTopic();
    const range = { from: 0, to: 65536 };
    for (let i = 1; i <= 4; i++)
      add(view, BigInt(i * 10), range, { predecessors: lineageOf(view, range, 1n).predecessors });
    expect(lineageOf(view, range, 1n).predecessors).toEqual([`40_${formatHashRange(range)}`]);
  });

  it("leaves deleted segments and those of an earlier topic out, but starts after their times", () => {
    const view = emptyTopic();
    const range = { from: 0, to: 65536 };
    add(view, 10n, range, { state: "deleted" });
    add(view, 20n, range, { incarnation: 0n });
    const lineage = lineageOf(view, range, 1n);
    expect(lineage.predecessors).toEqual([]);
    expect(lineage.lastTime).toBe(25n);
  });

  it("wants every open segment sealed, and those adopted that nobody serves", () => {
    const view = emptyTopic();
    const range = { from: 0, to: 65536 };
    add(view, 10n, { from: 0, to: 1024 }, { state: "open" });
    add(view, 20n, { from: 1024, to: 2048 }, {});
    add(view, 30n, { from: 2048, to: 4096 }, {}).server = { address: undefined, modRevision: 1n, lease: 1n };
    const { unsealed, unserved } = lineageOf(view, range, 1n);
    expect(unsealed.map(({ id }) => id.startTime)).toEqual([10n]);
    expect(unserved.map(({ id }) => id.startTime)).toEqual([20n]);
  });
});
