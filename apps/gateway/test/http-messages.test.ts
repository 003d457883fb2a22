import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "./support/gateway.js";
import { Http } from "./support/http.js";

describe("topics and messages over HTTP", { timeout: 30_000 }, () => {
  let gateway: TestGateway;
  let http: Http;
  beforeAll(async () => {
    gateway = await startGateway();
    http = new Http(gateway.url);
  });
  afterAll(async () => {
    expect(gateway.errors).toEqual([]);
    await gateway[Symbol.asyncDispose]();
  });

  it("creates topics, lists them by name, and tells the ranges of one", async () => {
    expect(await http.post("/v1/topics", { name: "b", rangeSizeFactor: 15 })).toMatchObject({
      status: 201,
      json: { name: "b", rangeSizeFactor: 15 },
    });
    expect(await http.post("/v1/topics", { name: "a" })).toMatchObject({
      status: 201,
      json: { name: "a", rangeSizeFactor: 13 },
    });
    const { json } = await http.get("/v1/topics");
    expect(json.topics?.slice(0, 2)).toEqual([
      { name: "a", rangeSizeFactor: 13 },
      { name: "b", rangeSizeFactor: 15 },
    ]);
    const topic = await http.get("/v1/topics/b");
    expect(topic.status).toBe(200);
    expect(topic.json).toMatchObject({ name: "b", rangeSizeFactor: 15, messages: 0, subscriptions: [] });
    expect(topic.json.ranges).toMatchObject([
      { from: 0, to: 32767 },
      { from: 32768, to: 65535 },
    ]);
  });

  it("appends one message, answers with its id, and delivers it as it was sent", async () => {
    const topic = await http.createTopic("one", 16);
    const answer = await http.post(`/v1/topics/${topic}/messages`, {
      key: "Zürich",
      data: "grüezi 🏔",
      headers: { trace: "abc", __proto__x: "no harm" },
    });
    expect(answer.status).toBe(200);
    const at = await http.subscribe(topic, "s");
    expect(await http.pullCount(at, "me", 1)).toMatchObject([
      {
        id: answer.json.id,
        key: "Zürich",
        data: "grüezi 🏔",
        headers: { trace: "abc", __proto__x: "no harm" },
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      },
    ]);
    expect(await http.count(topic)).toBe(1);
  });

  it("appends the lines of NDJSON, answers with their ids in order, and keeps that order for each key", async () => {
    const topic = await http.createTopic("many");
    const lines = Array.from({ length: 500 }, (_, i) => ({ key: `k${i % 7}`, data: String(i) }));
    const { status, json } = await http.postLines(topic, lines);
    expect(status).toBe(200);
    const at = await http.subscribe(topic, "s");
    const messages = await http.pullCount(at, "me", 500);
    // The id at a line's place is the id of that line's message.
    const dataOf = new Map(messages.map(({ id, data }) => [id, data]));
    expect(json.ids?.map((id) => dataOf.get(id))).toEqual(lines.map(({ data }) => data));
    for (let key = 0; key < 7; key++) {
      const got = messages.filter((message) => message.key === `k${key}`).map(({ data }) => Number(data));
      expect(got).toEqual(lines.filter((line) => line.key === `k${key}`).map(({ data }) => Number(data)));
    }
  });

  it("takes empty lines and carriage returns in NDJSON for what they are", async () => {
    const topic = await http.createTopic("lines");
    const { json } = await http.postLines(topic, [
      '{"key":"a","data":"1"}\r',
      "",
      "  ",
      '{"key":"a","data":"2"}',
      "",
    ]);
    expect(json.ids).toHaveLength(2);
    expect((await http.postLines(topic, [""])).json).toEqual({ ids: [] });
    expect(await http.count(topic)).toBe(2);
  });

  it("carries every byte as base64, and text only where the bytes are text", async () => {
    const topic = await http.createTopic("bytes", 16);
    const all = Buffer.from(Uint8Array.from({ length: 256 }, (_, i) => i));
    const samples = [
      all,
      Buffer.from([0xff]),
      Buffer.from([0xed, 0xa0, 0x80]),
      Buffer.from("text"),
      Buffer.alloc(0),
    ];
    await http.postLines(
      topic,
      samples.map((data) => ({ key: "k", data: data.toString("base64"), base64: true })),
    );
    const at = await http.subscribe(topic, "s");
    const messages = await http.pullCount(at, "me", samples.length);
    expect(messages.map(({ base64 }) => base64)).toEqual([true, true, true, undefined, undefined]);
    const back = messages.map(({ data, base64 }) => Buffer.from(data, base64 ? "base64" : "utf8"));
    expect(back.map((data) => data.toString("hex"))).toEqual(samples.map((data) => data.toString("hex")));
  });

  it("takes a message of exactly 1 MiB with a key of exactly 128 bytes", async () => {
    const topic = await http.createTopic("largest", 16);
    const key = "é".repeat(64);
    const data = "x".repeat(1024 * 1024);
    expect((await http.post(`/v1/topics/${topic}/messages`, { key, data })).status).toBe(200);
    const at = await http.subscribe(topic, "s");
    const [message] = await http.pullCount(at, "me", 1);
    expect(message?.key).toBe(key);
    expect(message?.data === data).toBe(true);
  });

  it("keeps names apart that JavaScript objects have a meaning for", async () => {
    for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
      await http.createTopic(name, 16);
      const at = await http.subscribe(name, "__proto__");
      // Written out, since an object literal would set the prototype instead of a field.
      const body = '{"key":"__proto__","data":"x","headers":{"__proto__":"h","constructor":"c"}}';
      expect((await http.postText(`/v1/topics/${name}/messages`, body)).status).toBe(200);
      const [message] = await http.pullCount(at, "constructor", 1);
      expect(message?.key).toBe("__proto__");
      expect(Object.entries(message?.headers ?? {})).toEqual([
        ["__proto__", "h"],
        ["constructor", "c"],
      ]);
      expect(await http.count(name)).toBe(1);
    }
    expect(({} as Record<string, unknown>).h).toBeUndefined();
  });

  it("tells its health, its state for the page, and its metrics", async () => {
    expect(await http.get("/healthz")).toMatchObject({ status: 200, json: { status: "ok" } });
    const topic = await http.createTopic("seen");
    await http.postLines(topic, [{ key: "a", data: "1" }]);
    const { json } = await http.get("/v1/status");
    expect(json.buffers).toHaveLength(2);
    expect(json.topics?.map(({ name }) => name)).toContain("seen");
    const { text, type } = await http.get("/metrics");
    expect(type).toMatch(/^text\/plain/);
    expect(text).toContain('topic_messages_published_total{topic="seen"} 1\n');
    expect(text).toContain(
      'http_request_duration_seconds_count{route="/v1/topics/:topic/messages",status="200"}',
    );
    expect(await http.metric("topic_buffers")).toBe(2);
  });

  it("serves the page with its script and its style, and nothing else of the disk", async () => {
    expect(await http.get("/")).toMatchObject({ status: 200, type: "text/html; charset=utf-8" });
    expect((await http.get("/page.js")).type).toBe("text/javascript; charset=utf-8");
    expect((await http.get("/page.css")).type).toBe("text/css; charset=utf-8");
    expect((await http.get("/..%2fpackage.json")).status).toBe(404);
    expect((await http.get("/index.html")).status).toBe(404);
  });
});
