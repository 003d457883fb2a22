import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "./support/gateway.js";
import { events, Http, type ServerEvent } from "./support/http.js";

describe("the live tail over HTTP", { timeout: 30_000 }, () => {
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

  async function open(topic: string): Promise<AsyncGenerator<ServerEvent>> {
    const tail = events(`${gateway.url}/v1/topics/${topic}/tail`);
    expect((await tail.next()).value).toEqual({ event: "ready", id: undefined, data: { topic } });
    return tail;
  }

  async function until(what: () => Promise<boolean>): Promise<void> {
    while (!(await what())) await new Promise((resolve) => setImmediate(resolve));
  }

  it("shows messages as they are published, with their ids, in the order of their keys", async () => {
    const topic = await http.createTopic("live");
    const tail = await open(topic);
    const lines = Array.from({ length: 300 }, (_, i) => ({ key: `k${i % 5}`, data: `${i}` }));
    const { json } = await http.postLines(topic, lines);
    const got: ServerEvent[] = [];
    for await (const event of tail) {
      got.push(event);
      if (got.length === lines.length) break;
    }
    expect(got.map(({ id }) => id).sort()).toEqual([...(json.ids ?? [])].sort());
    expect(got.every(({ id, data }) => id === data.id)).toBe(true);
    for (let key = 0; key < 5; key++) {
      const data = got
        .filter((event) => event.data.key === `k${key}`)
        .map((event) => Number(event.data.data));
      expect(data).toEqual(lines.filter((line) => line.key === `k${key}`).map((line) => Number(line.data)));
    }
  });

  it("leaves nothing behind when clients go away, also many of them at once", async () => {
    const topic = await http.createTopic("left", 16);
    const tails = await Promise.all(Array.from({ length: 20 }, () => open(topic)));
    expect(await http.metric("http_tails")).toBe(20);
    for (const tail of tails) await tail.return(undefined);
    await until(async () => (await http.metric("http_tails")) === 0);
    const tail = await open(topic);
    expect(await http.metric("http_tails")).toBe(1);
    await tail.return(undefined);
    await until(async () => (await http.metric("http_tails")) === 0);
  });

  it("ends when the server stops, and the server does not wait for it", async () => {
    await using other = await startGateway();
    const client = new Http(other.url);
    await client.createTopic("t", 16);
    const tail = events(`${other.url}/v1/topics/t/tail`);
    await tail.next();
    const started = performance.now();
    const [rest] = await Promise.all([
      tail.next(),
      other.restart().then((next) => next[Symbol.asyncDispose]()),
    ]);
    expect(rest.done).toBe(true);
    expect(performance.now() - started).toBeLessThan(15_000); // far less, but the machine may be busy
  });
});
