import { describe, expect, it } from "vitest";
import type { Fragment } from "../src/protocol/fragment.js";
import type { Header } from "../src/protocol/header.js";
import type { JournalSpec } from "../src/protocol/journal-spec.js";
import { parseLabelSelector } from "../src/protocol/label-selector.js";
import { labelSet } from "../src/protocol/label-set.js";
import { APPEND_COMMIT, encodeAppendContent } from "../src/wire/append-content.js";
import { decodeReadResponse } from "../src/wire/read-response.js";
import {
  encodeAppendRequest,
  encodeApplyRequest,
  encodeFragmentStoreHealthRequest,
  encodeFragmentsRequest,
  encodeListRequest,
  encodeReadRequest,
} from "../src/wire/requests.js";
import {
  decodeAppendResponse,
  decodeApplyResponse,
  decodeFragmentStoreHealthResponse,
  decodeFragmentsResponse,
  decodeListResponse,
} from "../src/wire/responses.js";
import { golden } from "./support/gazette-golden.js";

const header: Header = {
  processId: { zone: "zone-a", suffix: "broker-1" },
  route: {
    members: [
      { zone: "zone-a", suffix: "broker-1" },
      { zone: "zone-b", suffix: "broker-2" },
    ],
    primary: -1,
    endpoints: ["http://127.0.0.1:8080", "unix://host/a/path"],
  },
  etcd: { clusterId: 2n ** 64n - 1n, memberId: 2n ** 63n, revision: 2n ** 63n - 1n, raftTerm: 7n },
};
const fragment: Fragment = {
  journal: "a/journal",
  begin: 1234567890n,
  end: 2n ** 63n - 1n,
  sum: Uint8Array.from({ length: 20 }, (_, index) => index + 1),
  compressionCodec: "GZIP",
  backingStore: "s3://bucket/prefix/",
  modTime: 1_700_000_000n,
  pathPostfix: "a=1",
};
const labels = labelSet({ bb: "", aa: "1" });
const spec: JournalSpec = {
  name: "a/journal",
  replication: 3,
  labels,
  fragment: {
    length: 1n << 30n,
    compressionCodec: "SNAPPY",
    stores: ["file:///"],
    refreshIntervalMs: 90_001,
    retentionMs: 365 * 24 * 3_600_000,
    flushIntervalMs: 3_600_000,
    pathPostfixTemplate: "x",
  },
  flags: ["O_RDWR"],
  maxAppendRate: 1n << 22n,
  suspend: { level: "PARTIAL", offset: 77n },
};

function bytes(hex: string): Buffer {
  return Buffer.from(hex, "hex");
}

describe("what Gazette says, decoded", () => {
  it("is the metadata of a Read", () => {
    expect(decodeReadResponse(bytes(golden.readMeta))).toEqual({
      status: "OK",
      header,
      offset: 1234567890n,
      writeHead: 2n ** 63n - 1n,
      fragment,
      fragmentUrl: "https://host/path?sig=a%2Fb",
      content: undefined,
    });
  });

  it("is a chunk of a Read, at an offset and at 0, which is left out", () => {
    const chunk = { status: "OK", header: undefined, writeHead: 0n, fragment: undefined, fragmentUrl: "" };
    const content = Buffer.from("foobar");
    expect(decodeReadResponse(bytes(golden.readChunk))).toEqual({ ...chunk, offset: 1n << 40n, content });
    expect(decodeReadResponse(bytes(golden.readChunk0))).toEqual({ ...chunk, offset: 0n, content });
  });

  it("is an offset below 0 with a status other than OK", () => {
    expect(decodeReadResponse(bytes(golden.readNegative))).toMatchObject({
      status: "OFFSET_NOT_YET_AVAILABLE",
      offset: -1n,
      header: undefined,
    });
  });

  it("is refused when it has an offset and nothing that is there: Go leaves out an empty chunk", () => {
    expect(() => decodeReadResponse(bytes(golden.readEmptyChunk))).toThrow(
      expect.objectContaining({
        code: "invalid-response",
        message: "ReadResponse.offset is 5: it must be 0 when there is neither a fragment nor content.",
      }),
    );
  });

  it("is the answer to an Append, with registers that are empty but there", () => {
    expect(decodeAppendResponse(bytes(golden.append))).toEqual({
      status: "OK",
      header,
      commit: fragment,
      registers: [],
      totalChunks: 3n,
      delayedChunks: 1n,
      storeHealthError: "",
    });
    expect(decodeAppendResponse(bytes(golden.appendMismatch))).toMatchObject({
      status: "REGISTER_MISMATCH",
      commit: undefined,
      registers: labels,
    });
  });

  it("is a listing, with durations cut to whole milliseconds", () => {
    expect(decodeListResponse(bytes(golden.list))).toEqual({
      status: "OK",
      header,
      journals: [{ spec, modRevision: 9n, createRevision: 8n, route: header.route }],
    });
  });

  it("is the empty message behind a listing, which is no answer of its own", () => {
    expect(decodeListResponse(bytes(golden.listEmpty), true)).toMatchObject({ status: "OK", journals: [] });
    expect(() => decodeListResponse(bytes(golden.listEmpty))).toThrow(
      "ListResponse.header.route.primary is 0",
    );
  });

  it("is the answer to an Apply, to ListFragments and to FragmentStoreHealth", () => {
    expect(decodeApplyResponse(bytes(golden.apply))).toEqual({ status: "ETCD_TRANSACTION_FAILED", header });
    expect(decodeFragmentsResponse(bytes(golden.fragments))).toEqual({
      status: "OK",
      header,
      fragments: [{ spec: fragment, signedUrl: "https://host/" }],
      nextPageToken: 100n,
    });
    expect(decodeFragmentStoreHealthResponse(bytes(golden.health))).toEqual({
      status: "FRAGMENT_STORE_UNHEALTHY",
      header,
      storeHealthError: "no such bucket",
    });
  });
});

describe("what is said to Gazette, byte for byte as Gazette says it", () => {
  const journal = "a/journal";

  it("is a Read", () => {
    const request = {
      journal: "a/journal;meta",
      offset: -1n,
      block: true,
      doNotProxy: true,
      metadataOnly: true,
    };
    const message = encodeReadRequest({
      ...request,
      header,
      endOffset: 1n << 50n,
      beginModTime: 1_700_000_000n,
    });
    expect(message.toString("hex")).toBe(golden.readRequest);
  });

  it("is an Append, its content and its commit", () => {
    const message = encodeAppendRequest({
      header,
      journal,
      doNotProxy: true,
      offset: 99n,
      checkRegisters: parseLabelSelector("aa:prefix=x, !bb"),
      unionRegisters: labels,
      subtractRegisters: labels,
      suspend: "SUSPEND_IF_FLUSHED",
    });
    expect(message.toString("hex")).toBe(golden.appendRequest);
    expect(encodeAppendContent(Buffer.from("foobar")).toString("hex")).toBe(golden.appendContent);
    expect(APPEND_COMMIT.length).toBe(0);
  });

  it("is a List, its selector as text or parsed", () => {
    const text = "aa:prefix=x, !bb";
    for (const selector of [text, parseLabelSelector(text)]) {
      const message = encodeListRequest({ selector, watch: true, watchResume: header });
      expect(message.toString("hex")).toBe(golden.listRequest);
    }
  });

  it("is an Apply", () => {
    const message = encodeApplyRequest({
      changes: [
        { expectModRevision: -1n, upsert: spec },
        { expectModRevision: 5n, delete: "b/journal" },
      ],
    });
    expect(message.toString("hex")).toBe(golden.applyRequest);
  });

  it("is a ListFragments and a FragmentStoreHealth", () => {
    const message = encodeFragmentsRequest({
      header,
      journal,
      beginModTime: 1n,
      endModTime: 2n,
      nextPageToken: 3n,
      pageLimit: 4,
      signatureTtlMs: 1500,
      doNotProxy: true,
    });
    expect(message.toString("hex")).toBe(golden.fragmentsRequest);
    expect(encodeFragmentStoreHealthRequest("s3://bucket/").toString("hex")).toBe(golden.healthRequest);
  });

  it("leaves out what is as by default", () => {
    expect(encodeReadRequest({ journal }).toString("hex")).toBe(
      `1209${Buffer.from(journal).toString("hex")}`,
    );
    expect(encodeAppendRequest({ journal }).toString("hex")).toBe(
      `1209${Buffer.from(journal).toString("hex")}`,
    );
  });

  it("is nothing when it would be wrong", () => {
    expect(() => encodeReadRequest({ journal: "/rooted" })).toThrow(
      expect.objectContaining({
        code: "invalid-argument",
        message: 'ReadRequest.journal is "/rooted": it must not begin with "/".',
      }),
    );
    expect(() => encodeAppendRequest({ journal, offset: -1n })).toThrow("AppendRequest.offset is -1");
    expect(() => encodeListRequest({ selector: "foo in" })).toThrow("selector, from character 0 on");
    expect(() => encodeApplyRequest({ changes: [{ expectModRevision: 0n, delete: journal }] })).toThrow(
      "must exist",
    );
    expect(() => encodeFragmentsRequest({ journal, pageLimit: 10_001 })).toThrow("from 0 to 10000");
    expect(() => encodeFragmentStoreHealthRequest("s3://bucket")).toThrow('its path must end in "/"');
  });
});
