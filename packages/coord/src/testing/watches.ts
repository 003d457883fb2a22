import assert from "node:assert/strict";
import type { WatchBatch } from "../port.js";
import {
  type CaseContext,
  type ComplianceCase,
  complianceCase,
  describeEvent,
  eventually,
  getOne,
  put,
  putAll,
  rejectsWith,
  take,
} from "./fixture.js";

export const watchCases: readonly ComplianceCase[] = [
  complianceCase(
    "a watch from a past revision tells all since, revision by revision",
    async ({ coord, prefix }) => {
      const first = await putAll(coord, put(`${prefix}a`, "1"));
      await putAll(coord, put(`${prefix}b`, "1"), put(`${prefix}a`, "2"));
      await coord.txn({ then: [{ type: "delete", prefix }] });
      const batches = await take(coord.watch({ prefix }, { fromRevision: first }), 3);
      assert.deepEqual(batches.map(describe(prefix)), [
        [first, "put a=1"],
        [first + 1n, "put b=1", "put a=2"],
        [first + 2n, "delete a", "delete b"],
      ]);
      const second = batches[1]?.events[1];
      assert.ok(second?.type === "put");
      assert.deepEqual(
        [second.kv.createRevision, second.kv.modRevision, second.kv.version],
        [first, first + 1n, 2n],
      );
      const third = batches[2]?.events[0];
      assert.ok(third?.type === "delete" && third.modRevision === first + 2n);
    },
  ),

  complianceCase(
    "a watch without a revision begins after the newest at its call",
    async ({ coord, prefix }) => {
      await putAll(coord, put(`${prefix}a`, "before"));
      const watch = coord.watch({ prefix })[Symbol.asyncIterator]();
      const pending = watch.next();
      // When an acknowledged transaction comes back from a second watch, the first has long been registered.
      const revision = await firstTold(coord, prefix);
      const { value } = await pending;
      assert.ok(value !== undefined && value.revision <= revision);
      assert.ok(!value.events.map(describeEvent).includes(`put ${prefix}a=before`));
      await watch.return?.();
    },
  ),

  complianceCase("a watch from a revision that is not there yet waits for it", async ({ coord, prefix }) => {
    const now = await putAll(coord, put(`${prefix}a`, "0"));
    const watch = take(coord.watch({ prefix }, { fromRevision: now + 3n }), 1);
    for (const value of ["1", "2", "3"]) await putAll(coord, put(`${prefix}a`, value));
    assert.deepEqual((await watch).map(describe(prefix)), [[now + 3n, "put a=3"]]);
  }),

  complianceCase("a watch tells only what its selector covers", async ({ coord, prefix }) => {
    const names = ["a", "a/1", "a/2", "ab/1", "b", "c"];
    const from = (await coord.get({ prefix })).revision + 1n;
    await putAll(coord, ...names.map((name) => put(prefix + name)));
    await putAll(coord, put(`${prefix}unrelated`));
    await putAll(coord, ...names.map((name) => put(prefix + name, "2")));
    const keys = async (selector: Parameters<typeof coord.watch>[0]) => {
      const batches = await take(coord.watch(selector, { fromRevision: from }), 2);
      assert.deepEqual(
        batches.map((batch) => batch.revision),
        [from, from + 2n],
      );
      return batches[0]!.events.map((event) => event.type === "put" && event.kv.key.slice(prefix.length));
    };
    assert.deepEqual(await keys({ prefix: `${prefix}a/` }), ["a/1", "a/2"]);
    assert.deepEqual(await keys({ key: `${prefix}a` }), ["a"]);
    assert.deepEqual(await keys({ from: `${prefix}ab/1`, to: `${prefix}c` }), ["ab/1", "b"]);
  }),

  complianceCase(
    "watches tell each revision once and in order while many write",
    async ({ coord, prefix }) => {
      const from = (await coord.get({ prefix })).revision + 1n;
      const writes = 150;
      const all = take(coord.watch({ prefix }, { fromRevision: from }), writes);
      const acknowledged = new Map<bigint, string>();
      let written = 0;
      let late: Promise<WatchBatch[]> | undefined;
      const writer = async (name: string): Promise<void> => {
        while (written < writes) {
          const key = `${prefix}${name}/${written++}`;
          acknowledged.set(await putAll(coord, put(key, key)), `put ${key}=${key}`);
          if (acknowledged.size === writes / 2)
            late = take(coord.watch({ prefix }, { fromRevision: from }), writes);
        }
      };
      await Promise.all(["w0", "w1", "w2", "w3", "w4"].map(writer));
      const expected = [...acknowledged].sort(([a], [b]) => (a < b ? -1 : 1));
      assert.equal(expected.length, writes);
      for (const batches of [await all, await late!]) {
        assert.deepEqual(
          batches.map((batch) => [batch.revision, ...batch.events.map(describeEvent)]),
          expected,
        );
      }
    },
  ),

  complianceCase("what a watch tells can be read", async ({ coord, prefix }) => {
    const from = (await coord.get({ prefix })).revision + 1n;
    const write = async (): Promise<void> => {
      for (let index = 0; index < 20; index++) await putAll(coord, put(`${prefix}k`, String(index)));
    };
    const writing = write();
    for (const { revision } of await take(coord.watch({ prefix }, { fromRevision: from }), 20)) {
      const seen = await coord.get({ prefix });
      assert.ok(seen.revision >= revision);
    }
    await writing;
  }),

  complianceCase(
    "a watch from a compacted revision says so, and one from the oldest left does not",
    async (context) => {
      const { coord, prefix } = context;
      const first = await putAll(coord, put(`${prefix}a`, "1"));
      const second = await putAll(coord, put(`${prefix}a`, "2"));
      const third = (await coord.txn({ then: [{ type: "delete", key: `${prefix}a` }] })).revision;
      await context.compact(second);
      const error = await rejectsWith(take(coord.watch({ prefix }, { fromRevision: first }), 1), "compacted");
      assert.equal(error.compactRevision, second);
      const batches = await take(coord.watch({ prefix }, { fromRevision: second }), 2);
      assert.deepEqual(batches.map(describe(prefix)), [
        [second, "put a=2"],
        [third, "delete a"],
      ]);
    },
  ),

  complianceCase("compaction does not disturb a watch that has kept up", async (context) => {
    const { coord, prefix } = context;
    const told: WatchBatch[] = [];
    const leave = new AbortController();
    const from = (await coord.get({ prefix })).revision + 1n;
    const done = (async () => {
      for await (const batch of coord.watch({ prefix }, { fromRevision: from, signal: leave.signal })) {
        told.push(batch);
        if (told.length === 6) break;
      }
    })();
    for (let index = 0; index < 3; index++) await putAll(coord, put(`${prefix}k`, String(index)));
    await eventually(context.store, async () => told.length === 3, "the watch keeps up");
    await context.compact(from + 2n);
    for (let index = 3; index < 6; index++) await putAll(coord, put(`${prefix}k`, String(index)));
    await done;
    assert.deepEqual(
      told.map((batch) => batch.revision),
      [0n, 1n, 2n, 3n, 4n, 5n].map((offset) => from + offset),
    );
  }),

  complianceCase("many watches at once each get everything", async ({ coord, prefix }) => {
    const from = (await coord.get({ prefix })).revision + 1n;
    const watches = Array.from({ length: 20 }, (_, index) =>
      take(coord.watch(index % 2 === 0 ? { prefix } : { key: `${prefix}k` }, { fromRevision: from }), 5),
    );
    for (let index = 0; index < 5; index++) await putAll(coord, put(`${prefix}k`, String(index)));
    const expected = [0, 1, 2, 3, 4].map((index) => [from + BigInt(index), `put k=${index}`]);
    for (const batches of await Promise.all(watches))
      assert.deepEqual(batches.map(describe(prefix)), expected);
  }),

  complianceCase("a watch that is left leaves the others and the store alone", async ({ coord, prefix }) => {
    const from = (await coord.get({ prefix })).revision + 1n;
    const left = coord.watch({ prefix }, { fromRevision: from })[Symbol.asyncIterator]();
    await putAll(coord, put(`${prefix}k`, "0"));
    await left.next();
    await left.return?.();
    assert.deepEqual(await left.next(), { done: true, value: undefined });
    const other = take(coord.watch({ prefix }, { fromRevision: from }), 2);
    await putAll(coord, put(`${prefix}k`, "1"));
    assert.equal((await other).length, 2);
  }),

  complianceCase("a restart loses nothing, and history goes on", async (context) => {
    const { coord, prefix } = context;
    const id = await coord.clusterId();
    const first = await putAll(coord, put(`${prefix}a`, "1"));
    const told: (readonly unknown[])[] = [];
    const over = (async () => {
      for await (const batch of coord.watch({ prefix }, { fromRevision: first })) {
        told.push(describe(prefix)(batch));
        if (told.length === 3) return;
      }
    })();
    // Only a watch that belongs to what survives has to go on; the other one may end as it likes.
    over.catch(() => undefined);
    const second = await putAll(coord, put(`${prefix}a`, "2"));
    const again = await context.restart();
    const kv = await getOne(again, `${prefix}a`);
    assert.deepEqual([kv?.createRevision, kv?.modRevision, kv?.version], [first, second, 2n]);
    assert.equal(await again.clusterId(), id);
    const third = await putAll(again, put(`${prefix}a`, "3"));
    assert.ok(third > second);
    const expected = [
      [first, "put a=1"],
      [second, "put a=2"],
      [third, "put a=3"],
    ];
    const batches = await take(again.watch({ prefix }, { fromRevision: first }), 3);
    assert.deepEqual(batches.map(describe(prefix)), expected);
    if (again !== coord) return;
    await over;
    assert.deepEqual(told, expected);
  }),

  complianceCase("a store that was replaced by an empty one is told as history-lost", wipedCase),
];

async function wipedCase({ coord, prefix, wipe }: CaseContext): Promise<void> {
  // A store inside this process can't be replaced behind its own back.
  if (wipe === undefined) return;
  const revision = await putAll(coord, put(`${prefix}a`, "1"));
  for (let index = 0; index < 5; index++) await putAll(coord, put(`${prefix}a`, String(index)));
  const watch = rejectsWith(take(coord.watch({ prefix }, { fromRevision: revision }), 100), "history-lost");
  await wipe();
  await watch;
}

/** The revision, and the events as texts without the case's prefix. */
function describe(prefix: string): (batch: WatchBatch) => readonly unknown[] {
  return (batch) => [
    batch.revision,
    ...batch.events.map((event) => describeEvent(event).replace(prefix, "")),
  ];
}

/** Writes until a watch of its own has told something. */
async function firstTold(coord: CaseContext["coord"], prefix: string): Promise<bigint> {
  let told: bigint | undefined;
  const watching = take(coord.watch({ prefix: `${prefix}probe` }), 1).then(([batch]) => {
    told = batch?.revision;
  });
  for (let index = 0; told === undefined; index++) await putAll(coord, put(`${prefix}probe`, String(index)));
  await watching;
  return told;
}
