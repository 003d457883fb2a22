import { hash16, hash64, infinity, type Space, utf8Keys } from "@x/space";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SpaceVote } from "../src/registry/space-vote.js";
import { type Info, named, openWorld, sleep, type World } from "./support/world.js";

const honest: Info = { serves: { from: "a", to: infinity } };
const other = { serves: { from: 0, to: 100 } } as unknown as Info;
const all = ["a:1", "b:1", "c:1"];

/** All healthy views serve in one space, so that a fanout can be given them. */
function agree(world: World): void {
  expect(
    new Set(world.registry.healthyViews().map(({ serves }) => typeof serves?.from)).size,
  ).toBeLessThanOrEqual(1);
}

async function watch(world: World, ms: number): Promise<void> {
  for (let step = 0; step < ms; step += 10) {
    await world.clock.advance(10);
    agree(world);
  }
}

describe("a server that serves in another space than the others", { timeout: 60_000 }, () => {
  it.each(all)("harms itself alone when it is the first to say anything (%s)", async (liar) => {
    const world = openWorld(all);
    for (const address of all)
      world.probes.script(address, async () => {
        if (address === liar) return other;
        await sleep(world, 100);
        return honest;
      });
    await world.clock.advance(50);
    expect(world.healthy()).toEqual([liar]);
    // It is no fault of whoever asks what the only server says.
    expect(world.registry.viewsFor("k")).toEqual([]);
    await watch(world, 2000);
    const others = all.filter((address) => address !== liar);
    expect(world.healthy()).toEqual(others);
    expect(world.registry.viewsFor("k")).toHaveLength(2);
    const [failed] = named(world, "probe-failed").filter(({ endpoint }) => endpoint === liar);
    expect(failed).toMatchObject({ reason: "nonsense", error: { code: "bad-answer" } });
    expect(world.registry.dump()).toMatch(/unhealthy; bad-answers; serves \[0, 100\)/);
    world.probes.answer(liar, honest);
    await watch(world, 2000);
    expect(world.healthy()).toEqual(all);
  });

  it("harms itself alone when it comes later, and when it is the only one that is left it is used", async () => {
    const world = openWorld(all, { info: honest });
    await watch(world, 1000);
    world.probes.answer("c:1", other);
    await watch(world, 2000);
    expect(world.healthy()).toEqual(["a:1", "b:1"]);
    world.locator.set(["c:1"]);
    await watch(world, 2000);
    expect(world.healthy()).toEqual(["c:1"]);
    expect(world.registry.viewsFor(5 as never)).toHaveLength(1);
    world.locator.set(all);
    await watch(world, 2000);
    expect(world.healthy()).toEqual(["a:1", "b:1"]);
    expect(world.registry.viewsFor("k")).toHaveLength(2);
  });

  it("says so to nobody when the space is given: neither are its points the caller's", async () => {
    const world = openWorld(all, { info: other, space: utf8Keys });
    world.probes.answer("c:1", honest);
    await watch(world, 2000);
    expect(world.healthy()).toEqual(["c:1"]);
    expect(world.registry.viewsFor("k")).toHaveLength(1);
    expect(() => world.registry.viewsFor(5 as never)).toThrow(/no point of utf8Keys/);
  });
});

describe("the vote for a space", () => {
  it("is for the one that most are of, and at a draw for what it was for before", () => {
    const space = fc.constantFrom<Space<unknown> | undefined>(
      undefined,
      ...([utf8Keys, hash16, hash64] as unknown as Space<unknown>[]),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(5), space), { maxLength: 60 }), (moves) => {
        const vote = new SpaceVote();
        const votes: (Space<unknown> | undefined)[] = Array.from({ length: 6 }, () => undefined);
        const countOf = (of: Space<unknown> | undefined): number =>
          of === undefined ? 0 : votes.filter((each) => each === of).length;
        for (const [server, to] of moves) {
          const before = vote.elected;
          vote.move(votes[server], to);
          votes[server] = to;
          const most = Math.max(...votes.map(countOf));
          expect(countOf(vote.elected)).toBe(most);
          if (most === 0) expect(vote.elected).toBeUndefined();
          else if (countOf(before) === most) expect(vote.elected).toBe(before);
        }
      }),
    );
  });
});
