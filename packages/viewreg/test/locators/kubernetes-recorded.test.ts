import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type EndpointSliceLocatorOptions, endpointSliceLocator } from "../../src/kubernetes.js";
import { chance } from "../support/world.js";
import { type Asked, KubernetesServer } from "./kubernetes-server.js";
import { at, FakeClock, Reader, show, until } from "./support.js";

interface Recorded {
  readonly query: URLSearchParams;
  readonly status: number;
  readonly body: string;
}

/** What a kube-apiserver 1.35 answered: see `recorder/record.mjs` in the folder of the recordings. */
function recorded(name: string): Recorded {
  const text = readFileSync(new URL(`../fixtures/kubernetes/${name}.http`, import.meta.url), "utf8");
  const [request = "", head = ""] = text.split("\n\n", 2);
  const status = Number(/^HTTP\/1.1 (\d+)/.exec(head)?.[1]);
  return {
    query: new URL(request.slice("GET ".length), "http://any").searchParams,
    status,
    body: text.slice(request.length + head.length + 4),
  };
}

const answer = ({ response }: Asked, name: string): void => {
  const { status, body } = recorded(name);
  response.writeHead(status, { "content-type": "application/json" }).end(body);
};

const listed = ["10.0.0.1:9000", "10.0.0.2:9000"];
const watchLines = recorded("watch").body.trimEnd().split("\n");

let clock: FakeClock;
let server: KubernetesServer;

beforeEach(async () => {
  clock = new FakeClock();
  server = await KubernetesServer.start();
  server.onList = (asked) => answer(asked, "list");
});

afterEach(() => server[Symbol.asyncDispose]());

const locator = (options: Partial<EndpointSliceLocatorOptions> = {}) =>
  endpointSliceLocator({
    namespace: "shop",
    service: "kv",
    port: "grpc",
    addressTypes: ["IPv4", "FQDN"],
    server: server.url,
    clock,
    random: () => 1,
    ...options,
  });
/** Lets the pauses pass that come before the next request. */
const passUntil = (holds: () => boolean): Promise<void> =>
  until(() => {
    if (!holds()) void clock.advance(100);
    return holds();
  });

describe("a real API server's recorded answers", { timeout: 60_000 }, () => {
  it("are of the questions that are asked", async () => {
    server.onWatch = (asked) => answer(asked, "watch");
    await using _ = new Reader(locator());
    await until(() => server.watches.length > 0);
    expect(String(server.lists[0]?.url.searchParams)).toBe(String(recorded("list").query));
    const [asked, was] = [server.watches[0]?.url.searchParams, recorded("watch").query];
    was.set("timeoutSeconds", asked?.get("timeoutSeconds") ?? "");
    expect(Object.fromEntries(asked ?? [])).toEqual(Object.fromEntries(was));
  });

  it("list two slices, whose ready endpoints are found by the port's name, with what is known of their pods", async () => {
    await using reader = new Reader(locator());
    await using six = new Reader(locator({ addressTypes: ["IPv6"], port: "metrics" }));
    await using all = new Reader(locator({ include: "all", port: 9000 }));
    await until(() => [reader, six, all].every(({ sets }) => sets.length > 0));
    expect(reader.sets[0]).toEqual([
      at("10.0.0.1", 9000, { zone: "zone-0", node: "node-0", hostname: "kv-0", pod: "kv-0" }),
      at("10.0.0.2", 9000, { zone: "zone-1", node: "node-1", hostname: "kv-1", pod: "kv-1" }),
    ]);
    expect(six.last).toBe("[fd00::1]:9100 [fd00::2]:9100");
    expect(all.last).toBe([...listed, "10.0.0.3:9000"].join(" "));
    expect(all.sets[0]?.find(({ host }) => host === "10.0.0.3")?.labels?.ready).toBe("false");
  });

  it("have two ports, so that one has to be said", async () => {
    const reader = new Reader(locator({ port: undefined }));
    await reader.done();
    expect(reader.error).toMatchObject({ code: "bad-source" });
    expect(String(reader.error)).toContain('"metrics" (9100), "grpc" (9000)');
  });

  it("tell of no slices", async () => {
    server.onList = (asked) => answer(asked, "list-empty");
    await using reader = new Reader(locator());
    await until(() => server.watches.length > 0);
    expect(reader.told).toEqual([""]);
    expect(server.watches[0]?.url.searchParams.get("resourceVersion")).toBe("196");
  });

  it("watch: a pod gets ready, one ends and is gone, a slice comes and goes, and a bookmark says from where to go on", async () => {
    await using reader = new Reader(locator());
    await using serving = new Reader(locator({ include: "serving", addressTypes: ["IPv4"] }));
    await until(() => server.watches.length === 2);
    const [one, two, three] = ["10.0.0.1:9000", "10.0.0.2:9000", "10.0.0.3:9000"];
    const steps: readonly (readonly [type: string, ready: string, serving: string])[] = [
      ["MODIFIED", `${one} ${two} ${three}`, `${one} ${two} ${three}`],
      ["MODIFIED", `${one} ${two} ${three}`, `${one} ${two} ${three}`],
      ["MODIFIED", `${one} ${two} ${three}`, `${one} ${two} ${three}`],
      ["MODIFIED", `${two} ${three}`, `${one} ${two} ${three}`],
      ["MODIFIED", `${two} ${three}`, `${two} ${three}`],
      ["MODIFIED", `${two} ${three}`, `${two} ${three}`],
      ["ADDED", `${two} ${three} kv.example.com:9000`, `${two} ${three}`],
      ["DELETED", `${two} ${three}`, `${two} ${three}`],
      ["BOOKMARK", `${two} ${three}`, `${two} ${three}`],
    ];
    expect(watchLines).toHaveLength(steps.length);
    for (const [index, [type, ready, goesOn]] of steps.entries()) {
      const line = watchLines[index] ?? "";
      expect(JSON.parse(line).type).toBe(type);
      for (const watch of server.watches) watch.write(`${line}\n`);
      await until(() => reader.last === ready && serving.last === goesOn);
    }
    expect(reader.told).toHaveLength(5);
    const ending = serving.sets.filter((set) => set.some(({ labels }) => labels?.terminating === "true"));
    expect(ending.map(show)).toEqual([`${one} ${two} ${three}`]);
    for (const { response } of [...server.watches]) response.end();
    await passUntil(() => server.watches.length === 4);
    expect(server.watches[2]?.url.searchParams.get("resourceVersion")).toBe("226");
    expect(server.lists).toHaveLength(2);
  });

  it("come to the same in whatever pieces they come", async () => {
    const random = chance(5);
    server.onWatch = (asked) => {
      let { body } = recorded("watch");
      while (body !== "") {
        const length = 1 + Math.floor(300 * random());
        asked.write(body.slice(0, length));
        body = body.slice(length);
      }
    };
    await using reader = new Reader(locator());
    await until(() => reader.last === "10.0.0.2:9000 10.0.0.3:9000");
    expect(server.lists).toHaveLength(1);
  });

  it("come page by page, from the start again when the rest is gone", async () => {
    let gone = false;
    server.onList = (asked) => {
      const token = asked.url.searchParams.get("continue");
      if (token === null) answer(asked, "page-1");
      else if (gone) answer(asked, "page-2");
      else answer(asked, "page-expired");
      gone ||= token !== null;
    };
    await using reader = new Reader(locator());
    await until(() => reader.told.length > 0);
    expect(reader.told).toEqual([listed.join(" ")]);
    const token = recorded("page-2").query.get("continue");
    expect(server.lists.map(({ url }) => url.searchParams.get("continue"))).toEqual([
      null,
      token,
      null,
      token,
    ]);
  });

  it("say that the version is too old to go on from, so that it is listed again", async () => {
    let watches = 0;
    server.onWatch = (asked) => {
      if (++watches === 1) answer(asked, "watch-gone");
    };
    await using reader = new Reader(locator());
    await passUntil(() => server.watches.length === 2);
    expect([server.lists.length, reader.told]).toEqual([2, [listed.join(" ")]]);
  });

  it.each([
    ["unauthorized", 401, "Unauthorized"],
    ["forbidden", 403, 'User \\"stranger\\" cannot list'],
  ])("refuse: %s", async (name, status, says) => {
    server.onList = (asked) => answer(asked, name);
    const reader = new Reader(locator());
    await reader.done();
    expect(reader.error).toMatchObject({ code: "unavailable" });
    expect(String(reader.error)).toContain(`answered ${status}`);
    expect(String(reader.error)).toContain(says);
  });
});
