import { credentials, type ServerWritableStream, status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { BlobServiceClient, type PutManyRequest, type PutManyResponse } from "../src/gen/x/blobs/v1/blobs.js";
import { addBlobService } from "../src/grpc.js";
import {
  type BlobError,
  type BlobStore,
  createReplica,
  memoryStore,
  type Ref,
  refOf,
  refToBytes,
} from "../src/index.js";
import { collect, testBlob } from "../src/testing/fixture.js";
import { a, b, bytes, c, inOrder, outcomes, raw, refA, refB, refC, sends, withServer } from "./grpc-raw.js";
import { listen, onlyBs, serve } from "./grpc-support.js";

const timeout = 30_000;

describe("grpcStore and a server that lies", { timeout }, () => {
  /** Has another content under `refA`, of both sizes of answers. */
  function lying(): BlobStore {
    const store = memoryStore();
    return {
      put: (blob, options) => store.put(blob, options),
      listRefs: (after) => store.listRefs(after),
      get: async (ref) =>
        ref === refA ? testBlob(9, 100) : ref === refC ? testBlob(9, c.length) : await store.get(ref),
    };
  }

  it.each([
    ["ours", (store: BlobStore) => serve(store)],
    ["bobg/bs's", (store: BlobStore) => listen((server) => addBlobService(onlyBs(server), store))],
  ])("serves no content but that of the ref: a server of %s", async (_kind, start) => {
    const kept = lying();
    await kept.put(b);
    await withServer(start(kept), async (store) => {
      for (const ref of [refA, refC]) {
        await expect(store.get(ref)).rejects.toMatchObject({ code: "corrupt" });
        const pieces: Uint8Array[] = [];
        const streamed = (async () => {
          for await (const piece of store.stream(ref)) pieces.push(piece);
        })();
        await expect(streamed).rejects.toMatchObject({ code: "corrupt" });
        expect(Buffer.concat(pieces).length).toBeLessThan(ref === refA ? 100 : c.length);
      }
      expect(await outcomes(store, [refA, refB, refC])).toEqual(
        new Map([
          [refA, "corrupt"],
          [refB, "whole"],
          [refC, "corrupt"],
        ]),
      );
      expect(store.verified).toBe(true);
    });
  });

  it("is not believed by a replica either when the store does not hash", async () => {
    await withServer(
      serve(lying()),
      async (remote) => {
        expect(remote.verified).toBe(false);
        expect((await remote.get(refA)).length).toBe(100);
        const good = memoryStore();
        await good.put(a);
        await using replica = await createReplica({
          sync: [
            { name: "remote", store: remote },
            { name: "good", store: good },
          ],
        });
        expect(Buffer.from(await replica.get(refA)).equals(a)).toBe(true);
      },
      { verify: false },
    );
  });

  it("notices a put that was stored as something else, or answered as another's", async () => {
    const put = (_call: unknown, done: (error: null, response: unknown) => void) =>
      done(null, { ref: Buffer.from(refToBytes(refB)), added: true });
    await withServer(raw({ put }), async (store) => {
      await expect(store.put(a)).rejects.toMatchObject({ code: "corrupt" });
      const results = await store.putMany([a, b]); // one by one: it has no call for many
      expect(results.map(({ error }) => (error as BlobError | undefined)?.code)).toEqual([
        "corrupt",
        undefined,
      ]);
    });
    const result = (ref: Ref) => ({ ref: Buffer.from(refToBytes(ref)), added: true, failure: undefined });
    const answers = { results: [result(refA), result(refC)] };
    await withServer(raw({ putMany: sends(answers) }), async (store) => {
      const results = await store.putMany([a, b, c]);
      expect(results.map(({ added }) => added)).toEqual([true, undefined, undefined]);
      for (const { error } of results.slice(1)) expect(error).toMatchObject({ code: "unavailable" });
    });
    const tooMany = { results: [refA, refB, refC].map(result) };
    await withServer(raw({ putMany: sends(tooMany) }), async (store) => {
      const [one, two] = await store.putMany([a, b]);
      expect([one?.added, two?.added]).toEqual([true, true]);
    });
  });

  it.each([
    ["out of order", [bytes(inOrder[1]!, inOrder[0]!)], "unordered"],
    ["one twice", [bytes(inOrder[0]!, inOrder[0]!)], "unordered"],
    ["a page again", [bytes(inOrder[0]!, inOrder[1]!), bytes(inOrder[0]!, inOrder[1]!)], "unordered"],
    ["the last of a page again", [bytes(inOrder[0]!), bytes(inOrder[0]!, inOrder[1]!)], "unordered"],
    ["parts of refs", [bytes(inOrder[0]!).subarray(0, 31)], "bad-data"],
  ])("ends a listing that has %s", async (_what, pages, code) => {
    const list = sends(...pages.map((refs) => ({ refs })));
    await withServer(raw({ list }), async (store) => {
      await expect(collect(store.listRefs())).rejects.toMatchObject({ code });
    });
    const refs = pages.flatMap((page) =>
      Array.from({ length: Math.ceil(page.length / 32) }, (_, i) => ({
        ref: page.subarray(i * 32, i * 32 + 32),
      })),
    );
    await withServer(raw({ listRefs: sends(...refs) }), async (store) => {
      await expect(collect(store.listRefs())).rejects.toMatchObject({ code });
    });
  });

  it("ends a listing that begins before the ref that it is to start after", async () => {
    await withServer(raw({ list: sends({ refs: bytes(inOrder[1]!) }) }), async (store) => {
      await expect(collect(store.listRefs(inOrder[1]))).rejects.toMatchObject({ code: "unordered" });
      await expect(collect(store.listRefs(inOrder[2]))).rejects.toMatchObject({ code: "unordered" });
    });
  });

  it("answers every ref of a batch once, though the server leaves one out, adds one and cuts one short", async () => {
    const blob = (ref: Ref, data: Uint8Array, more = false) => ({
      ref: Buffer.from(refToBytes(ref)),
      data: Buffer.from(data),
      more,
      failure: undefined,
    });
    const strange = refOf(testBlob(4, 1));
    const message = {
      blobs: [blob(strange, testBlob(4, 1)), blob(refB, b), blob(refC, c.subarray(0, 1000), true)],
    };
    await withServer(raw({ getMany: sends(message) }), async (store) => {
      expect(await outcomes(store, [refA, refB, refC])).toEqual(
        new Map([
          [refA, "unavailable"],
          [refB, "whole"],
          [refC, "unavailable"],
        ]),
      );
    });
    const noRef = { blobs: [{ ...blob(refA, a), ref: Buffer.alloc(5) }] };
    await withServer(raw({ getMany: sends(noRef) }), async (store) => {
      expect(await outcomes(store, [refA])).toEqual(new Map([[refA, "bad-data"]]));
    });
  });

  it("reads no more of a blob without an end than it may", async () => {
    // It ends all the same: a client that reads on must fail this test, and not fill the machine's memory.
    const tooMuch = 100_000_000;
    let sent = 0;
    const endless =
      (message: (data: Buffer) => unknown) => (call: ServerWritableStream<unknown, unknown>) => {
        const more = () => {
          if (call.cancelled) return;
          sent += 100_000;
          if (sent > tooMuch) call.end();
          else if (call.write(message(Buffer.alloc(100_000)))) setImmediate(more);
          else call.once("drain", more);
        };
        more();
      };
    const read = endless((data) => ({ data }));
    const many = endless((data) => ({
      blobs: [{ ref: Buffer.from(refToBytes(refA)), data, more: true, failure: undefined }],
    }));
    await withServer(
      raw({ read, getMany: many }),
      async (store) => {
        await expect(store.get(refA)).rejects.toMatchObject({ code: "refused" });
        expect(await outcomes(store, [refA])).toEqual(new Map([[refA, "refused"]]));
        expect(sent).toBeLessThan(tooMuch);
      },
      { maxBlobBytes: 1_000_000 },
    );
  });

  it("takes no digests that are none", async () => {
    const digest = { count: 1n, digest: Buffer.alloc(32) };
    for (const digests of [
      [],
      [digest, digest],
      [{ ...digest, digest: Buffer.alloc(31) }],
      [{ ...digest, count: 2n ** 60n }],
    ]) {
      await withServer(raw({ prefixDigests: sends({ digests }) }), async (store) => {
        await expect(store.prefixDigests([""])).rejects.toMatchObject({ code: "bad-data" });
      });
    }
  });
});

describe("addBlobService and a client that lies", { timeout }, () => {
  const wire = (ref: Ref) => Buffer.from(refToBytes(ref));

  async function withClient(
    work: (client: BlobServiceClient, kept: BlobStore) => Promise<void>,
  ): Promise<void> {
    const kept = memoryStore();
    await using server = await serve(kept);
    const client = new BlobServiceClient(server.endpoint, credentials.createInsecure());
    try {
      await work(client, kept);
    } finally {
      client.close();
    }
  }

  async function put(client: BlobServiceClient, blobs: PutManyRequest["blobs"]): Promise<PutManyResponse[]> {
    const call = client.putMany();
    call.write({ blobs });
    call.end();
    return await collect(call as AsyncIterable<PutManyResponse>); // typed as of anything
  }

  it("stores nothing under a ref that is another's, and the rest of the batch", async () => {
    await withClient(async (client, kept) => {
      const [answer] = await put(client, [
        { ref: wire(refA), data: Buffer.from(b), more: false },
        { ref: wire(refB), data: Buffer.from(b), more: false },
        { ref: wire(refA), data: Buffer.from(c.subarray(0, 9000)), more: true },
        { ref: wire(refC), data: Buffer.from(c.subarray(9000)), more: false },
      ]);
      expect(answer?.results.map(({ added, failure }) => [added, failure?.code])).toEqual([
        [false, "corrupt"],
        [true, undefined],
        [false, "corrupt"],
      ]);
      expect(await collect(kept.listRefs())).toEqual([refB]);
    });
  });

  it("says what is wrong with a blob without an end, and with refs that are none", async () => {
    await withClient(async (client, kept) => {
      const invalid = { code: status.INVALID_ARGUMENT };
      await expect(
        put(client, [{ ref: wire(refA), data: Buffer.from(a), more: true }]),
      ).rejects.toMatchObject(invalid);
      const short = Buffer.alloc(31);
      await expect(put(client, [{ ref: short, data: Buffer.from(a), more: false }])).rejects.toMatchObject(
        invalid,
      );
      for (const call of [
        client.read({ ref: short }),
        client.list({ after: short, limit: 0 }),
        client.getMany({ refs: short }),
        client.prefixDigests({ prefixes: ["A"] }),
      ]) {
        await expect(collect(call as AsyncIterable<unknown>)).rejects.toMatchObject(invalid);
      }
      const errors = [
        await new Promise((resolve) => client.has({ ref: short }, resolve)),
        await new Promise((resolve) => client.delete({ ref: short }, resolve)),
      ];
      expect(errors).toMatchObject([invalid, invalid]);
      expect(await collect(kept.listRefs())).toEqual([]);
    });
  });
});
