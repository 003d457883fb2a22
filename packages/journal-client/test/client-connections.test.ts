import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { credentials } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { fullChannelOptions } from "../src/client/channel-options.js";
import { ChannelPool } from "../src/client/channel-pool.js";
import { parseEndpoint } from "../src/client/endpoint.js";
import { JournalClient, type Route } from "../src/index.js";
import { StillClock } from "./append-support.js";
import { hang, StubBroker } from "./support/stub-broker.js";

const fixture = (name: string): Buffer => readFileSync(new URL(`./fixtures/${name}`, import.meta.url));

/** What passes bytes on to a broker from somewhere else. */
async function listening(server: Server, at: string | number): Promise<AsyncDisposable & { port: number }> {
  await new Promise<void>((resolve) => {
    if (typeof at === "number") server.listen(at, "127.0.0.1", resolve);
    else server.listen(at, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

describe("a unix socket", () => {
  it("is an endpoint, by default and in a route", async () => {
    await using broker = await StubBroker.start();
    broker.create("a/journal");
    const folder = await mkdtemp(join(tmpdir(), "journal-client-"));
    const socket = join(folder, "a socket");
    try {
      const proxy = createServer((from) => {
        const to = connect(broker.port, "127.0.0.1");
        from.pipe(to).pipe(from);
        for (const end of [from, to]) end.on("error", () => {});
        from.on("close", () => to.destroy());
      });
      await using _ = await listening(proxy, socket);
      const endpoint = `unix://some-host${encodeURI(socket)}`;
      {
        await using client = new JournalClient({ endpoints: endpoint });
        expect((await client.getJournal("a/journal")).name).toBe("a/journal");
        const route: Route = { members: [broker.id], primary: 0, endpoints: [endpoint] };
        client.updateRoute("a/journal", route);
        expect((await client.openAppend({ journal: "a/journal" }).commit()).status).toBe("OK");
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("https", () => {
  it("is spoken with the credentials that were given, and not with others", async () => {
    await using broker = await StubBroker.start();
    broker.create("a/journal");
    const proxy = createTlsServer(
      { cert: fixture("localhost-cert.pem"), key: fixture("localhost-key.pem"), ALPNProtocols: ["h2"] },
      (from) => {
        const to = connect(broker.port, "127.0.0.1");
        from.pipe(to).pipe(from);
        for (const end of [from, to]) end.on("error", () => {});
        from.on("close", () => to.destroy());
      },
    );
    proxy.on("tlsClientError", () => {});
    await using server = await listening(proxy, 0);
    const endpoints = `https://localhost:${server.port}`;
    {
      await using client = new JournalClient({
        endpoints,
        credentials: credentials.createSsl(fixture("localhost-cert.pem")),
      });
      expect((await client.getJournal("a/journal")).name).toBe("a/journal");
      // The route of the listing leads to plain http, which needs none.
      expect((await client.openAppend({ journal: "a/journal" }).commit()).status).toBe("OK");
    }
    await using stranger = new JournalClient({ endpoints });
    await expect(stranger.fragmentStoreHealth("s3://bucket/")).rejects.toMatchObject({
      code: "transport",
      grpcCode: 14,
      message: expect.stringMatching(/self.signed certificate/),
    });
  });
});

describe("connections", () => {
  const pooled = (clock: StillClock) =>
    new ChannelPool({
      channelOptions: fullChannelOptions(),
      clock,
      defaults: [parseEndpoint("http://127.0.0.1:1")],
    });

  it("are closed when nobody used them for half a minute, but those of default endpoints, and those in use", () => {
    const clock = new StillClock();
    const pool = pooled(clock);
    const [kept, used, idle] = [1, 2, 3].map((port) => pool.get(parseEndpoint(`http://127.0.0.1:${port}`)));
    used!.uses++;
    clock.advance(29_999);
    pool.get(parseEndpoint("http://127.0.0.1:4"));
    expect(pool.endpoints).toHaveLength(4);
    clock.advance(1);
    pool.get(parseEndpoint("http://127.0.0.1:5"));
    expect(pool.endpoints).toEqual(
      [kept, used].map((channel) => channel!.endpoint.url).concat("http://127.0.0.1:4", "http://127.0.0.1:5"),
    );
    expect(idle!.failed).toBe(true);
    used!.uses--;
    clock.advance(30_000);
    pool.get(parseEndpoint("http://127.0.0.1:5"));
    expect(pool.endpoints).toEqual(["http://127.0.0.1:1", "http://127.0.0.1:5"]);
    pool.close();
  });

  it("are kept while a call runs, however long that is", async () => {
    const clock = new StillClock();
    await using broker = await StubBroker.start();
    await using other = await StubBroker.start();
    other.onRead(hang());
    await using client = new JournalClient({ endpoints: broker.endpoint, clock });
    const route: Route = { members: [other.id], primary: 0, endpoints: [other.endpoint] };
    const reading = client.openRead({ journal: "a/journal" }, { route })[Symbol.asyncIterator]();
    const next = reading.next();
    const call = await other.nthRead(1);
    clock.advance(3_600_000);
    await client.listAllJournals();
    expect(call.grpc.closed).toBe(false);
    await reading.return?.();
    expect((await next).done).toBe(true);
  });

  it("to a broker that accepts them and says nothing are left to themselves, and the next broker is asked", async () => {
    const clock = new StillClock();
    const sockets: { destroy(): void }[] = [];
    const silent = createServer((socket) => {
      sockets.push(socket);
      socket.on("error", () => {});
    });
    await using hung = await listening(silent, 0);
    await using broker = await StubBroker.start();
    await using client = new JournalClient({
      endpoints: [`http://127.0.0.1:${hung.port}`, broker.endpoint],
      clock,
    });
    const asking = client.fragmentStoreHealth("s3://bucket/");
    await clock.step();
    expect((await asking).status).toBe("OK");
    expect(clock.timers).toBe(0);
    await client.close();
    for (const socket of sockets) socket.destroy();
  });

  it("to such a broker are not waited for a second time, even if it is the nearest", async () => {
    const clock = new StillClock();
    const sockets: { destroy(): void }[] = [];
    const silent = createServer((socket) => {
      sockets.push(socket);
      socket.on("error", () => {});
    });
    await using hung = await listening(silent, 0);
    await using broker = await StubBroker.start({ zone: "far" });
    broker.create("a/journal");
    await using client = new JournalClient({ endpoints: broker.endpoint, zone: "near", clock });
    const members = [{ zone: "near", suffix: "hung" }, broker.id];
    const route: Route = {
      members,
      primary: 1,
      endpoints: [`http://127.0.0.1:${hung.port}`, broker.endpoint],
    };
    const read = async (): Promise<number> => {
      let answers = 0;
      for await (const _ of client.openRead({ journal: "a/journal" }, { route })) answers++;
      return answers;
    };
    const first = read();
    await clock.step();
    expect(await first).toBe(1);
    expect(await read()).toBe(1);
    expect(clock.timers).toBe(0);
    await client.close();
    for (const socket of sockets) socket.destroy();
  });
});
