import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { tickMs } from "../src/embedded/lease-table.js";
import { type EmbeddedCoord, openEmbeddedCoord } from "../src/embedded.js";
import { FakeClock, settled } from "./support/fake-clock.js";
import { MemoryFileSystem } from "./support/memory-file-system.js";

interface Leased {
  readonly coord: EmbeddedCoord;
  readonly clock: FakeClock;
  readonly disk: MemoryFileSystem;
  readonly leaseId: bigint;
  isThere(): Promise<boolean>;
}

/** A store with one key that hangs on a lease. */
async function leased(ttlMs: number): Promise<Leased> {
  const clock = new FakeClock();
  const disk = new MemoryFileSystem();
  const coord = await openEmbeddedCoord({ directory: "/store", clock, fileSystem: disk });
  const { id } = await coord.grantLease(ttlMs);
  await coord.txn({ then: [{ type: "put", key: "k", value: "", lease: id }] });
  return {
    coord,
    clock,
    disk,
    leaseId: id,
    isThere: async () => (await coord.get({ key: "k" })).kvs.length === 1,
  };
}

describe("a lease of the embedded store", () => {
  it("ends when its TTL has passed, to the millisecond", async () => {
    const { clock, isThere } = await leased(5000);
    await clock.advance(4999);
    assert.ok(await isThere());
    await clock.advance(1);
    assert.ok(!(await isThere()));
  });

  it("may be shorter than the interval at which the store looks", async () => {
    const { clock, isThere } = await leased(tickMs / 10);
    await clock.advance(tickMs / 10);
    assert.ok(!(await isThere()));
  });

  it("lives on for a whole TTL after each keepalive", async () => {
    const { coord, clock, leaseId, isThere } = await leased(1000);
    for (let round = 0; round < 10; round++) {
      await clock.advance(999);
      await coord.keepAlive(leaseId);
    }
    await clock.advance(999);
    assert.ok(await isThere());
    await clock.advance(1);
    assert.ok(!(await isThere()));
  });

  it("is extended by a stall of the process, and by not more than a look's interval above that", async () => {
    const { clock, isThere } = await leased(1000);
    await clock.advance(500);
    clock.stall(60_000);
    await clock.advance(0);
    assert.ok(await isThere());
    await clock.advance(499);
    assert.ok(await isThere());
    await clock.advance(tickMs + 1);
    assert.ok(!(await isThere()));
  });

  it("is extended for each of several stalls", async () => {
    const { clock, isThere } = await leased(1000);
    for (let round = 0; round < 5; round++) {
      clock.stall(10_000);
      await clock.advance(190);
    }
    assert.ok(await isThere());
    await clock.advance(1000 + 5 * tickMs);
    assert.ok(!(await isThere()));
  });

  it("is not extended by timers that are a little late", async () => {
    const { clock, isThere } = await leased(1000);
    // Each time as late as may be: at 300, 600 and 900 ms, and at last 100 ms behind the deadline.
    for (const lateMs of [300, 300, 300, 200]) {
      clock.stall(lateMs);
      await clock.advance(0);
    }
    assert.ok(!(await isThere()));
  });

  it("is found alive by a keepalive that comes before the late timer", async () => {
    const { coord, clock, leaseId, isThere } = await leased(1000);
    clock.stall(30_000);
    await coord.keepAlive(leaseId);
    // The late timer comes 50 ms after that, and must not count the stall again.
    clock.stall(50);
    await clock.advance(949);
    assert.ok(await isThere());
    await clock.advance(1);
    assert.ok(!(await isThere()));
  });

  it("is not ended by a keepalive that waits for a slow disk behind its expiry", async () => {
    const { coord, clock, disk, leaseId, isThere } = await leased(1000);
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    disk.hook = async (operation) => (operation === "datasync" ? gate : undefined);
    const writing = coord.txn({ then: [{ type: "put", key: "other", value: "" }] });
    await settled();
    const keeping = coord.keepAlive(leaseId);
    await clock.advance(1500);
    release();
    await Promise.all([writing, keeping]);
    assert.ok(await isThere());
    await clock.advance(1001);
    assert.ok(!(await isThere()));
  });

  it("is deleted once, however long the disk takes for that", async () => {
    const { coord, clock, disk, isThere } = await leased(1000);
    const { revision } = await coord.get({ key: "k" });
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    disk.hook = async (operation) => (operation === "list" ? gate : undefined);
    const waiting = coord.get({ key: "k" });
    await clock.advance(999);
    const before = clock.everSet;
    await clock.advance(10_000);
    assert.ok(clock.everSet - before <= 10_000 / tickMs + 1, "it looks no more often than usual");
    release();
    await waiting;
    await settled();
    assert.ok(!(await isThere()));
    assert.equal((await coord.get({ key: "k" })).revision, revision + 1n);
  });

  it("leaves no timer behind when nothing needs one", async () => {
    const { coord, clock, leaseId } = await leased(1000);
    assert.equal(clock.timers, 1);
    await coord.revokeLease(leaseId);
    await clock.advance(tickMs);
    assert.equal(clock.timers, 0);
    const other = await coord.grantLease(1000);
    assert.equal(clock.timers, 1);
    await coord.keepAlive(other.id);
    await coord.close();
    assert.equal(clock.timers, 0);
  });
});
