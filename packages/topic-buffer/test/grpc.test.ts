import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { openEmbeddedCoord } from "@x/coord/embedded";
import { grpcBuffers } from "@x/topic-gateway";
import {
  type BufferConnection,
  decodeBody,
  type FoundKey,
  messagesInFrames,
  parseMessageId,
  parseTopicName,
  rangeSizeKey,
  type SegmentId,
} from "@x/topic-gateway/protocol";
import { ntail, topics } from "@x/topic-gateway/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodePublishRequest, encodeReadResponse } from "../src/grpc/codec.js";
import {
  type BufferEvent,
  type BufferNode,
  type BufferServer,
  createBufferServer,
  openBuffer,
} from "../src/index.js";
import { FaultyCoord } from "./support/faulty-coord.js";
import { MemoryFiles } from "./support/memory-files.js";
import { MemoryArchive, MemoryLogDisk, MemoryLogs } from "./support/memory-logs.js";
import { entriesOf, rangeOfKey, readAll, Sender, topic } from "./support/world.js";

interface Served extends AsyncDisposable {
  readonly node: BufferNode;
  readonly server: BufferServer;
  readonly connection: BufferConnection;
  readonly ntail: ntail.BufferServiceClient;
  readonly epoch: bigint;
  readonly segment: SegmentId;
}

const range = rangeOfKey("k", 16);

/** A buffer with one range, behind a server on loopback. */
async function serve(
  options: { readonly coord?: FaultyCoord; readonly logs?: MemoryLogs; readonly leaseTtlMs?: number } = {},
): Promise<Served> {
  const coord =
    options.coord ?? (await openEmbeddedCoord({ directory: "/coord", fileSystem: new MemoryFiles() }));
  const { logs = new MemoryLogs(new MemoryLogDisk()), leaseTtlMs } = options;
  await coord.txn({ then: [{ type: "put", key: rangeSizeKey(parseTopicName(topic)), value: "16" }] });
  const server = await createBufferServer({ address: "127.0.0.1:0" });
  let tell = (_: BufferEvent & { type: "opened" }): void => {};
  const opened = new Promise<BufferEvent & { type: "opened" }>((resolve) => {
    tell = resolve;
  });
  const node = await openBuffer({
    id: "a",
    address: server.address,
    coord,
    logs,
    ...(leaseTtlMs !== undefined && { leaseTtlMs }),
    archive: new MemoryArchive(),
    onEvent: (event) => event.type === "opened" && tell(event),
  });
  server.serve(node);
  const { epoch, segment } = await opened;
  const connection = grpcBuffers()(server.address);
  const client = new ntail.BufferServiceClient(server.address, credentials.createInsecure());
  return {
    node,
    server,
    connection,
    ntail: client,
    epoch,
    segment,
    async [Symbol.asyncDispose]() {
      client.close();
      await connection[Symbol.asyncDispose]();
      await node.close();
      await server.close();
      await coord.close();
    },
  };
}

function address({ segment }: Served): ntail.SegmentAddress {
  return {
    topic: segment.topic,
    hashRangeFrom: segment.range.from,
    hashRangeTo: segment.range.to - 1,
    fromTime: segment.startTime,
  };
}

function ask<Request, Response>(
  call: (request: Request, done: (error: unknown, response: Response) => void) => unknown,
  request: Request,
): Promise<Response> {
  return new Promise((resolve, reject) =>
    call(request, (error, response) => (error ? reject(error) : resolve(response))),
  );
}

async function append(
  client: ntail.BufferServiceClient,
  requests: Partial<ntail.AppendRequest>[],
): Promise<ntail.AppendResponse[]> {
  const call = client.append();
  for (const [i, request] of requests.entries()) {
    call.write({ reqId: BigInt(i + 1), topic, key: "k", data: Buffer.from(String(i)), ...request });
  }
  call.end();
  const answers: ntail.AppendResponse[] = [];
  for await (const answer of call as AsyncIterable<ntail.AppendResponse>) answers.push(answer);
  return answers;
}

describe("a buffer over gRPC", () => {
  it("publishes, reads, gets and describes as it does without a network", async () => {
    await using served = await serve();
    const { connection, epoch, segment } = served;
    const sender = new Sender(connection);
    sender.send({
      lane: 1,
      open: { topic, range, epoch },
      batch: 1,
      entries: entriesOf([
        { key: "k", data: "1" },
        { key: "l", data: "2" },
      ]),
    });
    sender.send({ lane: 1, batch: 2, entries: entriesOf([{ key: "k", data: "3" }]) });
    sender.end();
    await sender.done;
    expect(sender.failure).toBeUndefined();
    expect(sender.acked(1)).toBe(2);
    expect((await readAll(connection, segment, 3)).map(({ data }) => data)).toEqual(["1", "2", "3"]);
    const answers: FoundKey[] = [];
    for await (const answer of connection.getMany(topic, ["nothing", "k"])) answers.push(answer);
    expect(answers.map(({ index }) => index)).toEqual([0, 1]);
    expect(answers[0]?.found).toBeUndefined();
    const found = answers[1]?.found;
    const [message] = messagesInFrames(found!.frame);
    expect(Buffer.from(decodeBody(message!.body).data).toString()).toBe("3");
    expect(found!.segment).toEqual(segment);
    expect(await connection.describe(topic)).toEqual([
      { segment, durableSequence: 3, bytes: expect.any(Number), open: true },
    ]);
  });

  it("refuses a lane of another epoch by name and ends a stream that makes no sense", async () => {
    await using served = await serve();
    const sender = new Sender(served.connection);
    sender.send({
      lane: 1,
      open: { topic, range, epoch: served.epoch + 1n },
      batch: 1,
      entries: entriesOf([{ key: "k", data: "1" }]),
    });
    sender.send({ lane: 7, batch: 1, entries: Buffer.alloc(0) });
    await sender.done;
    expect(sender.failure).toMatchObject({ code: "invalid-argument" });
  });

  it("tells the code of an error across the network", async () => {
    await using served = await serve();
    const unknown = { ...served.segment, startTime: 1n };
    await expect(readAll(served.connection, unknown, 1)).rejects.toMatchObject({ code: "not-owner" });
    const many = (name: string, keys: string[]) =>
      served.connection.getMany(name, keys)[Symbol.asyncIterator]().next();
    await expect(many("no topic!", ["k"])).rejects.toMatchObject({ code: "invalid-topic-name" });
    await expect(many(topic, ["k", ""])).rejects.toMatchObject({ code: "invalid-key" });
    await expect(many(topic, new Array(10_001).fill("k"))).rejects.toMatchObject({
      code: "invalid-argument",
    });
  });

  it("ends a tail when its reader leaves, and when the buffer closes", async () => {
    await using served = await serve();
    const controller = new AbortController();
    const reading = (async () => {
      for await (const _ of served.connection.read(
        { segment: served.segment, fromSequence: 1 },
        { signal: controller.signal },
      )) {
        // Nothing comes.
      }
    })();
    controller.abort(new Error("enough"));
    await expect(reading).rejects.toThrow("enough");
    const ended = readAll(served.connection, served.segment, 1);
    const first = await served.connection.describe(topic);
    expect(first).toHaveLength(1);
    await served.node.close();
    expect(await ended).toEqual([]);
  });

  it("answers every append of the published wire with an id or a status", async () => {
    await using served = await serve();
    const answers = await append(served.ntail, [{}, {}, { key: "" }, { topic: "other" }, {}]);
    expect(answers.map(({ reqId }) => reqId).sort()).toEqual([1n, 2n, 3n, 4n, 5n]);
    const byId = new Map(answers.map((answer) => [answer.reqId, answer]));
    expect(byId.get(3n)?.errorCode).toBe(status.INVALID_ARGUMENT);
    expect(byId.get(4n)?.errorCode).toBe(status.FAILED_PRECONDITION);
    expect([1n, 2n, 5n].map((id) => parseMessageId(byId.get(id)?.msgId ?? "").sequence)).toEqual([1, 2, 3]);
  });

  it("polls without waiting, in bounded pieces, from a bookmark", async () => {
    await using served = await serve();
    const poll = (request: Partial<ntail.PollRequest>) =>
      ask(served.ntail.poll.bind(served.ntail) as never, {
        addr: address(served),
        fromTime: 0n,
        bookmark: undefined,
        ...request,
      }) as Promise<ntail.PollResponse>;
    expect(await poll({})).toMatchObject({ lastMsgId: "", eof: false });
    const big = Buffer.alloc(700_000, 1);
    const answers = await append(served.ntail, [{ data: big }, { data: big }, { data: Buffer.from("end") }]);
    const first = await poll({});
    expect(first.data.length).toBe(2 * (20 + big.length));
    expect(first.data.readUInt32LE(16)).toBe(big.length);
    expect(first.lastMsgId).toBe(answers[1]?.msgId);
    const second = await poll({ bookmark: { msgId: first.lastMsgId } });
    expect(second.data.subarray(20).toString()).toBe("end");
    expect(second.fromTime).toBe(parseMessageId(answers[2]?.msgId ?? "").time);
    expect(await poll({ bookmark: { msgId: second.lastMsgId } })).toMatchObject({
      lastMsgId: "",
      eof: false,
    });
    await expect(poll({ addr: undefined })).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    await expect(poll({ bookmark: { msgId: "x" } })).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  it("gets the newest message of a key on the published wire, or says that there is none", async () => {
    await using served = await serve();
    await append(served.ntail, [{}, {}]);
    const get = (key: string) =>
      ask(served.ntail.get.bind(served.ntail) as never, {
        topic,
        key,
        fromTime: 0n,
      }) as Promise<ntail.GetResponse>;
    expect((await get("k")).data.toString()).toBe("1");
    await expect(get("none")).rejects.toMatchObject({ code: status.NOT_FOUND });
  });

  it("is healthy once it serves a buffer, and unavailable before", async () => {
    await using server = await createBufferServer({ address: "127.0.0.1:0" });
    const connection = grpcBuffers()(server.address);
    await expect(connection.describe(topic)).rejects.toMatchObject({ code: "unavailable" });
    expect(await health(server.address)).toBe(2);
    await connection[Symbol.asyncDispose]();
    await using served = await serve();
    expect(await health(served.server.address)).toBe(1);
    for (const service of ["x.topics.v1.BufferService", "ntail.streams.v1.BufferService"])
      expect(await health(served.server.address, service)).toBe(1);
  });

  it("says that it does not serve from the moment that it begins to close, before its ranges are handed over", async () => {
    const logs = new MemoryLogs(new MemoryLogDisk());
    await using served = await serve({ logs });
    let seal = (): void => {};
    const sealing = new Promise<void>((resolve) => {
      seal = resolve;
    });
    logs.hook = () => sealing;
    const closing = served.node.close();
    expect(served.node.status().state).toBe("closing");
    expect(await health(served.server.address)).toBe(2);
    seal();
    await closing;
    expect(await health(served.server.address)).toBe(2);
  });

  it("says that it does not serve while it has no session, and tells those who watch when it has one again", async () => {
    await using disk = await openEmbeddedCoord({ directory: "/coord", fileSystem: new MemoryFiles() });
    const coord = new FaultyCoord(disk);
    // So long that a pause of this process does not end it by itself.
    await using served = await serve({ coord, leaseTtlMs: 4_000 });
    const told: number[] = [];
    const soon = { timeout: 20_000 };
    const watching = new AbortController();
    const watch = watchHealth(served.server.address, {
      signal: watching.signal,
      told: (one) => told.push(one),
    });
    await expect.poll(() => told, soon).toEqual([1]);
    coord.partition();
    await expect.poll(() => told, soon).toEqual([1, 2]);
    expect(served.node.status().state).toBe("waiting");
    await expect(
      served.connection.getMany(topic, ["k"])[Symbol.asyncIterator]().next(),
    ).rejects.toMatchObject({
      code: "not-owner",
    });
    coord.heal();
    await expect.poll(() => told, soon).toEqual([1, 2, 1]);
    watching.abort();
    await watch;
  });

  it("answers for many keys when it knows of the records as much as whoever asks", async () => {
    await using disk = await openEmbeddedCoord({ directory: "/coord", fileSystem: new MemoryFiles() });
    const coord = new FaultyCoord(disk);
    await using served = await serve({ coord });
    let tell = (): void => {};
    const held = new Promise<void>((resolve) => {
      tell = resolve;
    });
    coord.onWatch = () => held;
    const { revision } = await disk.txn({ then: [{ type: "put", key: "/else", value: "1" }] });
    let answered = false;
    const answers = served.connection.getMany(topic, ["k"], { revision })[Symbol.asyncIterator]();
    const answer = answers.next().finally(() => {
      answered = true;
    });
    // What does not name that revision is answered meanwhile.
    for await (const { found } of served.connection.getMany(topic, ["k"])) expect(found).toBeUndefined();
    expect(answered).toBe(false);
    tell();
    expect((await answer).value).toEqual({ index: 0, found: undefined });
    await answers.return?.();
  });
});

/** grpc.health.v1.HealthCheckResponse.ServingStatus of the whole server: 1 serving, 2 not. */
async function health(address: string, service = ""): Promise<number> {
  const client = new Client(address, credentials.createInsecure());
  try {
    return await new Promise<number>((resolve, reject) => {
      client.makeUnaryRequest(
        "/grpc.health.v1.Health/Check",
        () => Buffer.concat([Buffer.from([0x0a, service.length]), Buffer.from(service)]),
        (bytes: Buffer) => bytes[1] ?? 0,
        undefined,
        new Metadata(),
        (error, answer) => (error ? reject(error) : resolve(answer ?? 0)),
      );
    });
  } finally {
    client.close();
  }
}

/** Each status that the server tells, until the signal is aborted. */
async function watchHealth(
  address: string,
  { signal, told }: { readonly signal: AbortSignal; readonly told: (status: number) => void },
): Promise<void> {
  const client = new Client(address, credentials.createInsecure());
  const call = client.makeServerStreamRequest(
    "/grpc.health.v1.Health/Watch",
    () => Buffer.alloc(0),
    (bytes: Buffer) => bytes[1] ?? 0,
    undefined,
  );
  signal.addEventListener("abort", () => call.cancel(), { once: true });
  try {
    for await (const status of call as AsyncIterable<number>) told(status);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    client.close();
  }
}

describe("the hand-made messages", () => {
  it("decode what the generated code encodes", () => {
    const open = fc.option(
      fc.record({
        topic: fc.string(),
        hashFrom: fc.nat(30_000),
        hashTo: fc.integer({ min: 30_000, max: 65_535 }),
        epoch: fc.bigInt({ min: 0n, max: 2n ** 63n }),
        sender: fc.oneof(
          fc.constant(Buffer.alloc(0)),
          fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes)),
        ),
        attempt: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }).map(BigInt),
      }),
      { nil: undefined },
    );
    fc.assert(
      fc.property(
        fc.nat(),
        fc.nat({ max: Number.MAX_SAFE_INTEGER }),
        fc.uint8Array({ maxLength: 300 }),
        open,
        (lane, batch, entries, target) => {
          const bytes = Buffer.from(
            topics.PublishRequest.encode({
              lane,
              batch: BigInt(batch),
              entries: Buffer.from(entries),
              open: target,
            }).finish(),
          );
          const decoded = decodePublishRequest(bytes);
          expect(decoded.lane).toBe(lane);
          expect(decoded.batch).toBe(batch);
          expect(decoded.entries.equals(entries)).toBe(true);
          expect(decoded.open).toEqual(
            target && {
              topic: target.topic,
              range: { from: target.hashFrom, to: target.hashTo + 1 },
              epoch: target.epoch,
              ...(target.sender.length > 0 && {
                sender: { id: target.sender.toString("hex"), attempt: Number(target.attempt) },
              }),
            },
          );
        },
      ),
    );
  });

  it("refuse a sender that is none, with a sentence", () => {
    const open = { topic: "t", hashFrom: 0, hashTo: 63, epoch: 1n };
    const wrongs = [
      { ...open, sender: Buffer.alloc(15), attempt: 1n },
      { ...open, sender: Buffer.alloc(16), attempt: 0n },
      { ...open, sender: Buffer.alloc(16), attempt: 2n ** 60n },
    ];
    for (const target of wrongs) {
      const request = { lane: 1, batch: 1n, entries: Buffer.alloc(0), open: target };
      const bytes = Buffer.from(topics.PublishRequest.encode(request).finish());
      expect(() => decodePublishRequest(bytes)).toThrow("16 bytes and 1 to 2^53 - 1 are allowed");
    }
  });

  it("are decoded by the generated code", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 1000 }),
        fc.nat({ max: 2 ** 40 }),
        fc.nat(),
        (bytes, firstSequence, count) => {
          const frames = Buffer.from(bytes);
          expect(topics.ReadResponse.decode(encodeReadResponse({ frames, firstSequence, count }))).toEqual({
            frames,
            firstSequence: BigInt(firstSequence),
            count,
          });
        },
      ),
    );
  });

  it("refuse bytes that are no such message with a typed error, whatever they are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          decodePublishRequest(Buffer.from(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
      }),
    );
  });
});
