import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import type * as wire from "../src/gen/protocol/protocol.js";
import { JournalClient, type ReadResponse } from "../src/index.js";
import {
  chunk,
  fail,
  fragmentOf,
  hang,
  resetConnection,
  StubBroker,
  say,
  sayBytes,
  waitFor,
} from "./support/stub-broker.js";

const journal = "a/journal";

function clientOf(broker: StubBroker): JournalClient {
  return new JournalClient({ endpoints: broker.endpoint });
}

async function collect(responses: AsyncIterable<ReadResponse>): Promise<string[]> {
  const found: string[] = [];
  for await (const { content, status } of responses) {
    found.push(content === undefined ? status : Buffer.from(content).toString());
  }
  return found;
}

describe("a read", () => {
  it("gives the broker's answers in order, and ends when the broker ends it", async () => {
    await using broker = await StubBroker.start();
    broker.onRead(
      say(({ broker: { header } }) => ({
        header: header.call(broker),
        offset: 3n,
        writeHead: 9n,
        fragment: fragmentOf(journal, 0n, "012345678"),
      })),
      chunk(3n, "345"),
      chunk(6n, "678"),
    );
    await using client = clientOf(broker);
    const responses: ReadResponse[] = [];
    for await (const response of client.openRead({ journal, offset: 3n })) responses.push(response);
    expect(responses.map(({ offset }) => offset)).toEqual([3n, 3n, 6n]);
    expect(responses[0]?.header?.route.endpoints).toEqual([broker.endpoint]);
    expect(Buffer.from(responses[2]?.content ?? []).toString()).toBe("678");
    expect(broker.reads[0]?.request).toMatchObject({ journal, offset: 3n, block: false });
  });

  it("connects to nobody, and checks nothing, before it is iterated", async () => {
    await using client = new JournalClient({ endpoints: "http://127.0.0.1:1" });
    const iterator = client.openRead({ journal: "not a name" })[Symbol.asyncIterator]();
    expect(await iterator.return?.()).toEqual({ done: true, value: undefined });
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
  });

  it("refuses a wrong request before anything is sent", async () => {
    await using broker = await StubBroker.start();
    await using client = clientOf(broker);
    await expect(collect(client.openRead({ journal: "not a name" }))).rejects.toMatchObject({
      code: "invalid-argument",
    });
    await expect(collect(client.openRead({ journal, offset: -2n }))).rejects.toMatchObject({
      code: "invalid-argument",
    });
    expect(broker.reads).toEqual([]);
  });

  it("asks for what was written since a time, also when it is tried again and after a seek", async () => {
    await using broker = await StubBroker.start();
    broker.create(journal, "0123456789");
    broker.onRead(chunk(2n, "23"), fail(14, "gone"));
    await using client = clientOf(broker);
    const reader = client.retryReader({ journal, offset: 2n, endOffset: 6n, beginModTime: 1_700_000_000n });
    const read = async (): Promise<string> => Buffer.from((await reader.read()) ?? []).toString();
    expect([await read(), await read(), await read()]).toEqual(["23", "45", ""]);
    await reader.seek(1n);
    expect(await read()).toBe("12345");
    expect(broker.reads.map(({ request }) => [request.offset, request.beginModTime])).toEqual(
      [2n, 4n, 1n].map((offset) => [offset, 1_700_000_000n]),
    );
  });

  it("gives out statuses other than OK rather than throwing them", async () => {
    await using broker = await StubBroker.start();
    await using client = clientOf(broker);
    expect(await collect(client.openRead({ journal }))).toEqual(["JOURNAL_NOT_FOUND"]);
  });

  it("gives out what came before the call failed, and then the failure with its code and the broker", async () => {
    await using broker = await StubBroker.start();
    broker.onRead(chunk(0n, "one"), chunk(3n, "two"), fail(8, "too much"));
    await using client = clientOf(broker);
    const found: string[] = [];
    const reading = (async () => {
      for await (const { content } of client.openRead({ journal })) {
        found.push(Buffer.from(content ?? []).toString());
      }
    })();
    await expect(reading).rejects.toMatchObject({
      code: "transport",
      grpcCode: 8,
      journal,
      message: `Read of a/journal at ${broker.endpoint} failed: RESOURCE_EXHAUSTED (8): too much`,
    });
    expect(found).toEqual(["one", "two"]);
  });

  it("fails as unavailable when the connection breaks", async () => {
    await using broker = await StubBroker.start();
    broker.onRead(chunk(0n, "one"), resetConnection());
    await using client = clientOf(broker);
    await expect(collect(client.openRead({ journal }))).rejects.toMatchObject({
      code: "transport",
      grpcCode: 14,
    });
  });

  it("ends the call when the broker breaks the protocol, and says how", async () => {
    for (const step of [
      sayBytes(Buffer.from([0xff, 0xff, 0xff])),
      say<wire.ReadRequest, wire.ReadResponse>({ status: "OK", writeHead: -1n }),
    ]) {
      await using broker = await StubBroker.start();
      broker.onRead(step, hang());
      await using client = clientOf(broker);
      await expect(collect(client.openRead({ journal }))).rejects.toMatchObject({ code: "invalid-response" });
      const call = await broker.nthRead(1);
      await call.grpc.until(() => call.cancelled);
    }
  });

  it("is cancelled by leaving the iteration, which is over when the call is", async () => {
    await using broker = await StubBroker.start();
    broker.onRead(chunk(0n, "one"), hang());
    await using client = clientOf(broker);
    for await (const _ of client.openRead({ journal })) break;
    const call = await broker.nthRead(1);
    await call.grpc.until(() => call.cancelled);
  });

  it("that waits is ended by `return`, which ends the waiting `next` as well", async () => {
    await using broker = await StubBroker.start();
    broker.onRead(hang());
    await using client = clientOf(broker);
    const iterator = client.openRead({ journal, block: true })[Symbol.asyncIterator]();
    const waiting = iterator.next();
    const call = await broker.nthRead(1);
    await iterator.return?.();
    expect(await waiting).toEqual({ done: true, value: undefined });
    await call.grpc.until(() => call.cancelled);
  });

  it("gives each of several waiting `next` its own message, in order", async () => {
    await using broker = await StubBroker.start();
    broker.onRead(chunk(0n, "one"), chunk(3n, "two"));
    await using client = clientOf(broker);
    const iterator = client.openRead({ journal })[Symbol.asyncIterator]();
    const results = await Promise.all([iterator.next(), iterator.next(), iterator.next(), iterator.next()]);
    expect(results.map(({ value }) => value && Buffer.from(value.content ?? []).toString())).toEqual([
      "one",
      "two",
      undefined,
      undefined,
    ]);
  });

  it("fails with the signal's reason itself: before it begins, while it waits, and with messages at hand", async () => {
    await using broker = await StubBroker.start();
    await using client = clientOf(broker);
    const reason = { any: "value" };
    await expect(collect(client.openRead({ journal }, { signal: AbortSignal.abort(reason) }))).rejects.toBe(
      reason,
    );
    expect(broker.reads).toEqual([]);

    broker.onRead(hang());
    const controller = new AbortController();
    const reading = collect(client.openRead({ journal }, { signal: controller.signal }));
    const call = await broker.nthRead(1);
    controller.abort(reason);
    await expect(reading).rejects.toBe(reason);
    await call.grpc.until(() => call.cancelled);
    expect(getEventListeners(controller.signal, "abort")).toEqual([]);

    broker.onRead(chunk(0n, "one"), chunk(3n, "two"), hang());
    const late = new AbortController();
    const iterator = client.openRead({ journal }, { signal: late.signal })[Symbol.asyncIterator]();
    await iterator.next();
    late.abort(reason);
    await expect(iterator.next()).rejects.toBe(reason);
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
  });

  it("leaves no listener on a signal that outlives it", async () => {
    await using broker = await StubBroker.start();
    broker.create(journal, "content");
    await using client = clientOf(broker);
    const { signal } = new AbortController();
    await collect(client.openRead({ journal }, { signal }));
    broker.onRead(fail(13));
    await collect(client.openRead({ journal }, { signal })).catch(() => {});
    for await (const _ of client.openRead({ journal }, { signal })) break;
    await client.listAllJournals({}, { signal });
    await client.openAppend({ journal }, { signal }).commit();
    await client.openAppend({ journal }, { signal }).abort();
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it("holds back a broker whose reader is slow, and does not hold back another read on the connection", {
    timeout: 30_000,
  }, async () => {
    await using broker = await StubBroker.start();
    const bytes = Buffer.alloc(64 * 1024, "x");
    const window = 1024 * 1024;
    let sent = 0;
    broker.onRead(async (call) => {
      for (let n = 0; n < 1024; n++) {
        sent += bytes.length;
        await call.send({ offset: BigInt(n), content: bytes });
      }
    });
    await using client = new JournalClient({
      endpoints: broker.endpoint,
      channelOptions: { "grpc-node.flow_control_window": window },
    });
    const slow = client.openRead({ journal })[Symbol.asyncIterator]();
    await slow.next();

    // So much goes by on the same connection that the slow read had every chance to go on, too.
    broker.create(journal, Buffer.alloc(32 * window, "y"));
    let other = 0;
    for await (const { content } of client.openRead({ journal })) other += content?.length ?? 0;
    expect(other).toBe(32 * window);
    // One window on its way, 16 messages in grpc-js, and what Node and the stub hold of some messages each.
    expect(sent).toBeLessThan(window + 24 * bytes.length);

    let taken = bytes.length;
    for (;;) {
      const { done, value } = await slow.next();
      if (done) break;
      taken += value.content?.length ?? 0;
    }
    expect(taken).toBe(1024 * bytes.length);
  });
});

describe("closing a client", () => {
  it("ends its calls with `closed`, and refuses new ones", async () => {
    await using broker = await StubBroker.start();
    broker.onRead(hang());
    const client = clientOf(broker);
    const reading = collect(client.openRead({ journal }));
    const unread = client.openRead({ journal })[Symbol.asyncIterator]();
    broker.onRead(chunk(0n, "one"), chunk(3n, "two"), hang());
    await unread.next();
    const append = client.openAppend({ journal });
    const closing = client.close();
    await expect(reading).rejects.toMatchObject({ code: "closed" });
    await closing;
    await expect(unread.next()).rejects.toMatchObject({ code: "closed" });
    await expect(append.commit()).rejects.toMatchObject({ code: "closed" });
    await expect(client.listAllJournals()).rejects.toMatchObject({ code: "closed" });
    await client.close();
  });

  it("lets a call that waits for its broker end as well", async () => {
    await using broker = await StubBroker.start();
    let open: (value: unknown) => void = () => {};
    const gate = new Promise((resolve) => {
      open = resolve;
    });
    broker.onList(waitFor(gate));
    const client = clientOf(broker);
    const listing = client.listAllJournals();
    await broker.nthList(1);
    await client.close();
    await expect(listing).rejects.toMatchObject({ code: "closed" });
    open(undefined);
  });
});
