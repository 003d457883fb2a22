import { type AddressInfo, createServer, type Socket } from "node:net";
import { expect, it } from "vitest";
import type { Connection } from "../../src/connection.js";
import { type GrpcChannel, grpcConnector } from "../../src/grpc/index.js";
import { becomes, insecure, onEnd } from "./servers.js";

it("waits without end, or for longer than Node's timers can, for a server that accepts and says nothing", async () => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket.on("error", () => undefined)));
  onEnd(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const connect = (connectTimeoutMs: number): Connection<GrpcChannel> => {
    const connection = grpcConnector({ credentials: insecure, connectTimeoutMs }).connect({
      host: "127.0.0.1",
      port,
    });
    onEnd(() => connection.close());
    return connection;
  };
  const patient = [Number.POSITIVE_INFINITY, Number.MAX_VALUE, 1e11, 2 ** 31].map(connect);
  // Its time is over after that of all who wait for less, as a timer that was given too much does.
  await becomes(connect(20), "failed");
  expect(patient.map(({ state }) => state)).toEqual(patient.map(() => "connecting"));
});
