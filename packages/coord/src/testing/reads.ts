import assert from "node:assert/strict";
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

/** In the order of UTF-8 bytes, which is not that of UTF-16: U+FF5E would come last there. */
const inByteOrder = [
  "!",
  "/",
  "A",
  "a",
  "a/",
  "a/b",
  "ab",
  "\u00e9",
  "\u20ac",
  "\ud7ff",
  "\ue000",
  "\uff5e",
  "\u{10000}",
  "\u{1f600}",
  "\u{10ffff}",
];

export const readCases: readonly ComplianceCase[] = [
  complianceCase(
    "a get of a missing key answers nothing, with the store's revision",
    async ({ coord, prefix }) => {
      const before = await coord.get({ key: `${prefix}missing` });
      assert.deepEqual(before.kvs, []);
      assert.equal(before.more, false);
      const revision = await putAll(coord, put(`${prefix}a`));
      assert.equal(revision, before.revision + 1n);
      assert.equal((await coord.get({ key: `${prefix}missing` })).revision, revision);
    },
  ),

  complianceCase("a key tells its revisions, its version and its bytes", async ({ coord, prefix }) => {
    const key = `${prefix}k`;
    const bytes = Uint8Array.of(0, 255, 128, 10);
    const first = await putAll(coord, put(key, "one"));
    const second = await putAll(coord, put(key, bytes));
    const kv = await getOne(coord, key);
    assert.deepEqual(kv && { ...kv, value: [...kv.value] }, {
      key,
      value: [...bytes],
      createRevision: first,
      modRevision: second,
      version: 2n,
      lease: 0n,
    });
    await coord.txn({ then: [{ type: "delete", key }] });
    const third = await putAll(coord, put(key, "again"));
    const again = await getOne(coord, key);
    assert.deepEqual([again?.createRevision, again?.modRevision, again?.version], [third, third, 1n]);
  }),

  complianceCase("values belong to whoever gave or got them", async ({ coord, prefix }) => {
    const key = `${prefix}k`;
    const given = Uint8Array.of(1, 2, 3);
    const done = coord.txn({ then: [put(key, given)] });
    given.fill(9);
    await done;
    const got = await getOne(coord, key);
    assert.deepEqual([...got!.value], [1, 2, 3]);
    got!.value.fill(7);
    assert.deepEqual([...(await getOne(coord, key))!.value], [1, 2, 3]);
  }),

  complianceCase("an empty value is a value", async ({ coord, prefix }) => {
    await putAll(coord, put(`${prefix}k`, ""));
    assert.equal((await getOne(coord, `${prefix}k`))?.value.byteLength, 0);
  }),

  complianceCase("a prefix covers its keys and not its neighbours", async ({ coord, prefix }) => {
    const names = ["a", "a/", "a/1", "a/2", "a0", "ab/1", "b"];
    await putAll(coord, ...names.map((name) => put(prefix + name)));
    const covered = async (name: string) =>
      keysOf((await coord.get({ prefix: prefix + name })).kvs).map((key) => key.slice(prefix.length));
    assert.deepEqual(await covered("a/"), ["a/", "a/1", "a/2"]);
    assert.deepEqual(await covered("a"), ["a", "a/", "a/1", "a/2", "a0", "ab/1"]);
    assert.deepEqual(await covered(""), names);
    assert.deepEqual(await covered("c"), []);
  }),

  complianceCase(
    "a prefix that ends with the last character covers what it should",
    async ({ coord, prefix }) => {
      const names = ["\u{10ffff}", "\u{10ffff}\u{10ffff}", "\u{10ffff}a"].map((name) => prefix + name);
      await putAll(coord, ...names.map((key) => put(key)), put(`${prefix}z`));
      assert.deepEqual(
        keysOf((await coord.get({ prefix: `${prefix}\u{10ffff}` })).kvs).sort(),
        [...names].sort(),
      );
    },
  ),

  complianceCase("the empty prefix covers everything", async ({ coord, prefix }) => {
    await putAll(coord, put(`${prefix}a`), put(`${prefix}b`));
    const own = keysOf((await coord.get({ prefix: "" })).kvs).filter((key) => key.startsWith(prefix));
    assert.deepEqual(own, [`${prefix}a`, `${prefix}b`]);
  }),

  complianceCase("a range holds its start and not its end", async ({ coord, prefix }) => {
    await putAll(coord, ...["a", "b", "c", "d"].map((name) => put(prefix + name)));
    const { kvs } = await coord.get({ from: `${prefix}b`, to: `${prefix}d` });
    assert.deepEqual(keysOf(kvs), [`${prefix}b`, `${prefix}c`]);
    const all = await coord.get({ from: "", to: `${prefix}b` });
    assert.ok(keysOf(all.kvs).includes(`${prefix}a`));
    assert.ok(!keysOf(all.kvs).includes(`${prefix}b`));
  }),

  complianceCase("keys are ordered by their UTF-8 bytes", async ({ coord, prefix }) => {
    const keys = inByteOrder.map((name) => prefix + name);
    await putAll(coord, ...[...keys].reverse().map((key) => put(key)));
    assert.deepEqual(keysOf((await coord.get({ prefix })).kvs), keys);
    const above = await coord.get({ from: `${prefix}\uff5e`, to: `${prefix}\u{1f600}` });
    assert.deepEqual(keysOf(above.kvs), [`${prefix}\uff5e`, `${prefix}\u{10000}`]);
  }),

  complianceCase("a limit cuts the answer and says so", async ({ coord, prefix }) => {
    await putAll(coord, ...["a", "b", "c"].map((name) => put(prefix + name)));
    const two = await coord.get({ prefix }, { limit: 2 });
    assert.deepEqual([keysOf(two.kvs), two.more], [[`${prefix}a`, `${prefix}b`], true]);
    const three = await coord.get({ prefix }, { limit: 3 });
    assert.deepEqual([three.kvs.length, three.more], [3, false]);
  }),

  complianceCase("a get at a revision shows the store as it was", async ({ coord, prefix }) => {
    const first = await putAll(coord, put(`${prefix}a`, "1"), put(`${prefix}b`, "1"));
    const second = (
      await coord.txn({ then: [put(`${prefix}a`, "2"), { type: "delete", key: `${prefix}b` }] })
    ).revision;
    const third = await putAll(coord, put(`${prefix}c`, "3"));
    const at = async (revision: bigint) => {
      const result = await coord.get({ prefix }, { revision });
      assert.equal(result.revision, third);
      return result.kvs.map((kv) => [kv.key.slice(prefix.length), textOf(kv), kv.modRevision]);
    };
    assert.deepEqual(await at(first), [
      ["a", "1", first],
      ["b", "1", first],
    ]);
    assert.deepEqual(await at(second), [["a", "2", second]]);
    assert.deepEqual(await at(third), [
      ["a", "2", second],
      ["c", "3", third],
    ]);
    assert.deepEqual(await at(first - 1n), []);
  }),

  complianceCase("a revision that is not there yet is refused", async ({ coord, prefix }) => {
    const revision = await putAll(coord, put(`${prefix}a`));
    await rejectsWith(coord.get({ prefix }, { revision: revision + 1000n }), "invalid-argument");
  }),

  complianceCase("a compacted revision is refused, with the oldest one that is left", async (context) => {
    const { coord, prefix } = context;
    const first = await putAll(coord, put(`${prefix}a`, "1"));
    const second = await putAll(coord, put(`${prefix}a`, "2"));
    await putAll(coord, put(`${prefix}a`, "3"));
    await context.compact(second);
    const error = await rejectsWith(coord.get({ prefix }, { revision: first }), "compacted");
    assert.equal(error.compactRevision, second);
    assert.equal(textOf((await coord.get({ prefix }, { revision: second })).kvs[0]), "2");
    assert.equal(textOf(await getOne(coord, `${prefix}a`)), "3");
  }),

  complianceCase(
    "requests that make no sense are refused, and the store goes on",
    async ({ coord, prefix }) => {
      const refused: readonly (() => Promise<unknown>)[] = [
        () => coord.get({ key: "" }),
        () => coord.get({ key: `${prefix}\ud800` }),
        () => coord.get({ prefix: `${prefix}\ud83d` }),
        () => coord.get({ from: "b", to: "a" }),
        () => coord.get({ from: "a", to: "a" }),
        () => coord.get({ from: "\u{10000}", to: "\uff5e" }),
        () => coord.get({ prefix }, { limit: 0 }),
        () => coord.get({ prefix }, { limit: 1.5 }),
        () => coord.get({ prefix }, { revision: 0n }),
        () => coord.grantLease(0),
        () => coord.grantLease(-1),
        () => coord.grantLease(Number.NaN),
        () => coord.grantLease(Number.POSITIVE_INFINITY),
        () => coord.keepAlive(0n),
        () => coord.revokeLease(-1n),
        () => coord.txn({ then: [put("")] }),
        () => coord.txn({ else: [put("")] }),
        () => coord.txn({ then: Array.from({ length: 129 }, (_, index) => put(`${prefix}${index}`)) }),
        () => coord.txn({ then: [put(`${prefix}large`, "x".repeat(1_600_000))] }),
      ];
      for (const request of refused) await rejectsWith(request(), "invalid-argument");
      assert.deepEqual((await coord.get({ prefix })).kvs, []);
    },
  ),

  complianceCase("the cluster id stays", async ({ coord }) => {
    const id = await coord.clusterId();
    assert.equal(typeof id, "string");
    assert.notEqual(id, "");
    assert.equal(await coord.clusterId(), id);
  }),
];
