import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type BookmarkRecord,
  decodeAddress,
  decodeBookmark,
  decodeBuffer,
  decodeRangeSize,
  decodeSegment,
  decodeSubscription,
  encodeBookmark,
  encodeBuffer,
  encodeRangeSize,
  encodeSegment,
  encodeSubscription,
  parseTopicName,
  type SegmentId,
  type SegmentName,
  type SegmentRecord,
  type SubscriptionRecord,
} from "../src/protocol.js";

const segment: SegmentId = {
  topic: parseTopicName("orders"),
  range: { from: 64, to: 128 },
  // 2022-02-22 19:22:22 UTC, the example of RFC 9562.
  startTime: 138648505420000000n,
};
const open: SegmentRecord = {
  incarnation: 3n,
  layout: 9007199254740993n,
  epoch: 5n,
  log: "ab12/orders.3.5.0123456789abcdef",
  predecessors: ["1_0-63", "2_64-127"] as SegmentName[],
  state: "open",
};
const sealed = { end: 4096, lastSequence: 17, lastTime: 138648505420000010n };

const u63 = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });
const text = fc.string({ minLength: 1, maxLength: 20 });
const corrupt = expect.objectContaining({ code: "corrupt" });

describe("the values in etcd", () => {
  // Goldens: the seed's fields as its document has them, written out by hand; ours are fixed since the first version.
  it("of a segment that is open", () => {
    expect(encodeSegment(segment, open)).toBe(
      '{"HashFrom":64,"HashTo":127,"TimeFrom":1645557742000000000,"TimeTo":0,"Finished":false,"Closed":false,' +
        '"incarnation":"3","layout":"9007199254740993","epoch":"5","log":"ab12/orders.3.5.0123456789abcdef",' +
        '"predecessors":["1_0-63","2_64-127"],"state":"open"}',
    );
  });

  it("of a segment that is sealed, archived or deleted", () => {
    const flags = { sealed: [true, false], archived: [true, true], deleted: [true, true] } as const;
    for (const [state, [finished, closed]] of Object.entries(flags)) {
      const record = { ...open, predecessors: [], state: state as keyof typeof flags, sealed };
      expect(encodeSegment(segment, record)).toBe(
        `{"HashFrom":64,"HashTo":127,"TimeFrom":1645557742000000000,"TimeTo":1645557742000001000,"Finished":${finished},"Closed":${closed},` +
          '"incarnation":"3","layout":"9007199254740993","epoch":"5","log":"ab12/orders.3.5.0123456789abcdef",' +
          `"predecessors":[],"state":"${state}","end":4096,"lastSeq":17,"lastTime":"138648505420000010"}`,
      );
    }
  });

  it("of a topic", () => {
    expect(encodeRangeSize(6)).toBe("6");
    expect(encodeRangeSize(16)).toBe("16");
    expect(decodeRangeSize("10")).toBe(10);
  });

  it("of a subscription", () => {
    const record: SubscriptionRecord = {
      mode: "latest",
      revision: 9007199254740993n,
      positions: { "1_0-63": 5 },
      generation: 2,
    };
    const golden = '{"mode":"latest","revision":"9007199254740993","positions":{"1_0-63":5},"generation":2}';
    expect(encodeSubscription(record)).toBe(golden);
    expect(decodeSubscription(golden)).toEqual(record);
  });

  it("of a subscription of the seed's clients start at the earliest", () => {
    for (const value of ["", "1", Buffer.alloc(0), Buffer.from("1")]) {
      expect(decodeSubscription(value)).toEqual({
        mode: "earliest",
        revision: 0n,
        positions: {},
        generation: 1,
      });
    }
  });

  it("of a bookmark", () => {
    const none: BookmarkRecord = { sequence: 0, time: 0n, finished: false, generation: 1 };
    expect(encodeBookmark(segment, none)).toBe(
      '{"MsgId":"00000000-0000-0000-0000-000000000000","Finished":false,"sequence":0,"time":"0","generation":1}',
    );
    const some: BookmarkRecord = { sequence: 17, time: 138648505420000010n, finished: true, generation: 3 };
    expect(encodeBookmark(segment, some)).toBe(
      '{"MsgId":"c232ab0a-9414-11ec-8000-000000110040","Finished":true,"sequence":17,"time":"138648505420000010","generation":3}',
    );
  });

  it("of a buffer, and of a lease", () => {
    expect(encodeBuffer({ address: "127.0.0.1:8080" })).toBe('{"address":"127.0.0.1:8080"}');
    for (const address of ["127.0.0.1:8080", "host-1.example:1", "[::1]:65535"]) {
      expect(decodeAddress(address)).toBe(address);
      expect(decodeAddress(Buffer.from(address))).toBe(address);
    }
  });

  it("of a lease that are no address say that nobody can be reached, as the seed's 1 does", () => {
    for (const value of [
      "1",
      "",
      "host",
      ":80",
      "host:",
      "host:x",
      "a b:80",
      "::1:80",
      "host:123456",
      "host:65536",
      "[::1]:99999",
      "http://h:80",
    ]) {
      expect(decodeAddress(value), value).toBeUndefined();
    }
  });
});

describe("a record", () => {
  const end = fc.record({ end: fc.maxSafeNat(), lastSequence: fc.maxSafeNat(), lastTime: u63 });
  const fields = { incarnation: u63, layout: u63, epoch: u63, log: text, predecessors: fc.array(text) };
  const segmentRecord = fc.oneof(
    fc.record({ ...fields, state: fc.constant("open") }),
    fc.record({ ...fields, state: fc.constantFrom("sealed", "archived", "deleted"), sealed: end }),
  ) as fc.Arbitrary<unknown> as fc.Arbitrary<SegmentRecord>;
  const subscription = fc.record({
    mode: fc.constantFrom("earliest" as const, "latest" as const),
    revision: u63,
    positions: fc.dictionary(text, fc.maxSafeNat()),
    generation: fc.maxSafeNat(),
  });
  const bookmark = fc.record({
    sequence: fc.nat(2 ** 31 - 1),
    time: fc.bigInt({ min: 0n, max: 2n ** 60n - 1n }),
    finished: fc.boolean(),
    generation: fc.maxSafeNat(),
  });

  it("comes back as it was, from text and from bytes", () => {
    const both = <T>(value: string, decode: (value: Uint8Array | string) => T): T => {
      const decoded = decode(value);
      expect(decode(new Uint8Array(Buffer.from(value)))).toEqual(decoded);
      return decoded;
    };
    fc.assert(
      fc.property(segmentRecord, subscription, bookmark, text, (s, sub, b, address) => {
        expect(both(encodeSegment(segment, s), decodeSegment)).toEqual(s);
        expect({ ...both(encodeSubscription(sub), decodeSubscription) }).toEqual({
          ...sub,
          positions: { ...sub.positions },
        });
        expect(both(encodeBookmark(segment, b), decodeBookmark)).toEqual(b);
        expect(both(encodeBuffer({ address }), decodeBuffer)).toEqual({ address });
      }),
    );
  });

  it("of a segment is JSON that other programs read, with numbers that fit 64 bits", () => {
    fc.assert(
      fc.property(segmentRecord, (record) => {
        expect(JSON.parse(encodeSegment(segment, record))).toMatchObject({ HashFrom: 64, HashTo: 127 });
      }),
    );
  });

  const values: Readonly<Record<string, [string, (value: string) => unknown]>> = {
    segment: [encodeSegment(segment, { ...open, state: "sealed", sealed }), decodeSegment],
    subscription: [
      encodeSubscription({ mode: "latest", revision: 7n, positions: { a: 1 }, generation: 2 }),
      decodeSubscription,
    ],
    bookmark: [
      encodeBookmark(segment, { sequence: 1, time: 2n, finished: true, generation: 3 }),
      decodeBookmark,
    ],
    buffer: [encodeBuffer({ address: "a:1" }), decodeBuffer],
  };
  /** Fields of the seed that tell nothing that ours don't. */
  const unread = ["HashFrom", "HashTo", "TimeFrom", "TimeTo", "Closed", "MsgId"];
  for (const [what, [value, decode]] of Object.entries(values)) {
    it(`of a ${what} is reported as damaged when a field is missing or of another kind`, () => {
      const parsed = JSON.parse(value) as Record<string, unknown>;
      for (const name of Object.keys(parsed)) {
        if (unread.includes(name) || (what === "segment" && name === "Finished")) continue;
        for (const wrong of [undefined, null, -1, 0.5, [1], { a: -1 }, "", "-1", "x\u0000".repeat(40)]) {
          // An object of positions by name; that an array is one too changes nothing.
          if (name === "positions" && Array.isArray(wrong)) continue;
          if (name === "address" && typeof wrong === "string" && wrong !== "") continue;
          if (name === "log" && typeof wrong === "string" && wrong !== "") continue;
          const changed = JSON.stringify({ ...parsed, [name]: wrong });
          expect(() => decode(changed), `${name}: ${JSON.stringify(wrong)}`).toThrow(corrupt);
        }
      }
    });

    it(`of a ${what} is reported as damaged when it is no JSON object`, () => {
      const cut = value.slice(0, -1);
      for (const wrong of [cut, "[]", "null", "5", '"text"', `${value}${value}`, "\u0000"]) {
        expect(() => decode(wrong), wrong).toThrow(corrupt);
      }
    });
  }

  it("of a topic is reported as damaged when it is no factor", () => {
    for (const wrong of ["", "5", "17", "6.5", "-6", "six", "100", " 6", "6\n", "0x6", "{}"]) {
      expect(() => decodeRangeSize(wrong), JSON.stringify(wrong)).toThrow(corrupt);
    }
  });
});
