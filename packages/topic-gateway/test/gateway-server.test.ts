import { credentials, type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type GatewayServer, openGatewayServer } from "../src/index.js";
import { decodeMessageId, formatMessageId, parseMessageId } from "../src/protocol.js";
import { ntail } from "../src/wire.js";
import { type LocalSystem, localSystem, until } from "./support/local-system.js";

let system: LocalSystem;
let server: GatewayServer;
let client: ntail.GatewayServiceClient;

beforeEach(async () => {
  system = await localSystem();
  server = await openGatewayServer({ client: system.client, address: "127.0.0.1:0" });
  client = new ntail.GatewayServiceClient(`127.0.0.1:${server.port}`, credentials.createInsecure());
});
afterEach(async () => {
  client.close();
  await server.close({ graceMs: 100 });
  await system[Symbol.asyncDispose]();
});

function call<Request, Response>(
  method: (request: Request, done: (error: ServiceError | null, response: Response) => void) => unknown,
  request: Request,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    method.call(client, request, (error, response) => (error ? reject(error) : resolve(response)));
  });
}
const create = (topic: string) => call(client.createTopic, { topic });
const subscribe = (topic: string, subscription: string) =>
  call(client.createSubscription, { topic, subscription });
const append = (reqId: number, topic: string, key: string, data = "x") => ({
  reqId: BigInt(reqId),
  topic,
  key,
  data: Buffer.from(data),
});

/** Sends everything, ends its side, and gives all answers. */
async function appendAll(requests: readonly ntail.AppendRequest[]): Promise<ntail.AppendResponse[]> {
  const stream = client.append();
  const answers: ntail.AppendResponse[] = [];
  for (const request of requests) stream.write(request);
  stream.end();
  for await (const answer of stream as AsyncIterable<ntail.AppendResponse>) answers.push(answer);
  return answers;
}

class Tail {
  readonly stream = client.tail();
  readonly #answers = (this.stream as AsyncIterable<ntail.TailResponse>)[Symbol.asyncIterator]();

  async send(command: Partial<ntail.TailRequest>): Promise<ntail.TailResponse> {
    this.stream.write({ init: undefined, commit: undefined, poll: undefined, ...command });
    const { value } = await this.#answers.next();
    return value;
  }

  async poll(): Promise<{ id: string; text: string }[]> {
    const { data } = await this.send({ poll: {} });
    const messages: { id: string; text: string }[] = [];
    for (let at = 0; at < data.length; ) {
      const size = data.readUInt32LE(at + 16);
      const id = formatMessageId(decodeMessageId(data.subarray(at, at + 16)));
      messages.push({ id, text: data.toString("utf8", at + 20, at + 20 + size) });
      at += 20 + size;
    }
    return messages;
  }
}

describe("Append", () => {
  it("answers every request, also those that are on their way when the client ends its side", async () => {
    await create("t");
    const answers = await appendAll(Array.from({ length: 5_000 }, (_, i) => append(i, "t", `key-${i % 50}`)));
    expect(answers).toHaveLength(5_000);
    expect(new Set(answers.map(({ reqId }) => reqId)).size).toBe(5_000);
    expect(new Set(answers.map(({ msgId }) => parseMessageId(msgId as string).time)).size).toBeGreaterThan(1);
    expect((await system.client.describe("t")).messages).toBe(5_000);
  });

  it("tells what is wrong with one request by its code, and takes the others", async () => {
    await create("t");
    const answers = await appendAll([
      append(1, "t", "good"),
      append(2, "t", ""),
      append(3, "t", "k".repeat(129)),
      append(4, "not there", "k"),
      append(5, "unknown", "k"),
      append(6, "t", "k", "x".repeat(1024 * 1024 + 1)),
      append(7, "t", "good too"),
    ]);
    const codes = new Map(
      answers.map(({ reqId, errorCode, msgId }) => [Number(reqId), msgId ? 0 : errorCode]),
    );
    expect([1, 2, 3, 4, 5, 6, 7].map((id) => codes.get(id))).toEqual([
      0,
      status.INVALID_ARGUMENT,
      status.INVALID_ARGUMENT,
      status.INVALID_ARGUMENT,
      status.NOT_FOUND,
      status.INVALID_ARGUMENT,
      0,
    ]);
    expect((await system.client.describe("t")).messages).toBe(2);
  });

  it("survives clients that leave in the middle", async () => {
    await create("t");
    for (let i = 0; i < 5; i++) {
      const stream = client.append();
      stream.on("error", () => {});
      for (let n = 0; n < 100; n++) stream.write(append(n, "t", `key-${n}`));
      stream.cancel();
    }
    expect(await appendAll([append(1, "t", "k")])).toMatchObject([{ reqId: 1n }]);
  });
});

describe("Tail", () => {
  it("delivers in order by key, commits, and goes on there after a reconnect", async () => {
    await create("t");
    await subscribe("t", "s");
    await appendAll(Array.from({ length: 10 }, (_, i) => append(i, "t", "k", `${i}`)));
    const first = new Tail();
    await first.send({ init: { topic: "t", subscription: "s" } });
    const seen: { id: string; text: string }[] = [];
    while (seen.length < 10) seen.push(...(await first.poll()));
    expect(seen.map(({ text }) => text)).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    await first.send({ commit: { msgId: seen[6]?.id as string } });
    first.stream.end();
    await until(() => system.client.consumers === 0, "the first reader is gone");
    const second = new Tail();
    await second.send({ init: { topic: "t", subscription: "s" } });
    const again: { text: string }[] = [];
    while (again.length < 3) again.push(...(await second.poll()));
    expect(again.map(({ text }) => text)).toEqual(["7", "8", "9"]);
    expect(await second.poll()).toEqual([]);
    second.stream.end();
  });

  it.each([
    ["a poll before init", [{ poll: {} }], status.INVALID_ARGUMENT],
    ["a topic that is not there", [{ init: { topic: "nope", subscription: "s" } }], status.NOT_FOUND],
    ["a subscription that is not there", [{ init: { topic: "t", subscription: "nope" } }], status.NOT_FOUND],
    [
      "a second init",
      [{ init: { topic: "t", subscription: "s" } }, { init: { topic: "t", subscription: "s" } }],
      status.INVALID_ARGUMENT,
    ],
    [
      "an id that is none",
      [{ init: { topic: "t", subscription: "s" } }, { commit: { msgId: "nonsense" } }],
      status.INVALID_ARGUMENT,
    ],
    ["an empty command", [{}], status.INVALID_ARGUMENT],
  ])("refuses %s with a status, and the connection lives on", async (_, commands, code) => {
    await create("t");
    await subscribe("t", "s");
    const tail = new Tail();
    const [last, ...before] = [...commands].reverse() as Partial<ntail.TailRequest>[];
    for (const command of before.reverse()) await tail.send(command);
    await expect(tail.send(last as Partial<ntail.TailRequest>)).rejects.toMatchObject({ code });
    expect(await call(client.listTopics, {})).toEqual({ topics: ["t"] });
    await until(() => system.client.consumers === 0, "nothing is left of it");
  });

  it("gives segments back when a client leaves in the middle of a poll", async () => {
    await create("t");
    await subscribe("t", "s");
    const tail = new Tail();
    await tail.send({ init: { topic: "t", subscription: "s" } });
    tail.stream.on("error", () => {});
    const polling = tail.poll().catch(() => {});
    tail.stream.cancel();
    await polling;
    await until(() => system.client.consumers === 0, "nothing is left of it");
  });
});

describe("topics, subscriptions and single messages", () => {
  it("are created, listed and refused with the status that fits", async () => {
    await create("b");
    await create("a");
    await subscribe("a", "s2");
    await subscribe("a", "s1");
    expect(await call(client.listTopics, {})).toEqual({ topics: ["a", "b"] });
    expect(await call(client.listSubscriptions, { topic: "a" })).toEqual({ subscriptions: ["s1", "s2"] });
    await expect(create("a")).rejects.toMatchObject({ code: status.ALREADY_EXISTS });
    await expect(create("a b")).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    await expect(subscribe("a", "s1")).rejects.toMatchObject({ code: status.ALREADY_EXISTS });
    await expect(subscribe("nope", "s1")).rejects.toMatchObject({ code: status.NOT_FOUND });
    await expect(call(client.listSubscriptions, { topic: "nope" })).rejects.toMatchObject({
      code: status.NOT_FOUND,
    });
  });

  it("Get gives the newest of a key, or NOT_FOUND", async () => {
    await create("t");
    const answers = await appendAll([append(1, "t", "k", "old"), append(2, "t", "k", "new")]);
    const newest = answers.find(({ reqId }) => reqId === 2n)?.msgId;
    expect(await call(client.get, { topic: "t", key: "k", fromTime: 0n })).toEqual({
      msgId: newest,
      data: Buffer.from("new"),
    });
    const later = BigInt(Date.now() + 60_000) * 1000n;
    await expect(call(client.get, { topic: "t", key: "k", fromTime: later })).rejects.toMatchObject({
      code: status.NOT_FOUND,
    });
    await expect(call(client.get, { topic: "t", key: "x", fromTime: 0n })).rejects.toMatchObject({
      code: status.NOT_FOUND,
    });
    await expect(call(client.get, { topic: "t", key: "", fromTime: 0n })).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
    });
  });
});
