import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JournalError } from "../src/errors.js";
import { producerId } from "../src/messages/producer.js";
import {
  buildUuid,
  clockFromMs,
  clockToMs,
  Flags,
  formatUuid,
  MessageClock,
  newProducerId,
  parseUuid,
  uuidBytes,
} from "../src/messages/uuid.js";

const producer = producerId("089abcdef123");
const parts = fc.record({
  producer: fc
    .uint8Array({ minLength: 6, maxLength: 6 })
    .map((bytes) => producerId(Buffer.from(bytes).toString("hex"))),
  clock: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  flags: fc.integer({ min: 0, max: 1023 }),
});

describe("UUIDs of messages", () => {
  it("gives back what it was made of, and is a version 1 UUID of RFC 4122", () => {
    fc.assert(
      fc.property(parts, (given) => {
        const uuid = buildUuid(given);
        expect(parseUuid(uuid)).toEqual(given);
        expect(formatUuid(uuid)).toMatch(
          /^[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
        );
        expect(uuidBytes(formatUuid(uuid))).toEqual(uuid);
      }),
    );
  });

  it("orders the UUIDs of a producer by their clocks", () => {
    fc.assert(
      fc.property(parts, fc.bigInt({ min: 1n, max: 1n << 40n }), (given, later) => {
        fc.pre(given.clock + later < 1n << 64n);
        const other = parseUuid(buildUuid({ ...given, clock: given.clock + later }));
        expect(other.clock > parseUuid(buildUuid(given)).clock).toBe(true);
      }),
    );
  });

  it("has the time where RFC 4122 has it", () => {
    // The example of RFC 4122's namespaces, 6ba7b810-9dad-11d1-80b4-00c04fd430c8, was made on 1998-02-04.
    const { clock } = parseUuid(uuidBytes("6ba7b810-9dad-11d1-80b4-00c04fd430c8"));
    expect(new Date(clockToMs(clock)).toISOString()).toBe("1998-02-04T22:13:53.151Z");
  });

  it("has the producer in its node, the flags in the low bits of the clock sequence, and the counter above them", () => {
    const uuid = buildUuid({ producer, clock: 0xfn, flags: Flags.ACK_TXN });
    expect(formatUuid(uuid)).toBe("00000000-0000-1000-bc02-089abcdef123");
  });

  it.each([
    ["flags of more than 10 bits", () => buildUuid({ producer, clock: 0n, flags: 1024 })],
    ["flags that are no whole number", () => buildUuid({ producer, clock: 0n, flags: 0.5 })],
    ["a clock below 0", () => buildUuid({ producer, clock: -1n, flags: 0 })],
    ["a clock of more than 64 bits", () => buildUuid({ producer, clock: 1n << 64n, flags: 0 })],
    ["15 bytes", () => parseUuid(new Uint8Array(15))],
    ["17 bytes as text", () => formatUuid(new Uint8Array(17))],
    ["text without its lines", () => uuidBytes("6ba7b8109dad11d180b400c04fd430c8")],
    ["a producer in capitals", () => producerId("089ABCDEF123")],
  ])("refuses %s", (_what, attempt) => {
    expect(attempt).toThrow(expect.objectContaining({ code: "invalid-argument" }));
    expect(attempt).toThrow(JournalError);
  });

  it("makes producers that are no MAC addresses", () => {
    const random = { number: () => 0, bytes: (count: number) => new Uint8Array(count) };
    expect(newProducerId(random)).toBe("010000000000");
  });
});

describe("the clock of messages", () => {
  it("keeps milliseconds", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4e12 }), (ms) => {
        expect(clockToMs(clockFromMs(ms))).toBe(ms);
      }),
    );
  });

  it("goes on when the wall clock goes back, and every tick is larger", () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.integer({ min: 0, max: 4e12 })), { minLength: 1 }), (steps) => {
        const clock = new MessageClock();
        let before = clock.now;
        for (const ms of steps) {
          if (ms === null) expect(clock.tick() > before).toBe(true);
          else clock.update(ms);
          expect(clock.now >= before).toBe(true);
          if (ms !== null) expect(clock.now >= clockFromMs(ms)).toBe(true);
          before = clock.now;
        }
      }),
    );
  });
});
