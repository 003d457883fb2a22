import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FakeClock } from "../../../packages/coord/test/support/fake-clock.js";
import { gatewayApp } from "../src/http/app.js";
import { DEFAULT_HTTP_LIMITS } from "../src/http/http-config.js";
import { HttpSessions } from "../src/http/sessions.js";
import { gatewayMetrics } from "../src/metrics.js";
import { startGateway, type TestGateway } from "./support/gateway.js";
import { type Delivered, Http } from "./support/http.js";

describe("subscriptions over HTTP", { timeout: 30_000 }, () => {
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

  function numbered(count: number, keys: number): { key: string; data: string }[] {
    return Array.from({ length: count }, (_, i) => ({ key: `k${i % keys}`, data: String(i) }));
  }

  it("creates subscriptions that start at the earliest or the latest message, and lists them", async () => {
    const topic = await http.createTopic("starts", 16);
    await http.postLines(topic, [{ key: "a", data: "old" }]);
    expect(
      await http.post(`/v1/topics/${topic}/subscriptions`, { name: "new", mode: "latest" }),
    ).toMatchObject({
      status: 201,
      json: { topic, name: "new", mode: "latest" },
    });
    const early = await http.subscribe(topic, "all");
    expect((await http.get(`/v1/topics/${topic}/subscriptions`)).json.subscriptions).toEqual([
      { name: "all" },
      { name: "new" },
    ]);
    await http.postLines(topic, [{ key: "a", data: "young" }]);
    expect((await http.pullCount(early, "me", 2)).map(({ data }) => data)).toEqual(["old", "young"]);
    const late = `/v1/topics/${topic}/subscriptions/new`;
    expect((await http.pullCount(late, "me", 1)).map(({ data }) => data)).toEqual(["young"]);
  });

  it("answers a pull at once with waitMs=0, and after waitMs when nothing came", async () => {
    const topic = await http.createTopic("quiet", 16);
    const at = await http.subscribe(topic, "s");
    expect(await http.pull(at, "me", { waitMs: 0 })).toEqual([]);
    const started = performance.now();
    expect(await http.pull(at, "me", { waitMs: 300 })).toEqual([]);
    expect(performance.now() - started).toBeGreaterThanOrEqual(290);
  });

  it("gives a waiting pull the message that is published meanwhile", async () => {
    const topic = await http.createTopic("waits", 16);
    const at = await http.subscribe(topic, "s");
    await http.pull(at, "me", { waitMs: 0 });
    const waiting = http.pull(at, "me", { waitMs: 20_000 });
    await http.postLines(topic, [{ key: "a", data: "at last" }]);
    expect((await waiting).map(({ data }) => data)).toEqual(["at last"]);
  });

  it("shares the segments among two consumers, each message to one of them", async () => {
    const topic = await http.createTopic("shared");
    const at = await http.subscribe(topic, "s");
    await Promise.all([http.pull(at, "ann", { waitMs: 0 }), http.pull(at, "bob", { waitMs: 0 })]);
    const lines = numbered(400, 50);
    await http.postLines(topic, lines);
    const got: Record<"ann" | "bob", Delivered[]> = { ann: [], bob: [] };
    while (got.ann.length + got.bob.length < lines.length) {
      for (const name of ["ann", "bob"] as const) {
        const some = await http.pull(at, name, { waitMs: 100 });
        got[name].push(...some);
        await http.commit(
          at,
          name,
          some.map(({ ack }) => ack),
        );
      }
    }
    expect(got.ann.length).toBeGreaterThan(0);
    expect(got.bob.length).toBeGreaterThan(0);
    const all = [...got.ann, ...got.bob].map(({ data }) => Number(data)).sort((a, b) => a - b);
    expect(all).toEqual(lines.map((_, i) => i));
  });

  it("delivers again what was not committed, and only that, when a session was ended", async () => {
    const topic = await http.createTopic("again", 16);
    const at = await http.subscribe(topic, "s");
    await http.postLines(topic, numbered(10, 1));
    const first = await http.pullCount(at, "me", 10);
    expect((await http.commit(at, "me", [first[3]?.ack as string])).json).toEqual({ committed: 1 });
    expect((await http.send("DELETE", `${at}/consumers/me`)).json).toEqual({ ended: true });
    expect((await http.send("DELETE", `${at}/consumers/me`)).json).toEqual({ ended: false });
    const second = await http.pullCount(at, "other", 6);
    expect(second.map(({ data }) => data)).toEqual(["4", "5", "6", "7", "8", "9"]);
    expect(await http.pull(at, "other", { waitMs: 200 })).toEqual([]);
  });

  it("delivers again when the connection broke before the answer was through", async () => {
    const topic = await http.createTopic("lost", 16);
    const at = await http.subscribe(topic, "s");
    await http.postLines(topic, numbered(5, 1));
    const { client } = gateway;
    // Without a network in between, so that the moment of the break is certain.
    await using sessions = new HttpSessions(client, { clock: client.clock, silenceMs: 30_000 });
    const app = gatewayApp({
      client,
      buffers: {
        judge: () => undefined,
        summary: () => expect.unreachable("nobody asks for the status"),
      },
      archive: () => expect.unreachable("nobody asks for the status"),
      sessions,
      metrics: gatewayMetrics(),
      clock: client.clock,
      closing: new AbortController().signal,
      limits: DEFAULT_HTTP_LIMITS,
      hosts: [],
      onError: (error) => gateway.errors.push(String(error)),
    });
    const pull = async (gone: AbortController): Promise<Delivered[]> => {
      const url = `${gateway.url}${at}/messages?consumer=me&waitMs=20000`;
      const response = await app.fetch(new Request(url, { signal: gone.signal }));
      const lines = (await response.text()).trim().split("\n");
      return lines.map((line) => JSON.parse(line));
    };
    const gone = new AbortController();
    const first = await pull(gone);
    expect(first.map(({ data }) => data)).toEqual(["0", "1", "2", "3", "4"]);
    gone.abort();
    const second = await pull(new AbortController());
    expect(second.map(({ id }) => id)).toEqual(first.map(({ id }) => id));
  });

  it("gives the segments of a consumer that is silent for 30 s to the other one", async () => {
    const topic = await http.createTopic("silent");
    await http.subscribe(topic, "s");
    const { client } = gateway;
    const clock = Object.assign(new FakeClock(), { wallMs: () => 0 });
    await using sessions = new HttpSessions(client, { clock, silenceMs: 30_000 });
    const path = (consumer: string) => ({ topic, subscription: "s", consumer });
    const limits = { maxMessages: 100, waitMs: 20_000 };
    await http.postLines(topic, numbered(50, 50));
    const ofAnn = await sessions.use(path("ann"), (consumer) => consumer.pull(limits));
    expect(ofAnn.length).toBeGreaterThan(0);
    await clock.advance(30_000);
    await expect(sessions.useExisting(path("ann"), async () => {})).rejects.toMatchObject({
      code: "lease-lost",
    });
    const ofBob = new Set<string>();
    while (ofBob.size < 50) {
      const messages = await sessions.use(path("bob"), (consumer) => consumer.pull(limits));
      for (const { id } of messages) ofBob.add(id);
    }
    expect(ofAnn.every(({ id }) => ofBob.has(id))).toBe(true);
  });

  describe("acknowledgements", () => {
    let at: string;
    let messages: Delivered[];
    beforeAll(async () => {
      const topic = await http.createTopic("acks", 16);
      at = await http.subscribe(topic, "s");
      await http.postLines(topic, numbered(5, 1));
      messages = await http.pullCount(at, "me", 5);
    });

    it.each([
      ["text", "hello"],
      ["nothing", ""],
      ["a prototype", "__proto__"],
      ["a number", 7],
      ["null", null],
      ["a list", ["x"]],
      ["very long text", "1".repeat(100_000)],
    ])("refuses %s as one", async (_, ack) => {
      const answer = await http.post(`${at}/commit`, { consumer: "me", acks: [ack] });
      expect(answer.status).toBe(400);
      expect(answer.json.error?.code).toBe("invalid-ack");
      expect(answer.text.length).toBeLessThan(300);
    });

    it.each([
      ["no acks", { consumer: "me" }, 400, "invalid-ack"],
      ["acks that are no list", { consumer: "me", acks: "1" }, 400, "invalid-ack"],
      ["no consumer", { acks: [] }, 400, "invalid-consumer-name"],
      ["a consumer that is a number", { consumer: 1, acks: [] }, 400, "invalid-consumer-name"],
      ["an unknown field", { consumer: "me", acks: [], force: true }, 400, "invalid-argument"],
      ["a consumer that never pulled", { consumer: "you", acks: [] }, 409, "lease-lost"],
    ])("refuses to commit with %s", async (_, body, status, code) => {
      expect(await http.post(`${at}/commit`, body)).toMatchObject({ status, json: { error: { code } } });
    });

    it("refuses forged ones: another session, lease, segment or sequence", async () => {
      const parts = (messages[0] as Delivered).ack.split(".");
      for (const [index, value] of [
        [0, "1234567890"],
        [1, "1"],
        [2, "1_0-65535"],
        [3, "6"],
        [3, "999999999999999"],
      ] as const) {
        const forged = parts.with(index, value).join(".");
        const answer = await http.commit(at, "me", [forged]);
        expect([400, 409], `${forged}: ${answer.text}`).toContain(answer.status);
        expect(["invalid-ack", "lease-lost"]).toContain(answer.json.error?.code);
      }
    });

    it("refuses those of another consumer", async () => {
      await http.pull(at, "thief", { waitMs: 0 });
      const answer = await http.commit(at, "thief", [messages[4]?.ack as string]);
      expect([400, 409]).toContain(answer.status);
      await http.send("DELETE", `${at}/consumers/thief`);
    });

    it("commits none of several when one of them is bad", async () => {
      const acks = messages.map(({ ack }) => ack);
      for (const bad of ["hello", acks[4]?.replace(/\d+$/, "6") as string]) {
        const answer = await http.commit(at, "me", [...acks, bad]);
        expect(answer).toMatchObject({ status: 400, json: { error: { code: "invalid-ack" } } });
      }
    });

    it("has committed nothing by all that", async () => {
      await http.send("DELETE", `${at}/consumers/me`);
      const again = await http.pullCount(at, "next", 5);
      expect(again.map(({ data }) => data)).toEqual(["0", "1", "2", "3", "4"]);
    });

    it("refuses those of a session that has ended, and takes those of the next one", async () => {
      expect((await http.commit(at, "next", [messages[0]?.ack as string])).status).toBeGreaterThanOrEqual(
        400,
      );
      await http.send("DELETE", `${at}/consumers/next`);
      const last = await http.pullCount(at, "next", 5);
      expect((await http.commit(at, "next", [last[4]?.ack as string])).status).toBe(200);
      await http.send("DELETE", `${at}/consumers/next`);
      expect(await http.pull(at, "next", { waitMs: 200 })).toEqual([]);
    });
  });

  it("delivers after a restart everything that was not committed, nothing that was", async () => {
    let running = await startGateway();
    let client = new Http(running.url);
    const topic = await client.createTopic("kept");
    const at = await client.subscribe(topic, "s");
    await client.postLines(topic, numbered(200, 40));
    const messages = await client.pullCount(at, "me", 200);
    // Some of every segment: each acknowledgement covers what came before it in its segment.
    const committed = messages.slice(0, 90);
    expect(
      (
        await client.commit(
          at,
          "me",
          committed.map(({ ack }) => ack),
        )
      ).status,
    ).toBe(200);
    running = await running.restart();
    client = new Http(running.url);
    const rest = await client.pullCount(at, "me", 110);
    const expected = messages.slice(90).map(({ id }) => id);
    expect(rest.map(({ id }) => id).sort()).toEqual(expected.sort());
    expect(await client.pull(at, "me", { waitMs: 300 })).toEqual([]);
    await running[Symbol.asyncDispose]();
  });
});
