import { openSession } from "@x/coord";
import { type EmbeddedCoord, openEmbeddedCoord } from "@x/coord/embedded";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FlakyCoord, unavailable } from "../../../coord/test/support/flaky-coord.js";
import { MemoryFileSystem } from "../../../coord/test/support/memory-file-system.js";
import {
  etcdLocator,
  type RegisterOptions,
  type Registration,
  type RegistrationEvent,
  register,
} from "../../src/etcd.js";
import { at, FakeClock, Reader, settled } from "./support.js";

const prefix = "/services/kv/";
const key = `${prefix}10.0.0.7:9000`;
const ttlMs = 9000;

let clock: FakeClock;
let store: EmbeddedCoord;
let flaky: FlakyCoord;
let told: RegistrationEvent["event"][];

beforeEach(async () => {
  clock = new FakeClock();
  store = await openEmbeddedCoord({ directory: "/store", clock, fileSystem: new MemoryFileSystem() });
  flaky = new FlakyCoord(store);
  told = [];
});

afterEach(() => store.close());

/** With a log that throws when it is told one of these. */
const registering = (
  throwing: readonly RegistrationEvent["event"][],
  options: Partial<RegisterOptions> = {},
): Promise<Registration> =>
  register({
    coord: flaky.coord,
    prefix,
    endpoint: at("10.0.0.7", 9000),
    ttlMs,
    clock,
    random: () => 1,
    log: ({ event }) => {
      told.push(event);
      if (throwing.includes(event)) throw new Error("the log is full");
    },
    ...options,
  });
const isThere = async (): Promise<boolean> => (await store.get({ key })).kvs.length === 1;

describe("what the log of a registration throws changes nothing", () => {
  it("when it is registered, at once or after failures", async () => {
    flaky.trouble.set("grantLease", unavailable);
    const registration = registering(["failed", "registered"]);
    await settled();
    flaky.trouble.clear();
    await clock.advance(100);
    expect(await registration).toMatchObject({ registered: true });
    expect([told, await isThere()]).toEqual([["failed", "registered"], true]);
    await (await registration).close();
  });

  it("when the key was deleted, each time", async () => {
    const registration = await registering(["failed", "restored"]);
    await settled();
    for (const time of [1, 2]) {
      await store.txn({ then: [{ type: "delete", key }] });
      await settled();
      expect(registration.registered, `deletion ${time}`).toBe(false);
      flaky.trouble.set("txn", unavailable);
      await clock.advance(300);
      flaky.trouble.clear();
      await clock.advance(5000);
      expect([await isThere(), registration.registered], `deletion ${time}`).toEqual([true, true]);
    }
    expect(told.filter((event) => event === "restored")).toHaveLength(2);
    expect(told).toContain("failed");
    await registration.close();
  });

  it("when the lease was lost", async () => {
    const registration = await registering(["lost", "over"]);
    const lease = (await store.get({ key })).kvs[0]?.lease ?? 0n;
    await store.revokeLease(lease);
    await clock.advance(ttlMs / 3);
    expect([await isThere(), registration.registered]).toEqual([true, true]);
    expect(told).toEqual(["registered", "lost", "registered"]);
    await registration.close();
    expect(await isThere()).toBe(false);
  });

  it("when it is over: closing does not fail", async () => {
    const session = await openSession(store, { ttlMs, clock });
    const registration = await registering(["over"], { session });
    await session.close();
    await settled();
    expect(told).toEqual(["registered", "over"]);
    await registration.close();
  });
});

it("what onSkipped throws changes nothing: the other keys are told, and each that is skipped once", async () => {
  const put = (name: string, value: string): Promise<unknown> =>
    store.txn({ then: [{ type: "put", key: `${prefix}${name}`, value }] });
  await put("bad", "{");
  await put("good", "a:1");
  const skipped: string[] = [];
  const located = etcdLocator({
    coord: store,
    prefix,
    clock,
    onSkipped: (each) => {
      skipped.push(each.key);
      throw new Error("the log is full");
    },
  });
  await using reader = new Reader(located);
  await settled();
  await put("worse", "[");
  await put("better", "b:2");
  await settled();
  expect([reader.error, reader.told]).toEqual([undefined, ["a:1", "a:1 b:2"]]);
  expect([skipped, located.skipped]).toEqual([[`${prefix}bad`, `${prefix}worse`], 2]);
});
