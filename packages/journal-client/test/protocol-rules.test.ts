import { describe, expect, it } from "vitest";
import type { Header } from "../src/protocol/header.js";
import { checkHeaderAt } from "../src/protocol/header-rules.js";
import type { FragmentSpec, JournalSpec } from "../src/protocol/journal-spec.js";
import { labelSet } from "../src/protocol/label-set.js";
import { journalSpec } from "../src/protocol/make-journal-spec.js";
import { answer } from "../src/protocol/refusal.js";
import {
  checkAppendRequest,
  checkApplyRequest,
  checkFragmentsRequest,
  checkListRequest,
  checkReadRequest,
} from "../src/protocol/request-rules.js";
import type {
  AppendRequest,
  ApplyChange,
  FragmentsRequest,
  ListRequest,
  ReadRequest,
} from "../src/protocol/requests.js";
import {
  checkAppendResponse,
  checkApplyResponse,
  checkFragmentStoreHealthResponse,
  checkFragmentsResponse,
  checkListResponse,
  checkReadResponse,
} from "../src/protocol/response-rules.js";
import type { AppendResponse, ReadResponse } from "../src/protocol/responses.js";
import { checkJournalSpec } from "../src/protocol/spec-rules.js";
import { expectRefusal } from "./support/refusals.js";

const refuses = (words: string, call: () => unknown): void => expectRefusal("invalid-argument", words, call);
const disbelieves = (words: string, call: () => unknown): void =>
  expectRefusal("invalid-response", words, call);

const journal = "a/journal";
const member = { zone: "zone", suffix: "name" };
const header: Header = {
  processId: member,
  route: { members: [member], primary: 0, endpoints: ["http://host:1"] },
  etcd: { clusterId: 12n, memberId: 34n, revision: 56n, raftTerm: 78n },
};
const badHeader: Header = { ...header, etcd: { ...header.etcd, clusterId: 0n } };
const badLabels = [{ name: "inv alid", value: "" }];
const fragment = {
  journal,
  begin: 10n,
  end: 20n,
  sum: new Uint8Array(20),
  compressionCodec: "NONE",
  backingStore: "",
  modTime: 0n,
  pathPostfix: "",
} as const;

describe("a header", () => {
  const check = (changes: Partial<Header>): void =>
    checkHeaderAt(answer("header"), { ...header, ...changes });

  it("may have no process", () => {
    check({});
    check({ processId: { zone: "", suffix: "" } });
    disbelieves("header.processId.suffix", () => check({ processId: { zone: "no-suffix", suffix: "" } }));
    disbelieves("header.processId.zone", () => check({ processId: { zone: "", suffix: "no-zone" } }));
  });

  it.each([
    ["clusterId", 0n],
    ["memberId", 0n],
    ["revision", -42n],
    ["revision", 0n],
    ["raftTerm", 0n],
  ])("has an etcd whose %s is not %s", (field, value) => {
    disbelieves(`header.etcd.${field} is ${value}`, () =>
      check({ etcd: { ...header.etcd, [field]: value } }),
    );
  });

  it("has a route with a primary among its members, or none", () => {
    const route = { members: [member, { zone: "zone", suffix: "other" }], primary: -1, endpoints: [] };
    check({ route });
    check({ route: { ...route, primary: 1, endpoints: ["", "unix://host/path"] } });
    disbelieves("header.route.primary is 2", () => check({ route: { ...route, primary: 2 } }));
    disbelieves("header.route.primary is -2", () => check({ route: { ...route, primary: -2 } }));
    disbelieves("header.route.members[1]", () =>
      check({ route: { ...route, members: route.members.toReversed() } }),
    );
    disbelieves("must be unique", () => check({ route: { ...route, members: [member, member] } }));
    disbelieves("header.route.members[0].suffix", () =>
      check({ route: { ...route, members: [{ zone: "zone", suffix: "abc" }] } }),
    );
    disbelieves("one for each of 2 members", () =>
      check({ route: { ...route, endpoints: ["http://host:1"] } }),
    );
    disbelieves("header.route.endpoints[1]", () =>
      check({ route: { ...route, endpoints: ["http://a", "/b"] } }),
    );
  });
});

describe("a ReadRequest", () => {
  it.each<[string, Partial<ReadRequest>]>([
    ["header.etcd.clusterId is 0", { header: badHeader }],
    ['journal is "/bad"', { journal: "/bad" }],
    ["offset is -2", { offset: -2n }],
    ["offset is 9223372036854775808", { offset: 2n ** 63n }],
    ["offset is 5: it must be a bigint", { offset: 5 as never }],
    ["endOffset is -1", { endOffset: -1n }],
    [
      "endOffset is 100: it must be 0 (no end), or at least the offset, 101",
      { offset: 101n, endOffset: 100n },
    ],
    ["beginModTime is 1.5", { beginModTime: 1.5 as never }],
    ['block is "yes"', { block: "yes" as never }],
  ])("is refused: %s", (words, fields) => {
    refuses(`ReadRequest.${words}`, () => checkReadRequest({ journal, ...fields }));
  });

  it("is taken with an end at its offset or behind, at the write head, and with meta", () => {
    checkReadRequest({ journal: `${journal};meta`, header, offset: 101n, endOffset: 101n, block: true });
    checkReadRequest({ journal, offset: -1n, endOffset: 100n, doNotProxy: true, metadataOnly: false });
    refuses("ReadRequest is undefined", () => checkReadRequest(undefined as never));
  });
});

describe("an AppendRequest", () => {
  it.each<[string, Partial<AppendRequest>]>([
    ["header.etcd.clusterId is 0", { header: badHeader }],
    ['journal is ""', { journal: "" }],
    ["offset is -1", { offset: -1n }],
    ['checkRegisters.include[0].name is "inv alid"', { checkRegisters: { include: badLabels, exclude: [] } }],
    ["checkRegisters.exclude is undefined", { checkRegisters: { include: [] } as never }],
    ["unionRegisters[0].name", { unionRegisters: badLabels }],
    ["unionRegisters[0].prefix is true", { unionRegisters: labelSet({ "aa:prefix": "x" }) }],
    ["subtractRegisters[0].name", { subtractRegisters: badLabels }],
    ['suspend is "SUSPEND": it must be one of SUSPEND_RESUME, ', { suspend: "SUSPEND" as never }],
    ["doNotProxy is 1", { doNotProxy: 1 as never }],
  ])("is refused: %s", (words, fields) => {
    refuses(`AppendRequest.${words}`, () => checkAppendRequest({ journal, ...fields }));
  });

  it("is taken with prefixes in the registers it checks", () => {
    const include = labelSet({ "author:prefix": "a" });
    checkAppendRequest({ journal, checkRegisters: { include, exclude: [] }, suspend: "SUSPEND_NOW", header });
  });
});

describe("a ListRequest", () => {
  it.each<[string, ListRequest]>([
    ["selector, from character 0 on", { selector: "no selector" }],
    ["selector.include[0].name", { selector: { include: badLabels, exclude: [] } }],
    ['selector.include.prefix is "no/slash"', { selector: "prefix=no/slash" }],
    ['selector.exclude.prefix is "no/slash"', { selector: "prefix notin (with/slash/, no/slash)" }],
    ["selector is null", { selector: null as never }],
    ["watchResume.etcd.clusterId", { watchResume: badHeader }],
    ["watch is 1", { watch: 1 as never }],
  ])("is refused: %s", (words, request) => {
    refuses(words, () => checkListRequest(request));
  });

  it("is taken with nothing, and with prefixes that are folders", () => {
    checkListRequest({});
    checkListRequest({ selector: "prefix in (a/, b/), prefix:prefix!=x/", watch: true, watchResume: header });
  });
});

describe("an ApplyRequest", () => {
  const spec = journalSpec({ name: journal });

  it.each<[string, object]>([
    ['exactly one of "upsert" and "delete"', { expectModRevision: 1n }],
    ['exactly one of "upsert" and "delete"', { expectModRevision: 1n, upsert: spec, delete: journal }],
    ["changes[1].upsert.replication is 0", { expectModRevision: 0n, upsert: { ...spec, replication: 0 } }],
    ["changes[1].expectModRevision is -2", { expectModRevision: -2n, upsert: spec }],
    ["changes[1].delete", { expectModRevision: 1n, delete: "a/journal invalid name" }],
    [
      "changes[1].expectModRevision is 0: what is deleted must exist",
      { expectModRevision: 0n, delete: journal },
    ],
    ["changes[1].expectModRevision is undefined", { delete: journal }],
  ])("is refused: %s", (words, change) => {
    const changes = [{ expectModRevision: -1n, delete: journal }, change as ApplyChange];
    refuses(words, () => checkApplyRequest({ changes }));
  });

  it("is taken with any mixture of changes", () => {
    checkApplyRequest({ changes: [] });
    checkApplyRequest({
      changes: [
        { expectModRevision: 0n, upsert: spec },
        { expectModRevision: -1n, upsert: spec },
        { expectModRevision: 7n, delete: journal },
      ],
    });
    refuses("ApplyRequest.changes is undefined: it must be an array", () => checkApplyRequest({} as never));
  });
});

describe("a FragmentsRequest", () => {
  it.each<[string, Partial<FragmentsRequest>]>([
    ["header.etcd.clusterId is 0", { header: badHeader }],
    ["journal", { journal: "/bad" }],
    [
      "endModTime is 5: it must be 0 (no end), or at least beginModTime, 10",
      { beginModTime: 10n, endModTime: 5n },
    ],
    ["nextPageToken is -1", { nextPageToken: -1n }],
    ["pageLimit is -1", { pageLimit: -1 }],
    ["pageLimit is 10001", { pageLimit: 10_001 }],
    ["signatureTtlMs is 0", { signatureTtlMs: 0 }],
    ["signatureTtlMs is 1.5", { signatureTtlMs: 1.5 }],
    ["signatureTtlMs is NaN", { signatureTtlMs: Number.NaN }],
  ])("is refused: %s", (words, fields) => {
    refuses(`FragmentsRequest.${words}`, () => checkFragmentsRequest({ journal, ...fields }));
  });

  it("is taken with all its fields at their ends", () => {
    checkFragmentsRequest({
      journal,
      beginModTime: 5n,
      endModTime: 5n,
      pageLimit: 10_000,
      signatureTtlMs: 1,
      header,
    });
  });
});

describe("a specification", () => {
  const spec = journalSpec({
    name: journal,
    labels: { aaa: "bbb" },
    fragment: {
      length: 1n << 18n,
      compressionCodec: "GZIP",
      stores: ["s3://bucket/path/", "gs://other/path/"],
    },
    maxAppendRate: 12_345n,
  });
  const contentType = "content-type";
  const messageType = "app.gazette.dev/message-type";
  const subtype = "app.gazette.dev/message-subtype";

  it("is whole with a name alone", () => {
    expect(journalSpec({ name: journal })).toEqual({
      name: journal,
      replication: 3,
      labels: [],
      fragment: {
        length: 268_435_456n,
        compressionCodec: "SNAPPY",
        stores: [],
        refreshIntervalMs: 300_000,
        retentionMs: 0,
        flushIntervalMs: 0,
        pathPostfixTemplate: "",
      },
      flags: ["O_RDWR"],
      maxAppendRate: 0n,
    });
  });

  it("keeps what it is given", () => {
    expect(spec).toMatchObject({ labels: [{ name: "aaa", value: "bbb" }], maxAppendRate: 12_345n });
    const suspend = { level: "FULL", offset: 5n } as const;
    expect(journalSpec({ ...spec, suspend })).toEqual({ ...spec, suspend });
    refuses("JournalSpec.replication is 6", () => journalSpec({ name: journal, replication: 6 }));
  });

  it.each<[string, Partial<JournalSpec>]>([
    ["name", { name: "/bad/name" }],
    ['name is "a/journal;meta": the name must not have a ";meta" part here', { name: "a/journal;meta" }],
    ["replication is 0: it must be a whole number from 1 to 5", { replication: 0 }],
    ["replication is 1024", { replication: 1024 }],
    ["labels[0].name", { labels: badLabels }],
    ['labels is "name"', { labels: labelSet({ name: "" }) }],
    ['labels is "prefix"', { labels: labelSet({ prefix: "x/" }) }],
    [
      `labels.${messageType} is "a, b": this label must have one value`,
      { labels: labelSet({ [messageType]: ["a", "b"] }) },
    ],
    ["labels.app.gazette.dev/instance", { labels: labelSet({ "app.gazette.dev/instance": ["a", "b"] }) }],
    [
      `labels.${contentType} is "invalid/content/type"`,
      { labels: labelSet({ [contentType]: "invalid/content/type" }) },
    ],
    [`labels.${contentType} is ""`, { labels: labelSet({ [contentType]: "" }) }],
    [`the label "${messageType}" too`, { labels: labelSet({ [subtype]: "x" }) }],
    [`the label "${contentType}" too`, { labels: labelSet({ [subtype]: "x", [messageType]: "x" }) }],
    ["flags", { flags: ["O_RDWR", "O_RDONLY"] }],
    ["flags", { flags: ["O_EXCL" as never] }],
    ["maxAppendRate is -1", { maxAppendRate: -1n }],
    ["suspend.offset is -1", { suspend: { level: "NONE", offset: -1n } }],
    [
      'suspend.level is "HALF": it must be one of NONE, PARTIAL, FULL',
      { suspend: { level: "HALF" as never, offset: 0n } },
    ],
    ["fragment is undefined", { fragment: undefined as never }],
  ])("is refused: %s", (words, fields) => {
    refuses(words, () => checkJournalSpec({ ...spec, ...fields }));
  });

  it.each<[string, Partial<FragmentSpec>]>([
    ["length is 0", { length: 0n }],
    ["length is 1023", { length: 1023n }],
    ["length is 17179869185", { length: (1n << 34n) + 1n }],
    ['compressionCodec is "INVALID"', { compressionCodec: "INVALID" as never }],
    ["stores[0] is", { stores: ["file:///a/"], compressionCodec: "GZIP_OFFLOAD_DECOMPRESSION" }],
    ['stores[1] is "invalid"', { stores: ["s3://bucket/", "invalid"] }],
    ["refreshIntervalMs is 999", { refreshIntervalMs: 999 }],
    ["refreshIntervalMs is 86400001", { refreshIntervalMs: 86_400_001 }],
    ["flushIntervalMs is 59999", { flushIntervalMs: 59_999 }],
    ["flushIntervalMs is -1", { flushIntervalMs: -1 }],
    ["retentionMs is Infinity", { retentionMs: Number.POSITIVE_INFINITY }],
    ["pathPostfixTemplate is undefined", { pathPostfixTemplate: undefined as never }],
  ])("is refused for its fragments: %s", (words, fields) => {
    refuses(`JournalSpec.fragment.${words}`, () =>
      checkJournalSpec({ ...spec, fragment: { ...spec.fragment, ...fields } }),
    );
  });

  it("is taken with all that is allowed", () => {
    for (const flags of [[], ["O_RDWR"], ["O_RDONLY"], ["O_WRONLY"]] as const)
      checkJournalSpec({ ...spec, flags });
    const labels = labelSet({ [subtype]: "x", [messageType]: "y", [contentType]: "application/x-ndjson" });
    checkJournalSpec({ ...spec, labels, suspend: { level: "PARTIAL", offset: 1234n } });
    const later = {
      stores: ["s3://bucket/", "file:///a/"],
      compressionCodec: "GZIP_OFFLOAD_DECOMPRESSION",
    } as const;
    checkJournalSpec({ ...spec, fragment: { ...spec.fragment, ...later, flushIntervalMs: 60_000 } });
  });
});

const metadata: ReadResponse = {
  status: "OK",
  header,
  offset: 15n,
  writeHead: 20n,
  fragment,
  fragmentUrl: "http://foo",
  content: undefined,
};
const chunk: ReadResponse = {
  ...metadata,
  header: undefined,
  writeHead: 0n,
  fragment: undefined,
  fragmentUrl: "",
  content: Buffer.from("foo"),
};

describe("a ReadResponse", () => {
  it.each<[string, Partial<ReadResponse>]>([
    ["header.etcd.clusterId", { header: badHeader }],
    ["fragment.journal", { fragment: { ...fragment, journal: "/bad/name" } }],
    ["offset is 9: it must be a bigint from 10 to 19", { offset: 9n }],
    ["offset is 20", { offset: 20n }],
    ["writeHead is 19", { writeHead: 19n }],
    ['fragmentUrl is ":/bad/url"', { fragmentUrl: ":/bad/url" }],
    ["writeHead is -1", { fragment: undefined, writeHead: -1n }],
    ["offset is 15: it must be 0 when there is neither", { fragment: undefined }],
    ["fragmentUrl is", { fragment: undefined, offset: 0n }],
  ])("of metadata is refused: %s", (words, fields) => {
    checkReadResponse(metadata);
    disbelieves(`ReadResponse.${words}`, () => checkReadResponse({ ...metadata, ...fields }));
  });

  it.each<[string, Partial<ReadResponse>]>([
    ['status is "WRONG_ROUTE"', { status: "WRONG_ROUTE" }],
    ["header is an object", { header }],
    ["writeHead is 1234", { writeHead: 1234n }],
    ["fragment is an object", { fragment }],
    ["fragmentUrl is", { fragmentUrl: "http://foo" }],
    ["offset is -1", { offset: -1n }],
  ])("of content is refused: %s", (words, fields) => {
    checkReadResponse(chunk);
    disbelieves(`ReadResponse.${words}`, () => checkReadResponse({ ...chunk, ...fields }));
  });

  it("may have any offset with a status that is not OK, and none at all", () => {
    const bare = { ...metadata, fragment: undefined, fragmentUrl: "" };
    checkReadResponse({ ...bare, status: "OFFSET_NOT_YET_AVAILABLE", offset: 20n });
    checkReadResponse({ ...bare, offset: 0n, header: undefined });
  });
});

describe("an AppendResponse", () => {
  const response: AppendResponse = {
    status: "OK",
    header,
    commit: fragment,
    registers: [],
    totalChunks: 0n,
    delayedChunks: 0n,
    storeHealthError: "",
  };

  it.each<[string, Partial<AppendResponse>]>([
    ["header.etcd.clusterId", { header: badHeader }],
    ["commit is undefined", { commit: undefined }],
    ["registers is undefined: they must be there with the status OK", { registers: undefined }],
    ["registers is undefined", { status: "REGISTER_MISMATCH", registers: undefined }],
    ["commit.journal", { commit: { ...fragment, journal: "/bad/name" } }],
    ["registers[0].name", { registers: badLabels }],
  ])("is refused: %s", (words, fields) => {
    checkAppendResponse(response);
    disbelieves(`AppendResponse.${words}`, () => checkAppendResponse({ ...response, ...fields }));
  });

  it("has neither commit nor registers with other statuses", () => {
    checkAppendResponse({ ...response, status: "WRONG_ROUTE", commit: undefined, registers: undefined });
    checkAppendResponse({ ...response, status: "REGISTER_MISMATCH", commit: undefined });
  });
});

describe("other answers", () => {
  const spec = journalSpec({ name: journal });
  const listed = { spec, modRevision: 1n, createRevision: 1n, route: header.route };

  it("are refused for their headers", () => {
    const bad = { status: "OK", header: badHeader } as const;
    disbelieves("ListResponse.header.etcd", () => checkListResponse({ ...bad, journals: [] }));
    disbelieves("ApplyResponse.header.etcd", () => checkApplyResponse(bad));
    disbelieves("FragmentsResponse.header.etcd", () =>
      checkFragmentsResponse({ ...bad, fragments: [], nextPageToken: 0n }),
    );
    disbelieves("FragmentStoreHealthResponse.header.etcd", () =>
      checkFragmentStoreHealthResponse({ ...bad, storeHealthError: "" }),
    );
    checkListResponse({ ...bad, journals: [listed] }, true);
  });

  it.each<[string, object]>([
    ["journals[0].spec.name", { spec: { ...spec, name: "in valid" } }],
    ["journals[0].modRevision is 0", { modRevision: 0n }],
    ["journals[0].route.primary", { route: { members: [], primary: 0, endpoints: [] } }],
  ])("to a List are refused: %s", (words, fields) => {
    const journals = [{ ...listed, ...fields }];
    disbelieves(`ListResponse.${words}`, () => checkListResponse({ status: "OK", header, journals }));
    checkListResponse({ status: "OK", header, journals: [listed] });
  });

  it("to ListFragments are refused for a fragment or its URL", () => {
    const check = (spec: typeof fragment | object, signedUrl: string): void =>
      checkFragmentsResponse({
        status: "OK",
        header,
        fragments: [{ spec: { ...fragment, ...spec }, signedUrl }],
        nextPageToken: 0n,
      });
    check({}, "");
    check({}, "http://host/path");
    disbelieves("FragmentsResponse.fragments[0].spec.journal", () => check({ journal: "in valid" }, ""));
    disbelieves("FragmentsResponse.fragments[0].signedUrl", () => check({}, ":gar: :bage:"));
  });
});
