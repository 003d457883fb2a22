import type { ListObjectsV2CommandInput, ListObjectsV2CommandOutput } from "@aws-sdk/client-s3";
import { describe, expect, it } from "vitest";
import { type BlobStore, memoryStore, type Ref, refOf, sync } from "../src/index.js";
import { type S3StoreOptions, s3Store } from "../src/s3.js";
import { collect, testBlob, testBlobs } from "../src/testing/fixture.js";
import { fails, lists, type S3Call, withS3 } from "./support/s3-server.js";

const timeout = 30_000;
const [refA, refB] = [refOf(testBlob(1, 10)), refOf(testBlob(2, 10))].sort() as [Ref, Ref];

/** A bucket that is only listed, by this function. */
function listedBy(
  answer: (input: ListObjectsV2CommandInput) => Partial<ListObjectsV2CommandOutput>,
  options: Partial<S3StoreOptions> = {},
): BlobStore {
  const client = {
    send: async ({ input }: { readonly input: ListObjectsV2CommandInput }) => answer(input),
  } as unknown as S3StoreOptions["client"]; // one method is all
  return s3Store({ client, bucket: "blobs", ...options });
}

const contents = (keys: readonly string[]) => keys.map((Key) => ({ Key }));

describe("s3Store and a server that lies about what it has", { timeout }, () => {
  it.each([
    ["out of order", (call: S3Call) => lists(call, [refB, refA]), "unordered"],
    ["one twice", (call: S3Call) => lists(call, [refA, refA]), "unordered"],
    [
      "a page again and again",
      (call: S3Call) =>
        call.query.has("continuation-token")
          ? lists(call, [], { next: "same" })
          : lists(call, [refA], { next: "same" }),
      "unavailable",
    ],
    [
      "a ref of the page before",
      (call: S3Call) =>
        call.query.has("continuation-token") ? lists(call, [refA]) : lists(call, [refA], { next: "more" }),
      "unordered",
    ],
    [
      "an error in the middle",
      (call: S3Call) =>
        call.query.has("continuation-token")
          ? fails(call, 500, "InternalError")
          : lists(call, [refA], { next: "more" }),
      "unavailable",
    ],
    ["nonsense", ({ response }: S3Call) => Boolean(response.end("<html>")) || true, "unavailable"],
    ["no content", ({ response }: S3Call) => Boolean(response.end()) || true, "unavailable"],
    [
      "the page of a proxy",
      ({ response }: S3Call) => Boolean(response.end("<html><body>Please log in</body></html>")) || true,
      "unavailable",
    ],
    [
      "more to come, without a token, and nothing behind its last key",
      (call: S3Call) => lists(call, call.query.has("start-after") ? [] : [refA], { truncated: true }),
      "unavailable",
    ],
    [
      "more to come and nothing of it yet, without a token",
      (call: S3Call) => lists(call, [], { truncated: true }),
      "unavailable",
    ],
    [
      "more to come, without a token, and begins anew each time",
      (call: S3Call) => lists(call, [refA, refB], { truncated: true }),
      "unordered",
    ],
    [
      "more to come, without a token, and foreign keys anew each time",
      (call: S3Call) => lists(call, ["README", "x"], { truncated: true }),
      "unavailable",
    ],
    [
      "more to come behind an empty token",
      (call: S3Call) => lists(call, [], { next: "", truncated: true }),
      "unavailable",
    ],
  ])("does not take a listing for whole that has %s", async (_what, answer, code) => {
    await withS3(async (store, s3) => {
      s3.answer = answer;
      const error = await collect(store.listRefs()).then(
        () => expect.unreachable("it should have failed"),
        (failure) => failure as Error,
      );
      expect(error).toMatchObject({ name: "BlobError", code });
      expect(error.message).toContain("blobs");
      expect(s3.calls.length).toBeLessThan(4);
      expect(await sync(store, memoryStore())).toMatchObject({ complete: false, stopped: { code } });
    });
  });

  it.each([
    ["", ["!", "zzz"]],
    ["p/", ["p/README", "p/zzz"]],
  ])(
    "goes on behind the last key where a server has no tokens, below the prefix %j",
    async (prefix, more) => {
      const { refs } = testBlobs(25);
      const keys = [...refs.map((ref) => prefix + ref), ...more].sort();
      const asked: (string | undefined)[] = [];
      const store = listedBy(
        ({ StartAfter }) => {
          asked.push(StartAfter);
          const left = keys.filter((key) => StartAfter === undefined || key > StartAfter);
          return { Contents: contents(left.slice(0, 10)), IsTruncated: left.length > 10 };
        },
        { prefix },
      );
      expect(await collect(store.listRefs())).toEqual(refs);
      expect(asked).toEqual([undefined, keys[9], keys[19]]);
      expect(await collect(store.listRefs(refs[3]))).toEqual(refs.slice(4));
    },
  );

  it("goes on over pages that are empty, and not for ever", async () => {
    for (const [empty, whole] of [
      [5000, true],
      [Number.POSITIVE_INFINITY, false],
    ] as const) {
      let pages = 0;
      const store = listedBy(() => {
        // Two tokens in turn: none is that of the page before.
        const token = { IsTruncated: true, NextContinuationToken: `token ${pages % 2}` };
        if (pages++ === 0) return { Contents: contents([refA]), ...token };
        return pages > empty ? { Contents: contents([refB]), IsTruncated: false } : token;
      });
      const listing = collect(store.listRefs());
      if (whole) expect(await listing).toEqual([refA, refB]);
      else await expect(listing).rejects.toMatchObject({ code: "unavailable" });
      expect(pages).toBeLessThanOrEqual(10_001);
    }
  });

  it("does not count pages of foreign keys as empty ones, but those that come again", async () => {
    let pages = 0;
    const key = (n: number) => `other/${String(n).padStart(9, "0")}`;
    const foreign = (n: number, IsTruncated: boolean) => ({
      Contents: contents([key(n)]),
      IsTruncated,
      NextContinuationToken: `token ${pages}`,
    });
    const long = listedBy(() => foreign(pages++, pages < 15_000));
    expect(await collect(long.listRefs())).toEqual([]);
    expect(pages).toBe(15_000);
    pages = 0;
    const again = listedBy(() => foreign(pages++ % 7, pages < 15_000));
    await expect(collect(again.listRefs())).rejects.toMatchObject({ code: "unavailable" });
    expect(pages).toBeLessThan(10_010);
  });

  it("has the end of a listing for the end where a server leaves out what is false", async () => {
    const page = { Contents: contents([refA]) };
    expect(await collect(listedBy(() => page).listRefs())).toEqual([refA]);
    expect(await collect(listedBy(() => ({ Name: "blobs", KeyCount: 0 })).listRefs())).toEqual([]);
    const more = listedBy(({ ContinuationToken: token }) =>
      token === undefined ? { ...page, NextContinuationToken: "more" } : { Contents: contents([refB]) },
    );
    expect(await collect(more.listRefs())).toEqual([refA, refB]);
  });

  it("takes no key for its own that is not below its prefix", async () => {
    const store = listedBy(() => ({ Contents: contents([`p/${refA}`, `q/${refB}`]), IsTruncated: false }), {
      prefix: "p/",
    });
    expect(await collect(store.listRefs())).toEqual([refA]);
  });

  it("begins strictly after a ref though the server does not", async () => {
    await withS3(async (store, s3) => {
      s3.answer = (call) => lists(call, [refA]);
      await expect(collect(store.listRefs(refA))).rejects.toMatchObject({ code: "unordered" });
    });
  });

  it("lists page by page, and passes over keys that are none of its own", async () => {
    await withS3(
      async (store, s3) => {
        const refs: Ref[] = [];
        for (let n = 0; n < 35; n++) refs.push((await store.put(testBlob(n, 10))).ref);
        for (const key of ["p/", "p/README", `p/${refA}.tmp`, `p/${refA.toUpperCase()}`, `p/x/${refA}`]) {
          s3.objects.set(key, Buffer.from("x"));
        }
        expect(await collect(store.listRefs())).toEqual(refs.sort());
        expect(await collect(store.listRefs(refs[20]))).toEqual(refs.slice(21));
      },
      { prefix: "p/" },
    );
  });
});
