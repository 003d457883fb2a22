import { parseTopicName, rangesOfFactor } from "@x/topic-gateway/protocol";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type AllocationInput, allocate, rangeKey, shares, type WantedRange } from "../src/allocation.js";

const none: ReadonlySet<string> = new Set();

/** All ranges of topics of the given factors, held as `holders` says. */
function wantedOf(factors: readonly number[], holders: ReadonlyMap<string, string>): WantedRange[] {
  return factors.flatMap((factor, i) => {
    const topic = parseTopicName(`t${i}`);
    return rangesOfFactor(factor).map((range) => {
      const key = rangeKey(topic, range);
      return { key, topic, range, holder: holders.get(key), epoch: BigInt(range.from + 1) };
    });
  });
}

function counts(buffers: readonly string[], holders: ReadonlyMap<string, string>): number[] {
  return buffers.map((id) => [...holders.values()].filter((holder) => holder === id).length);
}

function decide(
  me: string,
  buffers: readonly string[],
  wanted: readonly WantedRange[],
  more: Partial<AllocationInput> = {},
) {
  return allocate({ me, buffers, wanted, claiming: none, avoid: none, overdue: none, keep: none, ...more });
}

/**
 * Lets buffers act one at a time, in an order that the test chooses, each on a state that may be some steps old; claims of what is
 * held by then are refused. Gives the number of ranges that changed hands.
 */
function settle(
  factors: readonly number[],
  buffers: readonly string[],
  holders: Map<string, string>,
  choices: readonly { readonly who: number; readonly lag: number }[],
): number {
  const states = [new Map(holders)];
  let moves = 0;
  const act = (me: string, lag: number): boolean => {
    const seen = states[Math.max(0, states.length - 1 - lag)] as Map<string, string>;
    const { claim, release } = decide(me, buffers, wantedOf(factors, seen));
    let changed = false;
    for (const { key } of release) changed = (holders.get(key) === me && holders.delete(key)) || changed;
    for (const { key } of claim) {
      if (holders.has(key)) continue;
      holders.set(key, me);
      moves += 1;
      changed = true;
    }
    states.push(new Map(holders));
    return changed;
  };
  for (const { who, lag } of choices) act(buffers[who % buffers.length] as string, lag);
  // Then everybody acts on the newest state until nobody has anything to do.
  for (let round = 0; ; round++) {
    if (round > 50) throw new Error("does not come to rest");
    const changed = buffers.map((id) => act(id, 0));
    if (!changed.includes(true)) return moves;
  }
}

const ids = (count: number): string[] => Array.from({ length: count }, (_, i) => `b${i}`);
const choices = fc.array(fc.record({ who: fc.nat(4), lag: fc.nat(5) }), { maxLength: 30 });
const factors = fc.array(fc.integer({ min: 11, max: 16 }), { maxLength: 4 });

describe("sharing ranges among buffers", () => {
  it("comes to rest with every range held and shares that differ by one at most, in whatever order buffers act on whatever old states", () => {
    fc.assert(
      fc.property(
        factors,
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.nat(4)),
        choices,
        (topics, buffers, initial, order) => {
          const holders = new Map<string, string>();
          for (const [i, { key }] of wantedOf(topics, holders).entries()) {
            const holder = initial[i];
            if (holder !== undefined && holder < buffers) holders.set(key, `b${holder}`);
          }
          settle(topics, ids(buffers), holders, order);
          const held = counts(ids(buffers), holders);
          expect(held.reduce((sum, count) => sum + count, 0)).toBe(wantedOf(topics, holders).length);
          expect(Math.max(...held) - Math.min(...held)).toBeLessThanOrEqual(1);
        },
      ),
    );
  });

  it("moves nothing once it is at rest", () => {
    fc.assert(
      fc.property(factors, fc.integer({ min: 1, max: 5 }), choices, (topics, buffers, order) => {
        const holders = new Map<string, string>();
        settle(topics, ids(buffers), holders, order);
        expect(settle(topics, ids(buffers), holders, order)).toBe(0);
      }),
    );
  });

  it("moves no more than the share of a buffer that joins, and only what a buffer held that leaves", () => {
    fc.assert(
      fc.property(factors, fc.integer({ min: 1, max: 4 }), (topics, buffers) => {
        const holders = new Map<string, string>();
        settle(topics, ids(buffers), holders, []);
        const total = wantedOf(topics, holders).length;
        const joined = settle(topics, ids(buffers + 1), holders, []);
        expect(joined).toBeLessThanOrEqual(Math.ceil(total / (buffers + 1)));
        const leaving = `b${buffers}`;
        let orphans = 0;
        for (const [key, holder] of holders) {
          if (holder !== leaving) continue;
          holders.delete(key);
          orphans += 1;
        }
        expect(settle(topics, ids(buffers), holders, [])).toBe(orphans);
      }),
    );
  });

  it("gives the larger shares to those who hold most, so that the odd range stays where it is", () => {
    const wanted = wantedOf(
      [14],
      new Map([
        ["t0/0-16383", "b1"],
        ["t0/16384-32767", "b1"],
      ]),
    ).slice(0, 3);
    expect(shares(["b0", "b1"], wanted)).toEqual(
      new Map([
        ["b1", 2],
        ["b0", 1],
      ]),
    );
    expect(decide("b1", ["b0", "b1"], wanted)).toEqual({ claim: [], claimOverdue: [], release: [] });
    expect(decide("b0", ["b0", "b1"], wanted).claim.map(({ key }) => key)).toEqual(["t0/32768-49151"]);
  });

  it("takes what others leave lying beyond its share only when it is overdue, and does not hand over what nobody took", () => {
    const holders = new Map([["t0/0-32767", "b0"]]);
    const wanted = wantedOf([15], holders);
    expect(decide("b0", ["b0", "b1"], wanted)).toMatchObject({ claim: [], claimOverdue: [] });
    const overdue = new Set(["t0/32768-65535"]);
    expect(decide("b0", ["b0", "b1"], wanted, { overdue }).claimOverdue.map(({ key }) => key)).toEqual([
      "t0/32768-65535",
    ]);
    const both = wantedOf(
      [15],
      new Map([
        ["t0/0-32767", "b0"],
        ["t0/32768-65535", "b0"],
      ]),
    );
    expect(decide("b0", ["b0", "b1"], both).release).toHaveLength(1);
    const keep = new Set(["t0/32768-65535"]);
    expect(decide("b0", ["b0", "b1"], both, { keep }).release).toEqual([]);
  });

  it("leaves alone what it may not touch now, and hands over everything when it is leaving", () => {
    const wanted = wantedOf([15], new Map([["t0/0-32767", "b0"]]));
    expect(decide("b0", ["b0"], wanted, { avoid: new Set(["t0/32768-65535"]) }).claim).toEqual([]);
    expect(decide("b0", ["b1"], wanted)).toMatchObject({ claim: [], release: [{ key: "t0/0-32767" }] });
  });
});
