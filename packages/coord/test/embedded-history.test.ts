import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { Store } from "../src/embedded/store.js";
import { type EmbeddedCoord, openEmbeddedCoord } from "../src/embedded.js";
import { CoordError } from "../src/errors.js";
import { FakeClock } from "./support/fake-clock.js";
import { MemoryFileSystem } from "./support/memory-file-system.js";

function open(limits: { historyRevisions?: number; historyBytes?: number } = {}): Promise<EmbeddedCoord> {
  const fileSystem = new MemoryFileSystem();
  return openEmbeddedCoord({ directory: "/store", fileSystem, clock: new FakeClock(), ...limits });
}

async function write(coord: EmbeddedCoord, count: number, key = "k", value = ""): Promise<bigint> {
  let revision = 0n;
  for (let index = 0; index < count; index++) {
    revision = (await coord.txn({ then: [{ type: "put", key, value: `${value}${index}` }] })).revision;
  }
  return revision;
}

async function isKept(coord: EmbeddedCoord, revision: bigint): Promise<boolean> {
  return await coord.get({ key: "k" }, { revision }).then(
    () => true,
    (error) => {
      assert.ok(error instanceof CoordError && error.code === "compacted");
      return false;
    },
  );
}

describe("the history of the embedded store", () => {
  it("holds at most as many revisions as it may, and never much less", async () => {
    const coord = await open({ historyRevisions: 100 });
    const revision = await write(coord, 1000);
    assert.ok(!(await isKept(coord, revision - 100n)));
    assert.ok(await isKept(coord, revision - 70n));
  });

  it("is bounded by bytes too, and always holds the newest revision", async () => {
    const coord = await open({ historyBytes: 50_000 });
    const revision = await write(coord, 30, "k", "x".repeat(10_000));
    assert.ok(!(await isKept(coord, revision - 5n)));
    assert.ok(await isKept(coord, revision - 2n));
    const large = await write(coord, 1, "k", "x".repeat(100_000));
    assert.ok(await isKept(coord, large));
    assert.ok(!(await isKept(coord, large - 1n)));
  });

  it("can't be compacted into the future, and compacting again is nothing", async () => {
    const coord = await open();
    const revision = await write(coord, 5);
    await assert.rejects(
      coord.compact(revision + 1n),
      (error) => error instanceof CoordError && error.code === "invalid-argument",
    );
    await coord.compact(revision);
    await coord.compact(revision - 3n);
    assert.ok(await isKept(coord, revision));
    assert.ok(!(await isKept(coord, revision - 1n)));
  });

  it("is told to watchers before a compaction that came with it takes it away", async () => {
    const coord = await open();
    const { revision } = await coord.get({ key: "k" });
    const watch = coord.watch({ prefix: "k" })[Symbol.asyncIterator]();
    const asked = [watch.next(), watch.next(), watch.next()];
    // All of these make one group: when it is formed, the compaction is behind revisions that nobody was told of.
    await Promise.all([write(coord, 1), write(coord, 1), write(coord, 1), coord.compact(revision + 3n)]);
    const told = (await Promise.all(asked)).map((answer) => answer.value?.revision);
    assert.deepEqual(told, [revision + 1n, revision + 2n, revision + 3n]);
    assert.ok(!(await isKept(coord, revision + 2n)));
    await watch.return?.();
  });

  it("leaves nothing in memory once it is compacted", () => {
    const store = new Store({ revisions: 1_000_000, bytes: 1_000_000_000 });
    const put = (key: string): void => {
      store.begin();
      store.put(key, new Uint8Array(1), 0n);
      store.commit();
    };
    for (let index = 0; index < 500; index++) put(`k${index % 10}`);
    store.begin();
    store.delete({ from: "k1", to: "k9" });
    store.commit();
    assert.equal(store.versions, 508);
    store.compact(store.revision);
    // The delete is the oldest revision that is left, so what it deleted is still known.
    assert.equal(store.versions, 18);
    put("k0");
    store.compact(store.revision);
    assert.equal(store.versions, 3);
    put("k0");
    store.compact(store.revision);
    assert.equal(store.versions, 3);
  });

  it("tells a watcher that is too slow, and not one that only waits", async () => {
    const coord = await open({ historyRevisions: 50 });
    const from = (await coord.get({ key: "k" })).revision + 1n;
    const slow = coord.watch({ prefix: "k" }, { fromRevision: from })[Symbol.asyncIterator]();
    const idle = coord.watch({ prefix: "other" }, { fromRevision: from })[Symbol.asyncIterator]();
    await write(coord, 1);
    assert.equal((await slow.next()).value?.revision, from);
    const waiting = idle.next();
    await write(coord, 200);
    await assert.rejects(slow.next(), (error) => {
      return error instanceof CoordError && error.code === "compacted" && error.compactRevision !== undefined;
    });
    const told = await write(coord, 1, "other");
    assert.equal((await waiting).value?.revision, told);
    // This one is not waiting, but there was nothing for it that it could have missed.
    await write(coord, 200);
    const later = await write(coord, 1, "other");
    assert.equal((await idle.next()).value?.revision, later);
    await idle.return?.();
  });

  it("gives requests in flight on one watcher their batches in order, and ends them when it is left", async () => {
    const coord = await open();
    const watch = coord.watch({ prefix: "" })[Symbol.asyncIterator]();
    const asked = [watch.next(), watch.next(), watch.next()];
    const last = await write(coord, 2);
    await watch.return?.();
    const answers = await Promise.all(asked);
    assert.deepEqual(
      answers.map((answer) => answer.value?.revision),
      [last - 1n, last, undefined],
    );
    assert.equal(answers[2]?.done, true);
  });
});
