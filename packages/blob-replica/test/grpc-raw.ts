import type { Server, ServerWritableStream } from "@grpc/grpc-js";
import { StoreService } from "../src/gen/rpc/store.js";
import { BlobServiceService } from "../src/gen/x/blobs/v1/blobs.js";
import { type GrpcStore, type GrpcStoreOptions, grpcStore } from "../src/grpc.js";
import { type BlobError, type BlobStore, getMany, type Ref, refOf, refToBytes } from "../src/index.js";
import { collect, testBlob } from "../src/testing/fixture.js";
import { type Listening, listen } from "./grpc-support.js";

/** A store and the server that it is behind, until the work is done. */
export async function withServer<Result>(
  server: Promise<Listening>,
  work: (store: GrpcStore, server: Listening) => Promise<Result>,
  options: Partial<GrpcStoreOptions> = {},
): Promise<Result> {
  const listening = await server;
  const store = grpcStore({ endpoint: listening.endpoint, ...options } as GrpcStoreOptions); // by endpoint
  try {
    return await work(store, listening);
  } finally {
    await store[Symbol.asyncDispose]();
    await listening[Symbol.asyncDispose]();
  }
}

/** A server of which some calls are as they are told here; it has no others. */
export function raw(calls: Record<string, unknown>): Promise<Listening> {
  const handlers = (definition: object) =>
    Object.fromEntries(Object.entries(calls).filter(([name]) => Object.hasOwn(definition, name)));
  return listen((server: Server) => {
    server.addService(BlobServiceService, handlers(BlobServiceService) as never);
    server.addService(StoreService, handlers(StoreService) as never);
  });
}

/** Sends these messages, whatever is asked for. */
export function sends(...messages: unknown[]): (call: ServerWritableStream<unknown, unknown>) => void {
  return (call) => {
    for (const message of messages) call.write(message);
    call.end();
  };
}

export async function outcomes(store: BlobStore, refs: readonly Ref[]): Promise<Map<Ref, string>> {
  const found = new Map<Ref, string>();
  for (const { ref, blob, error } of await collect(getMany(store, refs))) {
    found.set(ref, blob ? "whole" : (error as BlobError).code);
  }
  return found;
}

export const [a, b, c] = [testBlob(1, 100), testBlob(2, 100), testBlob(3, 700_000)];
export const [refA, refB, refC] = [refOf(a), refOf(b), refOf(c)];
export const bytes = (...refs: Ref[]): Buffer => Buffer.concat(refs.map(refToBytes));
export const inOrder = [refA, refB, refC].sort();
