import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fragmentTransports, httpTransport, isJournalError, openFragmentUrl } from "../src/index.js";
import { StillClock } from "./append-support.js";
import { all, fragment, LINES, readUntilEnd, rejection } from "./read-support.js";
import { StubHttpStore } from "./support/stub-http-store.js";

let store: StubHttpStore;
beforeEach(async () => {
  store = await StubHttpStore.start();
});
afterEach(() => store[Symbol.asyncDispose]());

describe("a store over http", () => {
  it("gives a file as it is, compressed or not, with what it says about it", async () => {
    const transport = httpTransport();
    const zipped = gzipSync(LINES);
    const url = store.put("/f", { body: zipped, contentEncoding: "gzip" });
    const file = await transport.get(url, { headers: { "accept-encoding": "gzip" } });
    expect(file.contentEncoding).toBe("gzip");
    expect((await all(file.body)).equals(zipped)).toBe(true);
    expect(store.requests[0]).toMatchObject({ method: "GET", path: "/f?signature=good" });
    expect(store.requests[0]?.headers["accept-encoding"]).toBe("gzip");
    transport.close();
  });

  it("gives a fragment of each way of compressing with gzip", async () => {
    const transports = fragmentTransports();
    const end = BigInt(LINES.length);
    const zipped = gzipSync(LINES);
    for (const [compressionCodec, body, contentEncoding] of [
      ["GZIP", zipped, "gzip"],
      ["GZIP", zipped, undefined],
      ["GZIP_OFFLOAD_DECOMPRESSION", LINES, undefined],
      ["GZIP_OFFLOAD_DECOMPRESSION", zipped, "gzip"],
      ["NONE", LINES, undefined],
    ] as const) {
      const url = store.put("/f", { body, ...(contentEncoding === undefined ? {} : { contentEncoding }) });
      const reader = await openFragmentUrl(transports, {
        fragment: fragment(0n, end, { compressionCodec }),
        url,
        offset: 10n,
      });
      expect((await all(reader)).equals(LINES.subarray(10))).toBe(true);
    }
    transports.close();
  });

  it("is asked over one connection again and again, until the transport is closed", async () => {
    const ports = new Set<number | undefined>();
    const server = createServer((request, response) => {
      ports.add(request.socket.remotePort);
      response.end("hello");
    });
    let connections = 0;
    let closed = () => {};
    const gone = new Promise<void>((resolve) => {
      closed = resolve;
    });
    server.on("connection", (socket) => {
      connections++;
      socket.on("close", () => closed());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const transport = httpTransport();
    for (let count = 0; count < 3; count++) {
      expect((await all((await transport.get(url, {})).body)).toString()).toBe("hello");
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect([connections, ports.size]).toEqual([1, 1]);
    transport.close();
    await gone;
    expect(await rejection(transport.get(url, {}))).toMatchObject({ code: "closed" });
    await new Promise((resolve) => server.close(resolve));
  });

  it("is asked once more when it has ended the connection that was kept open, and only then", async () => {
    const requests = new Map<object, number>();
    /** What becomes of the second request of a connection, and of the first one of a new connection. */
    let second: (response: ServerResponse) => void = (response) => response.socket?.destroy();
    let first: (response: ServerResponse) => void = (response) => response.end("hello");
    const server = createServer(({ socket }, response) => {
      const count = requests.get(socket) ?? 0;
      requests.set(socket, count + 1);
      (count === 0 ? first : second)(response);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const count = (): number => [...requests.values()].reduce((sum, each) => sum + each, 0);
    const clock = new StillClock();
    const transport = httpTransport({ clock, idleTimeoutMs: 1000 });
    const fetched = async (): Promise<string> => (await all((await transport.get(url, {})).body)).toString();
    // A connection becomes free behind the end of what it gave.
    const freed = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

    expect(await fetched()).toBe("hello");
    await freed();
    expect(await fetched()).toBe("hello");
    expect([...requests.values()]).toEqual([2, 1]);
    await freed();

    // Not when the store says nothing, or answers and then breaks off.
    second = () => {};
    const silent = rejection(transport.get(url, {}));
    while (count() < 4) await freed();
    clock.advance(1001);
    expect(await silent).toMatchObject({
      code: "fragment-fetch",
      message: expect.stringContaining("said nothing"),
    });
    expect(count()).toBe(4);
    expect(await fetched()).toBe("hello");
    await freed();
    second = (response) => {
      response.writeHead(200, { "content-length": "10" });
      response.write("hel", () => response.socket?.destroy());
    };
    expect(await rejection(fetched())).toMatchObject({ code: "fragment-fetch" });
    expect(count()).toBe(6);

    // Not when the connection is new.
    first = (response) => response.socket?.destroy();
    expect(await rejection(fetched())).toMatchObject({ code: "fragment-fetch" });
    expect(count()).toBe(7);

    // And not again and again: not when the second one that was kept has ended as well.
    first = (response) => response.end("hello");
    second = (response) => response.socket?.destroy();
    expect(await Promise.all([fetched(), fetched(), fetched()])).toEqual(["hello", "hello", "hello"]);
    await freed();
    expect(await rejection(fetched())).toMatchObject({ code: "fragment-fetch" });
    expect(count()).toBe(12);
    transport.close();
    expect(clock.timers).toBe(0);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it("may not have the file, or not give it: its words are told, and nothing that is secret", async () => {
    const transport = httpTransport();
    const missing = await rejection(transport.get(`${store.url}/none?X-Amz-Signature=secret`, {}));
    expect(missing).toMatchObject({ code: "fragment-not-found" });
    expect(String(missing)).toMatch(/404.*\/none/);
    const refusing = store
      .refuse("/no", 403, `SignatureDoesNotMatch ${"x".repeat(5000)}`)
      .replace("//", "//user:pass@");
    const refused = await rejection(transport.get(refusing, {}));
    expect(refused).toMatchObject({ code: "fragment-fetch" });
    expect(String(refused)).toMatch(/403.*SignatureDoesNotMatch/);
    expect(String(refused).length).toBeLessThan(400);
    for (const error of [missing, refused]) {
      expect(String(error)).not.toMatch(/secret|signature=good|user|pass/);
    }
    transport.close();
  });

  it("may break off: the content until there is given out, and then it fails", async () => {
    const transport = httpTransport();
    for (const then of ["cut", "reset"] as const) {
      const url = store.put("/f", { body: LINES, after: 100_000, then });
      const file = await transport.get(url, {});
      const found: Uint8Array[] = [];
      const error = await rejection(
        (async () => {
          for await (const chunk of file.body) found.push(chunk);
        })(),
      );
      expect(isJournalError(error, "fragment-fetch")).toBe(true);
      expect(String(error)).not.toContain("signature");
      expect(LINES.subarray(0, Buffer.concat(found).length).equals(Buffer.concat(found))).toBe(true);
    }
    transport.close();
  });

  it("may not be there", async () => {
    const url = store.put("/f", LINES);
    await store[Symbol.asyncDispose]();
    expect(await rejection(httpTransport().get(url, {}))).toMatchObject({ code: "fragment-fetch" });
    store = await StubHttpStore.start();
  });

  it("may send elsewhere, some times, and not from https to http or out of http", async () => {
    const transport = httpTransport({ maxRedirects: 2 });
    const there = store.put("/there", Buffer.from("here I am"));
    const moved = (path: string, location: string) =>
      store.put(path, { status: 302, headers: { location }, body: new Uint8Array(0) });
    const once = moved("/once", "/twice?signature=more");
    moved("/twice", there);
    expect((await all((await transport.get(once, {})).body)).toString()).toBe("here I am");
    const loop = moved("/loop", "/loop?signature=secret");
    for (const bad of [loop, moved("/file", "file:///etc/passwd"), moved("/none", "http://")]) {
      const error = await rejection(transport.get(bad, {}));
      expect(error).toMatchObject({ code: "url-refused" });
      expect(String(error)).not.toContain("signature");
    }
    for (const bad of ["ftp://x/", "nonsense"]) {
      expect(await rejection(transport.get(bad, {}))).toMatchObject({ code: "url-refused" });
    }
    transport.close();
  });

  it("is left alone when nobody wants the rest", async () => {
    const big = { body: new Uint8Array(100_000), after: 50_000, then: new Promise<never>(() => {}) };
    const transport = httpTransport();
    const reason = new Error("enough");
    for (const leave of [
      async (body: AsyncIterable<Uint8Array>) => {
        for await (const _ of body) break;
      },
      async (body: AsyncIterable<Uint8Array>) => {
        await body[Symbol.asyncIterator]().return?.();
      },
      async (body: AsyncIterable<Uint8Array>, controller: AbortController) => {
        const iterator = body[Symbol.asyncIterator]();
        await iterator.next();
        controller.abort(reason);
        expect(
          await rejection(
            (async () => {
              while ((await iterator.next()).done !== true);
            })(),
          ),
        ).toBe(reason);
      },
      async (_body: AsyncIterable<Uint8Array>, controller: AbortController) => {
        controller.abort(reason);
      },
    ]) {
      const controller = new AbortController();
      const count = store.requests.length;
      const file = await transport.get(store.put("/big", big), { signal: controller.signal });
      await leave(file.body, controller);
      while (store.requests[count]?.aborted !== true) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(
      await rejection(transport.get(store.put("/big", big), { signal: AbortSignal.abort(reason) })),
    ).toBe(reason);
    transport.close();
  });

  it("is given up when it says nothing for too long, but not while nothing is wanted of it", async () => {
    const clock = new StillClock();
    const transport = httpTransport({ clock, idleTimeoutMs: 1000 });
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const url = store.put("/f", { body: LINES, after: 10, then: gate });
    const file = await transport.get(url, {});
    const iterator = file.body[Symbol.asyncIterator]();
    const first = await iterator.next();
    expect(first.value?.length).toBeGreaterThan(0);
    clock.advance(5000);
    const next = iterator.next();
    next.catch(() => {});
    clock.advance(999);
    expect(clock.timers).toBe(1);
    clock.advance(1001);
    const error = await rejection(next);
    expect(error).toMatchObject({ code: "fragment-fetch" });
    expect(String(error)).toContain("said nothing");
    expect(clock.timers).toBe(0);
    release();
    transport.close();
  });

  it("leaves no timer behind", async () => {
    const clock = new StillClock();
    const transports = fragmentTransports({ clock });
    const url = store.put("/f", LINES);
    const whole = fragment(0n, BigInt(LINES.length));
    const reader = await openFragmentUrl(transports, { fragment: whole, url });
    expect(clock.timers).toBe(1);
    expect((await readUntilEnd(reader)).error).toBeUndefined();
    expect(clock.timers).toBe(0);
    const other = await openFragmentUrl(transports, { fragment: whole, url });
    await other.close();
    expect(clock.timers).toBe(0);
    transports.close();
  });
});
