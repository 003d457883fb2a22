import { gzipSync } from "node:zlib";
import { type ClientDuplexStream, credentials, type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { TopicClient } from "../src/client.js";
import {
  AppendRequest,
  type AppendResponse,
  CreateTopicRequest,
  GatewayServiceClient,
  GetRequest,
  ListTopicsRequest,
  TailRequest,
} from "../src/gen/ntail/streams/v1/service.js";
import { type GatewayServer, type GatewayServerLimits, openGatewayServer } from "../src/index.js";
import { type LocalSystem, localSystem } from "./support/local-system.js";
import { frame, RawCaller } from "./support/raw-grpc.js";

const KIB = 1024;
const MIB = KIB * KIB;
const ENHANCE_YOUR_CALM = 11;
const soon = { timeout: 15_000, interval: 10 };

describe("what all gRPC calls together may take", { timeout: 30_000 }, () => {
  let system: LocalSystem;
  let server: GatewayServer;
  const callers: { destroy(): void }[] = [];

  beforeAll(async () => {
    system = await localSystem({ buffers: 1, segmentMaxBytes: 64 * MIB });
    await system.client.topics.add("t", 16);
    await system.client.createSubscription("t", "s");
    await system.client.publish("t", { key: "large", data: Buffer.alloc(MIB) });
  });
  afterAll(() => system[Symbol.asyncDispose]());

  /** Everything that was counted is given back, whatever has happened. */
  afterEach(async () => {
    for (const caller of callers.splice(0)) caller.destroy();
    await expect.poll(() => server.load.calls, soon).toBe(0);
    await expect.poll(() => server.load.bytes, soon).toBe(0);
    await server.close({ graceMs: 0 });
  });

  async function start(limits: GatewayServerLimits, client: TopicClient = system.client): Promise<void> {
    server = await openGatewayServer({ client, address: "127.0.0.1:0", limits });
  }

  function rawCaller(windowBytes?: number): RawCaller {
    const caller = new RawCaller(server.port, windowBytes);
    callers.push(caller);
    return caller;
  }

  /** One that behaves, with a connection of its own. */
  function caller(): GatewayServiceClient {
    const client = new GatewayServiceClient(`127.0.0.1:${server.port}`, credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
    });
    callers.push({ destroy: () => client.close() });
    return client;
  }

  function listTopics(): Promise<readonly string[]> {
    const client = caller();
    return new Promise((resolve, reject) =>
      client.listTopics({}, (error, answer) => (error ? reject(error) : resolve(answer.topics))),
    );
  }

  /** Writes as fast as the stream takes it. */
  function append(
    call: ClientDuplexStream<AppendRequest, AppendResponse>,
    count: number,
    bytes: number,
  ): Appending {
    const answers: AppendResponse[] = [];
    const ended = new Promise<readonly AppendResponse[]>((resolve, reject) => {
      call.on("data", (answer) => answers.push(answer));
      call.on("end", () => resolve(answers));
      call.on("error", reject);
    });
    ended.catch(() => {});
    for (let i = 0; i < count; i++)
      call.write({ reqId: BigInt(i), topic: "t", key: "k", data: Buffer.alloc(bytes) });
    call.end();
    return { answers, ended };
  }

  interface Appending {
    readonly answers: readonly AppendResponse[];
    readonly ended: Promise<readonly AppendResponse[]>;
  }

  it("is a number of bytes of messages that have not arrived as a whole: beyond it calls are refused at once, and others go on", async () => {
    await start({ maxBytes: 16 * MIB });
    const enemy = rawCaller();
    const stalled = Array.from({ length: 5 }, () => enemy.call("Append"));
    for (const call of stalled) await call.write(frame(Buffer.alloc(3 * MIB), { announced: 4 * MIB }));
    await expect.poll(() => server.load.bytes, soon).toBe(15 * MIB);
    const refused = enemy.call("CreateTopic");
    await refused.write(frame(Buffer.alloc(2 * MIB), { announced: 4 * MIB }));
    expect(await refused.ended).toMatchObject({
      status: status.RESOURCE_EXHAUSTED,
      details: "the server holds too many messages: try again in a moment",
    });
    expect(server.load.bytes).toBe(15 * MIB);
    expect(await listTopics()).toEqual(["t"]);
    for (const call of stalled) call.cancel();
    await expect.poll(() => server.load.bytes, soon).toBe(0);
    const next = enemy.call("CreateTopic");
    await next.write(frame(Buffer.alloc(4 * MIB - 1), { announced: 4 * MIB }));
    await expect.poll(() => server.load.bytes, soon).toBe(4 * MIB - 1);
  });

  it("is what compressed messages may become, not what they are", async () => {
    await start({ maxBytes: 16 * MIB });
    const bomb = frame(gzipSync(Buffer.alloc(4 * MIB - 100)), { isCompressed: true });
    const call = rawCaller().call("Tail", { "grpc-encoding": "gzip" });
    const message = TailRequest.encode({ init: { topic: "t", subscription: "s" } }).finish();
    await call.write(Buffer.concat([frame(message), bomb, bomb, bomb]));
    expect(await call.ended).toMatchObject({ status: status.RESOURCE_EXHAUSTED });
  });

  it("is a number of pieces of a message, as each of them takes more than is in it", async () => {
    await start({});
    const call = rawCaller().call("CreateTopic");
    const bytes = frame(CreateTopicRequest.encode({ topic: "x".repeat(KIB) }).finish());
    for (const byte of bytes.subarray(0, 100)) await call.write(Buffer.from([byte]));
    expect(await call.ended).toMatchObject({
      status: status.RESOURCE_EXHAUSTED,
      details: "the message comes in too many pieces: try again in a moment",
    });
  });

  it("is a number of bytes of answers that nobody takes: beyond it calls are reset, and others go on", async () => {
    await start({ maxBytes: 16 * MIB });
    const enemy = rawCaller(0);
    const calls = Array.from({ length: 20 }, () => enemy.call("Get"));
    let resets = 0;
    for (const call of calls) {
      void call.ended.then(({ reset }) => {
        if (reset === ENHANCE_YOUR_CALM) resets += 1;
      });
      await call.write(frame(GetRequest.encode({ topic: "t", key: "large", fromTime: 0n }).finish()));
      call.end();
    }
    await expect.poll(() => resets, soon).toBe(5);
    await expect.poll(() => Math.floor(server.load.bytes / MIB), soon).toBe(15);
    expect(server.load.calls).toBe(15);
    expect(await listTopics()).toEqual(["t"]);
  });

  it("is held for a time: what does not arrive in it is refused, what is not taken is dropped, who is silent stays", async () => {
    await start({ stallTimeoutMs: 200 });
    const idle = caller().append();
    const unread = rawCaller(0).call("Get");
    await unread.write(frame(GetRequest.encode({ topic: "t", key: "large", fromTime: 0n }).finish()));
    unread.end();
    expect(await unread.ended).toMatchObject({ status: undefined, reset: ENHANCE_YOUR_CALM });
    const enemy = rawCaller();
    const late = { status: status.DEADLINE_EXCEEDED, details: "the request did not arrive in time" };
    // Byte by byte is no progress.
    const slow = enemy.call("Append");
    const dripping = (async () => {
      const bytes = frame(Buffer.alloc(50), { announced: 60 });
      let isEnded = false;
      void slow.ended.then(() => {
        isEnded = true;
      });
      for (let at = 0; at < bytes.length && !isEnded; at++) {
        await slow.write(bytes.subarray(at, at + 1));
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      return isEnded;
    })();
    expect(await enemy.call("ListTopics").ended).toMatchObject(late);
    const unended = enemy.call("ListTopics");
    await unended.write(frame(ListTopicsRequest.encode({}).finish()));
    expect(await unended.ended).toMatchObject(late);
    expect(await slow.ended).toMatchObject(late);
    expect(await dripping).toBe(true);
    expect(await append(idle, 1, 1).ended).toHaveLength(1);
  });

  it("is a number of calls of all connections: beyond it new ones are refused, until one ends", async () => {
    await start({ maxCalls: 3 });
    const silent = Array.from({ length: 3 }, () => rawCaller().call("Append"));
    await expect.poll(() => server.load.calls, soon).toBe(3);
    const error = (await listTopics().catch((reason) => reason)) as ServiceError;
    expect(error).toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
      details: "the server has too many calls: try again in a moment",
    });
    silent[0]?.cancel();
    await expect.poll(() => listTopics().catch(() => []), soon).toEqual(["t"]);
  });

  it("is a number of calls of one connection: its client keeps more of them until others end", async () => {
    await start({});
    const client = caller();
    const silent = Array.from({ length: 256 }, () => client.append());
    for (const call of silent) call.on("error", () => {});
    await expect.poll(() => server.load.calls, soon).toBe(256);
    let isAnswered = false;
    client.listTopics({}, () => {
      isAnswered = true;
    });
    expect(await listTopics()).toEqual(["t"]);
    expect(isAnswered).toBe(false);
    silent[0]?.cancel();
    await expect.poll(() => isAnswered, soon).toBe(true);
    for (const call of silent) call.cancel();
  });

  it("is a number of connections: more are closed at once", async () => {
    await start({ maxConnections: 2 });
    const taken: boolean[] = [];
    for (let i = 0; i < 3; i++) taken.push(await rawCaller().isTaken());
    expect(taken).toEqual([true, true, false]);
  });

  describe("of messages that are not durable yet", () => {
    /** One whose messages become durable when they are let go. */
    function slowClient(): { readonly client: TopicClient; readonly letGo: () => void } {
      let letGo = (): void => {};
      const held = new Promise<void>((resolve) => {
        letGo = resolve;
      });
      const publish: TopicClient["publish"] = async (...args) => {
        await held;
        return await system.client.publish(...args);
      };
      const client = new Proxy(system.client, {
        get: (target, name) => (name === "publish" ? publish : Reflect.get(target, name, target)),
      });
      return { client, letGo };
    }

    it("holds streams back, which all go on when there is room, and answers others meanwhile", async () => {
      const { client, letGo } = slowClient();
      await start({ maxBytes: 16 * MIB }, client);
      const streams = Array.from({ length: 4 }, () => append(caller().append(), 20, 500 * KIB));
      let before = 0;
      const isStill = (): boolean => server.load.bytes > 8 * MIB && server.load.bytes === before;
      for (; !isStill(); await new Promise((resolve) => setTimeout(resolve, 300))) before = server.load.bytes;
      expect(server.load.bytes).toBeLessThan(16 * MIB);
      expect(await listTopics()).toEqual(["t"]);
      expect(streams.map(({ answers }) => answers.length)).toEqual([0, 0, 0, 0]);
      letGo();
      for (const { ended } of streams) {
        const answers = await ended;
        expect(answers.filter(({ msgId }) => msgId !== undefined)).toHaveLength(20);
      }
    });

    it("counts them also when their client is gone", async () => {
      const { client, letGo } = slowClient();
      await start({}, client);
      const enemy = rawCaller();
      const call = enemy.call("Append");
      const message = { reqId: 1n, topic: "t", key: "k", data: Buffer.alloc(MIB) };
      await call.write(frame(AppendRequest.encode(message).finish()));
      // Twice as long as it is in the call's own hands: its copy is on its way.
      await expect.poll(() => server.load.bytes, soon).toBeGreaterThan(3 * MIB);
      call.cancel();
      await expect.poll(() => server.load.calls, soon).toBe(0);
      expect(server.load.bytes).toBeGreaterThan(MIB);
      expect(server.load.bytes).toBeLessThan(2 * MIB);
      letGo();
      await expect.poll(() => server.load.bytes, soon).toBe(0);
    });
  });
});
