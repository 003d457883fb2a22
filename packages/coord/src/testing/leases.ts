import assert from "node:assert/strict";
import {
  type ComplianceCase,
  complianceCase,
  describeEvent,
  eventually,
  getOne,
  keysOf,
  put,
  putAll,
  rejectsWith,
  take,
} from "./fixture.js";

/** Never granted: above every id that a store gives soon. */
const noLease = 0x7fff_ffff_ffff_0000n;

export const leaseCases: readonly ComplianceCase[] = [
  complianceCase(
    "a lease has an id of its own and at least the TTL that was asked",
    async ({ coord, store }) => {
      const leases = [
        await coord.grantLease(store.leaseTtlMs),
        await coord.grantLease(store.leaseTtlMs + 0.5),
      ];
      for (const { id, ttlMs } of leases) {
        assert.ok(id > 0n && ttlMs >= store.leaseTtlMs);
        await coord.revokeLease(id);
      }
      assert.notEqual(leases[0]?.id, leases[1]?.id);
    },
  ),

  complianceCase("revoking deletes the lease's keys in one revision", async ({ coord, prefix, store }) => {
    const { id } = await coord.grantLease(store.leaseTtlMs * 100);
    const before = await putAll(
      coord,
      put(`${prefix}b`, "", id),
      put(`${prefix}a`, "", id),
      put(`${prefix}free`),
    );
    await coord.revokeLease(id);
    const after = await coord.get({ prefix });
    assert.deepEqual(keysOf(after.kvs), [`${prefix}free`]);
    assert.equal(after.revision, before + 1n);
    const [batch] = await take(coord.watch({ prefix }, { fromRevision: before + 1n }), 1);
    assert.equal(batch?.revision, before + 1n);
    assert.deepEqual(batch.events.map(describeEvent), [`delete ${prefix}a`, `delete ${prefix}b`]);
    await rejectsWith(coord.revokeLease(id), "lease-not-found");
  }),

  complianceCase("revoking a lease without keys makes no revision", async ({ coord, prefix, store }) => {
    const { id } = await coord.grantLease(store.leaseTtlMs * 100);
    const { revision } = await coord.get({ prefix });
    await coord.revokeLease(id);
    assert.equal((await coord.get({ prefix })).revision, revision);
  }),

  complianceCase(
    "a lease that is not kept alive expires, with its keys in one revision",
    async ({ coord, prefix, store }) => {
      const { id } = await coord.grantLease(store.leaseTtlMs);
      const before = await putAll(
        coord,
        put(`${prefix}a`, "", id),
        put(`${prefix}b`, "", id),
        put(`${prefix}free`),
      );
      await eventually(
        store,
        async () => (await getOne(coord, `${prefix}a`)) === undefined,
        "the lease expires",
      );
      assert.deepEqual(keysOf((await coord.get({ prefix })).kvs), [`${prefix}free`]);
      const [batch] = await take(coord.watch({ prefix }, { fromRevision: before + 1n }), 1);
      assert.deepEqual(batch?.events.map(describeEvent), [`delete ${prefix}a`, `delete ${prefix}b`]);
      await rejectsWith(coord.keepAlive(id), "lease-not-found");
      await rejectsWith(coord.txn({ then: [put(`${prefix}late`, "", id)] }), "lease-not-found");
    },
  ),

  complianceCase("a lease does not expire before its TTL", async ({ coord, prefix, store }) => {
    const { id, ttlMs } = await coord.grantLease(store.leaseTtlMs);
    await putAll(coord, put(`${prefix}a`, "", id));
    await store.pass(ttlMs / 2);
    assert.notEqual(await getOne(coord, `${prefix}a`), undefined);
    await coord.revokeLease(id);
  }),

  complianceCase("keepalives keep a lease alive, each for a whole TTL", async ({ coord, prefix, store }) => {
    const { id, ttlMs } = await coord.grantLease(store.leaseTtlMs);
    await putAll(coord, put(`${prefix}a`, "", id));
    for (let passedMs = 0; passedMs < ttlMs * 2.5; passedMs += ttlMs / 2) {
      await store.pass(ttlMs / 2);
      assert.deepEqual(await coord.keepAlive(id), { id, ttlMs });
    }
    assert.equal((await getOne(coord, `${prefix}a`))?.lease, id);
    await eventually(
      store,
      async () => (await getOne(coord, `${prefix}a`)) === undefined,
      "the lease expires in the end",
    );
  }),

  complianceCase("keepalives sent at once are all answered", async ({ coord, store }) => {
    const leases = await Promise.all(Array.from({ length: 5 }, () => coord.grantLease(store.leaseTtlMs)));
    const kept = await Promise.all([...leases, ...leases].map(({ id }) => coord.keepAlive(id)));
    assert.deepEqual(
      kept.map(({ id }) => id),
      [...leases, ...leases].map(({ id }) => id),
    );
    await Promise.all(leases.map(({ id }) => coord.revokeLease(id)));
  }),

  complianceCase("a lease that never was is not found", async ({ coord, prefix }) => {
    const { revision } = await coord.get({ prefix });
    await rejectsWith(coord.keepAlive(noLease), "lease-not-found");
    await rejectsWith(coord.revokeLease(noLease), "lease-not-found");
    const txn = { then: [put(`${prefix}a`), put(`${prefix}b`, "", noLease)] };
    await rejectsWith(coord.txn(txn), "lease-not-found");
    const after = await coord.get({ prefix });
    assert.deepEqual([after.kvs, after.revision], [[], revision]);
  }),

  complianceCase("a put moves its key to another lease, or off any", async ({ coord, prefix, store }) => {
    const one = await coord.grantLease(store.leaseTtlMs * 100);
    const two = await coord.grantLease(store.leaseTtlMs * 100);
    const names = ["stays", "moves", "leaves", "joins"] as const;
    await putAll(
      coord,
      put(`${prefix}stays`, "", one.id),
      put(`${prefix}moves`, "", one.id),
      put(`${prefix}leaves`, "", one.id),
      put(`${prefix}joins`),
    );
    await putAll(
      coord,
      put(`${prefix}moves`, "", two.id),
      put(`${prefix}leaves`),
      put(`${prefix}joins`, "", one.id),
    );
    const leases = await Promise.all(names.map(async (name) => (await getOne(coord, prefix + name))?.lease));
    assert.deepEqual(leases, [one.id, two.id, 0n, one.id]);
    await coord.revokeLease(one.id);
    assert.deepEqual(keysOf((await coord.get({ prefix })).kvs), [`${prefix}leaves`, `${prefix}moves`]);
    await coord.revokeLease(two.id);
    assert.deepEqual(keysOf((await coord.get({ prefix })).kvs), [`${prefix}leaves`]);
  }),

  complianceCase(
    "a key that was deleted and made again is not the old lease's",
    async ({ coord, prefix, store }) => {
      const { id } = await coord.grantLease(store.leaseTtlMs * 100);
      await putAll(coord, put(`${prefix}a`, "", id));
      await coord.txn({ then: [{ type: "delete", key: `${prefix}a` }] });
      await putAll(coord, put(`${prefix}a`));
      await coord.revokeLease(id);
      assert.notEqual(await getOne(coord, `${prefix}a`), undefined);
    },
  ),
];
