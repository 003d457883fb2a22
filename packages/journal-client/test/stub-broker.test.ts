import { type ClientReadableStream, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import * as wire from "../src/gen/protocol/protocol.js";
import {
  accept,
  afterBytes,
  afterCommit,
  afterEnd,
  chunk,
  EMPTY_HEADER,
  fail,
  fragmentOf,
  hang,
  resetConnection,
  resetStream,
  StubBroker,
  say,
  sayBytes,
  sayPartOfFrame,
  serve,
  specOf,
  waitFor,
} from "./support/stub-broker.js";

const JOURNAL = "a/journal";
const UNAVAILABLE = 14;

let broker: StubBroker;
let client: wire.JournalClient;

beforeEach(async () => {
  broker = await StubBroker.start();
  client = new wire.JournalClient(broker.endpoint.slice("http://".length), credentials.createInsecure(), {
    "grpc.initial_reconnect_backoff_ms": 10,
    "grpc.max_reconnect_backoff_ms": 10,
  });
});

afterEach(async () => {
  client.close();
  await broker.stop();
  expect(broker.scriptErrors).toEqual([]);
});

function readRequest(fields: Partial<wire.ReadRequest> = {}): wire.ReadRequest {
  return { ...wire.ReadRequest.fromPartial({}), journal: JOURNAL, ...fields };
}

/** All messages, and the code at the end: 0 when the stream ended well. */
async function collect<T>(
  stream: ClientReadableStream<T>,
): Promise<{ messages: T[]; code: number; details: string }> {
  const messages: T[] = [];
  try {
    for await (const message of stream) messages.push(message as T);
    return { messages, code: 0, details: "" };
  } catch (error) {
    const { code, details } = error as ServiceError;
    return { messages, code, details };
  }
}

interface Appended {
  readonly stream: ReturnType<wire.JournalClient["append"]>;
  readonly answer: Promise<{ code: number; response: wire.AppendResponse | undefined }>;
}

function startAppend(fields: Partial<wire.AppendRequest> = {}): Appended {
  let stream!: Appended["stream"];
  const answer = new Promise<{ code: number; response: wire.AppendResponse | undefined }>((resolve) => {
    stream = client.append((error, response) => resolve({ code: error?.code ?? 0, response }));
  });
  stream.on("error", () => {});
  stream.write({ ...wire.AppendRequest.fromPartial({}), journal: JOURNAL, ...fields });
  return { stream, answer };
}

function content(text: string): wire.AppendRequest {
  return { ...wire.AppendRequest.fromPartial({}), content: Buffer.from(text) };
}

describe("the scripts of a Read", () => {
  it("says its answers in order and ends well", async () => {
    broker.onRead(say({ header: broker.header(), writeHead: 6n }), chunk(0n, "foo"), chunk(3n, "bar"));
    const { messages, code } = await collect(client.read(readRequest({ offset: 0n, block: true })));
    expect(code).toBe(0);
    expect(messages.map((message) => message.content.toString())).toEqual(["", "foo", "bar"]);
    expect(messages[0]).toMatchObject({ writeHead: 6n, header: { processId: broker.id } });
    expect(broker.reads[0]?.request).toMatchObject({ journal: JOURNAL, block: true });
  });

  it("ends with a status of the journal, or of gRPC before and after content", async () => {
    broker.onRead(say({ status: "OFFSET_NOT_YET_AVAILABLE" }));
    broker.onRead(fail(UNAVAILABLE, "not now, 100 %"));
    broker.onRead(chunk(0n, "foo"), fail(UNAVAILABLE));
    expect((await collect(client.read(readRequest()))).messages[0]?.status).toBe(6);
    expect(await collect(client.read(readRequest()))).toEqual({
      messages: [],
      code: UNAVAILABLE,
      details: "not now, 100 %",
    });
    expect(await collect(client.read(readRequest()))).toMatchObject({
      messages: [{ offset: 0n }],
      code: UNAVAILABLE,
    });
  });

  it("hangs until the client cancels", async () => {
    broker.onRead(chunk(0n, "foo"), hang());
    const stream = client.read(readRequest());
    await new Promise((resolve) => stream.once("data", resolve));
    stream.cancel();
    const { code } = await collect(stream);
    expect(code).toBe(1);
    const call = await broker.nthRead(1);
    await call.grpc.until(() => call.cancelled);
  });

  it("waits for the test between two chunks", async () => {
    let open!: () => void;
    broker.onRead(
      chunk(0n, "foo"),
      waitFor(new Promise<void>((resolve) => (open = resolve))),
      chunk(3n, "bar"),
    );
    const stream = client.read(readRequest());
    await new Promise((resolve) => stream.once("readable", resolve));
    expect(stream.read()?.content.toString()).toBe("foo");
    open();
    expect((await collect(stream)).messages.map((message) => message.content.toString())).toEqual(["bar"]);
  });

  it("resets a stream, and a whole connection", async () => {
    broker.onRead(chunk(0n, "foo"), resetStream());
    broker.onRead(chunk(0n, "foo"), resetConnection());
    broker.onRead(chunk(0n, "foo"));
    expect(await collect(client.read(readRequest()))).toMatchObject({ code: 13 });
    expect(await collect(client.read(readRequest()))).toMatchObject({ code: UNAVAILABLE });
    expect(await collect(client.read(readRequest()))).toMatchObject({ code: 0, messages: [{ offset: 0n }] });
  });

  it("sends bytes that are no message, and parts of frames", async () => {
    broker.onRead(sayBytes(Buffer.from([0x18])));
    broker.onRead(sayPartOfFrame(100, Buffer.from("foo")), resetConnection());
    expect((await collect(client.read(readRequest()))).code).toBe(13);
    expect((await collect(client.read(readRequest()))).code).toBe(UNAVAILABLE);
  });

  it("is played for one call each, and memory serves the others", async () => {
    broker.create(JOURNAL, "from memory");
    broker.onRead(say({ status: "JOURNAL_NOT_FOUND" }));
    broker.onRead(serve());
    expect((await collect(client.read(readRequest()))).messages).toMatchObject([{ status: 1 }]);
    for (let round = 0; round < 2; round++) {
      const { messages } = await collect(client.read(readRequest({ offset: 5n })));
      expect(messages).toMatchObject([
        { status: 0, offset: 5n, writeHead: 11n, fragment: { begin: 0n, end: 11n } },
        { offset: 5n },
        { status: 6, offset: 11n },
      ]);
      expect(messages[1]?.content.toString()).toBe("memory");
    }
  });

  it("records the metadata of a call", async () => {
    const metadata = new Metadata();
    metadata.set("authorization", "Bearer token");
    await collect(client.read(readRequest(), metadata));
    expect(broker.reads[0]?.metadata.authorization).toBe("Bearer token");
  });
});

describe("a Read from memory", () => {
  it("follows a journal that grows, up to the end that was asked for", async () => {
    broker.create(JOURNAL, "foo");
    const stream = client.read(readRequest({ offset: 3n, block: true, endOffset: 6n }));
    await broker.nthRead(1);
    broker.grow(JOURNAL, "barbaz");
    const { messages, code } = await collect(stream);
    expect(code).toBe(0);
    expect(messages.map((message) => message.content.toString()).join("")).toBe("bar");
  });
});

describe("the scripts of an Append", () => {
  it("records the request, the chunks and the commit, and keeps them in memory", async () => {
    broker.create(JOURNAL, "foo");
    const { stream, answer } = startAppend({ suspend: wire.AppendRequest_Suspend.SUSPEND_NO_RESUME });
    stream.write(content("bar"));
    stream.write(content("baz"));
    stream.write(content(""));
    stream.end();
    const { response } = await answer;
    expect(response).toMatchObject({ status: 0, commit: fragmentOf(JOURNAL, 3n, "barbaz"), totalChunks: 2n });
    expect(broker.content(JOURNAL).toString()).toBe("foobarbaz");
    const [call] = broker.appends;
    expect(call?.request).toMatchObject({ journal: JOURNAL, suspend: 1 });
    expect(call?.chunks.map(String)).toEqual(["bar", "baz"]);
    expect(call).toMatchObject({ committed: true, halfClosed: true, cancelled: false });
  });

  it("does not keep what was not committed", async () => {
    broker.create(JOURNAL);
    broker.onAppend(afterEnd(), accept());
    const { stream, answer } = startAppend();
    stream.write(content("bar"));
    stream.end();
    expect((await answer).code).toBe(2);
    expect(broker.content(JOURNAL).length).toBe(0);
  });

  it("answers before the commit, with a status or an error", async () => {
    broker.onAppend(afterBytes(3), say({ status: "WRONG_APPEND_OFFSET", header: broker.header() }));
    broker.onAppend(fail(UNAVAILABLE));
    const first = startAppend();
    first.stream.write(content("bar"));
    expect(await first.answer).toMatchObject({ code: 0, response: { status: 11 } });
    expect((await startAppend().answer).code).toBe(UNAVAILABLE);
  });

  it("dies in the middle, or after the commit", async () => {
    broker.onAppend(afterBytes(3), resetConnection());
    broker.onAppend(afterCommit(), resetConnection());
    const first = startAppend();
    first.stream.write(content("bar"));
    expect((await first.answer).code).toBe(UNAVAILABLE);
    const second = startAppend();
    second.stream.write(content("baz"));
    second.stream.write(content(""));
    second.stream.end();
    expect((await second.answer).code).toBe(UNAVAILABLE);
    const call = await broker.nthAppend(2);
    expect(call.committed).toBe(true);
    expect(String(call.content)).toBe("baz");
  });

  it("never answers, until the client gives up", async () => {
    broker.onAppend(afterCommit(), hang());
    const { stream, answer } = startAppend();
    stream.write(content(""));
    stream.end();
    const call = await broker.nthAppend(1);
    await call.grpc.until(() => call.committed);
    stream.cancel();
    expect((await answer).code).toBe(1);
    await call.grpc.until(() => call.cancelled);
  });

  it("stops the client by flow control when nothing is read", async () => {
    broker.onAppend((call) => call.grpc.pause(), hang());
    const { stream, answer } = startAppend();
    await broker.nthAppend(1);
    let written = 0;
    for (let part = 0; part < 2; part++) stream.write(content("x".repeat(1 << 20)), () => written++);
    // Goes over the same connection, behind all that could be sent.
    await collect(client.list(wire.ListRequest.fromPartial({})));
    const call = await broker.nthAppend(1);
    expect(call.content.length).toBe(0);
    expect(written).toBe(0);
    call.grpc.resume();
    await call.grpc.until(() => call.content.length === 2 << 20);
    stream.cancel();
    expect((await answer).code).toBe(1);
  });

  it("refuses an offset that is not the write head, and journals that are not there", async () => {
    broker.create(JOURNAL, "foo");
    expect(await startAppend({ offset: 2n }).answer).toMatchObject({ response: { status: 11 } });
    expect(await startAppend({ journal: "no/journal" }).answer).toMatchObject({ response: { status: 1 } });
  });
});

describe("listings", () => {
  it("are scripted, as pages", async () => {
    const route = broker.header().route;
    const journal = { spec: specOf("a/one"), modRevision: 1n, createRevision: 1n, route };
    broker.onList(
      say({ header: broker.header(), journals: [journal] }),
      say({ header: EMPTY_HEADER, journals: [{ ...journal, spec: specOf("a/two", { replication: 3 }) }] }),
    );
    const { messages } = await collect(client.list(wire.ListRequest.fromPartial({})));
    expect(messages).toMatchObject([
      { journals: [{ spec: { name: "a/one", replication: 1 } }] },
      { journals: [{ spec: { name: "a/two", replication: 3 } }] },
    ]);
  });

  it("come from memory, and are watched", async () => {
    broker.create("a/journal");
    const labels = [{ name: "prefix", value: "a/", prefix: false }];
    const stream = client.list(
      wire.ListRequest.fromPartial({ watch: true, selector: { include: { labels } } }),
    );
    await broker.nthList(1);
    const seen: string[][] = [];
    for await (const message of stream) {
      seen.push((message as wire.ListResponse).journals.map(({ spec }) => spec!.name));
      if (seen.length === 2) {
        broker.create("b/journal");
        broker.create("a/other");
      }
      if (seen.at(-1)?.includes("a/other")) break;
    }
    expect(seen[0]).toEqual(["a/journal"]);
    expect(seen[1]).toEqual([]);
    expect(seen.at(-1)).toEqual(["a/journal", "a/other"]);
  });
});

describe("single answers", () => {
  it("apply to memory, if all revisions are as expected", async () => {
    const apply = (changes: wire.ApplyRequest_Change[]): Promise<wire.ApplyResponse> =>
      new Promise((resolve, reject) =>
        client.apply({ changes }, (error, response) => (error ? reject(error) : resolve(response))),
      );
    const create = { expectModRevision: 0n, upsert: specOf(JOURNAL), delete: "" };
    expect((await apply([create])).status).toBe(0);
    expect(broker.journals.has(JOURNAL)).toBe(true);
    expect((await apply([create])).status).toBe(9);
    await apply([{ expectModRevision: -1n, upsert: undefined, delete: JOURNAL }]);
    expect(broker.journals.size).toBe(0);
    broker.onApply(say({ status: "NOT_ALLOWED", header: broker.header() }));
    expect((await apply([create])).status).toBe(10);
    expect(broker.applies).toHaveLength(4);
  });

  it("tell about fragments and stores", async () => {
    broker.create(JOURNAL, "foo");
    broker.onFragments(say(() => ({ header: broker.header(), nextPageToken: 7n })));
    broker.onFragmentStoreHealth(
      say({ status: "FRAGMENT_STORE_UNHEALTHY", header: broker.header(), storeHealthError: "no" }),
    );
    const list = (): Promise<wire.FragmentsResponse> =>
      new Promise((resolve) =>
        client.listFragments(wire.FragmentsRequest.fromPartial({ journal: JOURNAL }), (_, response) =>
          resolve(response),
        ),
      );
    const health = (): Promise<wire.FragmentStoreHealthResponse> =>
      new Promise((resolve) =>
        client.fragmentStoreHealth({ fragmentStore: "file:///a/" }, (_, response) => resolve(response)),
      );
    expect(await list()).toMatchObject({ nextPageToken: 7n });
    expect(await list()).toMatchObject({ fragments: [{ spec: { begin: 0n, end: 3n } }] });
    expect(await health()).toMatchObject({ status: 15, storeHealthError: "no" });
    expect(await health()).toMatchObject({ status: 0 });
    expect(broker.fragmentLists).toHaveLength(2);
    expect(broker.healths).toHaveLength(2);
  });
});

describe("a broker as a whole", () => {
  it("goes away and comes back on its port", async () => {
    broker.create(JOURNAL, "foo");
    broker.onRead(chunk(0n, "foo"), hang());
    const reading = collect(client.read(readRequest()));
    await broker.nthRead(1);
    await broker.stop();
    expect((await reading).code).toBe(UNAVAILABLE);
    broker = await StubBroker.start({ port: broker.port, zone: "zone-b", suffix: "broker-2" });
    const metadata = new Metadata({ waitForReady: true });
    expect((await collect(client.read(readRequest(), metadata))).messages).toMatchObject([{ status: 1 }]);
  });

  it("breaks all connections at once", async () => {
    broker.onRead(chunk(0n, "foo"), hang()).onRead(chunk(0n, "foo"), hang());
    const both = [collect(client.read(readRequest())), collect(client.read(readRequest()))];
    await broker.nthRead(2);
    broker.resetConnections();
    expect((await Promise.all(both)).map(({ code }) => code)).toEqual([UNAVAILABLE, UNAVAILABLE]);
  });

  it("sends clients away and lets their calls end", async () => {
    let open!: () => void;
    broker.onRead(
      chunk(0n, "foo"),
      waitFor(new Promise<void>((resolve) => (open = resolve))),
      chunk(3n, "bar"),
    );
    const reading = collect(client.read(readRequest()));
    await broker.nthRead(1);
    broker.goAway();
    open();
    expect(await reading).toMatchObject({ code: 0, messages: [{ offset: 0n }, { offset: 3n }] });
  });
});
