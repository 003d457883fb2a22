import { describe, expect, it } from "vitest";
import type * as wire from "../src/gen/protocol/protocol.js";
import {
  type ApplyRequest,
  JournalClient,
  JournalError,
  type JournalSpec,
  type ListResponse,
  PartialApplyError,
  readListResponse,
} from "../src/index.js";
import { fail, fragmentOf, hang, StubBroker, say, specOf } from "./support/stub-broker.js";

function clientOf(broker: StubBroker): JournalClient {
  return new JournalClient({ endpoints: broker.endpoint });
}

function listed(broker: StubBroker, ...names: string[]): wire.ListResponse_Journal[] {
  return names.map((name) => ({
    spec: specOf(name),
    modRevision: 12n,
    createRevision: 11n,
    route: broker.header().route,
  }));
}

/** A further page, as brokers send it: without a header. */
function page(broker: StubBroker, ...names: string[]) {
  return say<wire.ListRequest, wire.ListResponse>({ journals: listed(broker, ...names) });
}

function firstPage(broker: StubBroker, ...names: string[]) {
  return say<wire.ListRequest, wire.ListResponse>({
    header: broker.header(),
    journals: listed(broker, ...names),
  });
}

const namesOf = ({ journals }: ListResponse): string[] => journals.map(({ spec }) => spec.name);

describe("listAllJournals", () => {
  it("joins the pages of a listing, gives the header of the first, and remembers the routes", async () => {
    await using broker = await StubBroker.start();
    broker.onList(
      firstPage(broker, "journal/one", "journal/two"),
      page(broker, "journal/three"),
      page(broker, "journal/four"),
    );
    await using client = clientOf(broker);
    const listing = await client.listAllJournals({ selector: "foo=bar, baz != bing" });
    expect(namesOf(listing)).toEqual(["journal/one", "journal/two", "journal/three", "journal/four"]);
    expect(listing.header.etcd.revision).toBe(broker.revision);
    expect(listing.journals[0]).toMatchObject({ modRevision: 12n, createRevision: 11n });
    for (const name of namesOf(listing)) expect(client.route(name).endpoints).toEqual([broker.endpoint]);
    expect(broker.lists[0]?.request).toMatchObject({
      watch: false,
      selector: {
        include: { labels: [{ name: "foo", value: "bar" }] },
        exclude: { labels: [{ name: "baz", value: "bing" }] },
      },
    });
  });

  it("may be empty", async () => {
    await using broker = await StubBroker.start();
    await using client = clientOf(broker);
    expect((await client.listAllJournals()).journals).toEqual([]);
  });

  it("forgets the route of a journal that is listed without brokers", async () => {
    await using broker = await StubBroker.start();
    const [journal] = listed(broker, "journal/one");
    broker.onList(
      say({
        header: broker.header(),
        journals: [{ ...journal!, route: { members: [], endpoints: [], primary: -1 } }],
      }),
    );
    await using client = clientOf(broker);
    client.updateRoute("journal/one", { members: [broker.id], primary: 0, endpoints: [broker.endpoint] });
    await client.listAllJournals();
    expect(client.route("journal/one").members).toEqual([]);
  });

  it("throws a status other than OK by its code", async () => {
    await using broker = await StubBroker.start();
    broker.onList(say({ status: "WRONG_ROUTE", header: broker.header() }));
    await using client = clientOf(broker);
    await expect(client.listAllJournals()).rejects.toMatchObject({ code: "wrong-route" });
  });

  it("refuses answers that break the protocol", async () => {
    await using broker = await StubBroker.start();
    await using client = clientOf(broker);
    const wrong = [
      [firstPage(broker, "invalid name")],
      [page(broker, "journal/one")],
      [firstPage(broker, "journal/one"), say({})],
    ] as const;
    for (const steps of wrong) {
      broker.onList(...steps);
      await expect(client.listAllJournals()).rejects.toMatchObject({ code: "invalid-response" });
    }
    broker.onList();
    await expect(client.listAllJournals()).rejects.toMatchObject({ code: "unexpected-eof" });
  });

  it("refuses selectors that do not parse, and to watch, before anything is sent", async () => {
    await using broker = await StubBroker.start();
    await using client = clientOf(broker);
    for (const request of [{ selector: "in in in" }, { watch: true }]) {
      await expect(client.listAllJournals(request)).rejects.toMatchObject({ code: "invalid-argument" });
    }
    expect(broker.lists).toEqual([]);
  });

  it("fails with the signal's reason, rather than an error of gRPC", async () => {
    await using broker = await StubBroker.start();
    broker.onList(hang());
    await using client = clientOf(broker);
    const reason = new Error("enough");
    await expect(client.listAllJournals({}, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const listing = client.listAllJournals({}, { signal: controller.signal });
    await broker.nthList(1);
    controller.abort(reason);
    await expect(listing).rejects.toBe(reason);
  });

  it("fails as the call fails", async () => {
    await using broker = await StubBroker.start();
    broker.onList(firstPage(broker, "journal/one"), fail(14, "shutting down"));
    await using client = clientOf(broker);
    await expect(client.listAllJournals()).rejects.toMatchObject({ code: "transport", grpcCode: 14 });
  });
});

describe("readListResponse", () => {
  it("reads one listing of a watch after the other from the same stream", async () => {
    await using broker = await StubBroker.start();
    broker.onList(
      firstPage(broker, "journal/one"),
      page(broker, "journal/two"),
      say({}),
      (call) =>
        call.send({ header: { ...broker.header(), etcd: { ...broker.header().etcd!, revision: 101n } } }),
      say({}),
      page(broker),
    );
    await using client = clientOf(broker);
    const request = { watch: true };
    const stream = client.openList(request)[Symbol.asyncIterator]();
    const first = await readListResponse(stream, request);
    expect(namesOf(first)).toEqual(["journal/one", "journal/two"]);
    const second = await readListResponse(stream, { ...request, watchResume: first.header });
    expect(second).toMatchObject({ journals: [], header: { etcd: { revision: 101n } } });
    await stream.return?.();
  });

  it("refuses a revision that was seen already, and a watch that ends in a listing", async () => {
    await using broker = await StubBroker.start();
    await using client = clientOf(broker);
    const header = (await client.listAllJournals()).header;
    broker.onList(firstPage(broker, "journal/one"), say({}));
    const resumed = { watch: true, watchResume: header };
    await expect(readListResponse(client.openList(resumed), resumed)).rejects.toMatchObject({
      code: "invalid-response",
    });
    broker.onList(firstPage(broker, "journal/one"));
    await expect(readListResponse(client.openList({ watch: true }), { watch: true })).rejects.toMatchObject({
      code: "unexpected-eof",
    });
  });
});

describe("getJournal", () => {
  it("gives the spec of the journal, asking for it by its name without ;meta", async () => {
    await using broker = await StubBroker.start();
    broker.create("foo/bar");
    broker.create("foo/bar/other");
    await using client = clientOf(broker);
    expect((await client.getJournal("foo/bar;with/meta")).name).toBe("foo/bar");
    expect(broker.lists[0]?.request.selector?.include?.labels).toMatchObject([
      { name: "name", value: "foo/bar" },
    ]);
  });

  it("fails when there is none", async () => {
    await using broker = await StubBroker.start();
    await using client = clientOf(broker);
    await expect(client.getJournal("does/not/exist")).rejects.toMatchObject({
      code: "journal-not-found",
      journal: "does/not/exist",
    });
    await expect(client.getJournal("no name")).rejects.toMatchObject({ code: "invalid-argument" });
  });
});

const spec = (name: string): JournalSpec => ({
  name,
  replication: 1,
  labels: [{ name: "foo", value: "bar" }],
  fragment: {
    length: 1024n,
    compressionCodec: "SNAPPY",
    stores: [],
    refreshIntervalMs: 1000,
    retentionMs: 0,
    flushIntervalMs: 0,
    pathPostfixTemplate: "",
  },
  flags: [],
  maxAppendRate: 0n,
});

const changesOf = (...names: string[]): ApplyRequest => ({
  changes: names.map((name) => ({ upsert: spec(name), expectModRevision: 0n })),
});

const batchesOf = (broker: StubBroker): string[][] =>
  broker.applies.map(({ request }) => request.changes.map(({ upsert }) => upsert?.name ?? ""));

describe("applyJournalsInBatches", () => {
  it.each([
    [0, [["journal/1", "journal/2", "journal/3"]]],
    [undefined, [["journal/1", "journal/2", "journal/3"]]],
    [3, [["journal/1", "journal/2", "journal/3"]]],
    [5, [["journal/1", "journal/2", "journal/3"]]],
    [2, [["journal/1", "journal/2"], ["journal/3"]]],
    [1, [["journal/1"], ["journal/2"], ["journal/3"]]],
  ])("sends 3 changes with a size of %s in order", async (size, batches) => {
    await using broker = await StubBroker.start();
    await using client = clientOf(broker);
    const applied: number[] = [];
    const response = await client.applyJournalsInBatches(changesOf("journal/1", "journal/2", "journal/3"), {
      ...(size === undefined ? {} : { size }),
      onApplied: (count) => applied.push(count),
    });
    expect(response).toMatchObject({ status: "OK", header: { etcd: { revision: broker.revision } } });
    expect(batchesOf(broker)).toEqual(batches);
    expect(applied.at(-1)).toBe(3);
  });

  it("sends a request without changes, too", async () => {
    await using broker = await StubBroker.start();
    await using client = clientOf(broker);
    expect((await client.applyJournalsInBatches({ changes: [] }, { size: 1 })).status).toBe("OK");
    expect(batchesOf(broker)).toEqual([[]]);
  });

  it("throws as it is what fails the first batch", async () => {
    await using broker = await StubBroker.start();
    await using client = clientOf(broker);
    broker.onApply(fail(2, "something has gone wrong"));
    broker.onApply(say({ status: "ETCD_TRANSACTION_FAILED", header: broker.header() }));
    broker.onApply(say({ status: "ETCD_TRANSACTION_FAILED" }));
    const apply = () => client.applyJournalsInBatches(changesOf("journal/1", "journal/2"), { size: 1 });
    await expect(apply()).rejects.toMatchObject({ code: "transport", grpcCode: 2 });
    const refused = await apply().catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "etcd-transaction-failed" });
    expect(refused).not.toBeInstanceOf(PartialApplyError);
    await expect(apply()).rejects.toMatchObject({ code: "invalid-response" });
  });

  it("tells how many changes were applied when a later batch fails", async () => {
    await using broker = await StubBroker.start();
    await using client = clientOf(broker);
    broker.onApply(say({ header: broker.header() }));
    broker.onApply(say({ status: "ETCD_TRANSACTION_FAILED", header: broker.header() }));
    const error = await client
      .applyJournalsInBatches(changesOf("journal/1", "journal/2", "journal/3", "journal/4"), { size: 2 })
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(PartialApplyError);
    expect(error).toBeInstanceOf(JournalError);
    expect(error).toMatchObject({
      code: "etcd-transaction-failed",
      applied: 2,
      failed: 2,
      cause: { code: "etcd-transaction-failed" },
    });
  });

  it("applies nothing when any of its changes is wrong", async () => {
    await using broker = await StubBroker.start();
    await using client = clientOf(broker);
    const request = { changes: [...changesOf("journal/1").changes, ...changesOf("no name").changes] };
    await expect(client.applyJournalsInBatches(request, { size: 1 })).rejects.toMatchObject({
      code: "invalid-argument",
    });
    for (const size of [-1, 0.5, Number.NaN]) {
      await expect(client.applyJournalsInBatches(changesOf("journal/1"), { size })).rejects.toMatchObject({
        code: "invalid-argument",
      });
    }
    expect(broker.applies).toEqual([]);
  });

  it("stops between batches with the signal's reason", async () => {
    await using broker = await StubBroker.start();
    await using client = clientOf(broker);
    const controller = new AbortController();
    const reason = new Error("enough");
    const applying = client.applyJournalsInBatches(changesOf("journal/1", "journal/2"), {
      size: 1,
      signal: controller.signal,
      onApplied: () => controller.abort(reason),
    });
    await expect(applying).rejects.toBe(reason);
    expect(batchesOf(broker)).toEqual([["journal/1"]]);
  });

  it("passes on what it read of a suspended journal", async () => {
    await using broker = await StubBroker.start();
    await using client = clientOf(broker);
    await client.applyJournals({
      changes: [
        { upsert: { ...spec("journal/1"), suspend: { level: "FULL", offset: 77n } }, expectModRevision: 0n },
      ],
    });
    expect(broker.applies[0]?.request.changes[0]?.upsert?.suspend).toEqual({ level: 2, offset: 77n });
  });
});

describe("listAllFragments", () => {
  const fragments = (...begins: bigint[]) =>
    begins.map((begin) => ({
      spec: fragmentOf("a/journal", begin, "0123456789"),
      signedUrl: `url-${begin}`,
    }));

  it("joins pages, asking for each behind the one before", async () => {
    await using broker = await StubBroker.start();
    broker.onFragments(say({ header: broker.header(), fragments: fragments(0n, 20n), nextPageToken: 30n }));
    broker.onFragments(say({ header: broker.header(), fragments: fragments(30n, 50n) }));
    await using client = clientOf(broker);
    const all = await client.listAllFragments({
      journal: "a/journal;meta",
      pageLimit: 2,
      signatureTtlMs: 1000,
    });
    expect(all.fragments.map(({ spec: { begin }, signedUrl }) => [begin, signedUrl])).toEqual([
      [0n, "url-0"],
      [20n, "url-20"],
      [30n, "url-30"],
      [50n, "url-50"],
    ]);
    expect(all.nextPageToken).toBe(0n);
    expect(broker.fragmentLists.map(({ request }) => [request.nextPageToken, request.pageLimit])).toEqual([
      [0n, 2],
      [30n, 2],
    ]);
  });

  it("ends with an error when the pages do not advance", async () => {
    await using broker = await StubBroker.start();
    for (let n = 0; n < 2; n++) {
      broker.onFragments(say({ header: broker.header(), fragments: fragments(0n), nextPageToken: 30n }));
    }
    await using client = clientOf(broker);
    await expect(client.listAllFragments({ journal: "a/journal" })).rejects.toMatchObject({
      code: "invalid-response",
      journal: "a/journal",
    });
    expect(broker.fragmentLists).toHaveLength(2);
  });

  it("throws statuses, failures and answers that break the protocol", async () => {
    await using broker = await StubBroker.start();
    await using client = clientOf(broker);
    const list = () => client.listAllFragments({ journal: "a/journal" });
    await expect(list()).rejects.toMatchObject({ code: "journal-not-found", journal: "a/journal" });
    broker.onFragments(fail(2, "something has gone wrong"));
    await expect(list()).rejects.toMatchObject({ code: "transport", grpcCode: 2 });
    broker.onFragments(say({}));
    await expect(list()).rejects.toMatchObject({ code: "invalid-response" });
    await expect(client.listAllFragments({ journal: "a/journal", pageLimit: 10_001 })).rejects.toMatchObject({
      code: "invalid-argument",
    });
  });
});

describe("checkFragmentStore", () => {
  it("answers for stores that are healthy and for those that are not, and throws other statuses", async () => {
    await using broker = await StubBroker.start();
    await using client = clientOf(broker);
    expect((await client.checkFragmentStore("s3://bucket/prefix/")).status).toBe("OK");
    expect(broker.healths[0]?.request.fragmentStore).toBe("s3://bucket/prefix/");
    broker.onFragmentStoreHealth(
      say({
        status: "FRAGMENT_STORE_UNHEALTHY",
        header: broker.header(),
        storeHealthError: "no credentials",
      }),
    );
    expect(await client.checkFragmentStore("s3://bucket/")).toMatchObject({
      status: "FRAGMENT_STORE_UNHEALTHY",
      storeHealthError: "no credentials",
    });
    broker.onFragmentStoreHealth(say({ status: "NOT_ALLOWED", header: broker.header() }));
    await expect(client.checkFragmentStore("s3://bucket/")).rejects.toMatchObject({ code: "not-allowed" });
    await expect(client.checkFragmentStore("not a store")).rejects.toMatchObject({
      code: "invalid-argument",
    });
  });
});
