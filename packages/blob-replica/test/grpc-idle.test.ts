import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { credentials, status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import {
  BlobServiceClient,
  type PutManyRequest,
  type PutManyRequest_Blob,
  type PutManyResponse,
} from "../src/gen/x/blobs/v1/blobs.js";
import { BlobWire } from "../src/grpc/blob-wire.js";
import type { Serving } from "../src/grpc/bs-service.js";
import type { ClientCalls } from "../src/grpc/client-calls.js";
import { takeBlobs } from "../src/grpc/put-many-service.js";
import { type BlobStore, memoryStore, type Ref, refBytes, refOf, refToBytes } from "../src/index.js";
import { collect, testBlob } from "../src/testing/fixture.js";
import { a, b, refA, refB } from "./grpc-raw.js";
import { serve } from "./grpc-support.js";

const timeout = 60_000;
const nothing = Buffer.alloc(0);
const wire = (ref: Ref) => Buffer.from(refToBytes(ref));

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void; // the flag makes it
function heldBytes(): number {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** The messages of a server, that come to the client's side without one. `sent` counts them. */
function from(messages: Iterable<unknown>): { readonly blobs: BlobWire; sent: number } {
  const calls = {
    async *stream() {
      for (const message of messages) {
        server.sent++;
        yield message;
      }
    },
  } as unknown as ClientCalls; // one method is all
  const server = { blobs: new BlobWire({} as BlobServiceClient, calls, 1024 ** 3), sent: 0 };
  return server;
}

/** It ends all the same: a side that takes on must fail its test, and not run for ever. */
function* times<Message>(count: number, message: Message, ...last: Message[]): Generator<Message> {
  for (let i = 0; i < count; i++) yield message;
  yield* last;
}

const million = 1_000_000;
const smallPieces = function* <Piece>(pieceOf: (data: Buffer) => Piece): Generator<Piece[]> {
  for (let i = 0; i < million; i += 1000) yield Array.from({ length: 1000 }, () => pieceOf(Buffer.from("x")));
};
const theMillion = refOf(Buffer.alloc(million, "x"));

describe("grpcStore and a server that sends on and on, and brings nothing", { timeout }, () => {
  const ends = [
    ["read", { data: nothing }, ({ blobs }: { blobs: BlobWire }) => blobs.get(refA, undefined)],
    [
      "list",
      { refs: nothing },
      ({ blobs }: { blobs: BlobWire }) => collect(blobs.pages(undefined, undefined, undefined)),
    ],
    [
      "getMany without blobs",
      { blobs: [] },
      ({ blobs }: { blobs: BlobWire }) => collect(blobs.getMany([refA], undefined)),
    ],
    [
      "getMany with pieces of no bytes",
      { blobs: [{ ref: wire(refA), data: nothing, more: true, failure: undefined }] },
      ({ blobs }: { blobs: BlobWire }) => collect(blobs.getMany([refA], undefined)),
    ],
    [
      "putMany",
      { results: [] },
      ({ blobs }: { blobs: BlobWire }) => collect(blobs.putMany([a], [refA], undefined)),
    ],
  ] as const;

  it.each(ends)("ends a call of %s after a thousand", async (_name, message, call) => {
    const server = from(times(5000, message));
    await expect(call(server)).rejects.toMatchObject({ name: "BlobError", code: "bad-data" });
    expect(server.sent).toBe(1001);
  });

  it("has patience with a thousand in a row, and counts anew after a byte", async () => {
    const rounds = function* () {
      for (const byte of a) {
        yield* times(1000, { data: nothing });
        yield { data: Buffer.of(byte) };
      }
    };
    expect(Buffer.from(await from(rounds()).blobs.get(refA, undefined)).equals(a)).toBe(true);
  });

  it("waits long for digests, and not for ever", async () => {
    const beat = { digests: [] };
    const digests = { digests: [{ count: 1n, digest: Buffer.alloc(32) }] };
    expect(
      await from(times<unknown>(100_000, beat, digests)).blobs.prefixDigests([""], undefined),
    ).toMatchObject([{ count: 1 }]);
    const server = from(times(1_500_000, beat));
    await expect(server.blobs.prefixDigests([""], undefined)).rejects.toMatchObject({ code: "bad-data" });
    expect(server.sent).toBe(1_000_001);
  });

  it("takes no more blobs than it has asked for", async () => {
    const whole = { ref: wire(refB), data: Buffer.from(b), more: false, failure: undefined };
    const server = from(times(5000, { blobs: [whole] }));
    const given: Ref[] = [];
    const asking = (async () => {
      for await (const { ref } of server.blobs.getMany([refA, refB, refB], undefined)) given.push(ref);
    })();
    await expect(asking).rejects.toMatchObject({ code: "bad-data" });
    expect([given, server.sent]).toEqual([[refB, refB, refB], 4]);
  });

  it("keeps of a million pieces of a byte about a million bytes", async () => {
    for (const many of [false, true]) {
      let held = Number.POSITIVE_INFINITY;
      const before = heldBytes();
      const messages = function* () {
        if (many) {
          const blobOf = (data: Buffer) => ({ ref: wire(theMillion), data, more: true, failure: undefined });
          for (const blobs of smallPieces(blobOf)) yield { blobs };
        } else {
          for (const pieces of smallPieces((data) => ({ data }))) yield* pieces;
        }
        held = heldBytes() - before;
        if (many) {
          yield { blobs: [{ ref: wire(theMillion), data: nothing, more: false, failure: undefined }] };
        }
      };
      const { blobs } = from(messages());
      const blob = many
        ? (await collect(blobs.getMany([theMillion], undefined)))[0]?.blob
        : await blobs.get(theMillion, undefined);
      expect(refOf(blob ?? nothing)).toBe(theMillion);
      expect(held).toBeLessThan(20 * million);
    }
  });
});

describe("addBlobService and a client that sends on and on, and brings nothing", { timeout }, () => {
  async function withClient(work: (client: BlobServiceClient, kept: BlobStore) => Promise<void>) {
    const kept = memoryStore();
    await using server = await serve(kept, {}, { "grpc.max_receive_message_length": 16 * 1024 * 1024 });
    const client = new BlobServiceClient(server.endpoint, credentials.createInsecure());
    try {
      await work(client, kept);
    } finally {
      client.close();
    }
  }

  /** What the server answers to a put of these messages, which are sent as fast as it takes them. `sent` counts them. */
  async function put(
    client: BlobServiceClient,
    messages: Iterable<PutManyRequest>,
  ): Promise<{ readonly answers: PutManyResponse[]; readonly error?: { code: status }; sent: number }> {
    const call = client.putMany();
    const over = new Promise<void>((resolve) => void call.once("status", () => resolve()));
    let ended = false;
    void over.then(() => {
      ended = true;
    });
    const outcome = collect(call as AsyncIterable<PutManyResponse>).then(
      (answers) => ({ answers }),
      (error) => ({ answers: [], error: error as { code: status } }), // of grpc-js
    );
    let sent = 0;
    for (const message of messages) {
      if (ended) break;
      sent++;
      if (!call.write(message)) {
        await Promise.race([over, new Promise<void>((resolve) => void call.once("drain", resolve))]);
      }
    }
    if (!ended) call.end();
    return { ...(await outcome), sent };
  }

  const empty: PutManyRequest_Blob = { ref: wire(refA), data: nothing, more: true };
  const invalid = { code: status.INVALID_ARGUMENT };

  it("ends its call after a thousand pieces of no bytes, and no other call", async () => {
    await withClient(async (client, kept) => {
      const message = { blobs: new Array<PutManyRequest_Blob>(10_000).fill(empty) };
      const { error, sent } = await put(client, times(500, message));
      expect(error).toMatchObject(invalid);
      expect(sent).toBeLessThan(500);
      const one = { blobs: [...times(1001, empty)] };
      expect((await put(client, [one])).error).toMatchObject(invalid);
      const patient = {
        blobs: [...times(1000, empty), { ref: wire(refA), data: Buffer.from(a), more: false }],
      };
      const { answers } = await put(client, [patient, patient]);
      expect(answers.flatMap(({ results }) => results.map(({ added }) => added))).toEqual([true, false]);
      expect(await collect(kept.listRefs())).toEqual([refA]);
    });
  });

  it("ends its call after a thousand messages without blobs", async () => {
    await withClient(async (client) => {
      expect((await put(client, times(1001, { blobs: [] }))).error).toMatchObject(invalid);
      const last = { blobs: [{ ref: wire(refA), data: Buffer.from(a), more: false }] };
      expect((await put(client, times<PutManyRequest>(1000, { blobs: [] }, last))).answers).toHaveLength(1);
    });
  });

  it("takes empty blobs, as many as there are", async () => {
    await withClient(async (client) => {
      const blob = { ref: wire(refOf(nothing)), data: nothing, more: false };
      const { answers } = await put(client, [{ blobs: [...times(5000, blob)] }]);
      expect(answers.flatMap(({ results }) => results)).toHaveLength(5000);
    });
  });

  it("asks for no more refs at once than a message of the usual size has", async () => {
    await withClient(async (client) => {
      const ask = (count: number) =>
        collect(
          client.getMany({ refs: Buffer.alloc(count * refBytes, 1) }) as AsyncIterable<{ blobs: unknown[] }>,
        );
      await expect(ask(131_073)).rejects.toMatchObject(invalid);
      expect((await ask(20_000)).flatMap(({ blobs }) => blobs)).toHaveLength(20_000);
    });
  });

  it("has the server keep of a million pieces of a byte about a million bytes", async () => {
    const kept = memoryStore();
    const serving = { store: kept, maxBlobBytes: 2 * million } as unknown as Serving; // nothing fails
    const before = heldBytes();
    let held = Number.POSITIVE_INFINITY;
    const ref = wire(theMillion);
    const requests = async function* (): AsyncGenerator<PutManyRequest> {
      for (const blobs of smallPieces((data) => ({ ref, data, more: true }))) yield { blobs };
      held = heldBytes() - before;
      yield { blobs: [{ ref, data: nothing, more: false }] };
    };
    const answers = await collect(takeBlobs(serving, requests(), new AbortController().signal));
    expect(answers).toMatchObject([{ results: [{ added: true }] }]);
    expect(held).toBeLessThan(20 * million);
    expect((await kept.get(theMillion)).length).toBe(million);
  });

  it("puts pieces of every size together as they came, large ones between small ones", async () => {
    const kept = memoryStore();
    const serving = { store: kept, maxBlobBytes: 100 * million } as unknown as Serving; // nothing fails
    const blob = testBlob(1, 600_000);
    const ref = wire(refOf(blob));
    for (const lengths of [[1, 5000, 3, 0, 4095, 4096, 1, 1], [65_536, 1], [4095], [1, 70_000]]) {
      const requests = async function* (): AsyncGenerator<PutManyRequest> {
        for (let at = 0, i = 0; at < blob.length; i++) {
          const data = Buffer.from(blob.subarray(at, at + (lengths[i % lengths.length] as number)));
          at += data.length;
          yield { blobs: [{ ref, data, more: at < blob.length }] };
        }
      };
      const [answer] = await collect(takeBlobs(serving, requests(), new AbortController().signal));
      expect(answer?.results[0]?.failure).toBeUndefined();
      expect(Buffer.from(await kept.get(refOf(blob))).equals(blob)).toBe(true);
      await kept.delete?.(refOf(blob));
    }
  });
});
