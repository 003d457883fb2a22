#!/usr/bin/env node
/**
 * A gRPC server whose answers take 1 ms and an exponential time of 2 ms on average; prints `READY port=N pid=N`. The times
 * are of timers, so that they do not depend on how many cores there are.
 */
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from "@grpc/grpc-js";
import { lookupService } from "./grpc-lookup.js";

const LEAST_MS = 1;
const TAIL_MS = 2;
const answer = Buffer.alloc(16);
let repeats = 0;

const server = new Server();
server.addService(lookupService, {
  get: (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => {
    if (call.metadata.get("grpc-previous-rpc-attempts").length > 0) repeats += 1;
    const tailMs = -Math.log(1 - Math.random()) * TAIL_MS;
    setTimeout(() => done(null, answer), LEAST_MS + tailMs);
  },
  repeats: (_call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(repeats);
    done(null, bytes);
  },
});
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  console.log(`READY port=${port} pid=${process.pid}`);
});
