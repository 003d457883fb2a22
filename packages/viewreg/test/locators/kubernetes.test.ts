import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type EndpointSliceLocatorOptions, endpointSliceLocator, inCluster } from "../../src/kubernetes.js";
import { KubernetesServer, pod, slice, sliceList, status } from "./kubernetes-server.js";
import { at, errorOf, FakeClock, Reader, settled, until } from "./support.js";

let clock: FakeClock;
let server: KubernetesServer;

beforeEach(async () => {
  clock = new FakeClock();
  server = await KubernetesServer.start();
});

afterEach(() => server[Symbol.asyncDispose]());

const locator = (options: Partial<EndpointSliceLocatorOptions> = {}) =>
  endpointSliceLocator({
    namespace: "shop",
    service: "kv",
    server: server.url,
    clock,
    random: () => 1,
    ...options,
  });
const lists = (...answers: readonly string[]): void => {
  server.onList = ({ response }) => {
    response.writeHead(200).end(answers[Math.min(server.lists.length, answers.length) - 1]);
  };
};
/** Lets the pauses pass that come before the next request. */
const passUntil = (holds: () => boolean): Promise<void> =>
  until(() => {
    if (!holds()) void clock.advance(100);
    return holds();
  });

describe("a locator by EndpointSlice", { timeout: 60_000 }, () => {
  it("lists the slices of the service, and watches from there", async () => {
    lists(sliceList(70, [slice("kv-1", 50, [pod("10.0.0.1")]), slice("kv-2", 60, [pod("10.0.0.2")])]));
    await using reader = new Reader(locator());
    await until(() => server.watches.length === 1);
    expect(reader.told).toEqual(["10.0.0.1:9000 10.0.0.2:9000"]);
    expect(reader.sets[0]?.[0]).toEqual(
      at("10.0.0.1", 9000, { zone: "eu-1a", node: "node-1", pod: "kv-10.0.0.1" }),
    );
    const [listed, watched] = [server.lists[0]?.url, server.watches[0]?.url];
    expect(listed?.pathname).toBe("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices");
    expect(listed?.searchParams.get("labelSelector")).toBe("kubernetes.io/service-name=kv");
    expect(Object.fromEntries(watched?.searchParams ?? [])).toEqual({
      labelSelector: "kubernetes.io/service-name=kv",
      watch: "1",
      allowWatchBookmarks: "true",
      resourceVersion: "70",
      timeoutSeconds: "480",
    });
  });

  it("follows slices that are added, modified and deleted", async () => {
    lists(sliceList(1, [slice("kv-1", 1, [pod("10.0.0.1")])]));
    await using reader = new Reader(locator());
    await until(() => server.watches.length === 1);
    const [watch] = server.watches;
    watch?.send({ type: "ADDED", object: slice("kv-2", 2, [pod("10.0.0.2")]) });
    await until(() => reader.last === "10.0.0.1:9000 10.0.0.2:9000");
    watch?.send({ type: "MODIFIED", object: slice("kv-1", 3, [pod("10.0.0.3")]) });
    await until(() => reader.last === "10.0.0.2:9000 10.0.0.3:9000");
    watch?.send({ type: "DELETED", object: slice("kv-2", 4, []) });
    await until(() => reader.last === "10.0.0.3:9000");
    // An endpoint may be in two slices while the controller moves it.
    watch?.send({ type: "ADDED", object: slice("kv-4", 5, [pod("10.0.0.3"), pod("10.0.0.4")]) });
    await until(() => reader.last === "10.0.0.3:9000 10.0.0.4:9000");
    expect(server.lists).toHaveLength(1);
  });

  it("reads lists page by page, from the start again when the rest is too old", async () => {
    let expired = false;
    server.onList = ({ url, response }) => {
      const next = url.searchParams.get("continue");
      if (next === null)
        response.end(sliceList(5, [slice("kv-1", 1, [pod("10.0.0.1")])], { continue: "a b+c" }));
      else if (expired) response.end(sliceList(5, [slice("kv-2", 1, [pod("10.0.0.2")])]));
      else {
        expired = true;
        response
          .writeHead(410)
          .end(JSON.stringify(status(410, "Expired", "The provided continue parameter is too old")));
      }
    };
    await using reader = new Reader(locator());
    await until(() => reader.told.length > 0);
    expect(reader.told).toEqual(["10.0.0.1:9000 10.0.0.2:9000"]);
    expect(server.lists.map(({ url }) => url.searchParams.get("continue"))).toEqual([
      null,
      "a b+c",
      null,
      "a b+c",
    ]);
  });

  it("puts together what comes in pieces, also in the middle of a character", async () => {
    lists(sliceList(1, []));
    await using reader = new Reader(locator());
    await until(() => server.watches.length === 1);
    const events = [
      { type: "ADDED", object: slice("kv-1", 2, [pod("10.0.0.1", { zone: "zürich-🏔" })]) },
      { type: "ADDED", object: slice("kv-2", 3, [pod("10.0.0.2")]) },
    ];
    const bytes = Buffer.from(events.map((event) => `${JSON.stringify(event)}\n`).join(""));
    const [watch] = server.watches;
    for (const byte of bytes) {
      watch?.write(Uint8Array.of(byte));
      if (byte > 127) await settled();
    }
    await until(() => reader.last === "10.0.0.1:9000 10.0.0.2:9000");
    expect(reader.sets.at(-1)?.[0]?.labels?.zone).toBe("zürich-🏔");
  });

  it("goes on from where it was when a watch ends or breaks off, in the middle of a line too", async () => {
    lists(sliceList(10, []));
    await using reader = new Reader(locator());
    await until(() => server.watches.length === 1);
    server.watches[0]?.send({ type: "ADDED", object: slice("kv-1", 11, [pod("10.0.0.1")]) });
    server.watches[0]?.send({
      type: "BOOKMARK",
      object: { kind: "EndpointSlice", metadata: { resourceVersion: "20" } },
    });
    server.watches[0]?.response.end();
    await passUntil(() => server.watches.length === 2);
    server.watches[1]?.send({ type: "ADDED", object: slice("kv-2", 21, [pod("10.0.0.2")]) });
    await until(() => reader.last === "10.0.0.1:9000 10.0.0.2:9000");
    server.watches[1]?.write('{"type":"DELETED","object":{"metada');
    await settled();
    server.watches[1]?.response.destroy();
    await passUntil(() => server.watches.length === 3);
    expect(server.watches.map(({ url }) => url.searchParams.get("resourceVersion"))).toEqual([
      "10",
      "20",
      "21",
    ]);
    expect([server.lists.length, reader.told]).toEqual([
      1,
      ["", "10.0.0.1:9000", "10.0.0.1:9000 10.0.0.2:9000"],
    ]);
  });

  it.each<[string, (asked: KubernetesServer["watches"][number]) => void]>([
    [
      "answers 410",
      ({ response }) => response.writeHead(410).end(JSON.stringify(status(410, "Expired", "too old"))),
    ],
    [
      "says 410 in an event",
      ({ send }) => send({ type: "ERROR", object: status(410, "Expired", "too old resource version") }),
    ],
    ["says garbage", ({ write }) => write("<html>\n")],
    ["says what is not UTF-8", ({ write }) => write(Uint8Array.of(0x22, 0xff, 0x22, 10))],
    ["says an event of no known type", ({ send }) => send({ type: "MOVED", object: slice("kv-1", 9, []) })],
    ["says an event without an object", ({ send }) => send({ type: "ADDED" })],
    ["says null", ({ write }) => write("null\n")],
    ["is refused for now", ({ response }) => response.writeHead(429).end()],
  ])("lists again when the watch %s, and tells only what is different", async (_, say) => {
    lists(
      sliceList(1, [slice("kv-1", 1, [pod("10.0.0.1")])]),
      sliceList(5, [slice("kv-2", 4, [pod("10.0.0.1"), pod("10.0.0.2")])]),
    );
    server.onWatch = (asked) => {
      if (server.watches.length === 1) say(asked);
    };
    await using reader = new Reader(locator());
    await passUntil(() => server.watches.length === 2);
    expect(reader.told).toEqual(["10.0.0.1:9000", "10.0.0.1:9000 10.0.0.2:9000"]);
    expect(server.watches[1]?.url.searchParams.get("resourceVersion")).toBe("5");
  });

  it("does not ask without a pause a server that ends every watch at once", async () => {
    lists(sliceList(1, []));
    server.onWatch = ({ response }) => response.end();
    await using _ = new Reader(locator());
    for (const [watches, ms] of [
      [1, 500],
      [2, 1_000],
      [3, 2_000],
      [4, 4_000],
    ] as const) {
      await until(() => server.watches.length === watches && clock.timers === 1);
      await clock.advance(ms - 1);
      expect(server.watches).toHaveLength(watches);
      await clock.advance(1);
    }
  });

  it("ends a watch that the server has forgotten, and begins it anew", async () => {
    lists(sliceList(1, []));
    await using _ = new Reader(locator({ watchMs: 30_000 }));
    await until(() => server.watches.length === 1);
    await settled();
    await clock.advance(69_999);
    expect(server.watches).toHaveLength(1);
    await clock.advance(1);
    await until(() => server.watches.length === 2);
  });

  it("reads the token again when it was refused, since tokens are replaced", async () => {
    const tokens = ["old", "new"];
    let reads = 0;
    server.onList = ({ token, response }) => {
      if (token === "Bearer new") response.end(sliceList(1, [slice("kv-1", 1, [pod("10.0.0.1")])]));
      else response.writeHead(401).end(JSON.stringify(status(401, "Unauthorized", "Unauthorized")));
    };
    await using reader = new Reader(locator({ token: async () => tokens[Math.min(reads++, 1)] ?? "" }));
    await until(() => reader.last === "10.0.0.1:9000");
    expect(server.lists.map(({ token }) => token)).toEqual(["Bearer old", "Bearer new"]);
  });

  it.each<[string, number, string, string]>([
    ["401, with a token that does not get better", 401, "{}", "unavailable"],
    [
      "403",
      403,
      JSON.stringify(status(403, "Forbidden", 'endpointslices is forbidden: User "x"')),
      "unavailable",
    ],
    ["500 without a body", 500, "", "unavailable"],
    ["410 again and again", 410, "gone", "unavailable"],
    ["garbage", 200, "<html>", "bad-source"],
    ["nothing", 200, "", "bad-source"],
    ["null", 200, "null", "bad-source"],
    ["another kind of thing", 200, '{"kind":"Status"}', "bad-source"],
    ["items that are no list", 200, '{"metadata":{"resourceVersion":"1"},"items":{}}', "bad-source"],
  ])("throws when listing is answered with %s", async (_, code, body, error) => {
    server.onList = ({ response }) => response.writeHead(code).end(body);
    const reader = new Reader(locator({ token: async () => "t" }));
    await reader.done();
    expect(reader.error).toMatchObject({ code: error });
    expect([reader.told, clock.timers]).toEqual([[], 0]);
  });

  it("throws when the server is not there, or breaks off in the middle of a list", async () => {
    server.onList = ({ response }) => {
      response.writeHead(200, { "content-length": "1000" }).write("{");
      response.destroy();
    };
    const broken = new Reader(locator());
    await broken.done();
    expect(broken.error).toMatchObject({ code: "unavailable" });
    const { url } = server;
    await server[Symbol.asyncDispose]();
    const gone = new Reader(locator({ server: url }));
    await gone.done();
    expect(gone.error).toMatchObject({ code: "unavailable", message: /can't be reached/ });
    server = await KubernetesServer.start();
  });

  it("ends its watch when it is left", async () => {
    lists(sliceList(1, []));
    const reader = new Reader(locator());
    await until(() => server.watches.length === 1);
    const closed = new Promise((resolve) => server.watches[0]?.response.on("close", resolve));
    await reader.end();
    await closed;
    expect([reader.error, clock.timers]).toEqual([undefined, 0]);
  });
});

describe("what a slice says", { timeout: 60_000 }, () => {
  const setOf = async (items: readonly unknown[], options: Partial<EndpointSliceLocatorOptions> = {}) => {
    lists(sliceList(1, items));
    await using reader = new Reader(locator(options));
    await until(() => reader.ended || reader.told.length > 0);
    if (reader.error !== undefined) throw reader.error;
    return reader;
  };

  it("heeds the conditions: ready unless it says otherwise, and on demand also what ends and still serves", async () => {
    const items = [
      slice("kv-1", 1, [
        pod("10.0.0.1"),
        pod("10.0.0.2", { conditions: {} }),
        pod("10.0.0.3", { conditions: null }),
        pod("10.0.0.4", { conditions: { ready: false, serving: true, terminating: true } }),
        pod("10.0.0.5", { conditions: { ready: false, serving: false, terminating: true } }),
        pod("10.0.0.6", { conditions: { ready: false } }),
      ]),
    ];
    const hosts = (from: number[]) => from.map((host) => `10.0.0.${host}:9000`).join(" ");
    expect((await setOf(items)).last).toBe(hosts([1, 2, 3]));
    const serving = await setOf(items, { include: "serving" });
    expect(serving.last).toBe(hosts([1, 2, 3, 4]));
    expect(serving.sets[0]?.at(-1)?.labels).toMatchObject({ ready: "false", terminating: "true" });
    expect((await setOf(items, { include: "all" })).last).toBe(hosts([1, 2, 3, 4, 5, 6]));
  });

  it("chooses the port by name, by number, or as the only one", async () => {
    const ports = [
      { name: "http", protocol: "TCP", port: 80 },
      { name: "grpc", port: 9000 },
      { name: "dns", protocol: "UDP", port: 53 },
    ];
    const items = [slice("kv-1", 1, [pod("10.0.0.1")], { ports })];
    expect((await setOf(items, { port: "grpc" })).last).toBe("10.0.0.1:9000");
    expect((await setOf(items, { port: 80 })).last).toBe("10.0.0.1:80");
    expect((await setOf(items, { port: "dns" })).last).toBe("");
    expect((await setOf(items, { port: 81 })).last).toBe("");
    expect(await errorOf(setOf(items))).toMatchObject({
      code: "bad-source",
      message: /several ports.*"http" \(80\), "grpc"/,
    });
    const unnamed = [slice("kv-1", 1, [pod("10.0.0.1")], { ports: [{ port: 7 }] })];
    expect((await setOf(unnamed)).last).toBe("10.0.0.1:7");
    const without = [slice("kv-1", 1, [pod("10.0.0.1")], { ports: null })];
    expect((await setOf(without)).last).toBe("");
    expect((await setOf(without, { port: 8 })).last).toBe("10.0.0.1:8");
  });

  it("has all types of addresses or those that are wished, and of an endpoint's addresses the first", async () => {
    const items = [
      slice("kv-4", 1, [{ addresses: ["10.0.0.1", "10.0.0.2"] }]),
      slice("kv-6", 1, [{ addresses: ["2001:db8::1"] }], { addressType: "IPv6" }),
      slice("kv-n", 1, [{ addresses: ["kv.example"] }], { addressType: "FQDN" }),
      slice("kv-x", 1, [{ addresses: ["10.9.9.9"] }], { addressType: "Other" }),
    ];
    expect((await setOf(items)).last).toBe("10.0.0.1:9000 [2001:db8::1]:9000 kv.example:9000");
    expect((await setOf(items, { addressTypes: ["IPv6"] })).last).toBe("[2001:db8::1]:9000");
  });

  it("leaves out what is no endpoint, whatever it is", async () => {
    const rubbish: unknown[] = [
      null,
      7,
      "x",
      [],
      {},
      { addresses: null },
      { addresses: [] },
      { addresses: [7] },
      { addresses: ["a b"] },
    ];
    const items: unknown[] = [
      ...rubbish,
      slice("kv-1", 1, [...rubbish, pod("10.0.0.1", { zone: 7, nodeName: {}, targetRef: "x" })]),
      slice("kv-2", 1, null as unknown as []),
      slice("kv-3", 1, [pod("10.0.0.3")], { ports: [{ name: "grpc", port: "9000" }] }),
      slice("kv-4", 1, [pod("10.0.0.4")], { ports: [{ name: "grpc", port: 0 }] }),
      slice("kv-5", 1, [pod("10.0.0.5")], { ports: 7 }),
    ];
    const reader = await setOf(items);
    expect(reader.sets).toEqual([[at("10.0.0.1", 9000, {})]]);
  });
});

describe("the options", { timeout: 60_000 }, () => {
  it.each<[Partial<EndpointSliceLocatorOptions>]>([
    [{ namespace: "" }],
    [{ namespace: "a/../b" }],
    [{ service: "kv,app=x" }],
    [{ server: "nowhere" }],
    [{ server: "file:///x" }],
    [{ server: "https://x?y" }],
    [{ server: "http://10.0.0.1:8080", token: "t" }],
    [{ watchMs: 1 }],
  ])("are refused when they are like %j", (options) => {
    expect(() => locator(options)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  });

  it("are known inside of a cluster, where tokens are read each time they are needed", async () => {
    const directory = await mkdtemp(join(tmpdir(), "viewreg-account-"));
    try {
      await writeFile(join(directory, "namespace"), "shop");
      await writeFile(join(directory, "token"), "one\n");
      const known = await inCluster({ host: "fd00::1", port: "443", directory });
      expect(known).toMatchObject({ server: "https://[fd00::1]:443", namespace: "shop" });
      const token = known.token as () => Promise<string>;
      expect(await token()).toBe("one");
      await writeFile(join(directory, "token"), "two");
      expect(await token()).toBe("two");
      expect(await errorOf((known.ca as () => Promise<string>)())).toMatchObject({ code: "unavailable" });
      endpointSliceLocator({ ...known, service: "kv" });
    } finally {
      await rm(directory, { recursive: true });
    }
    expect(await errorOf(inCluster({ host: undefined, port: undefined }))).toMatchObject({
      code: "unavailable",
    });
    expect(await errorOf(inCluster({ host: "10.0.0.1", port: "443", directory }))).toMatchObject({
      code: "unavailable",
    });
  });
});
