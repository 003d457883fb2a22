import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { type EmbeddedOptions, openEmbeddedCoord } from "../src/embedded.js";
import { CoordError, type CoordErrorCode } from "../src/errors.js";
import type { Coord, Op, WatchBatch } from "../src/port.js";
import { FakeClock, settled } from "./support/fake-clock.js";
import { MemoryFileSystem } from "./support/memory-file-system.js";

const directory = "/store";
const put = (key: string, value = "", lease = 0n): { then: Op[] } => ({
  then: [{ type: "put", key, value, lease }],
});

function world(): { disk: MemoryFileSystem; clock: FakeClock; open: typeof openWith } {
  const disk = new MemoryFileSystem();
  const clock = new FakeClock();
  const openWith = (options: Partial<EmbeddedOptions> = {}) =>
    openEmbeddedCoord({ directory, fileSystem: disk, clock, ...options });
  return { disk, clock, open: openWith };
}
declare function openWith(options?: Partial<EmbeddedOptions>): ReturnType<typeof openEmbeddedCoord>;

describe("a folder has one owner", () => {
  it("fences the first opener for every kind of request when there is a second", async () => {
    const { open } = world();
    const first = await open();
    const { id } = await first.grantLease(60_000);
    await first.txn(put("k", "1"));
    const second = await open();
    assert.deepEqual([first.generation, second.generation], [1, 2]);
    await second.txn(put("k", "2"));
    await rejectsWith(first.get({ key: "k" }), "fenced");
    const later: readonly (() => Promise<unknown>)[] = [
      () => first.txn(put("k", "3")),
      () => first.get({ key: "k" }),
      () => first.keepAlive(id),
      () => first.revokeLease(id),
      () => first.grantLease(1000),
      () => first.clusterId(),
      () => first.compact(1n),
      () => next(first),
    ];
    for (const request of later) await rejectsWith(request(), "fenced");
    assert.equal(textOf((await second.get({ key: "k" })).kvs[0]), "2");
    assert.ok(first.failure.aborted && first.failure.reason instanceof CoordError);
    assert.ok(!second.failure.aborted);
  });

  it.each([
    ["a transaction", (coord: Coord) => coord.txn(put("k", "stale"))],
    ["a read", (coord: Coord) => coord.get({ key: "k" })],
    ["a keepalive", (coord: Coord, id: bigint) => coord.keepAlive(id)],
    ["a grant", (coord: Coord) => coord.grantLease(1000)],
    ["a revocation", (coord: Coord, id: bigint) => coord.revokeLease(id)],
  ])("refuses %s that is the first thing after the second opening", async (_name, request) => {
    const { open } = world();
    const first = await open();
    const { id } = await first.grantLease(60_000);
    await first.txn(put("k", "1"));
    const second = await open();
    await rejectsWith(request(first, id), "fenced");
    assert.equal(textOf((await second.get({ key: "k" })).kvs[0]), "1");
  });

  it("tells a watcher that nobody writes for, within a second or so", async () => {
    const { open, clock } = world();
    const first = await open();
    const watching = next(first);
    await open();
    const told = rejectsWith(watching, "fenced");
    await clock.advance(1500);
    await told;
  });

  it("gives the folder to the last of many who open at once", async () => {
    const { disk } = world();
    const opened = await Promise.allSettled(
      Array.from({ length: 8 }, () =>
        openEmbeddedCoord({ directory, fileSystem: new MemoryFileSystem(disk), clock: new FakeClock() }),
      ),
    );
    const coords = opened.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    for (const result of opened) {
      if (result.status === "rejected") assert.equal((result.reason as CoordError).code, "fenced");
    }
    const generations = coords.map((coord) => coord.generation);
    assert.equal(new Set(generations).size, generations.length);
    const writes = await Promise.allSettled(coords.map((coord) => coord.txn(put("k"))));
    const owners = coords.filter((_, index) => writes[index]?.status === "fulfilled");
    assert.deepEqual(
      owners.map((coord) => coord.generation),
      [8],
    );
  });

  it("stops when its folder is emptied under it, even if somebody starts anew there", async () => {
    const { open, disk } = world();
    const first = await open();
    await first.txn(put("k"));
    disk.wipe();
    const second = await open();
    assert.equal(second.generation, 1);
    await rejectsWith(first.txn(put("k")), "fenced");
    assert.notEqual(await second.clusterId(), "");
  });
});

describe("opening again", () => {
  it("revokes all leases, each in a revision that deletes its keys", async () => {
    const { open } = world();
    const first = await open();
    const a = await first.grantLease(60_000);
    const b = await first.grantLease(60_000);
    await first.txn(put("a/1", "", a.id));
    await first.txn(put("b", "", b.id));
    await first.txn(put("free"));
    const { revision } = await first.txn(put("a/2", "", a.id));
    await first.close();
    const second = await open();
    const { kvs } = await second.get({ prefix: "" });
    assert.deepEqual(
      kvs.map((kv) => kv.key),
      ["free"],
    );
    const watch = second.watch({ prefix: "" }, { fromRevision: revision + 1n })[Symbol.asyncIterator]();
    const batches = [await watch.next(), await watch.next()].map(({ value }) => value as WatchBatch);
    await watch.return?.();
    assert.deepEqual(
      batches.map((batch) => [
        batch.revision,
        ...batch.events.map((event) => event.type === "delete" && event.key),
      ]),
      [
        [revision + 1n, "a/1", "a/2"],
        [revision + 2n, "b"],
      ],
    );
    await rejectsWith(second.keepAlive(a.id), "lease-not-found");
    const c = await second.grantLease(1000);
    assert.ok(c.id !== a.id && c.id !== b.id);
  });

  it("goes on with the revision, the cluster id and the history", async () => {
    const { open } = world();
    const first = await open();
    const id = await first.clusterId();
    const { revision } = await first.txn(put("k", "1"));
    await first.txn(put("k", "2"));
    await first.close();
    const second = await open();
    assert.equal(await second.clusterId(), id);
    assert.equal((await second.txn(put("k", "3"))).revision, revision + 2n);
    assert.equal(textOf((await second.get({ key: "k" }, { revision })).kvs[0]), "1");
  });

  it("makes different cluster ids for different folders", async () => {
    assert.notEqual(await (await world().open()).clusterId(), await (await world().open()).clusterId());
  });

  it("keeps the folder small, however much is written", async () => {
    const { open, disk } = world();
    const coord = await open({ walBytes: 10_000, historyRevisions: 10 });
    for (let index = 0; index < 300; index++) await coord.txn(put(`k${index % 5}`, "x".repeat(200)));
    assert.deepEqual(
      disk.paths().map((path) => path.replace(/-.*/, "")),
      ["/store/generation", "/store/snapshot", "/store/wal"],
    );
    const bytes = disk.paths().reduce((sum, path) => sum + disk.contentOf(path).byteLength, 0);
    assert.ok(bytes < 20_000, `${bytes} bytes`);
    assert.equal((await coord.get({ prefix: "" })).kvs.length, 5);
  });

  it("refuses a folder that other hosts can use too", async () => {
    const { open, disk } = world();
    disk.isLocal = async () => false;
    await rejectsWith(open(), "invalid-argument");
    assert.deepEqual(disk.paths(), []);
  });

  it("refuses options that make no sense", async () => {
    const { open } = world();
    await rejectsWith(open({ directory: "" }), "invalid-argument");
    for (const name of ["historyRevisions", "historyBytes", "walBytes"]) {
      await rejectsWith(open({ [name]: 0 }), "invalid-argument");
      await rejectsWith(open({ [name]: 1.5 }), "invalid-argument");
    }
  });

  it("ends with the signal's reason, even if the disk hangs", async () => {
    const { open, disk } = world();
    const reason = { why: "too slow" };
    await assert.rejects(open({ signal: AbortSignal.abort(reason) }), (error) => error === reason);
    disk.hook = () => new Promise(() => undefined);
    const abort = new AbortController();
    const opening = open({ signal: abort.signal });
    await settled();
    abort.abort(reason);
    await assert.rejects(opening, (error) => error === reason);
  });

  it("says what the disk said when it can't open", async () => {
    const { open, disk } = world();
    const cause = new Error("EIO");
    disk.hook = async () => {
      throw cause;
    };
    const error = await rejectsWith(open(), "unavailable");
    assert.equal(error.cause, cause);
  });
});

describe("a disk that fails", () => {
  it.each(["write", "datasync", "list"])(
    "at %s ends the store for ever, without another try",
    async (operation) => {
      const { open, disk } = world();
      const coord = await open();
      await coord.txn(put("k", "1"));
      const watching = next(coord);
      const cause = new Error("EIO");
      const touched: string[] = [];
      disk.hook = async (name) => {
        touched.push(name);
        if (name === operation) throw cause;
      };
      const pending = [coord.txn(put("k", "2")), coord.get({ key: "k" })];
      for (const request of pending) assert.equal((await rejectsWith(request, "unavailable")).cause, cause);
      const before = touched.length;
      assert.equal((await rejectsWith(coord.txn(put("k", "3")), "closed")).cause, cause);
      await rejectsWith(coord.get({ key: "k" }), "closed");
      await rejectsWith(watching, "closed");
      assert.equal(touched.length, before);
      assert.equal(coord.failure.reason.cause, cause);
      await coord.close();
      disk.hook = async () => undefined;
      const again = await open();
      assert.ok(["1", "2"].includes(textOf((await again.get({ key: "k" })).kvs[0]) ?? ""));
    },
  );

  it("shows nothing that is not synced, to readers or to watchers", async () => {
    const { open, disk } = world();
    const coord = await open();
    await coord.txn(put("k", "1"));
    const told: unknown[] = [];
    const watching = next(coord).then((batch) => told.push(batch));
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    disk.hook = async (name) => (name === "datasync" ? gate : undefined);
    let isAcknowledged = false;
    const writing = coord.txn(put("k", "2")).then(() => {
      isAcknowledged = true;
    });
    await settled();
    const reading = coord.get({ key: "k" });
    await settled();
    assert.deepEqual([isAcknowledged, told.length], [false, 0]);
    release();
    await Promise.all([writing, watching]);
    assert.equal(textOf((await reading).kvs[0]), "2");
  });

  it("refuses nothing because of something that is not synced", async () => {
    const { open, disk } = world();
    const coord = await open();
    const { id } = await coord.grantLease(60_000);
    await coord.txn(put("k", "1", id));
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    disk.hook = async (name) => (name === "datasync" ? gate : undefined);
    const revoking = coord.revokeLease(id);
    const refusals: unknown[] = [];
    const keeping = coord.keepAlive(id).catch((error) => refusals.push(error));
    await settled();
    assert.equal(refusals.length, 0);
    release();
    await Promise.all([revoking, keeping]);
    assert.deepEqual(
      refusals.map((error) => error instanceof CoordError && error.code),
      ["lease-not-found"],
    );
  });

  it("shares one sync among the transactions that wait for one", async () => {
    const { open, disk } = world();
    const coord = await open();
    let syncs = 0;
    disk.hook = async (name) => {
      if (name === "datasync") syncs += 1;
    };
    await Promise.all(Array.from({ length: 500 }, (_, index) => coord.txn(put(`k${index}`))));
    assert.ok(syncs <= 2, `${syncs} syncs`);
  });
});

async function next(coord: Coord): Promise<WatchBatch | undefined> {
  for await (const batch of coord.watch({ prefix: "" })) return batch;
  return undefined;
}

function textOf(kv: { readonly value: Uint8Array } | undefined): string | undefined {
  return kv && new TextDecoder().decode(kv.value);
}

async function rejectsWith(promise: Promise<unknown>, code: CoordErrorCode): Promise<CoordError> {
  const error = await promise.then(
    () => assert.fail("it was fulfilled"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof CoordError, String(error));
  assert.equal(error.code, code);
  return error;
}
