import { createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  buildGazette,
  buildGoServer,
  buildGoServers,
  etcdBuild,
  goBuildTimeoutMs,
  requireServer,
  startEtcd,
  startGazette,
  startToxiproxy,
  type ToxiproxyServer,
  toxiproxyBuild,
} from "../src/servers/index.js";
import { connectTo, echoServer } from "./echo.js";
import { isGone } from "./processes.js";

describe.skipIf(!requireServer("toxiproxy"))("a real toxiproxy", { timeout: 60_000 }, () => {
  let toxiproxy: ToxiproxyServer;
  let upstream = "";
  const sockets = new Set<Socket>();
  const echo = createServer();
  beforeAll(async () => {
    await buildGoServer(toxiproxyBuild);
    toxiproxy = await startToxiproxy();
    upstream = await echoServer(echo, sockets);
  }, goBuildTimeoutMs);
  afterAll(async () => {
    await toxiproxy?.stop();
    for (const socket of sockets) socket.destroy();
    echo.close();
  });

  it("leads to the server, at an endpoint of the upstream's form", async () => {
    const proxy = await toxiproxy.proxy(upstream);
    expect(proxy.endpoint).toBe(`127.0.0.1:${proxy.port}`);
    expect((await toxiproxy.proxy(`http://${upstream}`)).endpoint).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    await using connection = await connectTo(proxy.port);
    expect(await connection.ask("hello")).toBe("hello");
    await expect(toxiproxy.proxy("unix:///somewhere")).rejects.toMatchObject({ code: "request-failed" });
  });

  it("cuts what is open, refuses what is new, and restores", async () => {
    const proxy = await toxiproxy.proxy(upstream);
    await using connection = await connectTo(proxy.port);
    expect(await connection.ask("hello")).toBe("hello");
    await proxy.cut();
    expect(await connection.ended).toBeUndefined(); // an orderly end
    await expect(connectTo(proxy.port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
    await proxy.restore();
    await using again = await connectTo(proxy.port);
    expect(await again.ask("again")).toBe("again");
  });

  it("delays until the latency is removed", async () => {
    const proxy = await toxiproxy.proxy(upstream);
    await using connection = await connectTo(proxy.port);
    const toxic = await proxy.latency(300);
    const begin = performance.now();
    expect(await connection.ask("late")).toBe("late");
    expect(performance.now() - begin).toBeGreaterThan(290);
    await toxic.remove();
    await toxic.remove();
    expect(await connection.ask("soon")).toBe("soon");
  });

  it("resets new connections at their first byte", async () => {
    const proxy = await toxiproxy.proxy(upstream);
    await using _ = await proxy.resetPeers();
    await using connection = await connectTo(proxy.port);
    connection.socket.write("lost");
    expect(await connection.ended).toMatchObject({ code: "ECONNRESET" });
  });

  it("resets what is open too, when told so from the start", async () => {
    const proxy = await toxiproxy.proxy(upstream, { resets: true });
    await using connection = await connectTo(proxy.port);
    await using other = await connectTo(proxy.port);
    expect(await connection.ask("hello")).toBe("hello");
    expect(await other.ask("hello")).toBe("hello");
    const toxic = await proxy.resetPeers();
    connection.socket.write("lost");
    expect(await connection.ended).toMatchObject({ code: "ECONNRESET" });
    await toxic.remove();
    await proxy.cut();
    expect(await other.ended).toMatchObject({ code: "ECONNRESET" });
    await proxy.restore();
    await using again = await connectTo(proxy.port);
    expect(await again.ask("again")).toBe("again");
  });

  it("closes slowly", async () => {
    const proxy = await toxiproxy.proxy(upstream);
    await using _ = await proxy.slowClose(400);
    await using connection = await connectTo(proxy.port);
    expect(await connection.ask("hello")).toBe("hello");
    const begin = performance.now();
    connection.socket.end(); // the echo server ends its side too
    await connection.ended;
    expect(performance.now() - begin).toBeGreaterThan(390);
  });

  it("swallows what comes, and ends the connection when that is over", async () => {
    const proxy = await toxiproxy.proxy(upstream);
    await using connection = await connectTo(proxy.port);
    const toxic = await proxy.blackHole();
    const answer = connection.ask("swallowed");
    expect(await Promise.race([answer, sleep(200, "nothing")])).toBe("nothing");
    await toxic.remove();
    await connection.ended;
  });

  it("ends a connection after some bytes", async () => {
    const proxy = await toxiproxy.proxy(upstream);
    await using _ = await proxy.limitBytes(3);
    await using connection = await connectTo(proxy.port);
    connection.socket.write("abcdef");
    await connection.ended;
    expect(connection.received()).toBe("abc");
  });

  it("tells what it does not know", async () => {
    const proxy = await toxiproxy.proxy(upstream);
    const wrong = proxy.addToxic("latency", { latency: 1 }, { stream: "sideways" as "upstream" });
    await expect(wrong).rejects.toMatchObject({ code: "request-failed", message: /stream was invalid/ });
  });

  it("leaves no process behind", async () => {
    const own = await startToxiproxy();
    await own.stop();
    expect(isGone(own.pid)).toBe(true);
  });
});

const gazetteMissing = !requireServer("toxiproxy") || !requireServer("etcd") || !requireServer("gazette");

describe.skipIf(gazetteMissing)("a Gazette behind toxiproxy", { timeout: 120_000 }, () => {
  beforeAll(async () => {
    await buildGoServers([toxiproxyBuild, etcdBuild]);
    await buildGazette();
  }, 3 * goBuildTimeoutMs);

  it("is reached through it, and not while it is cut", async () => {
    await using etcd = await startEtcd();
    await using gazette = await startGazette({ etcd });
    await using toxiproxy = await startToxiproxy();
    const proxy = await toxiproxy.proxy(gazette.endpoint);
    await gazette.createJournal("test/proxied");
    const list = (): Promise<string> =>
      fetch(`${proxy.endpoint}/debug/ready`).then((each) => String(each.status));
    expect(await list()).toBe("200");
    await proxy.cut();
    await expect(list()).rejects.toThrow(/fetch failed/);
    await proxy.restore();
    const { stdout } = await gazette.gazctl(["journals", "list"], { broker: proxy });
    expect(stdout.toString()).toContain("test/proxied");
  });
});
