import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Framing, fixedProtobuf, framingOf, jsonLines } from "../src/messages/framing.js";
import { BufferedReader } from "../src/read/buffered-reader.js";

/** A reader over bytes that come in pieces of these sizes, in turn. */
function readerOf(bytes: Uint8Array, sizes: readonly number[] = [1_000_000]): BufferedReader {
  let at = 0;
  let turn = 0;
  return new BufferedReader({
    read: async () => {
      if (at === bytes.length) return undefined;
      const size = sizes[turn++ % sizes.length] ?? 1;
      const piece = bytes.subarray(at, at + size);
      at += piece.length;
      return piece;
    },
  });
}

/** All that comes: messages, and the codes of what is none. */
async function decodeAll<M>(framing: Framing<M>, reader: BufferedReader): Promise<(M | string)[]> {
  const all: (M | string)[] = [];
  for (;;) {
    try {
      const message = await framing.decode(reader);
      if (message === undefined) return all;
      all.push(message);
    } catch (error) {
      const { code } = error as { readonly code: string };
      all.push(code);
      if (code !== "bad-message") return all;
    }
  }
}

/** A "protobuf message" that is its own bytes, so that every byte string is one. */
const itself = {
  encode: (bytes: Uint8Array) => bytes,
  decode: (bytes: Uint8Array) => Uint8Array.from(bytes),
};
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 });

describe("JSON lines", () => {
  it("gives back what was written, however the bytes are cut", async () => {
    const framing = jsonLines<unknown>();
    await fc.assert(
      fc.asyncProperty(fc.array(fc.jsonValue()), sizes, async (values, pieces) => {
        const bytes = Buffer.concat(values.map((value) => framing.encode(value)));
        const got = await decodeAll(framing, readerOf(bytes, pieces));
        expect(JSON.stringify(got)).toBe(JSON.stringify(values));
      }),
    );
  });

  it("tells of a line that is not JSON, and goes on behind it", async () => {
    const bytes = Buffer.from('{"a":1}\nnot json\n\n{"a":2}\n');
    expect(await decodeAll(jsonLines(), readerOf(bytes, [3]))).toEqual([
      { a: 1 },
      "bad-message",
      "bad-message",
      { a: 2 },
    ]);
  });

  it("does not take a line that has no end for a message", async () => {
    expect(await decodeAll(jsonLines(), readerOf(Buffer.from('1\n{"a":1}')))).toEqual([1, "unexpected-eof"]);
  });

  it.each([[[1_000]], [[7]], [[1]]])(
    "skips a line that is longer than allowed, in pieces of %j",
    async (pieces) => {
      const bytes = Buffer.from(`1\n"${"x".repeat(100)}"\n2\n`);
      expect(await decodeAll(jsonLines({ maxBytes: 50 }), readerOf(bytes, pieces))).toEqual([
        1,
        "bad-message",
        2,
      ]);
    },
  );

  it.each([undefined, () => 1, Symbol("a")])("refuses a message that has no JSON form", (message) => {
    expect(() => jsonLines<unknown>().encode(message)).toThrow(
      expect.objectContaining({ code: "invalid-argument" }),
    );
  });
});

describe("fixed protobuf frames", () => {
  it("gives back what was written, however the bytes are cut", async () => {
    const framing = fixedProtobuf(itself);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 60 })), sizes, async (messages, pieces) => {
        const bytes = Buffer.concat(messages.map((message) => framing.encode(message)));
        expect(await decodeAll(framing, readerOf(bytes, pieces))).toEqual(messages);
      }),
    );
  });

  it("has the word 66339336 and the length, little endian, before the message", () => {
    const frame = fixedProtobuf(itself).encode(Uint8Array.of(1, 2, 3));
    expect(Buffer.from(frame).toString("hex")).toBe("6633933603000000010203");
  });

  it("finds the next frame behind bytes that are none, and loses only those", async () => {
    const framing = fixedProtobuf(itself);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 20 }), { minLength: 1 }),
        // Without the word's first byte, no part of it can begin a frame.
        fc
          .uint8Array({ minLength: 1, maxLength: 30 })
          .map((bytes) => bytes.map((byte) => (byte === 0x66 ? 0 : byte))),
        sizes,
        async (messages, garbage, pieces) => {
          const bytes = Buffer.concat([garbage, ...messages.map((message) => framing.encode(message))]);
          const got = await decodeAll(framing, readerOf(bytes, pieces));
          expect(got.filter((each) => each !== "bad-message")).toEqual(messages);
          expect(got).toContain("bad-message");
        },
      ),
    );
  });

  it("tells of a message that does not decode, and goes on behind it", async () => {
    const framing = fixedProtobuf<Uint8Array>({
      encode: (bytes) => bytes,
      decode: (bytes) => {
        if (bytes[0] === 0) throw new RangeError("no");
        return Uint8Array.from(bytes);
      },
    });
    const bytes = Buffer.concat([0, 1].map((byte) => framing.encode(Uint8Array.of(byte))));
    expect(await decodeAll(framing, readerOf(bytes))).toEqual(["bad-message", Uint8Array.of(1)]);
  });

  it("does not make room for a length that damage wrote", async () => {
    const framing = fixedProtobuf(itself, { maxBytes: 100 });
    const bytes = Buffer.concat([Buffer.from("66339336ffffffff", "hex"), framing.encode(Uint8Array.of(7))]);
    const got = await decodeAll(framing, readerOf(bytes));
    expect(got[0]).toBe("bad-message");
    expect(got.at(-1)).toEqual(Uint8Array.of(7));
  });

  it("gives a message that is as long as allowed, whatever the reader puts together by itself", async () => {
    const framing = fixedProtobuf(itself, { maxBytes: 100 });
    const message = Uint8Array.from({ length: 100 }, (_, at) => at);
    const pieces = [framing.encode(message), framing.encode(Uint8Array.of(1))].flatMap((frame) => [
      frame.subarray(0, 7),
      frame.subarray(7, 8),
      frame.subarray(8),
    ]);
    const reader = new BufferedReader({ read: async () => pieces.shift() }, { maxBytes: 20 });
    expect(await decodeAll(framing, reader)).toEqual([message, Uint8Array.of(1)]);
  });

  it.each([-8, -7, 0])("waits for the rest of a message of 64 MiB and %i bytes", async (more) => {
    const header = Buffer.from("66339336000000000102", "hex");
    header.writeUInt32LE(64 * 1024 * 1024 + more, 4);
    expect(await decodeAll(fixedProtobuf(itself), readerOf(header, [3]))).toEqual(["unexpected-eof"]);
  });

  it("skips what is no frame in parts, also when more of it is there at once than a reader puts together", async () => {
    const framing = fixedProtobuf(itself);
    const garbage = new Uint8Array(2 * 1024 * 1024 + 5);
    const pieces = [Buffer.concat([garbage, framing.encode(Uint8Array.of(7))])];
    const reader = new BufferedReader({ read: async () => pieces.shift() }, { maxBytes: 1024 * 1024 });
    expect(await decodeAll(framing, reader)).toEqual([
      "bad-message",
      "bad-message",
      "bad-message",
      Uint8Array.of(7),
    ]);
  });

  it.each([1, 5, 8, 9])("does not take the first %i bytes of a frame for a message", async (length) => {
    const frame = fixedProtobuf(itself).encode(Uint8Array.of(1, 2));
    expect(await decodeAll(fixedProtobuf(itself), readerOf(frame.subarray(0, length)))).toEqual([
      "unexpected-eof",
    ]);
  });
});

describe("the framing of a journal", () => {
  it("is the one for its content type, or an error that names both", () => {
    const framings = [jsonLines<unknown>()];
    expect(framingOf(framings, "application/x-ndjson", "a/b")).toBe(framings[0]);
    expect(() => framingOf(framings, "text/csv", "a/b")).toThrow(
      expect.objectContaining({
        code: "invalid-argument",
        message: expect.stringMatching(/a\/b.*"text\/csv".*application\/x-ndjson/),
      }),
    );
  });
});
