/** Servers with `grpc.health.v1`, recorded as buffers, each behind a proxy that can stop to pass anything on. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Coord } from "@x/coord";
import { HealthImplementation } from "grpc-health-check";
import { bufferKey, encodeBuffer } from "../../src/protocol.js";

export interface HealthServer extends AsyncDisposable {
  /** As recorded. */
  readonly address: string;
  set(status: "SERVING" | "NOT_SERVING"): void;
  /** From now on nothing gets through, either way, until `resume`. */
  pause(): void;
  resume(): void;
  readonly connections: number;
}

export async function startHealthServer(coord: Coord, id: string): Promise<HealthServer> {
  const server = new Server();
  const health = new HealthImplementation({ "": "SERVING" });
  health.addToServer(server);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  const sockets = new Set<Socket>();
  let paused = false;
  const proxy = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      if (paused) from.pause();
      from.on("data", (bytes) => void to.write(bytes));
      from.on("error", () => {});
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const address = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  await record(coord, id, encodeBuffer({ address }));
  return {
    address,
    set: (status) => health.setStatus("", status),
    pause() {
      paused = true;
      for (const socket of sockets) socket.pause();
    },
    resume() {
      paused = false;
      for (const socket of sockets) socket.resume();
    },
    get connections() {
      return sockets.size / 2;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => proxy.close(resolve));
      server.forceShutdown();
    },
  };
}

export async function record(coord: Coord, id: string, value: string): Promise<void> {
  await coord.txn({ then: [{ type: "put", key: bufferKey(id), value }] });
}

export async function unrecord(coord: Coord, id: string): Promise<void> {
  await coord.txn({ then: [{ type: "delete", key: bufferKey(id) }] });
}
