import fc from "fast-check";
import { expect, it } from "vitest";
import { hash64 } from "../src/index.js";
import { rankWriter } from "../src/rank-writer.js";
import { inEverySpace } from "./every-space.js";

inEverySpace(({ space, point, anyPoint }) => {
  it(`the rank that is written of a point of ${space.kind} is its rank, and so is that of a space with ranks of its own`, () => {
    const mine = { ...space, rank: () => 7.5 };
    const target = new Float64Array(3);
    fc.assert(
      fc.property(fc.oneof(point, anyPoint), (value) => {
        rankWriter(space)(value, target, 1);
        rankWriter(mine)(value, target, 2);
        expect([...target]).toEqual([0, space.rank(value), 7.5]);
      }),
    );
  });
});

it("the rank that is written of a hash is rounded as Number rounds, also where that is a tie", () => {
  const target = new Float64Array(1);
  const write = rankWriter(hash64);
  for (const base of [1n << 53n, 1n << 62n, 1n << 63n, (1n << 64n) - 8192n]) {
    for (let more = 0n; more < 8192n; more += 256n) {
      for (const point of [base + more, base + more + 1n, base + more - 1n]) {
        write(point, target, 0);
        expect(target[0]).toBe(Number(point));
      }
    }
  }
});
