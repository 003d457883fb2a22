import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, it } from "vitest";
import { KeyIndex } from "../src/embedded/key-index.js";
import { openEmbeddedCoord } from "../src/embedded.js";
import { CoordError } from "../src/errors.js";
import type { Compare, KeySelector, Op, WatchEvent } from "../src/port.js";
import { compareKeys, selects } from "../src/selector.js";
import { FakeClock } from "./support/fake-clock.js";
import { MemoryFileSystem } from "./support/memory-file-system.js";
import { covers, Oracle } from "./support/oracle.js";

/** Few and close to each other, so that ranges, prefixes and repetitions meet; some are ordered differently by UTF-16. */
const keys = ["a", "a/", "a/b", "a/\uff5e", "a/\u{1f600}", "a0", "b", "\uff5e", "\u{10000}", "\u{10ffff}"];
const anyKey = fc.constantFrom(...keys);
const anyText = fc.string({ unit: "binary", maxLength: 4 });

const anySelector: fc.Arbitrary<KeySelector> = fc.oneof(
  anyKey.map((key) => ({ key })),
  fc.constantFrom("", "a", "a/", "\u{10ffff}", "zz").map((prefix) => ({ prefix })),
  fc
    .tuple(fc.constantFrom("", ...keys), anyKey)
    .filter(([from, to]) => Buffer.compare(Buffer.from(from), Buffer.from(to)) < 0)
    .map(([from, to]) => ({ from, to })),
);

const anyOp = (id: number): fc.Arbitrary<Op> =>
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc
        .tuple(anyKey, anyText)
        .map(([key, value]) => ({ type: "put" as const, key, value: `${id}${value}` })),
    },
    { weight: 1, arbitrary: anySelector.map((selector) => ({ type: "delete" as const, ...selector })) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(anySelector, fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }))
        .map(([selector, limit]) => ({
          type: "get" as const,
          ...selector,
          ...(limit === undefined ? {} : { limit }),
        })),
    },
  );

const anyCompare: fc.Arbitrary<Compare> = fc
  .tuple(anyKey, fc.constantFrom("=", "!=", "<", ">"), fc.bigInt(0n, 6n), anyText)
  .chain(([key, op, number, text]) =>
    fc.oneof(
      fc
        .constantFrom("create", "mod", "version", "lease")
        .map((target) => ({ key, op, target, value: number }) as const),
      fc.constant({ key, op, target: "value", value: text } as const),
    ),
  );

const anyStep = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant("txn" as const),
      compare: fc.array(anyCompare, { maxLength: 1 }),
      then: fc.array(anyOp(1), { maxLength: 4 }),
      else: fc.array(anyOp(2), { maxLength: 4 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant("get" as const),
      selector: anySelector,
      back: fc.bigInt(0n, 6n),
      limit: fc.integer({ min: 1, max: 6 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("compact" as const), back: fc.bigInt(0n, 6n) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("reopen" as const) }) },
);

describe("the embedded store is what the model says", () => {
  it("for any sequence of transactions, reads, compactions and restarts", { timeout: 60_000 }, async () => {
    const property = fc.asyncProperty(fc.array(anyStep, { minLength: 1, maxLength: 40 }), async (steps) => {
      const fileSystem = new MemoryFileSystem();
      const open = () =>
        openEmbeddedCoord({ directory: "/s", fileSystem, clock: new FakeClock(), walBytes: 400 });
      let coord = await open();
      const oracle = new Oracle();
      let compacted = 1n;
      for (const step of steps) {
        if (step.type === "reopen") {
          await coord.close();
          coord = await open();
        } else if (step.type === "compact") {
          const revision = clamp(oracle.revision - step.back);
          await coord.compact(revision);
          compacted = revision > compacted ? revision : compacted;
        } else if (step.type === "get") {
          const revision = clamp(oracle.revision - step.back);
          const got = coord.get(step.selector, { revision, limit: step.limit });
          if (revision < compacted) {
            await assert.rejects(
              got,
              (error) => error instanceof CoordError && error.compactRevision === compacted,
            );
          } else {
            const expected = {
              revision: oracle.revision,
              ...oracle.get(step.selector, revision, step.limit),
            };
            assert.deepEqual(await got, expected);
          }
        } else if (isAccepted(step.then) && isAccepted(step.else)) {
          assert.deepEqual(await coord.txn(step), oracle.txn(step));
        } else {
          await assert.rejects(
            coord.txn(step),
            (error) => error instanceof CoordError && error.code === "invalid-argument",
          );
        }
      }
      assert.deepEqual(
        await historyOf(coord, compacted, oracle.revision),
        oracle.events.slice(Number(compacted) - 1),
      );
      await coord.close();
    });
    await fc.assert(property, { numRuns: 300 });
  });
});

describe("keys and selectors", () => {
  const anyUnicode = fc.string({ unit: "binary", maxLength: 6 });

  it("are ordered as the bytes of their UTF-8", () => {
    fc.assert(
      fc.property(anyUnicode, anyUnicode, (a, b) => {
        assert.equal(Math.sign(compareKeys(a, b)), Buffer.compare(Buffer.from(a), Buffer.from(b)));
      }),
    );
  });

  it("cover what their bytes say", () => {
    fc.assert(
      fc.property(anySelector, anyKey, (selector, key) => selects(selector, key) === covers(selector, key)),
    );
  });

  it("are kept in an index as in a sorted set, over many splits and joins", () => {
    const anyChange = fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 3000 }));
    fc.assert(
      fc.property(
        fc.array(anyChange, { minLength: 2000, maxLength: 4000, size: "max" }),
        fc.nat(3000),
        (changes, start) => {
          const index = new KeyIndex();
          const set = new Set<string>();
          for (const [isAdd, number] of changes) {
            const key = String(number);
            if (isAdd) {
              assert.equal(index.add(key), !set.has(key));
              set.add(key);
            } else {
              assert.equal(index.remove(key), set.delete(key));
            }
          }
          const sorted = [...set].sort().filter((key) => key >= String(start));
          assert.deepEqual([...index.from(String(start))], sorted);
          assert.equal(index.size, set.size);
        },
      ),
      { numRuns: 20 },
    );
  });
});

function clamp(revision: bigint): bigint {
  return revision < 1n ? 1n : revision;
}

/** The rule in the words of the port: no key put twice, none both put and deleted. */
function isAccepted(ops: readonly Op[]): boolean {
  const puts = ops.flatMap((op) => (op.type === "put" ? [op.key] : []));
  if (new Set(puts).size < puts.length) return false;
  return !ops.some((op) => op.type === "delete" && puts.some((key) => covers(op, key)));
}

/** The events of each revision from one to another, as a watch tells them; [] where it told nothing. */
async function historyOf(
  coord: Awaited<ReturnType<typeof openEmbeddedCoord>>,
  from: bigint,
  to: bigint,
): Promise<(readonly WatchEvent[])[]> {
  const history: (readonly WatchEvent[])[] = Array.from({ length: Number(to - from) + 1 }, () => []);
  const { revision } = await coord.txn({ then: [{ type: "put", key: "end", value: "" }] });
  for await (const batch of coord.watch({ prefix: "" }, { fromRevision: from })) {
    if (batch.revision === revision) break;
    history[Number(batch.revision - from)] = batch.events;
  }
  return history;
}
