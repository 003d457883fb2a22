import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  checkBody,
  decodeBody,
  encodeBody,
  keyOfBody,
  MAX_BODY_BYTES,
  MAX_DATA_BYTES,
  MAX_HEADER_BYTES,
  type MessageBody,
  TopicError,
} from "../src/protocol.js";

/** The code of what is thrown, and that it is one of ours. */
function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(TopicError);
    return (error as TopicError).code;
  }
  return "nothing was thrown";
}

const text = fc.string({ unit: "binary", maxLength: 30 }).filter((value) => value.isWellFormed());
const key = text.filter((value) => value !== "" && Buffer.byteLength(value) <= 128);
const message: fc.Arbitrary<MessageBody> = fc.record(
  {
    key,
    data: fc.uint8Array({ maxLength: 200 }),
    time: fc.maxSafeInteger(),
    headers: fc.dictionary(
      text.filter((name) => name !== ""),
      text,
      { maxKeys: 5 },
    ),
    producer: fc.record({
      id: fc.uint8Array({ minLength: 16, maxLength: 16 }),
      sequence: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    }),
  },
  { requiredKeys: ["key", "data", "time"] },
);

describe("the body of a message", () => {
  // Goldens: made once with Python's struct module from the layout in message.ts.
  it("has the bytes that its description says", () => {
    const plain = encodeBody({ key: "key-1", data: Buffer.from("hello"), time: 1700000000123456 });
    expect(plain.toString("hex")).toBe("0005000040222018240a06006b65792d3168656c6c6f");
    const full = encodeBody({
      key: "Zürich",
      data: Uint8Array.of(0, 255),
      time: -1,
      headers: { a: "b", ü: "" },
      producer: { id: Uint8Array.from({ length: 16 }, (_, i) => i), sequence: 2n ** 64n - 1n },
    });
    expect(full.toString("hex")).toBe(
      "01070c00ffffffffffffffff000102030405060708090a0b0c0d0e0fffffffffffffffff" +
        "5ac3bc726963680100610100620200c3bc000000ff",
    );
  });

  it("comes back as it was", () => {
    fc.assert(
      fc.property(message, (body) => {
        const bytes = encodeBody(body);
        const decoded = decodeBody(bytes);
        expect(keyOfBody(bytes)).toBe(body.key);
        expect({ ...decoded, data: Uint8Array.from(decoded.data) }).toEqual({
          key: body.key,
          data: body.data,
          time: body.time,
          ...(body.headers && Object.keys(body.headers).length > 0 && { headers: { ...body.headers } }),
          ...(body.producer && {
            producer: { id: Buffer.from(body.producer.id), sequence: body.producer.sequence },
          }),
        });
      }),
    );
  });

  it("takes a header that is called __proto__ for a header", () => {
    const headers = JSON.parse('{"__proto__":"x","constructor":"y"}') as Record<string, string>;
    const decoded = decodeBody(encodeBody({ key: "k", data: Buffer.alloc(0), time: 0, headers }));
    expect(Object.entries(decoded.headers ?? {})).toEqual([
      ["__proto__", "x"],
      ["constructor", "y"],
    ]);
  });

  it("gives data as a view of what was read, not as a copy", () => {
    const bytes = encodeBody({ key: "k", data: Buffer.from("data"), time: 0 });
    expect(decodeBody(bytes).data.buffer).toBe(bytes.buffer);
  });

  it("may be as large as the limits say, and not larger", () => {
    const largest: MessageBody = {
      key: "k".repeat(128),
      data: Buffer.alloc(MAX_DATA_BYTES, "d"),
      time: 0,
      headers: { h: "v".repeat(MAX_HEADER_BYTES - 5) },
      producer: { id: new Uint8Array(16), sequence: 1n },
    };
    const bytes = encodeBody(largest);
    expect(bytes.length).toBe(MAX_BODY_BYTES);
    expect(checkBody(bytes)).toBe(36);
    const tooLarge: Partial<MessageBody>[] = [
      { data: Buffer.alloc(MAX_DATA_BYTES + 1) },
      { headers: { h: "v".repeat(MAX_HEADER_BYTES - 4) } },
      { headers: { h: "v".repeat(100_000) } },
    ];
    for (const change of tooLarge) {
      expect(codeOf(() => encodeBody({ ...largest, ...change }))).toBe("message-too-large");
    }
    expect(codeOf(() => encodeBody({ ...largest, key: "k".repeat(129) }))).toBe("invalid-key");
    const longer = Buffer.concat([bytes, Buffer.alloc(1)]);
    expect(codeOf(() => decodeBody(longer))).toBe("invalid-argument");
  });

  it("is not made of values that it cannot hold", () => {
    const good: MessageBody = { key: "k", data: Buffer.alloc(1), time: 0 };
    const bad: Partial<MessageBody>[] = [
      { time: Number.NaN },
      { time: Number.POSITIVE_INFINITY },
      { time: 2 ** 53 },
      { producer: { id: new Uint8Array(15), sequence: 1n } },
      { producer: { id: new Uint8Array(17), sequence: 1n } },
      { producer: { id: new Uint8Array(16), sequence: -1n } },
      { producer: { id: new Uint8Array(16), sequence: 2n ** 64n } },
      { headers: { "": "no name" } },
      { headers: { number: 1 as unknown as string } },
    ];
    for (const change of bad)
      expect(codeOf(() => encodeBody({ ...good, ...change }))).toBe("invalid-argument");
    expect(codeOf(() => encodeBody({ ...good, key: "" }))).toBe("invalid-key");
    expect(codeOf(() => encodeBody({ ...good, key: "\ud800" }))).toBe("invalid-key");
  });

  it("has a time without a fraction", () => {
    expect(decodeBody(encodeBody({ key: "k", data: Buffer.alloc(0), time: 12.75 })).time).toBe(12);
  });
});

describe("bytes that a stranger sent as a body", () => {
  const malformed: Readonly<Record<string, string>> = {
    "nothing at all": "",
    "unknown flags": "0201000000000000000000006b",
    "no key": "000000000000000000000000",
    "a key of 129 bytes": `0081000000000000000000${"6b".repeat(130)}`,
    "a key that is cut off": "00020000000000000000000000",
    "headers that are cut off": "0001050000000000000000006b01006101",
    "headers longer than what is there": "0001ff3f00000000000000006b",
    "more headers than are allowed": `0001014000000000000000006b${"00".repeat(0x4001)}`,
    "a header without a value": "0001030000000000000000006b010061",
    "a header that reaches into the data": "0001070000000000000000006b0100610500626364",
    "half a producer": "010100000000000000000000000102030405",
    "a key that is not UTF-8": "000200000000000000000000c328",
    "a key of half a surrogate pair": "000300000000000000000000eda080",
    "a time that no number holds": "0001000000000000000020006b",
    "a time long ago that no number holds": "000100000000000000ffdfff6b",
  };
  for (const [what, hex] of Object.entries(malformed)) {
    it(`is refused by every reader: ${what}`, () => {
      const bytes = Buffer.from(hex, "hex");
      for (const read of [checkBody, keyOfBody, decodeBody]) {
        expect(codeOf(() => read(bytes))).toBe("invalid-argument");
      }
    });
  }

  it.each([
    ["-2^53", -(2n ** 53n)],
    ["2^53", 2n ** 53n],
    ["the smallest of 64 bits", -(2n ** 63n)],
    ["the largest of 64 bits", 2n ** 63n - 1n],
  ])("is refused when its time is no number that can be told from its neighbours: %s", (_what, time) => {
    const body = encodeBody({ key: "a", data: new Uint8Array(), time: 0 });
    body.writeBigInt64LE(time, 4);
    expect(codeOf(() => checkBody(body))).toBe("invalid-argument");
    body.writeBigInt64LE(time < 0n ? -(2n ** 53n) + 1n : 2n ** 53n - 1n, 4);
    expect(Number.isSafeInteger(decodeBody(body).time)).toBe(true);
  });

  it("is refused, or can be read whole, whatever it is", () => {
    const mutated = fc
      .tuple(message, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.nat())
      .map(([body, changes, cut]) => {
        const bytes = encodeBody(body);
        for (const [at, value] of changes) bytes[at % Math.min(bytes.length, 60)] = value;
        return bytes.subarray(0, cut % 3 === 0 ? cut % (bytes.length + 1) : bytes.length);
      });
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes)),
      mutated,
    );
    fc.assert(
      fc.property(anything, (bytes) => {
        try {
          checkBody(bytes);
        } catch (error) {
          expect((error as TopicError).code).toBe("invalid-argument");
          return;
        }
        const decoded = decodeBody(bytes);
        expect(Buffer.from(decoded.key).length).toBe(bytes[1]);
        expect(Number.isSafeInteger(decoded.time)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});
