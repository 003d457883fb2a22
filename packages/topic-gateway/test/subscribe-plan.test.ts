import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { SegmentName } from "../src/protocol.js";
import { type PlanSegment, planMoves } from "../src/subscribe/plan.js";

/** Consumers, and who holds what. Everybody sees the newest state and moves as the plan says, one after the other. */
class Model {
  readonly holders = new Map<SegmentName, PlanSegment["holder"]>();
  readonly sessions = new Map<string, bigint>();
  moves = 0;
  #revision = 0n;

  constructor(segments: number) {
    for (let i = 0; i < segments; i++) this.holders.set(`${1000 + i}_0-65535` as SegmentName, undefined);
  }

  join(id: string): void {
    this.#revision += 1n;
    this.sessions.set(id, this.#revision);
  }

  /** The session is gone and with it what it held. */
  leave(id: string): void {
    this.sessions.delete(id);
    for (const [name, holder] of this.holders) if (holder?.session === id) this.holders.set(name, undefined);
  }

  input(me: string): Parameters<typeof planMoves>[0] {
    return {
      me,
      sessions: [...this.sessions].map(([id, createRevision]) => ({ id, createRevision })),
      segments: [...this.holders].map(([name, holder]) => ({ name, holder })),
    };
  }

  /** Whether anything moved. */
  step(me: string): boolean {
    const { acquire, release } = planMoves(this.input(me));
    for (const name of release) {
      expect(this.holders.get(name)?.session).toBe(me);
      this.holders.set(name, undefined);
    }
    for (const name of acquire) {
      expect(this.holders.get(name)).toBeUndefined();
      this.#revision += 1n;
      this.holders.set(name, { session: me, createRevision: this.#revision });
    }
    this.moves += acquire.length;
    return acquire.length + release.length > 0;
  }

  settle(order: readonly string[]): void {
    for (let round = 0; round < 5; round++) {
      let moved = false;
      for (const me of order) moved = this.step(me) || moved;
      if (!moved) return;
    }
    throw new Error("the consumers do not come to rest within five rounds");
  }

  shares(): number[] {
    return [...this.sessions.keys()].map(
      (id) => [...this.holders.values()].filter((h) => h?.session === id).length,
    );
  }
}

type Event =
  | { readonly type: "join" | "leave"; readonly id: string }
  | { readonly type: "rest"; readonly turn: number };
const id = fc.integer({ min: 1, max: 6 }).map(String);
const events: fc.Arbitrary<readonly Event[]> = fc.array(
  fc.oneof(
    fc.record({ type: fc.constant("join" as const), id }),
    fc.record({ type: fc.constant("leave" as const), id }),
    fc.record({ type: fc.constant("rest" as const), turn: fc.nat(5) }),
  ),
  { maxLength: 30 },
);

describe("who reads what", () => {
  it("comes to rest after any joins and leaves, with everything held and fair shares", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 20 }), events, (segments, happens) => {
        const model = new Model(segments);
        const rest = (turn: number): void => {
          const order = [...model.sessions.keys()];
          model.settle([
            ...order.slice(turn % (order.length || 1)),
            ...order.slice(0, turn % (order.length || 1)),
          ]);
          if (order.length === 0) return;
          const shares = model.shares();
          expect([...model.holders.values()].every((holder) => holder)).toBe(true);
          expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
        };
        for (const event of happens) {
          if (event.type === "rest") {
            rest(event.turn);
          } else if (event.type === "join") {
            if (!model.sessions.has(event.id)) model.join(event.id);
          } else {
            model.leave(event.id);
          }
        }
        rest(0);
      }),
      { numRuns: 500 },
    );
  });

  it("moves no more than fairness demands when one joins or leaves", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 8 }), (segments, consumers) => {
        const model = new Model(segments);
        const ids = Array.from({ length: consumers }, (_, i) => String(i + 1));
        for (const one of ids) model.join(one);
        model.settle(ids);
        model.moves = 0;
        model.join("new");
        model.settle([...ids, "new"]);
        // The newcomer gets its share and nobody else gets anything.
        expect(model.moves).toBe(Math.floor(segments / (consumers + 1)));

        model.moves = 0;
        const left = [...model.holders.values()].filter((holder) => holder?.session === "1").length;
        model.leave("1");
        model.settle([...ids.slice(1), "new"]);
        expect(model.moves).toBe(left);
      }),
    );
  });

  it("gives each free segment to one consumer only, when all see the same", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 20 }),
        fc.array(id, { minLength: 1 }),
        fc.array(fc.option(id, { nil: undefined }), { maxLength: 20 }),
        (segments, joined, held) => {
          const model = new Model(segments);
          for (const one of new Set(joined)) model.join(one);
          [...model.holders.keys()].forEach((name, i) => {
            const session = held[i];
            // Holders need not be consumers: those are on their way out.
            if (session) model.holders.set(name, { session, createRevision: BigInt(i) });
          });
          const taken = [...model.sessions.keys()].flatMap((me) => planMoves(model.input(me)).acquire);
          expect(new Set(taken).size).toBe(taken.length);
          const released = [...model.sessions.keys()].flatMap((me) => planMoves(model.input(me)).release);
          expect(new Set(released).size).toBe(released.length);
        },
      ),
    );
  });

  it("does nothing for a consumer that is not among the sessions but give back what it holds", () => {
    const model = new Model(3);
    model.join("1");
    model.step("1");
    const input = { ...model.input("1"), sessions: [] };
    expect(planMoves(input)).toEqual({ acquire: [], release: expect.toSatisfy((r) => r.length === 3) });
  });

  it("gives back the latest acquired, and counts what is on its way out already", () => {
    const model = new Model(4);
    model.join("1");
    model.step("1");
    model.join("2");
    const first = planMoves(model.input("1")).release;
    expect(first.map((name) => model.holders.get(name)?.createRevision)).toEqual([5n, 4n]);
    const leaving = new Set(first.slice(0, 1));
    expect(planMoves({ ...model.input("1"), leaving }).release).toEqual(first.slice(1));
    expect(planMoves({ ...model.input("1"), leaving: new Set(first) }).release).toEqual([]);
  });
});
