import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type EndpointSliceLocatorOptions,
  endpointSliceLocator,
  type KubernetesHttp,
} from "../../src/kubernetes.js";
import type { Locator } from "../../src/locator.js";
import { KubernetesServer, pod, slice, sliceList, status } from "./kubernetes-server.js";
import { FakeClock, Reader, settled, until } from "./support.js";

let clock: FakeClock;
let server: KubernetesServer;

beforeEach(async () => {
  clock = new FakeClock();
  server = await KubernetesServer.start();
});

afterEach(() => server[Symbol.asyncDispose]());

const locator = (options: Partial<EndpointSliceLocatorOptions> = {}): Locator =>
  endpointSliceLocator({ namespace: "shop", service: "kv", server: server.url, clock, ...options });
/** What says nothing until it is aborted. */
const silence = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
const tooLate = {
  code: "unavailable",
  message: "the Kubernetes API did not send the whole list within 60000 ms",
};

describe("a watch of EndpointSlices", { timeout: 60_000 }, () => {
  it("is begun anew when its token never comes", async () => {
    let reads = 0;
    const token = (): Promise<string> =>
      ++reads === 2 ? new Promise(() => undefined) : Promise.resolve("token");
    server.onList = ({ response }) => response.end(sliceList(7, []));
    await using _ = new Reader(locator({ token, watchMs: 60_000, random: () => 0 }));
    await until(() => reads === 2);
    await clock.advance(69_999);
    expect(server.watches).toEqual([]);
    await clock.advance(1);
    await until(() => server.watches.length === 1);
    expect(server.watches[0]?.url.searchParams.get("resourceVersion")).toBe("7");
    expect(server.lists).toHaveLength(1);
  });

  it("is not heeded any more when it was given up and goes on all the same", async () => {
    const event = { type: "ADDED", object: slice("kv-1", 2, [pod("10.0.0.1")]) };
    let watches = 0;
    let say: () => void = () => undefined;
    const said = new Promise<void>((resolve) => {
      say = resolve;
    });
    async function* deaf(): AsyncGenerator<Uint8Array> {
      await said;
      yield Buffer.from(`${JSON.stringify(event)}\n`);
    }
    const http: KubernetesHttp = async (url, { signal }) => {
      if (!url.includes("watch=1"))
        return { status: 200, body: Readable.from([Buffer.from(sliceList(1, []))]) };
      return ++watches === 1 ? { status: 200, body: deaf() } : await silence(signal);
    };
    await using reader = new Reader(locator({ http, watchMs: 60_000, random: () => 0 }));
    await until(() => watches === 1);
    await clock.advance(71_000);
    expect(watches).toBe(2);
    say();
    await settled();
    expect([reader.told, reader.ended]).toEqual([[""], false]);
  });
});

describe("a list of EndpointSlices", { timeout: 60_000 }, () => {
  it.each<[string, KubernetesServer["onList"]]>([
    ["that is accepted and never answered", () => undefined],
    [
      "whose answer begins and never ends",
      ({ response }) => void response.writeHead(200).write('{"items":['),
    ],
    [
      "that is refused in a body that never ends",
      ({ response }) => void response.writeHead(403).write('{"mess'),
    ],
  ])("%s is given up after a minute", async (_, onList) => {
    const closed: Promise<unknown>[] = [];
    server.onList = (asked) => {
      closed.push(new Promise((resolve) => asked.response.on("close", resolve)));
      onList(asked);
    };
    const reader = new Reader(locator());
    await until(() => server.lists.length === 1);
    await clock.advance(59_999);
    expect(reader.ended).toBe(false);
    await clock.advance(1);
    await reader.done();
    expect(reader.error).toMatchObject(tooLate);
    await Promise.all(closed);
    expect([reader.told, clock.timers, server.lists.length]).toEqual([[], 0, 1]);
  });

  it("has that minute for all of its pages", async () => {
    const first = sliceList(5, [slice("kv-1", 1, [pod("10.0.0.1")])], { continue: "2" });
    server.onList = ({ url, response }) => {
      if (!url.searchParams.has("continue")) clock.setTimer(40_000, () => response.end(first));
    };
    const reader = new Reader(locator());
    await until(() => server.lists.length === 1);
    await clock.advance(40_000);
    await until(() => server.lists.length === 2);
    await clock.advance(19_999);
    expect(reader.ended).toBe(false);
    await clock.advance(1);
    await reader.done();
    expect([reader.error, reader.told]).toEqual([expect.objectContaining(tooLate), []]);
  });

  it("is given up after a minute too when its token never comes", async () => {
    const reader = new Reader(locator({ token: () => new Promise(() => undefined) }));
    await settled();
    await clock.advance(60_000);
    await reader.done();
    expect([reader.error, clock.timers]).toEqual([expect.objectContaining(tooLate), 0]);
  });

  it("has a minute again the next time", async () => {
    server.onList = ({ response }) => response.end(sliceList(1, [slice("kv-1", 1, [pod("10.0.0.1")])]));
    await using reader = new Reader(locator({ random: () => 0 }));
    await until(() => server.watches.length === 1);
    await clock.advance(60_001);
    expect([reader.ended, reader.told, server.watches.length]).toEqual([false, ["10.0.0.1:9000"], 1]);
  });

  it("ends at once when it is left while it waits", async () => {
    server.onList = () => undefined;
    const reader = new Reader(locator());
    await until(() => server.lists.length === 1);
    await reader.end();
    expect([reader.error, clock.timers]).toEqual([undefined, 0]);
  });
});

describe("the pages of a list", () => {
  let asked = 0;

  /** Reads pages that a server in memory makes: an answer, or undefined for 410. Then a watch that says nothing. */
  const paged = (pageOf: (page: number) => string | undefined): Reader => {
    asked = 0;
    const http: KubernetesHttp = async (url, { signal }) => {
      if (url.includes("watch=1")) return await silence(signal);
      const page = pageOf(++asked);
      const text = page ?? JSON.stringify(status(410, "Expired", "too old"));
      return { status: page === undefined ? 410 : 200, body: Readable.from([Buffer.from(text)]) };
    };
    return new Reader(locator({ http }));
  };
  const more = { continue: "from here" };

  it("may be 200", async () => {
    await using reader = paged((page) =>
      sliceList(5, [slice(`kv-${page}`, 1, [pod(`10.0.0.${page}`)])], page < 200 ? more : {}),
    );
    await until(() => reader.ended || reader.told.length > 0);
    expect([asked, reader.error, reader.sets[0]?.length]).toEqual([200, undefined, 200]);
  });

  it("may not be more, so that a list without an end is an error, whatever is in it", async () => {
    const reader = paged((page) =>
      sliceList(5, page === 1 ? [slice("kv-1", 1, [pod("10.0.0.1")])] : [], more),
    );
    await reader.done();
    expect(reader.error).toMatchObject({ code: "bad-source", message: /more than 200 pages/ });
    expect([asked, reader.told, clock.timers]).toEqual([200, [], 0]);
  });

  it("may be as many again when it has to begin anew, once", async () => {
    const reader = paged((page) => (page % 200 === 0 ? undefined : sliceList(5, [], more)));
    await reader.done();
    expect(reader.error).toMatchObject({ code: "unavailable", message: /^listing: / });
    expect([asked, reader.told, clock.timers]).toEqual([400, [], 0]);
  });
});
