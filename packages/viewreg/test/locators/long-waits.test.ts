import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { endpointSliceLocator, type KubernetesHttp } from "../../src/kubernetes.js";
import { type DnsLocatorOptions, dnsLocator } from "../../src/locators/dns.js";
import { type FileLocatorOptions, fileLocator } from "../../src/locators/file.js";
import { a, FakeResolver } from "./fake-resolver.js";
import { sliceList } from "./kubernetes-server.js";
import { Reader } from "./support.js";

const dayMs = 86_400_000;

// With the process's own clock: Node's timers, and so the faked ones, fire at once when they are given more than 2^31 - 1 ms, 24.8 days.
describe("a locator waits for as long as it is told to, with the process's clock", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** Once at first, and again after this time. What is counted is soon done too often, and then not waited for until the end. */
  const expectAgainAfter = async (waitMs: number, count: () => number): Promise<void> => {
    await vi.advanceTimersByTimeAsync(100);
    expect(count()).toBe(1);
    // Time by the process's clock goes on by itself: the last minute is left for that.
    await vi.advanceTimersByTimeAsync(waitMs - 60_100);
    expect(count()).toBe(1);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(count()).toBe(2);
  };

  it.each<[string, number, number, Partial<DnsLocatorOptions>]>([
    ["a TTL of 30 days that may last", 30 * 86_400, 30 * dayMs, { maxTtlMs: 1e11 }],
    ["a TTL of 68 years that may last so long", 2 ** 31 - 1, 2_147_483_647_000, { maxTtlMs: 1e13 }],
    ["a TTL without an end", Number.POSITIVE_INFINITY, 30 * dayMs, { minTtlMs: 30 * dayMs, maxTtlMs: 1e11 }],
    ["a least TTL of 30 days", 1, 30 * dayMs, { minTtlMs: 30 * dayMs, maxTtlMs: 1e11 }],
  ])("for %s, by DNS", async (_, ttlSeconds, waitMs, options) => {
    const dns = new FakeResolver();
    dns.v4.set("kv.example", [a("10.0.0.1", ttlSeconds)]);
    const of = { name: "kv.example", port: 9000, families: [4] as const, jitter: 0, resolver: dns };
    await using reader = new Reader(dnsLocator({ ...of, ...options }));
    await expectAgainAfter(waitMs, () => dns.asked);
    expect(reader.told).toEqual(["10.0.0.1:9000"]);
  });

  it("for the answer to a question that may take 30 days", async () => {
    const dns = new FakeResolver();
    dns.v4.set("kv.example", "hangs");
    const of = { name: "kv.example", port: 9000, families: [4] as const, resolver: dns };
    const reader = new Reader(dnsLocator({ ...of, timeoutMs: 30 * dayMs }));
    // It is asked, and fails: two things that end.
    await expectAgainAfter(30 * dayMs, () => (reader.ended ? 2 : dns.asked));
    expect(reader.error).toMatchObject({ code: "unavailable" });
  });

  it.each<[string, FileLocatorOptions]>([
    ["for the next look at a file", { pollMs: 30 * dayMs }],
    ["for a file that is bad to become a good one", { pollMs: 60 * dayMs, graceMs: 30 * dayMs }],
  ])("%s", async (_, options) => {
    let reads = 0;
    const content = options.graceMs === undefined ? "[]" : "{";
    const files = {
      read: async () => {
        reads++;
        return Buffer.from(content);
      },
      watch: () => () => undefined,
    };
    await using _reader = new Reader(fileLocator("/endpoints.json", { ...options, files }));
    await expectAgainAfter(30 * dayMs, () => reads);
  });

  it("for a watch of EndpointSlices", async () => {
    let watches = 0;
    const http: KubernetesHttp = async (url, { signal }) => {
      if (!url.includes("watch=1"))
        return { status: 200, body: Readable.from([Buffer.from(sliceList(1, []))]) };
      watches++;
      return await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    };
    const of = { namespace: "shop", service: "kv", server: "https://10.0.0.1", random: () => 0, http };
    await using reader = new Reader(endpointSliceLocator({ ...of, watchMs: 30 * dayMs }));
    await vi.waitUntil(() => watches > 0);
    // The server has 10 s more to end it, and a new one comes after a pause.
    await expectAgainAfter(30 * dayMs + 11_000, () => watches);
    expect(reader.told).toEqual([""]);
  });
});
