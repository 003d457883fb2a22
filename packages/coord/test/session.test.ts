import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "vitest";
import { type EmbeddedCoord, openEmbeddedCoord } from "../src/embedded.js";
import { CoordError } from "../src/errors.js";
import { openSession, type Session } from "../src/session.js";
import { FakeClock, settled } from "./support/fake-clock.js";
import { FlakyCoord, unavailable } from "./support/flaky-coord.js";
import { MemoryFileSystem } from "./support/memory-file-system.js";

const ttlMs = 9000;
const marginMs = 900;

let clock: FakeClock;
let store: EmbeddedCoord;
let flaky: FlakyCoord;

beforeEach(async () => {
  clock = new FakeClock();
  store = await openEmbeddedCoord({ directory: "/store", clock, fileSystem: new MemoryFileSystem() });
  flaky = new FlakyCoord(store);
});

afterEach(() => store.close());

const open = (): Promise<Session> => openSession(flaky.coord, { ttlMs, clock });
const reasonOf = (session: Session): CoordError => session.signal.reason;

describe("a session", () => {
  it("lives for as long as its keepalives are answered, three for each TTL", async () => {
    const session = await open();
    await store.txn({ then: [{ type: "put", key: "mine", value: "", lease: session.leaseId }] });
    await clock.advance(10 * ttlMs);
    assert.ok(session.isAlive());
    assert.equal(flaky.count("keepAlive"), 30);
    assert.equal((await store.get({ key: "mine" })).kvs.length, 1);
    await session.close();
  });

  it("has a deadline of one TTL less a tenth behind the sending of its last good keepalive", async () => {
    const openedMs = clock.monotonicMs();
    const session = await open();
    assert.equal(session.deadlineMs, openedMs + ttlMs - marginMs);
    await clock.advance(ttlMs / 3);
    assert.equal(session.deadlineMs, openedMs + ttlMs / 3 + ttlMs - marginMs);
    await session.close();
  });

  it("counts from the sending of a keepalive, not from its answer", async () => {
    const openedMs = clock.monotonicMs();
    const session = await open();
    let answer: () => void = () => undefined;
    flaky.trouble.set(
      "keepAlive",
      new Promise((resolve) => {
        answer = resolve;
      }),
    );
    await clock.advance(ttlMs / 3 + 1000);
    assert.equal(session.deadlineMs, openedMs + ttlMs - marginMs);
    answer();
    await settled();
    assert.equal(session.deadlineMs, openedMs + ttlMs / 3 + ttlMs - marginMs);
    flaky.trouble.clear();
    await clock.advance(ttlMs / 3 - 1000);
    assert.equal(session.deadlineMs, openedMs + (ttlMs / 3) * 2 + ttlMs - marginMs);
    await session.close();
  });

  it("ends at its deadline to the millisecond when no keepalive is answered, before the store ends the lease", async () => {
    for (const trouble of ["hangs", unavailable] as const) {
      flaky.trouble.clear();
      const session = await open();
      flaky.trouble.set("keepAlive", trouble);
      await clock.advance(ttlMs - marginMs - 1);
      assert.ok(session.isAlive() && !session.signal.aborted);
      await clock.advance(1);
      assert.ok(!session.isAlive() && session.signal.aborted);
      assert.equal(reasonOf(session).code, "lease-not-found");
      assert.equal((reasonOf(session).cause as CoordError).code, "unavailable");
      await store.keepAlive(session.leaseId);
      await session.close();
    }
  });

  it("is over for whoever asks when the process was stopped past the deadline, before any timer has run", async () => {
    const session = await open();
    clock.stall(ttlMs);
    assert.ok(!session.signal.aborted);
    assert.ok(!session.isAlive());
    await clock.advance(0);
    assert.ok(session.signal.aborted);
    await session.close();
  });

  it("does not come alive again by a keepalive that is sent after its deadline", async () => {
    const session = await open();
    clock.stall(ttlMs);
    await clock.advance(ttlMs);
    assert.equal(flaky.count("keepAlive"), 0);
    assert.ok(!session.isAlive());
    await session.close();
  });

  it("bridges an outage that is shorter than its TTL", async () => {
    const session = await open();
    for (const trouble of ["hangs", unavailable] as const) {
      flaky.trouble.set("keepAlive", trouble);
      await clock.advance(ttlMs * 0.6);
      flaky.trouble.clear();
      await clock.advance(ttlMs * 0.4);
      assert.ok(session.isAlive());
    }
    await clock.advance(ttlMs * 3);
    assert.ok(session.isAlive());
    await session.close();
  });

  it("ends at once when the store says that the lease is gone", async () => {
    const session = await open();
    await store.revokeLease(session.leaseId);
    await clock.advance(ttlMs / 3);
    assert.ok(session.signal.aborted && !session.isAlive());
    assert.equal(reasonOf(session).code, "lease-not-found");
    await session.close();
  });

  it("ends at once when the store says something that does not go away", async () => {
    const session = await open();
    const fenced = new CoordError("fenced", "somebody else");
    flaky.trouble.set("keepAlive", fenced);
    await clock.advance(ttlMs / 3);
    assert.equal(session.signal.reason, fenced);
    await session.close();
  });

  it("revokes its lease when closed, and is over before that is answered", async () => {
    const session = await open();
    await store.txn({ then: [{ type: "put", key: "mine", value: "", lease: session.leaseId }] });
    const closing = session.close();
    assert.ok(!session.isAlive());
    assert.equal(reasonOf(session).code, "closed");
    await closing;
    assert.equal((await store.get({ key: "mine" })).kvs.length, 0);
    await session.close();
    assert.equal(flaky.count("revokeLease"), 1);
  });

  it("sends no keepalive any more once it is over", async () => {
    const session = await open();
    await session.close();
    await clock.advance(ttlMs * 3);
    assert.equal(flaky.count("keepAlive"), 0);
    assert.equal(clock.timers, 0);
  });

  it("closes without an error while the store can't be reached, and does not wait longer than the lease lives", async () => {
    const unreachable = await open();
    flaky.trouble.set("revokeLease", unavailable);
    await unreachable.close();
    const hanging = await open();
    flaky.trouble.set("revokeLease", "hangs");
    let isClosed = false;
    const closing = hanging.close().then(() => {
      isClosed = true;
    });
    await clock.advance(ttlMs - 1);
    assert.ok(!isClosed);
    await clock.advance(1);
    await closing;
  });

  it("ends with the signal's reason while opening or closing", async () => {
    const reason = { why: "enough" };
    flaky.trouble.set("grantLease", "hangs");
    const abort = new AbortController();
    const opening = openSession(flaky.coord, { ttlMs, clock, signal: abort.signal });
    await settled();
    abort.abort(reason);
    await assert.rejects(opening, (error) => error === reason);
    flaky.trouble.clear();
    const session = await open();
    await assert.rejects(session.close({ signal: AbortSignal.abort(reason) }), (error) => error === reason);
    assert.ok(!session.isAlive());
  });

  it("refuses a margin that leaves no time, and leaves no lease behind", async () => {
    await assert.rejects(
      openSession(flaky.coord, { ttlMs, clock, marginMs: ttlMs }),
      (error) => error instanceof CoordError && error.code === "invalid-argument",
    );
    assert.equal(flaky.count("revokeLease"), 1);
  });
});
