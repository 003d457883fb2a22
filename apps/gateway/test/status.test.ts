import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Status } from "../src/http/status.js";
import { startGateway, type TestGateway } from "./support/gateway.js";
import { Http } from "./support/http.js";

const soon = { timeout: 20_000 };

describe("the status of a gateway with its buffers in the same process", { timeout: 30_000 }, () => {
  let gateway: TestGateway;
  let http: Http;
  beforeAll(async () => {
    gateway = await startGateway({ buffers: 1 });
    http = new Http(gateway.url);
  });
  afterAll(() => gateway[Symbol.asyncDispose]());

  const status = async (): Promise<Status> => JSON.parse((await http.get("/v1/status")).text);

  it("shows that its one buffer is healthy, since when, and when it last answered", async () => {
    const before = Date.now();
    await expect.poll(async () => (await status()).buffers[0]?.health?.healthy, soon).toBe(true);
    const { buffers, registry } = await status();
    expect(buffers).toHaveLength(1);
    expect(buffers[0]).toMatchObject({
      id: expect.stringMatching(/^buffer-1-/),
      address: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      health: { state: "healthy", reasons: [], lastError: null },
    });
    const { since = "", answeredAgoMs } = buffers[0]?.health ?? {};
    expect(Date.parse(since)).toBeGreaterThan(before - 10_000);
    expect(Date.parse(since)).toBeLessThanOrEqual(Date.now() + 1);
    expect(answeredAgoMs).toBeLessThan(5_000);
    expect(registry).toMatchObject({
      servers: 1,
      connected: 1,
      healthy: 1,
      unhealthy: 0,
      panic: "off",
      noticeMs: 800,
      locatorFailures: 0,
    });
  });

  it("is in the metrics as well", async () => {
    await expect.poll(async () => (await http.get("/metrics")).text, soon).toContain('{outcome="ok"}');
    const { text } = await http.get("/metrics");
    expect(text).toMatch(/^topic_buffer_probes_total\{outcome="ok"\} [1-9]/m);
    expect(text).toMatch(/^topic_buffer_health\{state="healthy"\} 1$/m);
    expect(text).toMatch(/^topic_buffer_health_transitions_total\{to="healthy"\} 1$/m);
    expect(text).toMatch(/^topic_buffer_probe_duration_seconds_count [1-9]/m);
  });
});
