import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { bearerAuth, JournalClient } from "../src/index.js";
import {
  afterBytes,
  afterCommit,
  afterEnd,
  fail,
  hang,
  resetConnection,
  StubBroker,
  say,
  sayBytes,
} from "./support/stub-broker.js";

const journal = "a/journal";

function clientOf(broker: StubBroker): JournalClient {
  return new JournalClient({ endpoints: broker.endpoint });
}

describe("an append stream", () => {
  it("sends the request, the chunks, an empty chunk, and gives the broker's answer", async () => {
    await using broker = await StubBroker.start();
    broker.create(journal, "before ");
    await using client = clientOf(broker);
    const append = client.openAppend({ journal, offset: 7n });
    expect(await append.write(Buffer.from("hello, "))).toBe(true);
    expect(await append.write(Buffer.from("world"))).toBe(true);
    const response = await append.commit();
    expect(response).toMatchObject({ status: "OK", commit: { begin: 7n, end: 19n } });
    expect(broker.content(journal).toString()).toBe("before hello, world");
    const [call] = broker.appends;
    expect(call?.request).toMatchObject({ journal, offset: 7n });
    expect(call?.chunks.map(String)).toEqual(["hello, ", "world"]);
  });

  it("may have its bytes changed as soon as the write has resolved", async () => {
    await using broker = await StubBroker.start();
    broker.create(journal);
    await using client = clientOf(broker);
    const append = client.openAppend({ journal });
    const bytes = Buffer.from("one");
    await append.write(bytes);
    bytes.fill("x");
    await append.commit();
    expect(broker.content(journal).toString()).toBe("one");
  });

  it("splits what is larger than brokers take in one message, without losing any of it", async () => {
    await using broker = await StubBroker.start();
    broker.create(journal);
    await using client = clientOf(broker);
    const bytes = Buffer.alloc(5_000_001, "0123456789abcdef-");
    const append = client.openAppend({ journal });
    await append.write(bytes);
    await append.commit();
    expect(broker.content(journal).equals(bytes)).toBe(true);
    const sizes = broker.appends[0]?.chunks.map(({ length }) => length) ?? [];
    expect(Math.max(...sizes)).toBeLessThanOrEqual(256 * 1024);
  });

  it("refuses an empty chunk, which would be a commit", async () => {
    await using broker = await StubBroker.start();
    broker.create(journal);
    await using client = clientOf(broker);
    const append = client.openAppend({ journal });
    await expect(append.write(new Uint8Array())).rejects.toMatchObject({ code: "invalid-argument" });
    await append.abort();
    expect(broker.content(journal).toString()).toBe("");
  });

  it("refuses a wrong request, and what comes behind a commit", async () => {
    await using broker = await StubBroker.start();
    broker.create(journal);
    await using client = clientOf(broker);
    const wrong = client.openAppend({ journal: "no name" });
    await expect(wrong.write(Buffer.from("x"))).rejects.toMatchObject({ code: "invalid-argument" });
    await expect(wrong.commit()).rejects.toMatchObject({ code: "invalid-argument" });
    await wrong.abort();
    expect(broker.appends).toEqual([]);

    const append = client.openAppend({ journal });
    await append.commit();
    await expect(append.write(Buffer.from("x"))).rejects.toMatchObject({ code: "invalid-argument" });
    await expect(append.commit()).rejects.toMatchObject({ code: "invalid-argument" });
  });

  it("waits while the broker takes nothing, with little in memory", async () => {
    await using broker = await StubBroker.start();
    let paused: () => void = () => {};
    const isPaused = new Promise<void>((resolve) => {
      paused = resolve;
    });
    let resume: () => void = () => {};
    broker.onAppend(
      async (call) => {
        call.grpc.pause();
        resume = () => call.grpc.resume();
        paused();
      },
      afterCommit(),
      say((call) => ({
        header: call.broker.header(),
        commit: {
          journal,
          begin: 0n,
          end: BigInt(call.content.length),
          sum: { part1: 1n, part2: 0n, part3: 0 },
          compressionCodec: 1,
          backingStore: "",
          modTime: 0n,
          pathPostfix: "",
        },
        registers: { labels: [] },
      })),
    );
    await using client = clientOf(broker);
    const append = client.openAppend({ journal });
    const bytes = Buffer.alloc(128 * 1024);
    await append.write(bytes);
    await isPaused;
    let written = 1;
    const writing = (async () => {
      for (; written < 100; written++) await append.write(bytes);
    })();
    // So much goes by on the same connection that the stuck append had every chance to go on, too.
    broker.create("another/journal");
    const other = client.openAppend({ journal: "another/journal" });
    for (let n = 0; n < 100; n++) await other.write(bytes);
    await other.commit();
    // What waits here, what grpc-js holds for a transparent retry, HTTP/2's window, and the sockets' buffers.
    expect(written).toBeLessThan(60);
    resume();
    await writing;
    expect((await append.commit()).commit?.end).toBe(BigInt(100 * bytes.length));
  });

  it("stops writing when the broker has answered early, and gives that answer", async () => {
    await using broker = await StubBroker.start();
    broker.onAppend(
      afterBytes(3),
      say((call) => ({
        status: "REGISTER_MISMATCH",
        header: call.broker.header(),
        registers: { labels: [] },
      })),
    );
    await using client = clientOf(broker);
    const append = client.openAppend({ journal });
    let writes = 0;
    while (await append.write(Buffer.from("abc"))) {
      writes++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(writes).toBeGreaterThan(0);
    expect((await append.commit()).status).toBe("REGISTER_MISMATCH");
  });

  it("gives out statuses other than OK, and checks answers", async () => {
    await using broker = await StubBroker.start();
    await using client = clientOf(broker);
    expect((await client.openAppend({ journal }).commit()).status).toBe("JOURNAL_NOT_FOUND");
    broker.onAppend(afterCommit(), sayBytes(Buffer.from([0xff])));
    await expect(client.openAppend({ journal }).commit()).rejects.toMatchObject({ code: "invalid-response" });
    broker.onAppend(
      afterCommit(),
      say((call) => ({ header: call.broker.header() })),
    );
    await expect(client.openAppend({ journal }).commit()).rejects.toMatchObject({ code: "invalid-response" });
  });

  it("tells how the call failed, by write or by commit", async () => {
    await using broker = await StubBroker.start();
    await using client = clientOf(broker);
    broker.onAppend(afterBytes(1), fail(8, "full"));
    const append = client.openAppend({ journal });
    const writing = (async () => {
      while (await append.write(Buffer.from("abc"))) await new Promise((resolve) => setImmediate(resolve));
    })();
    await expect(writing).rejects.toMatchObject({ code: "transport", grpcCode: 8, journal });
    await expect(append.commit()).rejects.toMatchObject({ code: "transport", grpcCode: 8 });

    broker.onAppend(afterCommit(), resetConnection());
    await expect(client.openAppend({ journal }).commit()).rejects.toMatchObject({
      code: "transport",
      grpcCode: 14,
    });
  });

  it("tells whether anything of it was sent when it failed", async () => {
    const broker = await StubBroker.start();
    broker.create(journal);
    await using client = clientOf(broker);
    const bytes = Buffer.from("once");
    const fenced = { journal, checkRegisters: { include: [], exclude: [] } };
    try {
      // Told to commit on a connection that then breaks: the broker may have done so.
      broker.onAppend(afterCommit(), resetConnection());
      await expect(client.append(fenced, { content: bytes })).rejects.toMatchObject({
        message: expect.stringContaining("was committed is not known"),
        nothingSent: false,
      });
      await client.append({ journal }, { content: bytes });
    } finally {
      await broker.stop();
    }
    // The connection was good a moment ago: this call may be what finds out that it is gone.
    await expect(client.append(fenced, { content: bytes })).rejects.toMatchObject({ grpcCode: 14 });
    for (let attempt = 0; attempt < 2; attempt++) {
      await expect(client.append(fenced, { content: bytes })).rejects.toMatchObject({
        code: "transport",
        grpcCode: 14,
        message: expect.stringContaining(`nothing was appended to ${journal}`),
        nothingSent: true,
      });
      const barrier = client.appender({ journal });
      await expect(barrier.commit()).rejects.toMatchObject({ nothingSent: true });
      expect(barrier.outcomeUnknown).toBe(false);
    }
  });

  it("has sent nothing when it got no authorization", async () => {
    await using broker = await StubBroker.start();
    await using client = new JournalClient({
      endpoints: broker.endpoint,
      auth: bearerAuth(() => Promise.reject(new Error("no token today"))),
    });
    await expect(client.append({ journal })).rejects.toMatchObject({
      grpcCode: 16,
      message: expect.stringMatching(/^nothing was appended to a\/journal.*no token today/),
      nothingSent: true,
    });
    expect(broker.appends).toEqual([]);
  });

  it("is discarded by abort, which may come at any time and never rejects", async () => {
    await using broker = await StubBroker.start();
    broker.create(journal);
    await using client = clientOf(broker);
    await client.openAppend({ journal }).abort();

    const append = client.openAppend({ journal });
    await append.write(Buffer.from("gone"));
    const call = await broker.nthAppend(1);
    await append.abort();
    await append.abort();
    await call.grpc.until(() => call.cancelled);
    await expect(append.write(Buffer.from("x"))).rejects.toMatchObject({ code: "aborted" });
    await expect(append.commit()).rejects.toMatchObject({ code: "aborted" });

    const committed = client.openAppend({ journal });
    await committed.write(Buffer.from("kept"));
    await committed.commit();
    await committed.abort();
    expect(broker.content(journal).toString()).toBe("kept");
  });

  it("fails with the signal's reason itself", async () => {
    await using broker = await StubBroker.start();
    broker.onAppend(afterEnd(), hang());
    await using client = clientOf(broker);
    const reason = new Error("enough");
    const early = client.openAppend({ journal }, { signal: AbortSignal.abort(reason) });
    await expect(early.commit()).rejects.toBe(reason);

    const controller = new AbortController();
    const append = client.openAppend({ journal }, { signal: controller.signal });
    const committing = append.commit();
    const call = await broker.nthAppend(1);
    await call.grpc.until(() => call.committed);
    controller.abort(reason);
    await expect(committing).rejects.toBe(reason);
  });
});

/** A server that gives as many answers to an append as it likes; the protocol has one. */
async function answering(count: number): Promise<{ endpoint: string } & AsyncDisposable> {
  const server = new Server();
  const same = (bytes: Buffer): Buffer => bytes;
  const definition = {
    append: {
      path: "/protocol.Journal/Append",
      requestStream: true,
      responseStream: true,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    },
  } as const;
  server.addService(definition, {
    append: (call: ServerDuplexStream<Buffer, Buffer>) => {
      call.on("data", () => {});
      call.on("end", () => {
        for (let each = 0; each < count; each++) call.write(Buffer.of(0x08, 0x01));
        call.end();
      });
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return {
    endpoint: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => server.forceShutdown(),
  };
}

describe("an append whose broker does not keep to the protocol", () => {
  it.each([
    [0, "the broker gave no answer"],
    [2, "the broker gave more than one answer"],
  ])("fails when it gets %i answers", async (count, text) => {
    await using server = await answering(count);
    await using client = new JournalClient({ endpoints: server.endpoint });
    const append = client.openAppend({ journal });
    await append.write(Buffer.from("content"));
    await expect(append.commit()).rejects.toMatchObject({
      code: "transport",
      nothingSent: false,
      message: expect.stringContaining(text),
    });
  });
});
