import { BinaryWriter } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isJournalError } from "../src/errors.js";
import * as wire from "../src/gen/protocol/protocol.js";
import { checkAppendRequest } from "../src/protocol/request-rules.js";
import { KnownHeaders, leadingHeader } from "../src/wire/known-headers.js";
import { encodeAppendRequest } from "../src/wire/requests.js";
import { decodeAppendResponse } from "../src/wire/responses.js";
import { fragmentOf } from "./support/stub-values.js";

describe("a request to append that says nothing but its journal", () => {
  const plain = { doNotProxy: false, content: Buffer.alloc(0), offset: 0n, suspend: 0 as const };

  it("is on the wire what the generated encoder makes of it, for names of any length", () => {
    const name = fc
      .array(
        fc.string({
          unit: fc.constantFrom("a", "Z", "0", "é", "日", "-", "_"),
          minLength: 2,
        }),
        {
          minLength: 2,
          maxLength: 60,
        },
      )
      .map((parts) => parts.join("/"))
      .filter((journal) => {
        try {
          checkAppendRequest({ journal });
          return true;
        } catch {
          return false;
        }
      });
    const names = fc.oneof(
      name,
      fc.tuple(name, name).map(([journal, meta]) => `${journal};${meta}`),
      fc.constantFrom(
        "a".repeat(127),
        "a".repeat(128),
        "a".repeat(512),
        `${"a".repeat(512)};${"b".repeat(512)}`,
      ),
    );
    fc.assert(
      fc.property(names, (journal) => {
        const expected = wire.AppendRequest.encode({
          ...plain,
          journal,
          header: undefined,
          checkRegisters: undefined,
          unionRegisters: undefined,
          subtractRegisters: undefined,
        }).finish();
        expect(encodeAppendRequest({ journal }).equals(expected)).toBe(true);
      }),
    );
  });

  it("is nothing that says more", () => {
    const journal = "a/journal";
    const least = encodeAppendRequest({ journal }).length;
    for (const more of [
      { header: decodeAppendResponse(answerOf(headerOf(60n), 1n)).header },
      { offset: 1n },
      { doNotProxy: true },
      { suspend: "SUSPEND_NOW" },
      { unionRegisters: [{ name: "app", value: "b" }] },
      { subtractRegisters: [{ name: "app", value: "b" }] },
      { checkRegisters: { include: [{ name: "app", value: "b" }], exclude: [] } },
    ] as const) {
      expect
        .soft(encodeAppendRequest({ journal, ...more }).length, JSON.stringify(Object.keys(more)))
        .toBeGreaterThan(least);
    }
  });
});

function headerOf(revision: bigint, endpoint = "http://127.0.0.1:1"): wire.Header {
  return {
    processId: { zone: "zone-a", suffix: "broker-1" },
    route: { members: [{ zone: "zone-a", suffix: "broker-1" }], primary: 0, endpoints: [endpoint] },
    etcd: { clusterId: 1n, memberId: 2n, revision, raftTerm: 4n },
  };
}

function answerOf(header: wire.Header, begin: bigint): Uint8Array {
  return wire.AppendResponse.encode({
    status: 0,
    header,
    commit: fragmentOf("a/journal", begin, "x"),
    registers: { labels: [] },
    totalChunks: 1n,
    delayedChunks: 0n,
    storeHealthError: "",
  }).finish();
}

describe("answers to appends with the same header again", () => {
  it("share the header, which cannot be changed, and nothing else", () => {
    const first = decodeAppendResponse(answerOf(headerOf(70n), 1n));
    const second = decodeAppendResponse(answerOf(headerOf(70n), 200n));
    const { header } = second;
    expect(header).toMatchObject({ route: { endpoints: ["http://127.0.0.1:1"] }, etcd: { revision: 70n } });
    expect(header).toBe(first.header);
    expect([first.commit?.begin, second.commit?.begin]).toEqual([1n, 200n]);
    expect(() => (header.route.endpoints as string[]).push("http://enemy")).toThrow(TypeError);
    expect(() => Object.assign(header.route.members[0] ?? {}, { zone: "b" })).toThrow(TypeError);
    expect(() => Object.assign(header, { route: undefined })).toThrow(TypeError);
  });

  it("tell what is new in it at once", () => {
    for (const revision of [80n, 81n, 80n]) {
      expect(decodeAppendResponse(answerOf(headerOf(revision), 1n)).header.etcd.revision).toBe(revision);
    }
  });

  it("are refused each time when it is wrong", () => {
    const wrong = answerOf(headerOf(90n, "no URL"), 1n);
    for (let time = 0; time < 3; time++) {
      expect(() => decodeAppendResponse(wrong)).toThrow(/endpoints\[0\]/);
    }
  });

  it("are checked in all else: what is known of the header does not help", () => {
    const good = answerOf(headerOf(100n), 1n);
    decodeAppendResponse(good);
    const end = leadingHeader(good)?.end ?? 0;
    for (const rest of [Buffer.alloc(0), Buffer.of(0x1a, 0x05, 1), Buffer.of(0x1a, 0)]) {
      let failed: unknown;
      try {
        decodeAppendResponse(Buffer.concat([good.subarray(0, end), rest]));
      } catch (error) {
        failed = error;
      }
      expect(isJournalError(failed, "invalid-response")).toBe(true);
    }
  });

  it("count the last of two headers, and do not take it for the first one", () => {
    const another = wire.Header.encode(headerOf(111n), new BinaryWriter().uint32(18).fork()).join().finish();
    const revisionOf = (message: Uint8Array): bigint => decodeAppendResponse(message).header.etcd.revision;
    // Before and after the first one is known.
    for (let time = 0; time < 3; time++) {
      expect(revisionOf(Buffer.concat([answerOf(headerOf(110n), 1n), another]))).toBe(111n);
      if (time > 0) expect(revisionOf(answerOf(headerOf(110n), 1n))).toBe(110n);
    }
  });

  it("are refused when the header has a field of number 0, wherever it is", () => {
    const bytes = Buffer.from(wire.Header.encode(headerOf(120n)).finish());
    const rest = Buffer.from(answerOf(headerOf(120n), 1n)).subarray(2 + bytes.length);
    for (const header of [Buffer.concat([bytes, Buffer.of(0, 0)]), Buffer.concat([Buffer.of(0, 0), bytes])]) {
      const message = Buffer.concat([Buffer.of(0x12, header.length), header, rest]);
      for (let time = 0; time < 2; time++) expect(() => decodeAppendResponse(message)).toThrow(/number 0/);
    }
  });
});

it("the header that a message begins with is found, and only when it is whole", () => {
  const message = Buffer.from(answerOf(headerOf(1n), 1n));
  const { text, end } = leadingHeader(message) ?? expect.fail("it was not found");
  expect(wire.Header.decode(Buffer.from(text, "latin1"))).toEqual(headerOf(1n));
  expect(leadingHeader(message.subarray(0, end - 1))).toBeUndefined();
  expect(leadingHeader(message.subarray(end))).toBeUndefined();
  expect(leadingHeader(Buffer.alloc(0))).toBeUndefined();
  // A length of two bytes, and one of three.
  expect(leadingHeader(Buffer.concat([Buffer.of(0x12, 0x80, 0x02), Buffer.alloc(256)]))?.text.length).toBe(
    256,
  );
  expect(
    leadingHeader(Buffer.concat([Buffer.of(0x12, 0x80, 0x80, 0x01), Buffer.alloc(20_000)])),
  ).toBeUndefined();
});

it("known headers are bounded", () => {
  const known = new KnownHeaders();
  const header = decodeAppendResponse(answerOf(headerOf(1n), 1n)).header;
  for (let index = 0; index < 1000; index++) known.add(`${index}`, header);
  const kept = Array.from({ length: 1000 }, (_, index) => known.get(`${index}`)).filter(Boolean).length;
  expect(kept).toBeGreaterThan(0);
  expect(kept).toBeLessThanOrEqual(256);
});
