import assert from "node:assert/strict";
import type { Compare, CompareOp } from "../port.js";
import {
  type ComplianceCase,
  complianceCase,
  getOne,
  keysOf,
  put,
  putAll,
  rejectsWith,
  textOf,
} from "./fixture.js";

const ops: readonly CompareOp[] = ["=", "!=", "<", ">"];

export const txnCases: readonly ComplianceCase[] = [
  complianceCase("numbers are compared by every target and op", async ({ coord, prefix, store }) => {
    const key = `${prefix}k`;
    const { id: lease } = await coord.grantLease(store.leaseTtlMs * 100);
    const create = await putAll(coord, put(key, "1", lease));
    const mod = await putAll(coord, put(key, "2", lease));
    const actual = { create, mod, version: 2n, lease } as const;
    for (const target of ["create", "mod", "version", "lease"] as const) {
      for (const [value, order] of [
        [actual[target] - 1n, 1],
        [actual[target], 0],
        [actual[target] + 1n, -1],
      ] as const) {
        for (const op of ops) {
          const { succeeded } = await coord.txn({ compare: [{ key, target, op, value }] });
          assert.equal(succeeded, expected(op, order), `${target} ${op} ${value}, being ${actual[target]}`);
        }
      }
    }
    await coord.revokeLease(lease);
  }),

  complianceCase("values are compared as bytes", async ({ coord, prefix }) => {
    const key = `${prefix}k`;
    await putAll(coord, put(key, "b\uff5e"));
    const cases: readonly (readonly [string | Uint8Array, number])[] = [
      ["b\uff5e", 0],
      ["b", 1],
      ["", 1],
      ["a\u{10000}", 1],
      // Less by UTF-16 units, more by bytes.
      ["b\u{10000}", -1],
      ["b\uff5e\u0000", -1],
      [Uint8Array.of(0x62, 0xff), -1],
    ];
    for (const [value, order] of cases) {
      for (const op of ops) {
        const { succeeded } = await coord.txn({ compare: [{ key, target: "value", op, value }] });
        assert.equal(succeeded, expected(op, order), `value ${op} ${String(value)}`);
      }
    }
  }),

  complianceCase("a missing key counts as zeros and has no value", async ({ coord, prefix }) => {
    const key = `${prefix}gone`;
    await putAll(coord, put(key));
    await coord.txn({ then: [{ type: "delete", key }] });
    for (const name of [key, `${prefix}never`]) {
      for (const target of ["create", "mod", "version", "lease"] as const) {
        for (const op of ops) {
          for (const value of [0n, 1n]) {
            const { succeeded } = await coord.txn({ compare: [{ key: name, target, op, value }] });
            assert.equal(succeeded, expected(op, value === 0n ? 0 : -1), `${target} ${op} ${value}`);
          }
        }
      }
      for (const op of ops) {
        const { succeeded } = await coord.txn({ compare: [{ key: name, target: "value", op, value: "x" }] });
        assert.equal(succeeded, false, `value ${op} of a missing key`);
      }
    }
  }),

  complianceCase("all compares must hold, and one branch runs", async ({ coord, prefix }) => {
    const key = `${prefix}k`;
    const missing: Compare = { key, target: "create", op: "=", value: 0n };
    const there: Compare = { key, target: "create", op: ">", value: 0n };
    const txn = {
      then: [put(`${prefix}then`, "t")],
      else: [put(`${prefix}else`, "e"), { type: "get", prefix }],
    } as const;
    const failed = await coord.txn({ compare: [missing, there], ...txn });
    assert.equal(failed.succeeded, false);
    assert.deepEqual(
      failed.results.map((result) => result.type),
      ["put", "get"],
    );
    assert.deepEqual(keysOf((await coord.get({ prefix })).kvs), [`${prefix}else`]);
    const succeeded = await coord.txn({ compare: [missing], ...txn });
    assert.equal(succeeded.succeeded, true);
    assert.deepEqual(keysOf((await coord.get({ prefix })).kvs), [`${prefix}else`, `${prefix}then`]);
    assert.equal((await coord.txn({ then: [] })).succeeded, true);
  }),

  complianceCase("compares see the store as it was before the transaction", async ({ coord, prefix }) => {
    const key = `${prefix}k`;
    const txn = { compare: [{ key, target: "version", op: "=", value: 0n }], then: [put(key)] } as const;
    assert.equal((await coord.txn(txn)).succeeded, true);
    assert.equal((await coord.txn(txn)).succeeded, false);
  }),

  complianceCase(
    "a get in a transaction sees the ops before it and not those behind",
    async ({ coord, prefix }) => {
      await putAll(coord, put(`${prefix}a`, "old"), put(`${prefix}b`, "old"));
      const { results, revision } = await coord.txn({
        then: [
          { type: "get", key: `${prefix}a` },
          put(`${prefix}a`, "new"),
          { type: "get", key: `${prefix}a` },
          { type: "delete", key: `${prefix}b` },
          put(`${prefix}c`, "new"),
          { type: "get", prefix },
          put(`${prefix}d`, "new"),
          { type: "get", prefix, limit: 2 },
        ],
      });
      const seen = results.map((result) =>
        result.type === "get"
          ? result.kvs.map((kv) => kv.key.slice(prefix.length) + textOf(kv))
          : result.type,
      );
      assert.deepEqual(seen, [
        ["aold"],
        "put",
        ["anew"],
        "delete",
        "put",
        ["anew", "cnew"],
        "put",
        ["anew", "cnew"],
      ]);
      const last = results.at(-1);
      assert.ok(last?.type === "get" && last.more);
      assert.equal(last.kvs[0]?.modRevision, revision);
    },
  ),

  complianceCase("a branch that changes a key twice is refused as a whole", async ({ coord, prefix }) => {
    const key = `${prefix}k`;
    const twice = [put(key, "1"), put(key, "2")];
    await rejectsWith(coord.txn({ then: twice }), "invalid-argument");
    await rejectsWith(coord.txn({ else: twice }), "invalid-argument");
    await rejectsWith(coord.txn({ then: [put(key), { type: "delete", key }] }), "invalid-argument");
    await rejectsWith(coord.txn({ then: [{ type: "delete", prefix }, put(key)] }), "invalid-argument");
    assert.equal(await getOne(coord, key), undefined);
    const once = await coord.txn({ then: [put(key, "then")], else: [put(key, "else")] });
    assert.equal(once.succeeded, true);
  }),

  complianceCase("deletes take one key, a prefix or a range, and count", async ({ coord, prefix }) => {
    await putAll(coord, ...["a", "b/1", "b/2", "b0", "c", "d"].map((name) => put(prefix + name)));
    const { results } = await coord.txn({
      then: [
        { type: "delete", key: `${prefix}a` },
        { type: "delete", prefix: `${prefix}b/` },
        { type: "delete", from: `${prefix}c`, to: `${prefix}d` },
        { type: "delete", key: `${prefix}a` },
        { type: "delete", prefix: `${prefix}nothing` },
      ],
    });
    assert.deepEqual(
      results.map((result) => result.type === "delete" && result.deleted),
      [1, 2, 1, 0, 0],
    );
    assert.deepEqual(keysOf((await coord.get({ prefix })).kvs), [`${prefix}b0`, `${prefix}d`]);
  }),

  complianceCase(
    "what changes something makes one revision, what does not makes none",
    async ({ coord, prefix }) => {
      const first = await putAll(coord, put(`${prefix}a`), put(`${prefix}b`), put(`${prefix}c`));
      const nothing = await coord.txn({
        then: [
          { type: "delete", key: `${prefix}x` },
          { type: "get", prefix },
        ],
      });
      assert.equal(nothing.revision, first);
      assert.equal((await coord.txn({})).revision, first);
      const failed = await coord.txn({
        compare: [{ key: `${prefix}x`, target: "version", op: ">", value: 0n }],
        then: [put(`${prefix}x`)],
      });
      assert.equal(failed.revision, first);
      const same = await putAll(coord, put(`${prefix}a`));
      assert.equal(same, first + 1n, "a put of the same value is a change");
      const many = await coord.txn({ then: [{ type: "delete", prefix }] });
      assert.equal(many.revision, same + 1n);
      assert.equal((await coord.get({ prefix })).revision, same + 1n);
    },
  ),

  complianceCase("increments by compare-and-swap lose nothing", async ({ coord, prefix }) => {
    const key = `${prefix}counter`;
    const revisions = new Set<bigint>();
    const increment = async (): Promise<void> => {
      for (;;) {
        const kv = await getOne(coord, key);
        const compare: Compare = { key, target: "mod", op: "=", value: kv?.modRevision ?? 0n };
        const next = String(Number(textOf(kv) ?? "0") + 1);
        const { succeeded, revision } = await coord.txn({ compare: [compare], then: [put(key, next)] });
        if (!succeeded) continue;
        revisions.add(revision);
        return;
      }
    };
    const worker = async (): Promise<void> => {
      for (let done = 0; done < 20; done++) await increment();
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    const kv = await getOne(coord, key);
    assert.equal(textOf(kv), "160");
    assert.equal(kv?.version, 160n);
    assert.equal(revisions.size, 160);
  }),

  complianceCase("of many who create one key, one succeeds", async ({ coord, prefix }) => {
    const key = `${prefix}leader`;
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        coord.txn({
          compare: [{ key, target: "create", op: "=", value: 0n }],
          then: [put(key, String(index))],
          else: [{ type: "get", key }],
        }),
      ),
    );
    const winners = results.flatMap((result, index) => (result.succeeded ? [index] : []));
    assert.equal(winners.length, 1);
    for (const { succeeded, results: found } of results) {
      const [seen] = found;
      if (!succeeded) assert.ok(seen?.type === "get" && textOf(seen.kvs[0]) === String(winners[0]));
    }
  }),
];

function expected(op: CompareOp, order: number): boolean {
  return op === "=" ? order === 0 : op === "!=" ? order !== 0 : op === "<" ? order < 0 : order > 0;
}
