import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import type * as wire from "../src/gen/protocol/protocol.js";
import { JournalClient, type ListResponse, ListUpdates, WatchedList } from "../src/index.js";
import { StillClock } from "./append-support.js";
import { fail, hang, type ListCall, type Step, StubBroker, specOf, waitFor } from "./support/stub-broker.js";

type ListStep = Step<wire.ListRequest, wire.ListResponse>;

/** One whole listing of a watch, as brokers send it. */
function listing(revision: bigint, ...names: string[]): ListStep {
  return async (call: ListCall) => {
    const header = call.broker.header();
    await call.send({
      header: { ...header, etcd: { ...header.etcd!, revision } },
      journals: names.map((name) => ({
        spec: specOf(name),
        modRevision: 12n,
        createRevision: 11n,
        route: header.route,
      })),
    });
    await call.send({});
  };
}

/** Goes on when the test says so. */
function gate(): { open: () => void; step: Step<unknown, unknown> } {
  let open: () => void = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, step: waitFor(opened) };
}

function clientOf(broker: StubBroker): JournalClient {
  return new JournalClient({ endpoints: broker.endpoint });
}

const namesOf = (response: ListResponse | undefined): string[] | undefined =>
  response?.journals.map(({ spec }) => spec.name);

/** The middle of chance: a pause of 50 ms is 50 ms. */
const random = { number: () => 0.5, bytes: (count: number) => new Uint8Array(count) };

describe("WatchedList", () => {
  it("has no listing at first, then the latest, and tells of each", async () => {
    await using broker = await StubBroker.start();
    const more = gate();
    broker.onList(listing(1n, "part-one", "part-two"), more.step, listing(2n), hang());
    await using client = clientOf(broker);
    await using list = new WatchedList(client, { selector: "foo=bar" });
    expect(list.list()).toBeUndefined();
    expect(await list.updates.next()).toEqual({ list, error: undefined });
    expect(namesOf(list.list())).toEqual(["part-one", "part-two"]);
    expect(client.route("part-one").endpoints).toEqual([broker.endpoint]);
    more.open();
    await list.updates.next();
    expect(namesOf(list.list())).toEqual([]);
    expect(broker.lists[0]?.request).toMatchObject({ watch: true, watchResume: undefined });
    expect(broker.lists[0]?.request.selector?.include?.labels).toMatchObject([{ name: "foo", value: "bar" }]);
  });

  it("goes on from the last listing when the broker ends the watch, soon and without an error", async () => {
    await using broker = await StubBroker.start();
    broker.onList(listing(7n, "part-one"));
    broker.onList(listing(9n, "part-two"), hang());
    await using client = clientOf(broker);
    const clock = new StillClock();
    await using list = new WatchedList(client, {}, { clock, random });
    await list.updates.next();
    expect(await clock.step()).toBe(50);
    expect(await list.updates.next()).toEqual({ list, error: undefined });
    expect(namesOf(list.list())).toEqual(["part-two"]);
    expect(broker.lists[1]?.request.watchResume?.etcd?.revision).toBe(7n);
  });

  it("tries again after failures, more slowly each time, and tells of them", async () => {
    await using broker = await StubBroker.start();
    for (let n = 0; n < 8; n++) broker.onList(fail(14, "shutting down"));
    broker.onList(listing(7n, "part-one"), fail(13));
    broker.onList(listing(8n, "part-one"), hang());
    await using client = clientOf(broker);
    const clock = new StillClock();
    await using list = new WatchedList(client, {}, { clock, random });
    const pauses: number[] = [];
    for (let n = 0; n < 8; n++) {
      expect((await list.updates.next()).error).toMatchObject({ code: "transport", grpcCode: 14 });
      pauses.push(await clock.step());
    }
    expect(pauses).toEqual([50, 50, 100, 100, 1000, 1000, 5000, 5000]);
    await list.updates.next();
    expect((await list.updates.next()).error).toMatchObject({ grpcCode: 13 });
    expect(await clock.step()).toBe(50);
    expect((await list.updates.next()).error).toBeUndefined();
  });

  it("survives a restart of its only broker", async () => {
    const first = await StubBroker.start();
    first.onList(listing(7n, "part-one"), hang());
    let waits: () => void = () => {};
    const waiting = new Promise<void>((resolve) => {
      waits = resolve;
    });
    await using client = new JournalClient({ endpoints: first.endpoint, onEvent: () => waits() });
    await using list = new WatchedList(client, {}, { random });
    const listings = list[Symbol.asyncIterator]();
    expect(namesOf((await listings.next()).value ?? undefined)).toEqual(["part-one"]);
    await first.stop();
    await waiting;
    await using second = await StubBroker.start({ port: first.port });
    second.onList(listing(8n, "part-two"), hang());
    expect(namesOf((await listings.next()).value ?? undefined)).toEqual(["part-two"]);
    expect(second.lists[0]?.request.watchResume?.etcd?.revision).toBe(7n);
  });

  it("refuses a revision that it has, and asks again", async () => {
    await using broker = await StubBroker.start();
    broker.onList(listing(7n, "part-one"), listing(7n, "part-one", "part-two"), hang());
    broker.onList(listing(6n, "part-two"), hang());
    broker.onList(listing(8n, "part-three"), hang());
    await using client = clientOf(broker);
    const clock = new StillClock();
    await using list = new WatchedList(client, {}, { clock, random });
    await list.updates.next();
    for (let n = 0; n < 2; n++) {
      expect((await list.updates.next()).error).toMatchObject({ code: "invalid-response" });
      expect(namesOf(list.list())).toEqual(["part-one"]);
      await clock.step();
    }
    await list.updates.next();
    expect(namesOf(list.list())).toEqual(["part-three"]);
    const call = broker.lists[0]!;
    await call.grpc.until(() => call.cancelled);
  });

  it("begins behind the header that it is given", async () => {
    await using broker = await StubBroker.start();
    await using client = clientOf(broker);
    const { header } = await client.listAllJournals();
    broker.onList(listing(header.etcd.revision + 1n, "part-one"), hang());
    await using list = client.watchList({ watchResume: header });
    await list.updates.next();
    expect(broker.lists[1]?.request.watchResume?.etcd?.revision).toBe(header.etcd.revision);
  });

  it("gives one who iterates the latest listing, and none that came and went meanwhile", async () => {
    await using broker = await StubBroker.start();
    const more = gate();
    const last = gate();
    broker.onList(
      listing(1n, "part-one"),
      more.step,
      listing(2n, "part-two"),
      listing(3n, "part-three"),
      last.step,
      listing(4n, "part-four"),
      hang(),
    );
    await using client = clientOf(broker);
    await using list = new WatchedList(client);
    const seen: (string[] | undefined)[] = [];
    for await (const response of list) {
      seen.push(namesOf(response));
      if (seen.length === 1) {
        more.open();
        while (namesOf(list.list())?.[0] !== "part-three") await list.updates.next();
      } else if (seen.length === 2) last.open();
      else break;
    }
    expect(seen).toEqual([["part-one"], ["part-three"], ["part-four"]]);
    // Others may iterate as well: leaving the loop ended nothing.
    for await (const response of list) {
      expect(namesOf(response)).toEqual(["part-four"]);
      break;
    }
  });

  it("may share its updates with other lists", async () => {
    await using broker = await StubBroker.start();
    const second = gate();
    broker.onList(listing(1n, "part-one"), hang());
    await using client = clientOf(broker);
    const updates = new ListUpdates();
    await using one = new WatchedList(client, { selector: "foo=one" }, { updates });
    expect((await updates.next()).list).toBe(one);
    broker.onList(second.step, listing(2n, "part-two"), hang());
    await using two = new WatchedList(client, { selector: "foo=two" }, { updates });
    const next = updates.next();
    second.open();
    expect((await next).list).toBe(two);
    expect([one, two].map((list) => namesOf(list.list()))).toEqual([["part-one"], ["part-two"]]);
  });

  it("ends with the signal: the call is cancelled, iterations throw its reason, and no listener is left", async () => {
    await using broker = await StubBroker.start();
    broker.onList(listing(1n, "part-one"), hang());
    await using client = clientOf(broker);
    const controller = new AbortController();
    const list = new WatchedList(client, {}, { signal: controller.signal });
    const listings = list[Symbol.asyncIterator]();
    await listings.next();
    const waiting = listings.next();
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await list[Symbol.asyncDispose]();
    await expect(list[Symbol.asyncIterator]().next()).rejects.toBe(reason);
    expect(namesOf(list.list())).toEqual(["part-one"]);
    const call = broker.lists[0]!;
    await call.grpc.until(() => call.cancelled);
    expect(getEventListeners(controller.signal, "abort")).toEqual([]);
    await expect(
      new WatchedList(client, {}, { signal: controller.signal })[Symbol.asyncIterator]().next(),
    ).rejects.toBe(reason);
    expect(broker.lists).toHaveLength(1);
  });

  it("ends when it is disposed of: iterations are done, also while it pauses, and no timer is left", async () => {
    await using broker = await StubBroker.start();
    broker.onList(fail(13));
    await using client = clientOf(broker);
    const clock = new StillClock();
    const list = new WatchedList(client, {}, { clock });
    const waiting = list[Symbol.asyncIterator]().next();
    await clock.nextDelayMs();
    await list[Symbol.asyncDispose]();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(clock.timers).toBe(0);
  });

  it("ends when its client is closed", async () => {
    await using broker = await StubBroker.start();
    broker.onList(listing(1n, "part-one"), hang());
    const client = clientOf(broker);
    const list = new WatchedList(client);
    await list.updates.next();
    const listings = list[Symbol.asyncIterator]();
    await listings.next();
    const waiting = listings.next();
    await client.close();
    await expect(waiting).rejects.toMatchObject({ code: "closed" });
  });

  it("refuses a selector that does not parse at once", () => {
    const client = new JournalClient({ endpoints: "http://127.0.0.1:1" });
    expect(() => new WatchedList(client, { selector: "in in in" })).toThrow(
      expect.objectContaining({ code: "invalid-argument" }),
    );
  });
});

describe("ListUpdates", () => {
  const update = (name: string) => ({ list: name as never, error: undefined });

  it("keeps the last update for who comes later, once", async () => {
    const updates = new ListUpdates();
    updates.notify(update("one"));
    updates.notify(update("two"));
    expect(await updates.next()).toEqual(update("two"));
    const next = updates.next();
    updates.notify(update("three"));
    expect(await next).toEqual(update("three"));
  });

  it("wakes one of those who wait with each update, in their order", async () => {
    const updates = new ListUpdates();
    const waiting = [updates.next(), updates.next()];
    updates.notify(update("one"));
    updates.notify(update("two"));
    expect(await Promise.all(waiting)).toEqual([update("one"), update("two")]);
  });

  it("stops waiting with the signal, whose update then is another's", async () => {
    const updates = new ListUpdates();
    const controller = new AbortController();
    const left = updates.next({ signal: controller.signal });
    const stays = updates.next();
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(left).rejects.toBe(reason);
    expect(getEventListeners(controller.signal, "abort")).toEqual([]);
    updates.notify(update("one"));
    expect(await stays).toEqual(update("one"));
  });

  it("may be iterated", async () => {
    const updates = new ListUpdates();
    updates.notify(update("one"));
    for await (const next of updates) {
      expect(next).toEqual(update("one"));
      break;
    }
  });
});
