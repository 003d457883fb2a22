import type { TopicClient } from "@x/topic-gateway";
import type { Clock } from "@x/topic-gateway/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { FakeClock } from "../../../packages/coord/test/support/fake-clock.js";
import { gatewayApp } from "../src/http/app.js";
import { DEFAULT_HTTP_LIMITS, type HttpLimits } from "../src/http/http-config.js";
import { openHttpServer } from "../src/http/server.js";
import type { HttpSessions } from "../src/http/sessions.js";
import type { Log } from "../src/log.js";
import { gatewayMetrics } from "../src/metrics.js";
import { startGateway, type TestGateway } from "./support/gateway.js";
import { Http } from "./support/http.js";
import { openRaw, type RawConnection } from "./support/raw-http.js";

const MIB = 1024 * 1024;
const soon = { timeout: 20_000, interval: 20 };

describe("what all requests together may take", { timeout: 30_000 }, () => {
  let gateway: TestGateway;
  let http: Http;
  const connections: RawConnection[] = [];

  async function start(limits: Partial<HttpLimits> = {}): Promise<void> {
    gateway = await startGateway({ limits });
    http = new Http(gateway.url);
    await http.createTopic("t", 16);
  }

  afterEach(async () => {
    for (const connection of connections.splice(0)) connection.destroy();
    expect(gateway.errors).toEqual([]);
    await gateway[Symbol.asyncDispose]();
  });

  /** A request that sends this much of its body, and then nothing. */
  async function stall(bytes: number): Promise<RawConnection> {
    const connection = await openRaw(gateway.url);
    connections.push(connection);
    await connection.write(
      `POST /v1/topics/t/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${30 * MIB}\r\n\r\n`,
    );
    await connection.write(" ".repeat(bytes));
    return connection;
  }

  const post = (path: string, text: string): Promise<Response> =>
    fetch(gateway.url + path, {
      method: "POST",
      body: text,
      headers: { "content-type": "application/x-ndjson" },
    });

  it("is 10,000 messages a request, and nothing behind that is looked at", async () => {
    await start();
    const lines = Array.from({ length: 10_000 }, (_, i) => ({ key: `k${i}`, data: "" }));
    const refused = await http.postLines("t", [...lines, "", { key: "one more", data: "" }, "{no JSON"]);
    expect(refused).toMatchObject({
      status: 413,
      json: {
        error: {
          code: "too-many-messages",
          message: "these are too many messages: up to 10000 a request are allowed, send several requests",
        },
      },
    });
    expect(await http.count("t")).toBe(0);
    const taken = await http.postLines("t", [...lines, "", ""]);
    expect(taken.json.ids).toHaveLength(10_000);
  });

  it("is 10,000 acks a commit, as many as a pull delivers", async () => {
    await start();
    const at = await http.subscribe("t", "s");
    await http.postLines("t", [{ key: "a", data: "1" }]);
    const [message] = await http.pullCount(at, "me", 1);
    const ack = message?.ack as string;
    expect(await http.commit(at, "me", Array(10_001).fill(ack))).toMatchObject({
      status: 413,
      json: {
        error: {
          code: "too-many-messages",
          message: "these are too many acks: up to 10000 a request are allowed, send several requests",
        },
      },
    });
    expect(await http.commit(at, "me", Array(10_000).fill(ack))).toMatchObject({
      status: 200,
      json: { committed: 10_000 },
    });
  });

  it.each([
    ["fields", `{${Array.from({ length: 200_001 }, (_, i) => `"${i}":0`).join(",")}}`],
    ["brackets", "[".repeat(200_001)],
    ["lines, also empty ones", "\n".repeat(200_001)],
  ])("is 200,000 values a body: many %s are not even parsed", async (_, text) => {
    await start();
    const refused = await http.postText("/v1/topics/t/messages", text, "application/x-ndjson");
    expect(refused).toMatchObject({
      status: 413,
      json: {
        error: {
          code: "body-too-large",
          message:
            "the body has too many lines, or values in its JSON: up to 200000 are allowed, send several requests",
        },
      },
    });
  });

  it("is no matter of what is inside of texts", async () => {
    await start();
    const data = `,[{\n"\\`.repeat(100_000);
    const taken = await http.postLines("t", [
      { key: "a", data },
      { key: "b", data },
    ]);
    expect(taken.json.ids).toHaveLength(2);
  });

  it("is a number of bytes of bodies that have not arrived as a whole: beyond it new ones are told to come later", async () => {
    await start({ maxBodyBytes: 4 * MIB });
    for (let i = 0; i < 3; i++) await stall(1.2 * MIB);
    await expect.poll(() => http.metric("http_request_body_bytes"), soon).toBe(3 * Math.floor(1.2 * MIB));
    const answer = await post("/v1/topics/t/messages", JSON.stringify({ key: "a", data: "x".repeat(MIB) }));
    expect(answer.status).toBe(503);
    expect(answer.headers.get("connection")).toBe("close");
    expect(answer.headers.get("retry-after")).toBe("1");
    expect(await answer.json()).toEqual({
      error: {
        code: "overloaded",
        message: "the gateway holds too many bodies of requests: try again in a moment",
      },
    });
    expect((await http.get("/healthz")).status).toBe(200);
    expect((await http.postLines("t", [{ key: "a", data: "small" }])).status).toBe(200);

    for (const connection of connections.splice(0)) connection.destroy();
    await expect.poll(() => http.metric("http_request_body_bytes"), soon).toBe(0);
    expect((await http.postLines("t", [{ key: "a", data: "x".repeat(MIB) }])).status).toBe(200);
  });

  it("ends a request whose body stalls, also when its sender keeps the connection", async () => {
    await start({ requestTimeoutMs: 2_000 });
    const connection = await stall(MIB);
    await expect.poll(() => http.metric("http_request_body_bytes"), soon).toBe(MIB);
    expect(await connection.ended).toMatch(/^HTTP\/1\.1 408 .*"code":"request-timeout"/s);
    await expect.poll(() => http.metric("http_request_body_bytes"), soon).toBe(0);
  });
});

describe("messages that are not durable yet", () => {
  /** Nothing is durable before `waiting` says so. */
  function slowGateway() {
    const waiting: ((ids: string[]) => void)[] = [];
    const signals: (AbortSignal | undefined)[] = [];
    const client: Pick<TopicClient, "failure" | "publishMany" | "topics"> = {
      failure: undefined,
      topics: { get: () => ({ name: "t" }) } as unknown as TopicClient["topics"],
      publishMany: (_topic, _messages, options) => {
        signals.push(options?.signal);
        return new Promise((resolve) => waiting.push(resolve));
      },
    };
    const metrics = gatewayMetrics();
    const app = gatewayApp({
      client: client as TopicClient,
      buffers: {
        judge: () => undefined,
        summary: () => expect.unreachable("nobody asks for the status"),
      },
      archive: () => expect.unreachable("nobody asks for the status"),
      sessions: {} as HttpSessions,
      metrics,
      clock: new FakeClock() as unknown as Clock,
      closing: new AbortController().signal,
      limits: { ...DEFAULT_HTTP_LIMITS, maxUnansweredBytes: 100 * 1024 },
      hosts: [],
      onError: (error) => expect.unreachable(String(error)),
    });
    const post = async (type: string, text: string, signal?: AbortSignal): Promise<Response> =>
      await app.request("/v1/topics/t/messages", {
        method: "POST",
        body: text,
        headers: { "content-type": type },
        ...(signal && { signal }),
      });
    const held = async (): Promise<number> =>
      Number(/^http_unanswered_bytes (\d+)$/m.exec(await metrics.text())?.[1]);
    return { waiting, signals, post, held };
  }

  const message = (bytes: number): string => JSON.stringify({ key: "a", data: "x".repeat(bytes) });

  it("are not taken back when their sender goes away: what others send of their keys would fail behind them", async () => {
    const { waiting, signals, post, held } = slowGateway();
    const gone = new AbortController();
    const posted = post("application/json", message(1_000), gone.signal);
    await expect.poll(() => waiting.length).toBe(1);
    gone.abort();
    expect(signals.some((signal) => signal?.aborted)).toBe(false);
    expect(await held()).toBeGreaterThan(1_000);
    waiting[0]?.(["id"]);
    await posted.catch(() => {});
    expect(await held()).toBe(0);
  });

  it("are a number of bytes over all requests: beyond it new ones are told to slow down", async () => {
    const { waiting, post, held } = slowGateway();
    const one = post("application/json", message(40_000));
    const many = post("application/x-ndjson", `${message(0)}\n`.repeat(40));
    await expect.poll(() => waiting.length).toBe(2);
    const before = await held();
    expect(before).toBeGreaterThan(80 * 1024);
    for (const refused of [
      await post("application/json", message(20_000)),
      // Empty messages take something as well.
      await post("application/x-ndjson", `${message(0)}\n`.repeat(40)),
    ]) {
      expect(refused.status).toBe(429);
      expect(refused.headers.get("retry-after")).toBe("1");
      expect(await refused.json()).toEqual({
        error: {
          code: "overloaded",
          message: "the gateway holds too many messages that are not durable yet: try again in a moment",
        },
      });
    }
    expect(await held()).toBe(before);
    expect(waiting).toHaveLength(2);

    for (const acknowledge of waiting) acknowledge(["id"]);
    expect([(await one).status, (await many).status]).toEqual([200, 200]);
    expect(await held()).toBe(0);
    const next = post("application/json", message(90_000));
    await expect.poll(() => waiting.length).toBe(3);
    waiting[2]?.(["id"]);
    expect((await next).status).toBe(200);
  });
});

describe("connections", () => {
  it("are closed when there are too many, and one that goes makes room", async () => {
    const log: Log = { info() {}, error() {}, debug() {}, buffer() {}, registry() {} };
    await using server = await openHttpServer({
      endpoint: { host: "127.0.0.1", port: 0 },
      config: { hosts: [], limits: { ...DEFAULT_HTTP_LIMITS, maxConnections: 2 } },
      log,
      metrics: gatewayMetrics(),
      stopGraceMs: 100,
    });
    const ask = async (): Promise<{ connection: RawConnection; isAnswered: boolean }> => {
      const connection = await openRaw(`http://${server.address}`);
      await connection.write("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").catch(() => {});
      return { connection, isAnswered: await connection.receives(/"ok"/) };
    };
    const [first, second, third] = [await ask(), await ask(), await ask()];
    expect([first, second, third].map(({ isAnswered }) => isAnswered)).toEqual([true, true, false]);
    first.connection.destroy();
    const later: RawConnection[] = [];
    await expect
      .poll(async () => {
        const { connection, isAnswered } = await ask();
        later.push(connection);
        return isAnswered;
      }, soon)
      .toBe(true);
    for (const connection of [second.connection, third.connection, ...later]) connection.destroy();
  });
});
