import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "./support/gateway.js";
import { Http } from "./support/http.js";

describe("web pages of other sites", { timeout: 30_000 }, () => {
  let gateway: TestGateway;
  let http: Http;
  let pull: string;
  beforeAll(async () => {
    gateway = await startGateway({ hosts: ["topics.example.org"] });
    http = new Http(gateway.url);
    await http.createTopic("t", 16);
    pull = `${await http.subscribe("t", "s")}/messages?consumer=page&max=10000&waitMs=0`;
  });
  afterAll(async () => {
    expect(gateway.errors).toEqual([]);
    await gateway[Symbol.asyncDispose]();
  });

  /** With headers that `fetch` does not let one choose. */
  function get(path: string, headers: Record<string, string>): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const asking = request(gateway.url + path, { headers, agent: false }, (answer) => {
        let text = "";
        answer.setEncoding("utf8").on("data", (part) => {
          text += part;
        });
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, text }));
      });
      asking.on("error", reject).end();
    });
  }

  it.each(["cross-site", "same-site"])("can't take messages by an image: %s", async (site) => {
    const headers = { "sec-fetch-site": site, "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image" };
    const { status, text } = await get(pull, headers);
    expect(status).toBe(403);
    expect(JSON.parse(text)).toEqual({
      error: {
        code: "cross-site",
        message:
          "a web page of another site can't ask this gateway: its own page and programs that are no browser are allowed",
      },
    });
    expect((await get("/v1/topics/t/tail", headers)).status).toBe(403);
    expect(await http.metric("http_consumer_sessions")).toBe(0);
    expect(await http.metric("http_tails")).toBe(0);
  });

  it.each(["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example"])(
    "can't have their own name lead here: %s",
    async (host) => {
      const { status, text } = await get(pull, { host, "sec-fetch-site": "same-origin" });
      expect(status).toBe(403);
      expect(JSON.parse(text).error).toEqual({
        code: "unknown-host",
        message: `the host "${host}" is not known as this gateway's: an IP address, localhost and what --http-allow-host names are allowed`,
      });
      expect(await http.metric("http_consumer_sessions")).toBe(0);
    },
  );

  it.each([
    "127.0.0.1",
    "127.0.0.1:8080",
    "192.0.2.7:80",
    "[::1]",
    "[::1]:8080",
    "localhost",
    "LocalHost",
    "localhost:8080",
    "topics.example.org",
    "Topics.Example.org",
    "topics.example.org:443",
  ])("are not meant by the host %s", async (host) => {
    expect((await get("/v1/topics", { host })).status).toBe(200);
  });

  it("are neither the gateway's own page nor what somebody types", async () => {
    for (const site of ["same-origin", "none"]) {
      expect((await get("/v1/topics", { "sec-fetch-site": site })).status).toBe(200);
    }
  });

  it("may lead to the page, and monitoring may use any name", async () => {
    expect((await get("/", { "sec-fetch-site": "cross-site" })).status).toBe(200);
    for (const path of ["/healthz", "/metrics"]) {
      expect((await get(path, { host: "gateway-7.monitoring" })).status).toBe(200);
    }
  });
});
