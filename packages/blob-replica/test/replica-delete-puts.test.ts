import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { refOf } from "../src/index.js";
import { blobOf, settle } from "./replica-fakes.js";
import { asks, blob, ref, rejected, World } from "./support/delete-world.js";

describe("a put of what is being deleted", () => {
  it("waits for the delete, and is in every store then", async () => {
    for (const slow of ["far", "near"] as const) {
      const it = new World();
      const replica = await it.open();
      await replica.put(blob);
      await replica.drained();
      it[slow][0].hanging.add("delete");
      const deleting = replica.delete?.(ref);
      await settle();
      const putting = replica.put(blob);
      const other = await replica.put(blobOf("another")); // nobody else waits
      await settle();
      it[slow][0].up();
      expect(await deleting).toBe(true);
      expect(await putting).toEqual({ ref, added: true });
      await replica.drained();
      expect([await it.holders(), await it.holders(other.ref)]).toEqual([
        ["xx", "xx"],
        ["xx", "xx"],
      ]);
      expect(asks(replica)).toEqual([
        [0, false],
        [0, false],
      ]);
    }
  });

  it("ends with its signal while it waits for the delete", async () => {
    const it = new World();
    const replica = await it.open();
    await replica.put(blob);
    it.near[0].hanging.add("delete");
    const deleting = replica.delete?.(ref);
    await settle();
    const controller = new AbortController();
    const reason = new Error("enough");
    const putting = rejected(replica.put(blob, { signal: controller.signal }));
    await settle();
    controller.abort(reason);
    expect(await putting).toBe(reason);
    it.near[0].up();
    expect(await deleting).toBe(true);
    await it.clock.advance(1000);
    expect(await it.holders()).toEqual(["--", "--"]);
  });

  it("is deleted by a delete that came after it, in every store", async () => {
    const it = new World();
    const replica = await it.open();
    it.near[1].hanging.add("put");
    const putting = replica.put(blob);
    await settle();
    const deleting = replica.delete?.(ref);
    await settle();
    it.near[1].up();
    await putting;
    expect(await deleting).toBe(true);
    await it.clock.advance(60_000);
    expect([await it.holders(), asks(replica)[0]]).toEqual([
      ["--", "--"],
      [0, false],
    ]);
  });
});

type Step =
  | { readonly do: "put" | "delete"; readonly n: number; readonly wait: boolean }
  | { readonly do: "down" | "up" | "hang" | "hangDelete"; readonly far: number }
  | { readonly do: "wait"; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom("put" as const, "delete" as const),
      n: fc.integer({ min: 0, max: 2 }),
      wait: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom("down" as const, "up" as const, "hang" as const, "hangDelete" as const),
      far: fc.integer({ min: 0, max: 1 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 7000 }) }),
  },
);

describe("puts and deletes of the same blobs at once", () => {
  it("leave each blob in all stores or in none, as the last of them said, and nothing to be synced", {
    timeout: 120_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const it = new World();
        const replica = await it.open();
        const running: Promise<unknown>[] = [];
        /** What each blob's calls said, in the order of their beginnings. */
        const said = new Map<number, string[]>();
        for (const each of steps) {
          if (each.do === "put" || each.do === "delete") {
            const blobs = blobOf(`blob ${each.n}`);
            const all = said.get(each.n) ?? [];
            said.set(each.n, all);
            const at = all.push("") - 1;
            const call = each.do === "put" ? replica.put(blobs) : replica.delete?.(refOf(blobs));
            running.push(
              call?.then(
                () => all.splice(at, 1, each.do),
                () => all.splice(at, 1, "failed"),
              ) ?? Promise.resolve(),
            );
            if (each.wait) await settle();
          } else if (each.do === "down") it.far[each.far]?.down();
          else if (each.do === "up") it.far[each.far]?.up();
          else if (each.do === "hang") it.far[each.far]?.hanging.add("put");
          else if (each.do === "hangDelete") it.far[each.far]?.hanging.add("delete");
          else if ("ms" in each) await it.clock.advance(each.ms);
        }
        for (const store of it.far) store.up();
        await it.clock.advance(120_000);
        await Promise.all(running);
        await it.clock.advance(120_000);
        expect(asks(replica)).toEqual([
          [0, false],
          [0, false],
        ]);
        for (const [n, all] of said) {
          const [near, far] = await it.holders(refOf(blobOf(`blob ${n}`)));
          expect(far).toBe(near);
          expect(["xx", "--"]).toContain(near);
          // Those that waited at the same time may have come in any order: the last is known where it came alone.
          if (all.every((each) => each === all[0])) {
            if (all[0] === "put") expect(near).toBe("xx");
            if (all[0] === "delete") expect(near).toBe("--");
          }
        }
        expect(it.events.filter(({ event }) => event === "dropped-to-resync")).toEqual([]);
        await replica[Symbol.asyncDispose]();
      }),
      { numRuns: 300, interruptAfterTimeLimit: 90_000 },
    );
  });
});
