import { connect } from "node:net";
import { Client, type ClientDuplexStream, credentials, type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type AppendRequest,
  type AppendResponse,
  GatewayServiceClient,
  type GatewayServiceService,
  type TailRequest,
  type TailResponse,
} from "../src/gen/ntail/streams/v1/service.js";
import { type GatewayServer, openGatewayServer } from "../src/index.js";
import { decodeMessageId, formatMessageId } from "../src/protocol.js";
import { type LocalSystem, localSystem, until } from "./support/local-system.js";

const MIB = 1024 * 1024;

describe("GatewayService over gRPC", { timeout: 30_000 }, () => {
  let system: LocalSystem;
  let server: GatewayServer;
  let address: string;
  let gateway: GatewayServiceClient;
  const clients: Client[] = [];

  beforeAll(async () => {
    system = await localSystem();
    server = await openGatewayServer({ client: system.client, address: "127.0.0.1:0" });
    address = `127.0.0.1:${server.port}`;
    gateway = newClient();
  });
  afterAll(async () => {
    for (const client of clients) client.close();
    await server.close({ graceMs: 100 });
    await system[Symbol.asyncDispose]();
  });

  /** A connection of its own. */
  function newClient(): GatewayServiceClient {
    const client = new GatewayServiceClient(address, credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
    });
    clients.push(client);
    return client;
  }

  describe("topics and subscriptions", () => {
    it("are created and listed", async () => {
      await createTopic("b_topic");
      await createTopic("a_topic");
      const { topics } = await unary("listTopics", {});
      expect(topics.filter((name) => name.endsWith("_topic"))).toEqual(["a_topic", "b_topic"]);
      await subscribe("a_topic", "two");
      await subscribe("a_topic", "one");
      expect(await unary("listSubscriptions", { topic: "a_topic" })).toEqual({
        subscriptions: ["one", "two"],
      });
    });

    it("that are there already are ALREADY_EXISTS", async () => {
      await createTopic("twice");
      await subscribe("twice", "s");
      await expectStatus(createTopic("twice"), status.ALREADY_EXISTS, /"twice" exists already/);
      await expectStatus(subscribe("twice", "s"), status.ALREADY_EXISTS, /"s"/);
    });

    it("with bad or unknown names are INVALID_ARGUMENT or NOT_FOUND, and nothing is created", async () => {
      const before = await unary("listTopics", {});
      for (const name of ["", "a-b", "a/b", "a".repeat(129), "ünicode", "\0"]) {
        await expectStatus(createTopic(name), status.INVALID_ARGUMENT, /is not a topic name: 1 to 128/);
        await expectStatus(subscribe(name, "s"), status.INVALID_ARGUMENT, /topic name/);
        await expectStatus(
          unary("listSubscriptions", { topic: name }),
          status.INVALID_ARGUMENT,
          /topic name/,
        );
      }
      await createTopic("__proto__");
      await expectStatus(subscribe("__proto__", "a b"), status.INVALID_ARGUMENT, /subscription name/);
      await expectStatus(subscribe("nope", "s"), status.NOT_FOUND, /no topic "nope"/);
      await expectStatus(subscribe("constructor", "s"), status.NOT_FOUND, /no topic "constructor"/);
      await expectStatus(unary("listSubscriptions", { topic: "nope" }), status.NOT_FOUND, /no topic "nope"/);
      expect(await unary("listTopics", {})).toEqual({ topics: [...before.topics, "__proto__"].sort() });
      expect(await unary("listSubscriptions", { topic: "__proto__" })).toEqual({ subscriptions: [] });
    });
  });

  describe("Append", () => {
    it("answers all of 1,000 requests in flight when the client ends its side at once", async () => {
      await createTopic("thousand");
      const requests = numbered(1_000).map((i) => request("thousand", i, { key: `k${i % 13}` }));
      const answers = await append(gateway, requests);
      expect(answers.map(({ reqId }) => Number(reqId)).sort((a, b) => a - b)).toEqual(numbered(1_000));
      expect(answers.every(({ msgId, errorCode }) => msgId !== undefined && errorCode === undefined)).toBe(
        true,
      );
      expect(new Set(answers.map(({ msgId }) => msgId)).size).toBe(1_000);
      expect((await system.client.describe("thousand")).messages).toBe(1_000);
      // Of one key, the answers and the ids are in the order of the requests.
      const ofKey = answers.filter(({ reqId }) => Number(reqId) % 13 === 5);
      expect(ofKey.map(({ reqId }) => Number(reqId))).toEqual(numbered(1_000).filter((i) => i % 13 === 5));
      const times = ofKey.map(({ msgId }) => idTime(msgId as string));
      expect(times).toEqual([...times].sort((a, b) => (a < b ? -1 : 1)));
    });

    it("answers bad requests with error code 3 or 5, and stores the good ones among them", async () => {
      await createTopic("mixed");
      const answers = await append(gateway, [
        request("mixed", 0),
        request("mixed", 1, { key: "" }),
        request("mixed", 2, { key: "k".repeat(129) }),
        request("mixed", 3, { data: Buffer.alloc(MIB + 1) }),
        request("a-b", 4),
        request("nope", 5),
        request("__proto__x", 6),
        request("mixed", 7),
        request("mixed", -8),
      ]);
      const codeOf = new Map(answers.map(({ reqId, errorCode }) => [Number(reqId), errorCode]));
      expect([...codeOf].sort(([a], [b]) => a - b)).toEqual([
        [-8, undefined],
        [0, undefined],
        [1, 3],
        [2, 3],
        [3, 3],
        [4, 3],
        [5, 5],
        [6, 5],
        [7, undefined],
      ]);
      expect((await system.client.describe("mixed")).messages).toBe(3);
    });

    it("takes a message of exactly 1 MiB, and any bytes", async () => {
      await createTopic("large");
      const data = Buffer.alloc(MIB, 0xff);
      const [answer] = await append(gateway, [request("large", 0, { data })]);
      expect(answer?.errorCode).toBeUndefined();
      const found = await unary("get", { topic: "large", key: "k", fromTime: 0n });
      expect(found.data.equals(data)).toBe(true);
    });

    it("ends a stream whose request is larger than any message can be, and no other", async () => {
      await createTopic("other");
      const good = gateway.append();
      const collected = collect<AppendResponse>(good);
      good.write(request("other", 0));
      const bad = append(gateway, [request("other", 1, { data: Buffer.alloc(5 * MIB) })]);
      await expectStatus(bad, status.RESOURCE_EXHAUSTED, /larger than|exceed|too large/i);
      good.write(request("other", 2));
      good.end();
      expect((await collected).map(({ reqId }) => Number(reqId))).toEqual([0, 2]);
    });

    it("ends a stream that brings bytes which are no request with a status, and serves on", async () => {
      for (const bytes of [Buffer.from([0xff, 0xff, 0xff]), Buffer.from([0x12, 0xff, 0x01])]) {
        const call = rawDuplex("/ntail.streams.v1.GatewayService/Append");
        const ended = collect(call);
        call.write(bytes);
        const error = (await ended.catch((reason) => reason)) as ServiceError;
        expect([status.INTERNAL, status.INVALID_ARGUMENT]).toContain(error.code);
      }
      await unary("listTopics", {});
    });

    it("does no harm to others when a client goes away in the middle", async () => {
      await createTopic("leaving");
      const stays = gateway.append();
      const collected = collect<AppendResponse>(stays);
      for (let round = 0; round < 20; round++) {
        const client = newClient();
        const leaves = client.append();
        leaves.on("error", () => {});
        for (const i of numbered(50)) leaves.write(request("leaving", i));
        stays.write(request("leaving", round));
        if (round % 2 === 0) leaves.cancel();
        else client.close();
        leaves.cancel();
      }
      stays.end();
      expect((await collected).map(({ errorCode }) => errorCode)).toEqual(numbered(20).map(() => undefined));
    });
  });

  describe("Get", () => {
    it("finds the newest message of a key, or says NOT_FOUND", async () => {
      await createTopic("newest");
      const answers = await append(gateway, [
        request("newest", 0, { key: "a", data: Buffer.from("old") }),
        request("newest", 1, { key: "a", data: Buffer.from("new") }),
        request("newest", 2, { key: "b", data: Buffer.from("other") }),
      ]);
      const found = await unary("get", { topic: "newest", key: "a", fromTime: 0n });
      expect(found).toMatchObject({ msgId: answers.find(({ reqId }) => reqId === 1n)?.msgId });
      expect(found.data.toString()).toBe("new");
      await expectStatus(
        unary("get", { topic: "newest", key: "c", fromTime: 0n }),
        status.NOT_FOUND,
        /"newest" has no message of that key/,
      );
    });

    it("takes any time from which on, also the largest and the smallest", async () => {
      await createTopic("times");
      await append(gateway, [request("times", 0)]);
      const get = (fromTime: bigint) => unary("get", { topic: "times", key: "k", fromTime });
      expect((await get(-(2n ** 63n))).msgId).not.toBe("");
      expect((await get(1n)).msgId).not.toBe("");
      await expectStatus(get(2n ** 63n - 1n), status.NOT_FOUND, /no message/);
      await expectStatus(get(4_000_000_000_000_000n), status.NOT_FOUND, /no message/);
    });

    it("refuses bad keys and unknown topics", async () => {
      await createTopic("gets");
      await expectStatus(unary("get", { topic: "gets", key: "", fromTime: 0n }), 3, /1 to 128 bytes/);
      await expectStatus(unary("get", { topic: "a-b", key: "k", fromTime: 0n }), 3, /topic name/);
      await expectStatus(unary("get", { topic: "nope", key: "k", fromTime: 0n }), 5, /no topic/);
    });
  });

  describe("Tail", () => {
    it("delivers messages as frames, commits, and goes on behind the commit after a new connection", async () => {
      await createTopic("tailed", 16);
      await subscribe("tailed", "s");
      await append(
        gateway,
        numbered(10).map((i) => request("tailed", i, { data: Buffer.from(`${i}`) })),
      );
      const first = new Tail(newClient());
      await first.send({ init: { topic: "tailed", subscription: "s" } });
      const messages = await first.poll(10);
      expect(messages.map(({ data }) => data)).toEqual(numbered(10).map(String));
      await first.send({ commit: { msgId: messages[3]?.id as string } });
      await first.end();

      const second = new Tail(newClient());
      await second.send({ init: { topic: "tailed", subscription: "s" } });
      const rest = await second.poll(6);
      expect(rest.map(({ id }) => id)).toEqual(messages.slice(4).map(({ id }) => id));
      await second.send({ commit: { msgId: rest[5]?.id as string } });
      await second.end();

      const third = new Tail(newClient());
      await third.send({ init: { topic: "tailed", subscription: "s" } });
      expect(await third.pollOnce()).toEqual([]);
      await third.end();
    });

    it("delivers a backlog that is larger than a client receives at once", async () => {
      await createTopic("backlog", 16);
      await subscribe("backlog", "s");
      const data = Buffer.alloc(MIB - 100, 7);
      await append(
        gateway,
        numbered(8).map((i) => request("backlog", i, { data })),
      );
      const tail = new Tail(newClient());
      await tail.send({ init: { topic: "backlog", subscription: "s" } });
      // Segments of this system are small: the next one is eligible when the one before it is finished.
      for (let count = 0; count < 8; ) {
        const messages = await tail.pollOnce();
        expect(messages.every((message) => message.data.length === data.length)).toBe(true);
        count += messages.length;
        const last = messages.at(-1);
        if (last) await tail.send({ commit: { msgId: last.id } });
      }
      await tail.end();
    });

    it.each<[string, TailRequest[], number, RegExp]>([
      ["a poll before init", [{ poll: {} }], 3, /first command of a stream must be init/],
      ["a commit before init", [{ commit: { msgId: "" } }], 3, /first command of a stream must be init/],
      ["an empty command", [{}], 3, /must be init/],
      ["an unknown topic", [{ init: { topic: "nope", subscription: "s" } }], 5, /no topic "nope"/],
      [
        "an unknown subscription",
        [{ init: { topic: "errors", subscription: "x" } }],
        5,
        /no subscription "x"/,
      ],
      ["a bad topic name", [{ init: { topic: "a b", subscription: "s" } }], 3, /topic name/],
      ["a bad subscription name", [{ init: { topic: "errors", subscription: "" } }], 3, /subscription name/],
      ["a second init", [init(), init()], 3, /initialized already/],
      ["a commit of text", [init(), { commit: { msgId: "hello" } }], 3, /not a message id/],
      [
        "a commit of a version-4 UUID",
        [init(), { commit: { msgId: "6fa459ea-ee8a-4ca4-894e-db77e160355e" } }],
        3,
        /not a message id/,
      ],
    ])("ends with a status for %s, and the server serves on", async (_, requests, code, says) => {
      await createTopic("errors", 16).catch(() => {});
      await subscribe("errors", "s").catch(() => {});
      const tail = new Tail(newClient());
      const answers = requests.map((one) => tail.send(one));
      await expectStatus(Promise.all(answers), code, says);
      await unary("listTopics", {});
    });

    function init(): TailRequest {
      return { init: { topic: "errors", subscription: "s" } };
    }

    it("refuses to commit a message that it did not deliver, and commits nothing by that", async () => {
      await createTopic("undelivered", 16);
      await subscribe("undelivered", "s");
      const answers = await append(
        gateway,
        numbered(3).map((i) => request("undelivered", i)),
      );
      const tail = new Tail(newClient());
      await tail.send({ init: { topic: "undelivered", subscription: "s" } });
      const commit = tail.send({ commit: { msgId: answers[2]?.msgId as string } });
      const error = (await commit.catch((reason) => reason)) as ServiceError;
      expect([status.INVALID_ARGUMENT, status.ABORTED]).toContain(error.code);
      const next = new Tail(newClient());
      await next.send({ init: { topic: "undelivered", subscription: "s" } });
      expect(await next.poll(3)).toHaveLength(3);
      await next.end();
    });

    it("gives the segments of a client that left in the middle of a poll to others", async () => {
      await createTopic("deserted");
      await subscribe("deserted", "s");
      for (let round = 0; round < 5; round++) {
        const leaves = new Tail(newClient());
        await leaves.send({ init: { topic: "deserted", subscription: "s" } });
        leaves.send({ poll: {} }).catch(() => {});
        leaves.cancel();
      }
      const stays = new Tail(newClient());
      await stays.send({ init: { topic: "deserted", subscription: "s" } });
      await append(
        gateway,
        numbered(40).map((i) => request("deserted", i, { key: `k${i}` })),
      );
      expect(await stays.poll(40)).toHaveLength(40);
      await stays.end();
    });

    it("ends a stream that brings bytes which are no command with a status, and serves on", async () => {
      const call = rawDuplex("/ntail.streams.v1.GatewayService/Tail");
      const ended = collect(call);
      call.write(Buffer.from([0x0a, 0xff]));
      const error = (await ended.catch((reason) => reason)) as ServiceError;
      expect([status.INTERNAL, status.INVALID_ARGUMENT]).toContain(error.code);
      await unary("listTopics", {});
    });
  });

  describe("beside its own service", () => {
    it("tells its health, as a whole and of the service, and NOT_FOUND for others", async () => {
      const check = (service: string): Promise<Buffer> =>
        rawUnary("/grpc.health.v1.Health/Check", stringField(1, service));
      const SERVING = Buffer.from([0x08, 0x01]);
      expect(await check("")).toEqual(SERVING);
      expect(await check("ntail.streams.v1.GatewayService")).toEqual(SERVING);
      await expectStatus(check("nope"), status.NOT_FOUND, /./);
    });

    it("says that it does not serve any more when its client is of no more use", async () => {
      const client = await system.openClient();
      await using other = await openGatewayServer({ client, address: "127.0.0.1:0" });
      const caller = new Client(`127.0.0.1:${other.port}`, credentials.createInsecure());
      clients.push(caller);
      const check = (): Promise<string> =>
        new Promise((resolve, reject) => {
          caller.makeUnaryRequest(
            "/grpc.health.v1.Health/Check",
            (request: Buffer) => request,
            (bytes: Buffer) => bytes.toString("hex"),
            stringField(1, ""),
            (error: unknown, answer?: string) => (error ? reject(error) : resolve(answer ?? "")),
          );
        });
      expect(await check()).toBe("0801");
      await client.close();
      expect(await check()).toBe("0802");
    });

    it("lists its services by reflection", async () => {
      for (const version of ["v1", "v1alpha"]) {
        const call = rawDuplex(`/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`);
        const answers = collect<Buffer>(call);
        call.write(stringField(7, "*"));
        call.end();
        expect(Buffer.concat(await answers).toString("latin1")).toContain("ntail.streams.v1.GatewayService");
      }
    });

    it("answers unknown methods with UNIMPLEMENTED", async () => {
      const call = rawUnary("/ntail.streams.v1.GatewayService/Nope", Buffer.alloc(0));
      await expectStatus(call, status.UNIMPLEMENTED, /./);
    });

    it("outlives connections that bring no HTTP/2, or end in the middle of it", async () => {
      for (const text of [
        "GET / HTTP/1.1\r\n\r\n",
        "\x16\x03\x01\xff",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
      ]) {
        await new Promise<void>((resolve) => {
          const socket = connect(server.port, "127.0.0.1", () => socket.end(Buffer.from(text, "latin1")));
          socket.on("error", () => {});
          socket.on("close", () => resolve());
          socket.resume();
        });
      }
      await unary("listTopics", {});
    });
  });

  describe("closing", () => {
    it("takes no more calls, and cuts off those that do not end", async () => {
      const other = await openGatewayServer({ client: system.client, address: "127.0.0.1:0" });
      const client = new GatewayServiceClient(`127.0.0.1:${other.port}`, credentials.createInsecure());
      clients.push(client);
      const open = collect(client.append());
      open.catch(() => {});
      await until(async () => (await unary("listTopics", {})).topics.length > 0, "the stream is open");
      await other.close({ graceMs: 50 });
      const error = (await open.catch((reason) => reason)) as ServiceError;
      expect([status.UNAVAILABLE, status.CANCELLED]).toContain(error.code);
    });

    it("tells in a sentence when it can't listen", async () => {
      await expect(openGatewayServer({ client: system.client, address })).rejects.toMatchObject({
        code: "unavailable",
        message: expect.stringContaining(`can't listen on ${address}: `),
      });
    });
  });

  // --- calls

  /** With a factor, which that wire does not have, by the library. */
  async function createTopic(topic: string, factor?: number): Promise<void> {
    if (factor === undefined) await unary("createTopic", { topic });
    else await system.client.topics.add(topic, factor);
  }

  function subscribe(topic: string, subscription: string): Promise<unknown> {
    return unary("createSubscription", { topic, subscription });
  }

  function unary<M extends UnaryName>(method: M, request: RequestOf<M>): Promise<ResponseOf<M>> {
    return new Promise((resolve, reject) => {
      const done = (error: ServiceError | null, response: ResponseOf<M>): void =>
        error ? reject(error) : resolve(response);
      // Which of the overloads is meant, TypeScript can't see through the union of all methods.
      (gateway[method] as unknown as UnaryCall<M>).call(gateway, request, done);
    });
  }

  /** A call of bytes. */
  function rawUnary(path: string, request: Buffer): Promise<Buffer> {
    const client = rawClient();
    return new Promise((resolve, reject) =>
      client.makeUnaryRequest(path, same, same, request, (error, response) =>
        error ? reject(error) : resolve(response as Buffer),
      ),
    );
  }

  function rawDuplex(path: string): ClientDuplexStream<Buffer, Buffer> {
    return rawClient().makeBidiStreamRequest(path, same, same);
  }

  function rawClient(): Client {
    const client = new Client(address, credentials.createInsecure());
    clients.push(client);
    return client;
  }

  function append(
    client: GatewayServiceClient,
    requests: readonly AppendRequest[],
  ): Promise<AppendResponse[]> {
    const call = client.append();
    const answers = collect<AppendResponse>(call);
    for (const one of requests) call.write(one);
    call.end();
    return answers;
  }
});

function same(bytes: Buffer): Buffer {
  return bytes;
}

function numbered(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

function request(topic: string, reqId: number, rest: Partial<AppendRequest> = {}): AppendRequest {
  return { reqId: BigInt(reqId), topic, key: "k", data: Buffer.from("x"), ...rest };
}

/** A protobuf field of text shorter than 128 bytes. */
function stringField(number: number, text: string): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2, text.length]), Buffer.from(text)]);
}

function idTime(id: string): bigint {
  return decodeMessageId(Buffer.from(id.replaceAll("-", ""), "hex")).time;
}

/** Everything until the stream ends. Rejects with its status. */
function collect<Response>(call: {
  on(event: "data", listener: (response: Response) => void): unknown;
  on(event: "end", listener: () => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
}): Promise<Response[]> {
  return new Promise((resolve, reject) => {
    const responses: Response[] = [];
    call.on("data", (response) => responses.push(response));
    call.on("end", () => resolve(responses));
    call.on("error", reject);
  });
}

async function expectStatus(call: Promise<unknown>, code: status, says: RegExp): Promise<void> {
  const error = (await call.then(
    () => undefined,
    (reason) => reason,
  )) as ServiceError | undefined;
  expect(error?.code, error?.message).toBe(code);
  expect(error?.details).toMatch(says);
}

type UnaryName = Exclude<keyof typeof GatewayServiceService, "append" | "tail">;
type RequestOf<M extends UnaryName> = ReturnType<(typeof GatewayServiceService)[M]["requestDeserialize"]>;
type ResponseOf<M extends UnaryName> = ReturnType<(typeof GatewayServiceService)[M]["responseDeserialize"]>;
/** Of the overloads of a generated client's method, the shortest. */
type UnaryCall<M extends UnaryName> = (
  request: RequestOf<M>,
  done: (error: ServiceError | null, response: ResponseOf<M>) => void,
) => unknown;

interface TailedMessage {
  readonly id: string;
  readonly data: string;
}

/** A stream of commands, each with its answer. */
class Tail {
  readonly #call: ClientDuplexStream<TailRequest, TailResponse>;
  readonly #waiting: { resolve: (response: TailResponse) => void; reject: (error: unknown) => void }[] = [];
  readonly #ended: Promise<void>;

  constructor(client: GatewayServiceClient) {
    this.#call = client.tail();
    this.#call.on("data", (response) => this.#waiting.shift()?.resolve(response));
    this.#ended = new Promise((resolve) => {
      this.#call.on("end", resolve);
      this.#call.on("error", (error) => {
        for (const { reject } of this.#waiting.splice(0)) reject(error);
        resolve();
      });
    });
  }

  send(command: TailRequest): Promise<TailResponse> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#call.write(command);
    });
  }

  async pollOnce(): Promise<TailedMessage[]> {
    const { data, eof } = await this.send({ poll: {} });
    expect(eof).toBe(false);
    const messages: TailedMessage[] = [];
    for (let at = 0; at < data.length; ) {
      const length = data.readUInt32LE(at + 16);
      const id = formatMessageId(decodeMessageId(data.subarray(at, at + 16)));
      messages.push({ id, data: data.toString("latin1", at + 20, at + 20 + length) });
      at += 20 + length;
      expect(at).toBeLessThanOrEqual(data.length);
    }
    return messages;
  }

  /** Polls until there were so many. */
  async poll(count: number): Promise<TailedMessage[]> {
    const messages: TailedMessage[] = [];
    while (messages.length < count) messages.push(...(await this.pollOnce()));
    return messages;
  }

  /** The polite end: the server closes its side too, and has given the segments back by then. */
  end(): Promise<void> {
    this.#call.end();
    return this.#ended;
  }

  cancel(): void {
    this.#call.cancel();
  }
}
