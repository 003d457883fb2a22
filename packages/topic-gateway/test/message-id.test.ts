import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeMessageId,
  encodeMessageId,
  formatMessageId,
  MAX_SEQUENCE,
  MAX_TICKS,
  microsOfTicks,
  msOfTicks,
  NIL_ID,
  parseMessageId,
  TopicError,
  ticksOfMicros,
  ticksOfMs,
} from "../src/protocol.js";

const parts = fc.record({
  time: fc.bigInt({ min: 0n, max: MAX_TICKS }),
  sequence: fc.integer({ min: 0, max: MAX_SEQUENCE }),
  rangeFrom: fc.integer({ min: 0, max: 65535 }),
});

describe("a message id", () => {
  // Goldens: put together in Python, whose uuid module finds version 1, the variant of RFC 4122 and the same time in each.
  const goldens = [
    { text: "13814000-1dd2-11b2-8000-000000010000", time: 0x1b21dd213814000n, sequence: 1, rangeFrom: 0 },
    // The time of the example in RFC 9562, A.1: 2022-02-22 19:22:22 UTC.
    {
      text: "c232ab00-9414-11ec-8012-3456789aff00",
      time: 0x1ec9414c232ab00n,
      sequence: 0x123456789a,
      rangeFrom: 0xff00,
    },
    {
      text: "ffffffff-ffff-1fff-80ff-ffffffffffff",
      time: 2n ** 60n - 1n,
      sequence: 2 ** 40 - 1,
      rangeFrom: 65535,
    },
    { text: "00000000-0000-1000-8000-000000000000", time: 0n, sequence: 0, rangeFrom: 0 },
  ];
  for (const { text, ...expected } of goldens) {
    it(`is a version-1 UUID: ${text}`, () => {
      expect(formatMessageId(expected)).toBe(text);
      expect(Buffer.from(encodeMessageId(expected)).toString("hex")).toBe(text.replaceAll("-", ""));
      expect(parseMessageId(text)).toEqual(expected);
      expect(parseMessageId(text.toUpperCase())).toEqual(expected);
    });
  }

  it("comes back as it was, as text and as bytes, also from the middle of a larger buffer", () => {
    fc.assert(
      fc.property(parts, fc.nat(20), (id, offset) => {
        expect(parseMessageId(formatMessageId(id))).toEqual(id);
        const larger = new Uint8Array(40).fill(255);
        larger.set(encodeMessageId(id), offset);
        expect(decodeMessageId(larger.subarray(offset, offset + 16))).toEqual(id);
      }),
    );
  });

  it("differs from every other message's", () => {
    fc.assert(
      fc.property(parts, parts, (a, b) => {
        const same = a.time === b.time && a.sequence === b.sequence && a.rangeFrom === b.rangeFrom;
        expect(formatMessageId(a) === formatMessageId(b)).toBe(same);
      }),
    );
  });

  const wrong: Readonly<Record<string, string>> = {
    nothing: "",
    "the nil UUID": NIL_ID,
    "version 4": "c232ab00-9414-41ec-8012-3456789aff00",
    "another variant": "c232ab00-9414-11ec-c012-3456789aff00",
    "a clock sequence that is not ours": "c232ab00-9414-11ec-b3c8-9f6bdeced846",
    "no hyphens": "c232ab00941411ec80123456789aff00",
    "a digit too much": "c232ab00-9414-11ec-8012-3456789aff000",
    "a letter that is no digit": "g232ab00-9414-11ec-8012-3456789aff00",
    "a line feed at the end": "c232ab00-9414-11ec-8012-3456789aff00\n",
  };
  for (const [what, text] of Object.entries(wrong)) {
    it(`is not: ${what}`, () => {
      expect(() => parseMessageId(text)).toThrow(expect.objectContaining({ code: "invalid-id" }));
    });
  }

  it("is not what is no text, and not bytes of another length or version", () => {
    for (const value of [undefined, null, 1, {}, ["c232ab00-9414-11ec-8012-3456789aff00"]]) {
      expect(() => parseMessageId(value as string)).toThrow(TopicError);
    }
    for (const length of [0, 15, 17]) {
      expect(() => decodeMessageId(new Uint8Array(length))).toThrow(
        expect.objectContaining({ code: "invalid-id" }),
      );
    }
    expect(() => decodeMessageId(new Uint8Array(16))).toThrow(TopicError);
  });
});

describe("ticks of 100 ns since 1582", () => {
  it("start 122192928000000000 before 1970, as RFC 9562 has it", () => {
    expect(ticksOfMs(0)).toBe(0x01b21dd213814000n);
    expect(ticksOfMs(0)).toBe(122192928000000000n);
    expect(ticksOfMicros(0n)).toBe(122192928000000000n);
  });

  it("are the time of a clock, to the tenth of a microsecond", () => {
    expect(ticksOfMs(1700000000000.5)).toBe(122192928000000000n + 17000000000005000n);
    expect(msOfTicks(ticksOfMs(1700000000000))).toBe(1700000000000);
    expect(new Date(msOfTicks(0x1ec9414c232ab00n)).toISOString()).toBe("2022-02-22T19:22:22.000Z");
  });

  it("are refused for what is no time", () => {
    for (const wrong of [
      Number.NaN,
      Number.POSITIVE_INFINITY,
      1e306,
      "5" as never,
      5n as never,
      null as never,
    ]) {
      expect(() => ticksOfMs(wrong), String(wrong)).toThrow(
        expect.objectContaining({ code: "invalid-argument" }),
      );
    }
  });

  it("turn into microseconds and back", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 52n }), (micros) => {
        expect(microsOfTicks(ticksOfMicros(micros))).toBe(micros);
        expect(microsOfTicks(ticksOfMicros(micros) + 9n)).toBe(micros);
      }),
    );
  });
});
