import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isJournalError } from "../src/errors.js";
import * as wire from "../src/gen/protocol/protocol.js";
import { encodeAppendContent } from "../src/wire/append-content.js";
import { decodeRawReadResponse, decodeReadResponse } from "../src/wire/read-response.js";
import { fragmentOf } from "./support/stub-values.js";

const header: wire.Header = {
  processId: { zone: "zone-a", suffix: "broker-1" },
  route: { members: [{ zone: "zone-a", suffix: "broker-1" }], primary: 0, endpoints: ["http://127.0.0.1:1"] },
  etcd: { clusterId: 1n, memberId: 2n, revision: 3n, raftTerm: 4n },
};

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const tinyBytes = fc.uint8Array({ maxLength: 8 });

/** One field of a message, known or not, well-typed or not. */
const field: fc.Arbitrary<(writer: BinaryWriter) => void> = fc.oneof(
  fc.integer({ min: 0, max: 20 }).map((status) => (w: BinaryWriter) => void w.uint32(8).int32(status)),
  fc.constant((w: BinaryWriter) => void wire.Header.encode(header, w.uint32(18).fork()).join()),
  int64.map((offset) => (w: BinaryWriter) => void w.uint32(24).int64(offset)),
  int64.map((head) => (w: BinaryWriter) => void w.uint32(32).int64(head)),
  int64.map(
    (begin) => (w: BinaryWriter) =>
      void wire.Fragment.encode(
        fragmentOf("a/journal", BigInt.asIntN(62, begin), "x"),
        w.uint32(42).fork(),
      ).join(),
  ),
  fc
    .string({ unit: "binary", maxLength: 5 })
    .map((url) => (w: BinaryWriter) => void w.uint32(50).string(url)),
  fc.uint8Array({ maxLength: 300 }).map((content) => (w: BinaryWriter) => void w.uint32(58).bytes(content)),
  // Fields that are not the message's, and its own with other wire types.
  fc
    .tuple(fc.integer({ min: 1, max: 536_870_911 }), tinyBytes)
    .filter(([number]) => number > 7)
    .map(
      ([number, bytes]) =>
        (w: BinaryWriter) =>
          void w.tag(number, WireType.LengthDelimited).bytes(bytes),
    ),
  fc
    .integer({ min: 1, max: 30 })
    .map((number) => (w: BinaryWriter) => void w.tag(number, WireType.Bit32).fixed32(7)),
  fc
    .integer({ min: 1, max: 30 })
    .map((number) => (w: BinaryWriter) => void w.tag(number, WireType.Bit64).fixed64(7n)),
  fc.tuple(fc.integer({ min: 8, max: 30 }), int64).map(
    ([number, value]) =>
      (w: BinaryWriter) =>
        void w.tag(number, WireType.Varint).int64(value),
  ),
  fc
    .integer({ min: 8, max: 30 })
    .map(
      (number) => (w: BinaryWriter) =>
        void w
          .tag(number, WireType.StartGroup)
          .tag(1, WireType.Varint)
          .int32(5)
          .tag(2, WireType.StartGroup)
          .tag(2, WireType.EndGroup)
          .tag(number, WireType.EndGroup),
    ),
);

const message: fc.Arbitrary<Buffer> = fc.array(field, { maxLength: 8 }).map((fields) => {
  const writer = new BinaryWriter();
  for (const write of fields) write(writer);
  return Buffer.from(writer.finish());
});

/** As the generated decoder has it: content that is absent is empty. */
function comparable(raw: ReturnType<typeof decodeRawReadResponse>): unknown {
  return { ...raw, content: Buffer.from(raw.content ?? []) };
}

describe("the decoder of ReadResponse", () => {
  it("finds in any message what the generated one finds", () => {
    fc.assert(
      fc.property(message, (bytes) => {
        expect(comparable(decodeRawReadResponse(bytes))).toEqual(wire.ReadResponse.decode(bytes));
      }),
      { numRuns: 1000 },
    );
  });

  it("refuses messages that were cut, or agrees with the generated one about what is left", () => {
    fc.assert(
      fc.property(message, fc.nat(), fc.uint8Array({ maxLength: 3 }), (bytes, at, noise) => {
        const cut = Buffer.concat([bytes.subarray(0, at % (bytes.length + 1)), noise]);
        // In the middle of a larger buffer: what is read behind the end would be seen.
        const within = Buffer.concat([Buffer.alloc(7, 0x81), cut, Buffer.alloc(64, 0x01)]);
        const view = within.subarray(7, 7 + cut.length);
        let raw: ReturnType<typeof decodeRawReadResponse>;
        try {
          raw = decodeRawReadResponse(view);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
          return;
        }
        expect(comparable(raw)).toEqual(wire.ReadResponse.decode(cut));
      }),
      { numRuns: 2000 },
    );
  });

  it("refuses a message within it that has more behind a field of number 0", () => {
    const fragment = new BinaryWriter().uint32(10).string("a/journal").uint32(0).uint32(29).finish();
    const bytes = new BinaryWriter().uint32(42).bytes(fragment).finish();
    expect(() => decodeRawReadResponse(bytes)).toThrow("a field has the number 0");
    expect(() => decodeReadResponse(bytes)).toThrow(expect.objectContaining({ code: "invalid-response" }));
  });

  it("throws nothing but invalid-response, whatever the bytes are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          decodeReadResponse(bytes);
        } catch (error) {
          expect(isJournalError(error, "invalid-response")).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("gives the same for a chunk as the generated one, at every offset and of every length", () => {
    const lengths = fc.oneof(fc.nat({ max: 300 }), fc.constantFrom(16_383, 16_384, 131_072, 2_097_152));
    const offsets = fc.oneof(
      fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
      fc.constantFrom(0n, 127n, 128n, 2n ** 49n - 1n, 2n ** 49n, 2n ** 53n, 2n ** 63n - 1n),
    );
    fc.assert(
      fc.property(offsets, lengths, (offset, length) => {
        const content = Buffer.alloc(length, 0x5a);
        const bytes = Buffer.from(
          new BinaryWriter().uint32(24).int64(offset).uint32(58).bytes(content).finish(),
        );
        const { header: none, ...generated } = wire.ReadResponse.decode(bytes);
        expect(none).toBe(undefined);
        const response = decodeReadResponse(bytes);
        expect(response.offset).toBe(generated.offset);
        expect(response.status).toBe("OK");
        expect(Buffer.compare(response.content!, generated.content)).toBe(0);
      }),
    );
  });

  it("does not copy content", () => {
    for (const offset of [0n, 5n, 2n ** 60n]) {
      const bytes = Buffer.from(wire.ReadResponse.encode(wire.ReadResponse.fromPartial({ offset })).finish());
      const whole = Buffer.concat([bytes, Buffer.from("3a03", "hex"), Buffer.from("foo")]);
      const { content } = decodeReadResponse(whole);
      expect(Buffer.from(content!).toString()).toBe("foo");
      expect(content!.buffer).toBe(whole.buffer);
      expect(content!.byteOffset).toBe(whole.byteOffset + whole.length - 3);
    }
  });

  it("knows an empty chunk from one that is not there", () => {
    expect(decodeReadResponse(Buffer.from("3a00", "hex")).content).toHaveLength(0);
    expect(decodeReadResponse(Buffer.alloc(0)).content).toBe(undefined);
  });

  it.each([
    ["an offset without an end", "18ff"],
    ["an offset of eleven bytes", "18ffffffffffffffffffff01"],
    ["a length without an end", "3aff"],
    ["content that is cut", "3a05616263"],
    ["a length of 4 GiB", "3affffffff0f"],
    ["the field 0", "00"],
    ["an end of a group that has not begun", "44"],
    ["a group without an end", "43"],
    ["the wire type 7", "1f"],
    ["a header that ends in the middle of its route", "120412050a00"],
  ])("refuses %s", (_, hex) => {
    expect(() => decodeReadResponse(Buffer.from(hex, "hex"))).toThrow(
      expect.objectContaining({
        code: "invalid-response",
        message: expect.stringMatching(/^The bytes of a ReadResponse are not well-formed: /),
      }),
    );
  });

  it("survives groups that are nested without end", () => {
    expect(() => decodeReadResponse(Buffer.alloc(1 << 20, 0x43))).toThrow("not well-formed");
  });

  it("names the numbers of enums that it does not know", () => {
    const bad = (fields: Partial<wire.ReadResponse>): Buffer =>
      Buffer.from(wire.ReadResponse.encode({ ...wire.ReadResponse.fromPartial({}), ...fields }).finish());
    expect(() => decodeReadResponse(bad({ status: 9101 as never }))).toThrow("ReadResponse.status is 9101");
    expect(() => decodeReadResponse(bad({ status: -1 as never }))).toThrow("ReadResponse.status is -1");
    const fragment = fragmentOf("a/journal", 0n, "foo", { compressionCodec: 0 });
    expect(() => decodeReadResponse(bad({ fragment, writeHead: 3n }))).toThrow(
      "ReadResponse.fragment.compressionCodec is 0",
    );
  });
});

describe("the encoder of an Append's content", () => {
  it("gives the bytes of the generated one, and a copy of the content", () => {
    const lengths = fc.oneof(
      fc.integer({ min: 1, max: 400 }),
      fc.constantFrom(127, 128, 16_383, 16_384, 2_097_151, 2_097_152),
    );
    fc.assert(
      fc.property(lengths, fc.nat({ max: 255 }), (length, byte) => {
        const content = Buffer.alloc(length, byte);
        const encoded = encodeAppendContent(content);
        content.fill(byte + 1);
        const request = wire.AppendRequest.fromPartial({ content: Buffer.alloc(length, byte) });
        expect(Buffer.compare(encoded, wire.AppendRequest.encode(request).finish())).toBe(0);
      }),
      { numRuns: 50 },
    );
  });
});
