import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "./support/gateway.js";
import { type Answer, Http } from "./support/http.js";

const MIB = 1024 * 1024;

describe("bad input over HTTP", { timeout: 30_000 }, () => {
  let gateway: TestGateway;
  let http: Http;
  let before: string;

  beforeAll(async () => {
    gateway = await startGateway();
    http = new Http(gateway.url);
    await http.createTopic("t", 16);
    await http.subscribe("t", "s");
    await http.postLines("t", [
      { key: "a", data: "1" },
      { key: "b", data: "2" },
    ]);
    before = await stored();
  });
  afterAll(() => gateway[Symbol.asyncDispose]());

  /** All there is: topics, their messages, their subscriptions. */
  async function stored(): Promise<string> {
    const { json } = await http.get("/v1/topics");
    const topics = await Promise.all((json.topics ?? []).map(({ name }) => http.get(`/v1/topics/${name}`)));
    return JSON.stringify(
      topics.map(({ json: { name, messages, subscriptions } }) => ({ name, messages, subscriptions })),
    );
  }

  /** Refused with this status, this code and a sentence; nothing was stored; the next request is served; nothing was logged. */
  async function expectRefusal(answer: Answer, status: number, code: string, says: RegExp): Promise<void> {
    expect(answer.json).toEqual({ error: { code, message: expect.stringMatching(says) } });
    expect(answer.status).toBe(status);
    expect(answer.text.length).toBeLessThan(1_000);
    expect(await stored()).toBe(before);
    expect((await http.get("/healthz")).status).toBe(200);
    expect(gateway.errors).toEqual([]);
  }

  it.each([
    ["an empty name", { name: "" }],
    ["a name with a dash", { name: "a-b" }],
    ["a name with a slash", { name: "a/b" }],
    ["a name of 129 letters", { name: "a".repeat(129) }],
    ["a name that ends with a line break", { name: "ab\n" }],
    ["a name with a zero byte", { name: "a\0" }],
    ["a name beyond ASCII", { name: "zürich" }],
    ["a number as the name", { name: 7 }],
    ["a list as the name", { name: ["t"] }],
    ["no name", {}],
  ])("refuses to create a topic with %s", async (_, body) => {
    const answer = await http.post("/v1/topics", body);
    await expectRefusal(answer, 400, "invalid-topic-name", /is not a topic name: 1 to 128 letters/);
  });

  it.each([5, 17, 13.5, -1, 1e300, "13", null, {}])(
    "refuses the range size factor %j",
    async (rangeSizeFactor) => {
      const answer = await http.post("/v1/topics", { name: "x", rangeSizeFactor });
      await expectRefusal(answer, 400, "invalid-range-size", /integer from 6 to 16/);
    },
  );

  it("refuses a topic and a subscription that are there already", async () => {
    await expectRefusal(
      await http.post("/v1/topics", { name: "t" }),
      409,
      "topic-exists",
      /"t" exists already/,
    );
    const again = await http.post("/v1/topics/t/subscriptions", { name: "s" });
    await expectRefusal(again, 409, "subscription-exists", /"s"/);
  });

  it.each([
    ["text", "hello", "invalid-json", /not valid JSON/],
    ["nothing", "", "invalid-json", /not valid JSON/],
    ["a list", "[]", "invalid-json", /must be a JSON object with "name"/],
    ["null", "null", "invalid-json", /must be a JSON object/],
    ["half of an object", '{"name":"x"', "invalid-json", /not valid JSON/],
    ["brackets without end", "[".repeat(100_000), "invalid-json", /not valid JSON/],
    ["an unknown field", '{"name":"x","colour":1}', "invalid-argument", /"colour" is not known here: "name"/],
    [
      "a prototype",
      '{"name":"x","__proto__":{"rangeSizeFactor":6}}',
      "invalid-argument",
      /"__proto__" is not known/,
    ],
    ["bytes that are no UTF-8", Buffer.from([0x22, 0xff, 0x22]), "invalid-json", /not UTF-8/],
  ])("refuses %s as the body", async (_, body, code, says) => {
    await expectRefusal(await http.postText("/v1/topics", body), 400, code, says);
  });

  it.each([
    ["no key", { data: "1" }, 400, "invalid-message", /has no "key"/],
    ["no data", { key: "a" }, 400, "invalid-message", /has no "data"/],
    ["an empty key", { key: "", data: "1" }, 400, "invalid-key", /1 to 128 bytes/],
    [
      "a key of 129 bytes",
      { key: `${"é".repeat(64)}a`, data: "1" },
      400,
      "invalid-key",
      /1 to 128 bytes.*has 129/,
    ],
    ["a key of a megabyte", { key: "k".repeat(MIB), data: "1" }, 400, "invalid-key", /1 to 128 bytes/],
    ["half of a surrogate pair in the key", { key: "\ud800", data: "1" }, 400, "invalid-key", /well-formed/],
    [
      "half of a surrogate pair in the data",
      { key: "a", data: "\udc00" },
      400,
      "invalid-message",
      /surrogate/,
    ],
    ["a number as the key", { key: 1, data: "1" }, 400, "invalid-message", /"key" that is not text/],
    [
      "an object as the data",
      { key: "a", data: { a: 1 } },
      400,
      "invalid-message",
      /"data" that is not text/,
    ],
    [
      "one byte more than 1 MiB",
      { key: "a", data: "x".repeat(MIB + 1) },
      413,
      "message-too-large",
      /up to 1048576/,
    ],
    [
      "one byte more than 1 MiB as base64",
      { key: "a", data: Buffer.alloc(MIB + 1).toString("base64"), base64: true },
      413,
      "message-too-large",
      /up to 1048576/,
    ],
    ["what is not base64", { key: "a", data: "a b=", base64: true }, 400, "invalid-message", /not base64/],
    ["base64 without its end", { key: "a", data: "YQ", base64: true }, 400, "invalid-message", /not base64/],
    [
      "base64 that is text",
      { key: "a", data: "x", base64: "yes" },
      400,
      "invalid-message",
      /neither true nor false/,
    ],
    ["headers that are a list", { key: "a", data: "1", headers: ["x"] }, 400, "invalid-message", /"headers"/],
    ["a number as a header", { key: "a", data: "1", headers: { x: 1 } }, 400, "invalid-message", /"headers"/],
    [
      "a header without a name",
      { key: "a", data: "1", headers: { "": "x" } },
      400,
      "invalid-argument",
      /with a name/,
    ],
    [
      "headers of more than 16 KiB",
      { key: "a", data: "1", headers: { x: "y".repeat(20_000) } },
      413,
      "message-too-large",
      /up to 16384/,
    ],
    ["an unknown field", { key: "a", data: "1", time: 5 }, 400, "invalid-message", /unknown field "time"/],
    ["a list", [{ key: "a", data: "1" }], 400, "invalid-message", /is not an object/],
  ])("refuses a message with %s", async (_, body, status, code, says) => {
    await expectRefusal(await http.post("/v1/topics/t/messages", body), status, code, says);
  });

  it("stores nothing of NDJSON whose third of five lines is bad, and names that line", async () => {
    const good = { key: "a", data: "x" };
    const bad: [string | object, number, string][] = [
      ["{not JSON", 400, "invalid-json"],
      [{ key: "a" }, 400, "invalid-message"],
      [{ key: "", data: "x" }, 400, "invalid-key"],
      [{ key: "a", data: "x".repeat(MIB + 1) }, 413, "message-too-large"],
    ];
    for (const [line, status, code] of bad) {
      const answer = await http.postLines("t", [good, good, line, good, good]);
      await expectRefusal(answer, status, code, /^line 3( |:)/);
    }
    const { json } = await http.postLines("t", [good, "", "", "nonsense"]);
    expect(json.error?.message, "empty lines count").toMatch(/^line 4 /);
  });

  it("refuses a body of more than 32 MiB, announced or not", async () => {
    const big = "x".repeat(33 * MIB);
    const announced = await http.postText("/v1/topics/t/messages", big).catch((error) => error as Error);
    // The rest is not read: a client that only writes may learn of it by a broken connection.
    if (!(announced instanceof Error)) {
      await expectRefusal(announced, 413, "body-too-large", /up to 33554432 bytes/);
    }
    const told = await raw([
      "POST /v1/topics/t/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\n",
    ]);
    expect(told).toMatch(/^HTTP\/1\.1 413 .*"code":"body-too-large"/s);
    const chunk = `${MIB.toString(16)}\r\n${"x".repeat(MIB)}\r\n`;
    const streamed = await raw([
      "POST /v1/topics/t/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
      ...Array.from({ length: 33 }, () => chunk),
    ]);
    expect(streamed).toMatch(/^HTTP\/1\.1 413 .*"code":"body-too-large"/s);
    expect(await stored()).toBe(before);
    expect(gateway.errors).toEqual([]);
  });

  it.each([
    ["POST", "/v1/topics/nope/messages", { key: "a", data: "1" }, "topic-not-found"],
    ["GET", "/v1/topics/nope", undefined, "topic-not-found"],
    ["GET", "/v1/topics/nope/tail", undefined, "topic-not-found"],
    ["GET", "/v1/topics/__proto__", undefined, "topic-not-found"],
    ["GET", "/v1/topics/nope/subscriptions", undefined, "topic-not-found"],
    ["POST", "/v1/topics/nope/subscriptions", { name: "s" }, "topic-not-found"],
    ["GET", "/v1/topics/nope/subscriptions/s/messages?consumer=me", undefined, "topic-not-found"],
    ["GET", "/v1/topics/t/subscriptions/nope/messages?consumer=me", undefined, "subscription-not-found"],
    [
      "GET",
      "/v1/topics/t/subscriptions/constructor/messages?consumer=me",
      undefined,
      "subscription-not-found",
    ],
  ])("answers %s %s with 404", async (method, path, body, code) => {
    const init = body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
    await expectRefusal(
      await http.send(method, path, init),
      404,
      code,
      /^(there is no topic|the topic "t" has no)/,
    );
  });

  it.each([
    ["a bad topic", "/v1/topics/a-b/subscriptions/s/messages?consumer=me", "invalid-topic-name"],
    ["a topic of bad UTF-8", "/v1/topics/%ff/subscriptions/s/messages?consumer=me", "invalid-topic-name"],
    ["an escaped slash", "/v1/topics/t%2Ft", "invalid-topic-name"],
    [
      "a bad subscription",
      "/v1/topics/t/subscriptions/a%20b/messages?consumer=me",
      "invalid-subscription-name",
    ],
    ["no consumer", "/v1/topics/t/subscriptions/s/messages", "invalid-consumer-name"],
    ["an empty consumer", "/v1/topics/t/subscriptions/s/messages?consumer=", "invalid-consumer-name"],
    ["a bad consumer", "/v1/topics/t/subscriptions/s/messages?consumer=a/b", "invalid-consumer-name"],
    ["max=0", "/v1/topics/t/subscriptions/s/messages?consumer=me&max=0", "invalid-argument"],
    ["max=10001", "/v1/topics/t/subscriptions/s/messages?consumer=me&max=10001", "invalid-argument"],
    ["max=1e3", "/v1/topics/t/subscriptions/s/messages?consumer=me&max=1e3", "invalid-argument"],
    ["max=", "/v1/topics/t/subscriptions/s/messages?consumer=me&max=", "invalid-argument"],
    ["waitMs=-1", "/v1/topics/t/subscriptions/s/messages?consumer=me&waitMs=-1", "invalid-argument"],
    ["waitMs=NaN", "/v1/topics/t/subscriptions/s/messages?consumer=me&waitMs=NaN", "invalid-argument"],
    ["waitMs=30001", "/v1/topics/t/subscriptions/s/messages?consumer=me&waitMs=30001", "invalid-argument"],
  ])("refuses a request with %s", async (_, path, code) => {
    await expectRefusal(await http.get(path), 400, code, /allowed|integer from|must name/);
  });

  it.each([
    ["a name with a space", { name: "a b" }, "invalid-subscription-name"],
    ["no name", {}, "invalid-subscription-name"],
    ["an unknown mode", { name: "x", mode: "middle" }, "invalid-argument"],
    ["an unknown field", { name: "x", from: 0 }, "invalid-argument"],
  ])("refuses to subscribe with %s", async (_, body, code) => {
    await expectRefusal(await http.post("/v1/topics/t/subscriptions", body), 400, code, /allowed|must be/);
  });

  it("refuses content types that it does not understand, so that no web page can post by a form", async () => {
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data",
      "",
      "application/jsonx",
    ]) {
      for (const path of ["/v1/topics", "/v1/topics/t/messages", "/v1/topics/t/subscriptions"]) {
        const answer = await http.postText(path, '{"name":"x","key":"a","data":"1"}', type);
        await expectRefusal(answer, 415, "unsupported-media-type", /application\/json/);
      }
    }
    const charset = await http.postText("/v1/topics/t/messages", "{", "Application/JSON; charset=utf-8");
    await expectRefusal(charset, 400, "invalid-json", /not valid JSON/);
  });

  it.each([
    ["GET", "/nope"],
    ["GET", "/v1"],
    ["GET", "/v1/topics/t/"],
    ["DELETE", "/v1/topics/t"],
    ["PUT", "/v1/topics"],
    ["POST", "/"],
    ["OPTIONS", "/v1/topics"],
  ])("answers %s %s with 404, in the same form", async (method, path) => {
    await expectRefusal(
      await http.send(method, path),
      404,
      "no-such-route",
      new RegExp(`there is no ${method} ${path}`),
    );
  });

  it("does not let HEAD take messages or open a tail", async () => {
    for (const path of ["/v1/topics/t/subscriptions/s/messages?consumer=head", "/v1/topics/t/tail"]) {
      expect((await fetch(gateway.url + path, { method: "HEAD" })).status).toBe(405);
    }
    expect(await http.metric("http_consumer_sessions")).toBe(0);
    expect(await http.metric("http_tails")).toBe(0);
  });

  it("refuses headers of more than 16 KiB, and what is not HTTP, with an answer of the same form", async () => {
    const huge = await raw([`GET /healthz HTTP/1.1\r\nhost: x\r\nx: ${"y".repeat(100_000)}\r\n\r\n`]);
    expect(huge).toMatch(/^HTTP\/1\.1 431 .*\{"error":\{"code":"headers-too-large"/s);
    const noise = await raw(["\x16\x03\x01\x02\x00\x01\x00 this is TLS, or worse\r\n\r\n"]);
    expect(noise).toMatch(/^HTTP\/1\.1 400 .*\{"error":\{"code":"bad-request"/s);
    const noHost = await raw(["GET /healthz HTTP/1.0\r\n\r\n"]);
    expect(noHost).toMatch(/^HTTP\/1\.1 (200|400) /);
    const badHost = await raw(["GET /healthz HTTP/1.1\r\nhost: a b<>\r\nconnection: close\r\n\r\n"]);
    expect(badHost).toMatch(/^HTTP\/1\.1 400 .*"code":"bad-request"/s);
    expect((await http.get("/healthz")).status).toBe(200);
    expect(gateway.errors).toEqual([]);
  });

  it("forgets a request whose sender goes away in the middle of its body", async () => {
    const socket = connect(Number(new URL(gateway.url).port), "127.0.0.1");
    await new Promise((resolve) => socket.once("connect", resolve));
    socket.write(
      "POST /v1/topics/t/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n",
    );
    await new Promise((resolve) => socket.write('{"key":"a",', resolve));
    await http.get("/healthz");
    socket.destroy();
    await http.get("/healthz");
    expect(await stored()).toBe(before);
    expect(gateway.errors).toEqual([]);
  });

  /** Sends bytes as they are, and returns everything that comes back until the connection ends. */
  function raw(parts: readonly string[]): Promise<string> {
    return new Promise((resolve) => {
      const socket = connect(Number(new URL(gateway.url).port), "127.0.0.1");
      let answer = "";
      const end = (): void => {
        socket.destroy();
        resolve(answer);
      };
      socket.setTimeout(20_000, end);
      socket.on("data", (data) => {
        answer += data.toString("latin1");
        // Whole: its head, and a body as long as announced.
        const length = /content-length: (\d+)/i.exec(answer)?.[1];
        const body = answer.indexOf("\r\n\r\n") + 4;
        if (body > 3 && length !== undefined && answer.length - body >= Number(length)) end();
      });
      socket.on("error", end);
      socket.on("close", end);
      for (const part of parts) socket.write(part, "latin1");
    });
  }
});
