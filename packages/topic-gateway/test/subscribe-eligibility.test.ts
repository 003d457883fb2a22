import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type {
  SegmentName,
  SegmentRecord,
  SegmentState,
  SubscriptionName,
  SubscriptionView,
  TopicName,
  TopicView,
} from "../src/protocol.js";
import { progressOf, startOf } from "../src/subscribe/eligibility.js";

interface Drawn {
  readonly createRevision: bigint;
  readonly state: SegmentState;
  /** Whose record was deleted, though others still name it. */
  readonly isGone: boolean;
  readonly isOld: boolean;
  readonly isUnreadable: boolean;
  readonly predecessors: readonly number[];
  readonly listed: number | undefined;
  readonly bookmark:
    | { readonly sequence: number; readonly finished: boolean; readonly generation: number }
    | undefined;
}

const INCARNATION = 3n;

/** Segments that only name earlier ones, in any states, with any bookmarks: more than the protocol can bring about. */
const graphs: fc.Arbitrary<readonly Drawn[]> = fc.integer({ min: 0, max: 8 }).chain((count) =>
  fc.tuple(
    ...Array.from({ length: count }, (_, i) =>
      fc.record({
        createRevision: fc.bigInt({ min: 5n, max: 15n }),
        state: fc.constantFrom<SegmentState>("open", "sealed", "archived", "deleted"),
        isGone: fc.boolean(),
        isOld: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
        isUnreadable: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
        predecessors: i === 0 ? fc.constant([]) : fc.uniqueArray(fc.integer({ min: 0, max: i - 1 })),
        listed: fc.option(fc.nat(20), { nil: undefined }),
        bookmark: fc.option(
          fc.record({
            sequence: fc.nat(40),
            finished: fc.boolean(),
            generation: fc.integer({ min: 1, max: 2 }),
          }),
          { nil: undefined },
        ),
      }),
    ),
  ),
);

const nameOf = (i: number): SegmentName => `${1000 + i}_0-65535` as SegmentName;

function views(
  drawn: readonly Drawn[],
  revision: bigint,
): { topic: TopicView; subscription: SubscriptionView; unreadable: Set<SegmentName> } {
  const topic: TopicView = {
    name: "t" as TopicName,
    config: { factor: 16, incarnation: INCARNATION, layout: INCARNATION },
    leases: new Map(),
    segments: new Map(),
    subscriptions: new Map(),
  };
  const positions: Record<string, number> = {};
  const bookmarks: SubscriptionView["bookmarks"] = new Map();
  const unreadable = new Set<SegmentName>();
  drawn.forEach((one, i) => {
    const name = nameOf(i);
    if (one.listed !== undefined) positions[name] = one.listed;
    if (one.bookmark) bookmarks.set(name, { record: { ...one.bookmark, time: 0n }, modRevision: 20n });
    if (one.isGone) return;
    if (one.isUnreadable) unreadable.add(name);
    const record: SegmentRecord = {
      incarnation: one.isOld ? 2n : INCARNATION,
      layout: INCARNATION,
      epoch: 4n,
      log: "x",
      predecessors: one.predecessors.map(nameOf),
      state: one.state,
      ...(one.state !== "open" && { sealed: { end: 1, lastSequence: 30, lastTime: 1n } }),
    };
    topic.segments.set(name, {
      id: { topic: topic.name, startTime: BigInt(1000 + i), range: { from: 0, to: 65536 } },
      record: one.isUnreadable ? undefined : record,
      createRevision: one.createRevision,
      modRevision: one.createRevision,
      server: { address: "a:1", modRevision: 1n, lease: 1n },
    });
  });
  const subscription: SubscriptionView = {
    name: "s" as SubscriptionName,
    record: { mode: "latest", revision, positions, generation: 1 },
    createRevision: 16n,
    modRevision: 16n,
    bookmarks,
    leases: new Map(),
    consumers: new Map(),
  };
  return { topic, subscription, unreadable };
}

/** The rules as the protocol words them, one segment and one sentence at a time. */
function oracle(drawn: readonly Drawn[], revision: bigint): { position: number; eligible: boolean }[] {
  const done = (i: number): boolean => {
    const one = drawn[i] as Drawn;
    if (one.isGone) return true;
    if (one.isUnreadable) return false;
    if (one.isOld) return true;
    if (one.state === "deleted") return true;
    if (one.listed === undefined && one.createRevision <= revision) return true;
    return one.bookmark !== undefined && one.bookmark.generation === 1 && one.bookmark.finished;
  };
  return drawn.map((one, i) => {
    const start = one.listed !== undefined ? one.listed : 0;
    const marked = one.bookmark?.generation === 1 ? one.bookmark.sequence : 0;
    return { position: Math.max(start, marked), eligible: !done(i) && one.predecessors.every(done) };
  });
}

describe("which segments may be read", () => {
  it("agrees with the rules word for word on random graphs", () => {
    fc.assert(
      fc.property(graphs, fc.bigInt({ min: 0n, max: 16n }), (drawn, revision) => {
        const { topic, subscription, unreadable } = views(drawn, revision);
        const expected = oracle(drawn, revision);
        const found = new Map(
          progressOf(topic, subscription, { unreadable }).map((one) => [one.name as string, one]),
        );
        drawn.forEach((one, i) => {
          const progress = found.get(nameOf(i));
          if (one.isGone || one.isOld || one.isUnreadable) {
            expect(progress).toBeUndefined();
            return;
          }
          expect(progress?.eligible).toBe(expected[i]?.eligible);
          if (progress?.eligible) expect(progress.position).toBe(expected[i]?.position);
        });
        const only = progressOf(topic, subscription, { unreadable, eligibleOnly: true });
        expect(only).toEqual([...found.values()].filter((one) => one.eligible));
      }),
      { numRuns: 500 },
    );
  });

  it("starts listed segments at their position, older ones behind their end, and later ones at the beginning", () => {
    const record = {
      mode: "latest",
      revision: 10n,
      positions: { [nameOf(1)]: 7, [nameOf(2)]: 0 },
      generation: 1,
    } as const;
    expect(startOf(record, nameOf(1), 9n)).toBe(7);
    expect(startOf(record, nameOf(2), 9n)).toBe(0);
    expect(startOf(record, nameOf(3), 10n)).toBeUndefined();
    expect(startOf(record, nameOf(3), 11n)).toBe(0);
    expect(startOf(record, "constructor" as SegmentName, 11n)).toBe(0);
  });

  it("finds nothing while the topic or the subscription does not exist", () => {
    const { topic, subscription } = views([], 0n);
    expect(progressOf({ ...topic, config: undefined }, subscription)).toEqual([]);
    expect(progressOf(topic, { ...subscription, record: undefined })).toEqual([]);
  });
});
