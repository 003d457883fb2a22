#!/usr/bin/env node
import { setTimeout as pause } from "node:timers/promises";
/**
 * gRPC servers with `grpc.health.v1` and an echo: `node server-main.js PORT...`; prints `READY pid=N`.
 *
 * SIGTERM is a gentle end: first it says NOT_SERVING, then, after a time in which clients can hear that, it takes no new calls, and
 * when those in flight are answered it ends.
 */
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { echoService, healthService, notServing, serving } from "./grpc-bytes.js";

const NOTICE_MS = 300;

let status = serving;
const watches = new Set<ServerWritableStream<Buffer, Buffer>>();

function makeServer(): Server {
  const server = new Server();
  server.addService(healthService, {
    check: (_call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => answer(null, status),
    watch: (call: ServerWritableStream<Buffer, Buffer>) => {
      watches.add(call);
      call.on("cancelled", () => watches.delete(call));
      call.write(status);
    },
  });
  server.addService(echoService, {
    echo: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) =>
      answer(null, call.request),
  });
  return server;
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
}

const servers: Server[] = [];
for (const port of process.argv.slice(2)) {
  const server = makeServer();
  await listen(server, Number(port));
  servers.push(server);
}
console.log(`READY pid=${process.pid}`);

process.once("SIGTERM", async () => {
  status = notServing;
  for (const call of watches) call.write(status);
  await pause(NOTICE_MS);
  for (const call of watches) call.end();
  await Promise.all(
    servers.map((server) => new Promise<void>((resolve) => server.tryShutdown(() => resolve()))),
  );
  process.exit(0);
});
