import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkKey, parseConsumerName, parseSubscriptionName, parseTopicName } from "../src/protocol.js";

const kinds = [
  { what: "a topic", parse: parseTopicName, code: "invalid-topic-name" },
  { what: "a subscription", parse: parseSubscriptionName, code: "invalid-subscription-name" },
  { what: "a consumer", parse: parseConsumerName, code: "invalid-consumer-name" },
] as const;

for (const { what, parse, code } of kinds) {
  describe(`the name of ${what}`, () => {
    it("has 1 to 128 letters, digits or underscores", () => {
      for (const name of ["a", "Z", "0", "_", "orders_2026", "a".repeat(128)]) expect(parse(name)).toBe(name);
    });

    it("is refused with a sentence when it is something else", () => {
      const wrong = ["", "a".repeat(129), "a b", "a/b", "../a", "ä", "a\n", "\na", "a\0", "a%62", "а"];
      for (const name of wrong) {
        expect(() => parse(name), JSON.stringify(name)).toThrow(
          expect.objectContaining({
            code,
            message: expect.stringMatching(/is not .* name: 1 to 128 letters/),
          }),
        );
      }
      for (const name of [undefined, null, 5, ["a"], { toString: () => "a" }]) {
        expect(() => parse(name as string)).toThrow(expect.objectContaining({ code }));
      }
    });

    it("is not shown at full length when it is wrong and very long", () => {
      try {
        parse("x/".repeat(100_000));
        expect.unreachable();
      } catch (error) {
        expect((error as Error).message.length).toBeLessThan(250);
      }
    });
  });
}

describe("the name of a consumer", () => {
  it("may also have hyphens, dots and colons, as host names have; the others may not", () => {
    expect(parseConsumerName("host-1.example:80")).toBe("host-1.example:80");
    for (const name of ["a-b", "a.b", "a:b"]) {
      expect(() => parseTopicName(name)).toThrow();
      expect(() => parseSubscriptionName(name)).toThrow();
    }
  });
});

describe("a key", () => {
  it("has 1 to 128 bytes of UTF-8", () => {
    const right = ["k", "k".repeat(128), "ü".repeat(64), "😀".repeat(32), "a/b c\n", "\0"];
    for (const key of right) expect(checkKey(key)).toBe(key);
    for (const key of ["", "k".repeat(129), "ü".repeat(65), "😀".repeat(33), "k".repeat(1_000_000)]) {
      expect(() => checkKey(key)).toThrow(expect.objectContaining({ code: "invalid-key" }));
    }
    for (const key of [undefined, null, 5, Buffer.from("k")]) {
      expect(() => checkKey(key as unknown as string)).toThrow(
        expect.objectContaining({ code: "invalid-key" }),
      );
    }
  });

  it("is well-formed Unicode", () => {
    for (const key of ["\ud800", "\udc00", "a\ud83d", "\ude00\ud83d"]) {
      expect(() => checkKey(key)).toThrow(expect.objectContaining({ code: "invalid-key" }));
    }
  });

  it("is exactly what survives a way through UTF-8 within the limit", () => {
    const anything = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 140 });
    fc.assert(
      fc.property(
        fc.oneof(anything, fc.array(fc.integer({ min: 32, max: 126 }), { maxLength: 140 })),
        (units) => {
          const key = String.fromCharCode(...units);
          const bytes = Buffer.from(key, "utf8");
          const isRight = bytes.toString("utf8") === key && bytes.length >= 1 && bytes.length <= 128;
          if (isRight) expect(checkKey(key)).toBe(key);
          else expect(() => checkKey(key)).toThrow(expect.objectContaining({ code: "invalid-key" }));
        },
      ),
    );
  });
});
