import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "vitest";
import { JournalClient } from "../src/client/journal-client.js";
import { Appender, AppendService, append, isJournalError, OpFutures } from "../src/index.js";
import { HastyClock, middling, put } from "./append-support.js";
import {
  accept,
  afterBytes,
  afterCommit,
  fail,
  resetConnection,
  StubBroker,
  say,
} from "./support/stub-broker.js";

// What the fakes of the other tests leave out: the same over gRPC, against a broker with a script.

const JOURNAL = "a/journal";
const UNAVAILABLE = 14;

describe("appends over gRPC", () => {
  let broker: StubBroker;
  let client: JournalClient;
  const time = { clock: new HastyClock(), random: middling };

  beforeEach(async () => {
    broker = await StubBroker.start();
    broker.create(JOURNAL, "");
    client = new JournalClient({ endpoints: broker.endpoint });
  });
  afterEach(async () => {
    await client.close();
    await broker.stop();
    assert.deepEqual(broker.scriptErrors, []);
  });

  it("streams, commits, and learns the route", async () => {
    const appender = new Appender(client, { journal: JOURNAL });
    await appender.write(Buffer.from("foo"));
    await appender.write(Buffer.from("bar"));
    const { commit } = await appender.commit();
    assert.equal(commit?.end, 6n);
    assert.equal(String(broker.content(JOURNAL)), "foobar");
    assert.deepEqual(client.route(JOURNAL).endpoints, [broker.endpoint]);
  });

  it("surfaces from write that the broker has refused already", async () => {
    broker.onAppend(
      say({
        status: "FRAGMENT_STORE_UNHEALTHY",
        header: broker.header(),
        storeHealthError: "primary store is unhealthy",
      }),
    );
    const appender = new Appender(client, { journal: JOURNAL });
    const forEver = async (): Promise<void> => {
      for (;;) {
        await appender.write(Buffer.from("additional content"));
        await new Promise(setImmediate);
      }
    };
    await assert.rejects(
      forEver(),
      (error) =>
        isJournalError(error, "fragment-store-unhealthy") && /primary store is unhealthy/.test(error.message),
    );
  });

  it("aborts: the broker sees the end without a commit", async () => {
    const appender = new Appender(client, { journal: JOURNAL });
    await appender.write(Buffer.from("gone"));
    const call = await broker.nthAppend(1);
    await appender.abort();
    await call.grpc.until(() => call.cancelled || call.halfClosed);
    assert.equal(call.committed, false);
    assert.equal(broker.content(JOURNAL).length, 0);
  });

  it("tries a one-shot append again when the broker is unavailable or dies, and not when it is fenced", async () => {
    broker.onAppend(fail(UNAVAILABLE));
    broker.onAppend(afterBytes(3), resetConnection());
    await append(client, { journal: JOURNAL }, { content: Buffer.from("content"), ...time });
    assert.equal(String(broker.content(JOURNAL)), "content");
    broker.onAppend(afterCommit(), resetConnection());
    await assert.rejects(
      append(client, { journal: JOURNAL, offset: 7n }, { content: Buffer.from("fenced"), ...time }),
      (error) => isJournalError(error, "transport") && /not known/.test(error.message),
    );
    assert.equal(broker.appends.length, 4);
  });

  it("has a service commit everything, whole and in order, over failures of all kinds", async () => {
    broker.onAppend(fail(2, "an error"));
    broker.onAppend(afterBytes(10), resetConnection());
    broker.onAppend(say({ status: "NOT_JOURNAL_PRIMARY_BROKER", header: broker.header() }));
    broker.onAppend(accept());
    const service = new AppendService(client, time);
    const expected: string[] = [];
    let last = put(service, JOURNAL, "");
    for (let index = 0; index < 500; index++) {
      const text = `${index} `.repeat(index % 7 === 0 ? 3000 : 10);
      expected.push(text);
      last = put(service, JOURNAL, text, index % 50 === 49 ? new OpFutures([last]) : undefined);
      if (index % 20 === 0) await new Promise(setImmediate);
    }
    await service.close();
    assert.equal(await last.err(), undefined);
    assert.equal(String(broker.content(JOURNAL)), expected.join(""));
  });

  it("ends a service's append under way with the signal's reason", async () => {
    broker.onAppend(afterCommit(), (call) => call.grpc.until(() => call.cancelled));
    const stop = new AbortController();
    const service = new AppendService(client, { signal: stop.signal, ...time });
    const op = put(service, JOURNAL, "x");
    const call = await broker.nthAppend(1);
    await call.grpc.until(() => call.committed);
    const reason = new Error("enough");
    stop.abort(reason);
    assert.equal(await op.err(), reason);
    await call.grpc.until(() => call.cancelled);
  });
});
