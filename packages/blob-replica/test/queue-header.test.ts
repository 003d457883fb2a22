import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeHeader, encodeHeader, type QueueHeader, recordBytes } from "../src/replica/queue/record.js";

const header: QueueHeader = {
  nextSeq: 2 ** 40 + 7,
  table: [
    { name: "disk", dropped: 3, synced: 1 },
    { name: "bücket", dropped: 0, synced: 0 },
  ],
};

describe("the header of a queue file", () => {
  it("comes back as it was written, whatever the stores are called, and records follow it", () => {
    const row = fc.record({ name: fc.string({ unit: "grapheme" }), dropped: fc.nat(), synced: fc.nat() });
    const headers = fc.record({ nextSeq: fc.integer({ min: 0, max: 2 ** 48 - 1 }), table: fc.array(row) });
    fc.assert(
      fc.property(headers, fc.uint8Array({ maxLength: 100 }), (written, rest) => {
        const { header: read, end } = decodeHeader(
          Buffer.concat([encodeHeader(written), rest]),
          "queue-1.log",
        );
        expect(read).toEqual(written);
        expect(end % recordBytes).toBe(0);
        expect(end).toBe(encodeHeader(written).length);
      }),
    );
  });

  it("is bad-data with any of its bits changed: neither a number nor a store's name is ever taken for another", () => {
    const good = encodeHeader(header);
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bad = Buffer.from(good);
      bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(() => decodeHeader(bad, "queue-1.log"), `bit ${bit}`).toThrowError(
        expect.objectContaining({ code: "bad-data", message: expect.stringContaining("queue-1.log") }),
      );
    }
  });

  it("is bad-data when it is cut off", () => {
    const good = encodeHeader(header);
    for (let length = 0; length < good.length; length++) {
      expect(() => decodeHeader(good.subarray(0, length), "queue-1.log")).toThrowError(
        expect.objectContaining({ code: "bad-data" }),
      );
    }
  });
});
