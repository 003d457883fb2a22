import { createServer as createHttpServer } from "node:http";
import {
  type AddressInfo,
  connect as connectTcp,
  createServer as createTcpServer,
  type Socket,
  type Server as TcpServer,
} from "node:net";
import {
  connectivityState,
  credentials,
  Server,
  type ServerUnaryCall,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import type { Clock } from "../../src/clock.js";
import type { Connection, ConnectionState } from "../../src/connection.js";
import { HealthClient, HealthService } from "../../src/gen/grpc/health/v1/health.js";
import {
  type GrpcChannel,
  type GrpcConnectorOptions,
  grpcConnector,
  minKeepaliveMs,
} from "../../src/grpc/index.js";
import { becomes, eventually, Health, insecure, lastingPort, leaves, listen, onEnd } from "./servers.js";

function connect(
  port: number,
  options: Partial<GrpcConnectorOptions> = {},
  host = "127.0.0.1",
): Connection<GrpcChannel> {
  const connection = grpcConnector({ credentials: insecure, ...options }).connect({ host, port });
  onEnd(() => connection.close());
  return connection;
}

function statesOf(connection: Connection<GrpcChannel>): ConnectionState[] {
  const states: ConnectionState[] = [];
  connection.listen((state) => states.push(state));
  return states;
}

const server = (): Server => new Health().addTo(new Server());

/** A clock whose timers only the test lets run. */
function heldClock(): { clock: Clock; timers: { delayMs: number; run: () => void }[] } {
  const timers: { delayMs: number; run: () => void }[] = [];
  const clock: Clock = {
    monotonicMs: () => 0,
    setTimer: (delayMs, run) => {
      const timer = { delayMs, run };
      timers.push(timer);
      return () => {
        const index = timers.indexOf(timer);
        if (index >= 0) timers.splice(index, 1);
      };
    },
  };
  return { clock, timers };
}

async function listenTcp(tcp: TcpServer): Promise<number> {
  const sockets = new Set<Socket>();
  tcp.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  });
  onEnd(() => {
    tcp.close();
    for (const socket of sockets) socket.destroy();
  });
  await new Promise<void>((resolve) => tcp.listen(0, "127.0.0.1", resolve));
  return (tcp.address() as AddressInfo).port;
}

describe("a connection over gRPC", { timeout: 60_000 }, () => {
  it("connects without a call being made", async () => {
    const connection = connect(await listen(server()));
    expect(connection.state).toBe("connecting");
    await becomes(connection, "ready");
  });

  it("fails where nobody listens, and is ready within a second of somebody listening there", async () => {
    const first = server();
    const port = await listen(first, { port: await lastingPort() });
    first.forceShutdown();
    const connection = connect(port);
    await becomes(connection, "failed");
    await listen(server(), { port });
    const before = performance.now();
    await becomes(connection, "ready");
    expect(performance.now() - before).toBeLessThan(5_000); // five times what it should be
  });

  it("fails when the server's sockets are gone, and comes back with the server", async () => {
    const first = server();
    const port = await listen(first, { port: await lastingPort() });
    const connection = connect(port);
    await becomes(connection, "ready");
    const states = statesOf(connection);
    first.forceShutdown();
    await becomes(connection, "failed");
    await listen(server(), { port });
    await becomes(connection, "ready");
    expect(states).toEqual(["failed", "ready"]);
  });

  it("stays ready while a server that ends connections by their age is connected to again", async () => {
    const aging = new Health().addTo(
      new Server({ "grpc.max_connection_age_ms": 50, "grpc.max_connection_age_grace_ms": 50 }),
    );
    const { clock, timers } = heldClock();
    const connection = connect(await listen(aging), { clock });
    await becomes(connection, "ready");
    const states = statesOf(connection);
    await leaves(connection.channel, connectivityState.READY);
    expect(timers.map(({ delayMs }) => delayMs)).toEqual([50]);
    await leaves(connection.channel, connectivityState.IDLE);
    await leaves(connection.channel, connectivityState.CONNECTING);
    expect(connection.channel.getConnectivityState(false)).toBe(connectivityState.READY);
    expect([states, timers]).toEqual([[], []]);
  });

  it("fails when a lost connection is not back after the grace", async () => {
    const { clock, timers } = heldClock();
    const accepted: Socket[] = [];
    // Speaks gRPC on the first connection and nothing on those after it, as a server does that was stopped.
    const backend = await listen(server());
    const front = createTcpServer((socket) => {
      accepted.push(socket);
      if (accepted.length > 1) return;
      const upstream = connectTcp(backend, "127.0.0.1");
      socket.pipe(upstream).pipe(socket);
      upstream.on("error", () => {});
    });
    const connection = connect(await listenTcp(front), { clock });
    await becomes(connection, "ready");
    expect(timers).toEqual([]);
    accepted[0]?.destroy();
    await eventually(() => expect(timers).toHaveLength(1));
    expect(connection.state).toBe("ready");
    expect(timers[0]?.delayMs).toBe(50);
    timers[0]?.run();
    expect(connection.state).toBe("failed");
  });

  it("lets calls in flight end after close, and takes no new ones", async () => {
    const calls: sendUnaryData<{ status: 1 }>[] = [];
    const slow = new Server();
    slow.addService(HealthService, {
      check: (_call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<{ status: 1 }>) => {
        calls.push(callback);
      },
      watch: () => {},
    });
    const connection = connect(await listen(slow));
    await becomes(connection, "ready");
    const client = new HealthClient("", insecure, { channelOverride: connection.channel });
    const answer = new Promise((resolve, reject) => {
      client.check({ service: "" }, (error, value) => (error === null ? resolve(value) : reject(error)));
    });
    await eventually(() => expect(calls).toHaveLength(1));
    connection.close();
    connection.close();
    expect(() => client.check({ service: "" }, () => {})).toThrow("shut down");
    calls[0]?.(null, { status: 1 });
    await expect(answer).resolves.toEqual({ status: 1 });
  });

  it("tells nothing to a listener that has left, nor after close", async () => {
    const first = server();
    const connection = connect(await listen(first));
    const heard: string[] = [];
    connection.listen((state) => heard.push(`left ${state}`))();
    connection.listen((state) => heard.push(state));
    await becomes(connection, "ready");
    connection.close();
    first.forceShutdown();
    await leaves(connection.channel, connectivityState.READY);
    expect(heard).toEqual(["ready"]);
  });

  it("is of no more use, and says so, when a stub has closed its channel", async () => {
    const connection = connect(await listen(server()));
    await becomes(connection, "ready");
    new HealthClient("", insecure, { channelOverride: connection.channel }).close();
    expect(connection.state).toBe("failed");
  });

  it("takes a host that looks like a scheme of gRPC for a host", () => {
    expect(connect(80, {}, "unix").channel.getTarget()).toBe("dns:unix:80");
  });

  it("connects to an IPv6 address", () => {
    expect(connect(80, {}, "::1").channel.getTarget()).toBe("dns:[::1]:80");
  });

  it.each([
    "/run/kv.sock",
    "unix:/run/kv.sock",
    "",
    "a/b",
    "a b",
    "a?b",
    "user@host",
    "a\nb",
    "//authority/a",
  ])("refuses %j as a host", (host) => {
    expect(() => connect(80, {}, host)).toThrow(expect.objectContaining({ code: "invalid-endpoint" }));
  });
});

describe("an endpoint that does not speak gRPC", { timeout: 60_000 }, () => {
  it.each([
    ["speaks HTTP/1.1", () => createHttpServer((_request, response) => response.end("hello"))],
    ["closes at once", () => createTcpServer((socket) => socket.destroy())],
    [
      "greets in another protocol",
      () => createTcpServer((socket) => socket.write("220 mail.example ESMTP\r\n")),
    ],
  ])("fails when it %s", async (_what, make) => {
    const connection = connect(await listenTcp(make()));
    const states = statesOf(connection);
    await becomes(connection, "failed");
    expect(states).toEqual(["failed"]);
  });

  it("fails when it says nothing for as long as a connection may take", async () => {
    const { clock, timers } = heldClock();
    const accepted: Socket[] = [];
    const port = await listenTcp(createTcpServer((socket) => accepted.push(socket)));
    const connection = connect(port, { clock, connectTimeoutMs: 1_234 });
    await eventually(() => expect(accepted).toHaveLength(1));
    expect(connection.state).toBe("connecting");
    expect(timers.map(({ delayMs }) => delayMs)).toEqual([1_234]);
    timers[0]?.run();
    expect(connection.state).toBe("failed");
  });

  it("fails when TLS is spoken to a server in plain text", async () => {
    await becomes(connect(await listen(server()), { credentials: credentials.createSsl() }), "failed");
  });
});

describe("the options of a connector", { timeout: 60_000 }, () => {
  it("refuses pings that servers would close the connection for", () => {
    for (const keepalive of [0, 1, minKeepaliveMs - 1, Number.NaN])
      expect(() =>
        grpcConnector({ credentials: insecure, channelOptions: { "grpc.keepalive_time_ms": keepalive } }),
      ).toThrow(expect.objectContaining({ code: "invalid-argument" }));
    for (const keepalive of [minKeepaliveMs, 60_000, -1])
      grpcConnector({ credentials: insecure, channelOptions: { "grpc.keepalive_time_ms": keepalive } });
  });

  it("refuses to guess that plain text is meant", () => {
    expect(() => grpcConnector({} as GrpcConnectorOptions)).toThrow(
      expect.objectContaining({
        code: "invalid-argument",
        message: expect.stringContaining("createInsecure"),
      }),
    );
  });

  it("refuses a time that no connection can keep", () => {
    for (const connectTimeoutMs of [0, -1, Number.NaN])
      expect(() => grpcConnector({ credentials: insecure, connectTimeoutMs })).toThrow(
        expect.objectContaining({ code: "invalid-argument" }),
      );
  });
});
