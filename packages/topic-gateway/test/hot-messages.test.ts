import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PublishRequest, PublishResponse, ReadResponse } from "../src/gen/x/topics/v1/buffer.js";
import { decodePublishReplies, decodeReadResponse, encodePublishRequest } from "../src/grpc/hot-messages.js";
import { WireReader, writeVarint, writeVarint64 } from "../src/grpc/wire-reader.js";

const count = fc.nat({ max: 2 ** 31 - 1 });
const sequence = fc.maxSafeNat();
const ticks = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

describe("the messages of a client's hot path", () => {
  it("are those of the generated code: requests to publish", () => {
    const open = fc.record({
      topic: fc.string(),
      range: fc.record({ from: count, to: count.map((n) => n + 1) }),
      epoch: ticks,
      sender: fc.option(
        fc.record({
          id: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((id) => Buffer.from(id).toString("hex")),
          attempt: sequence,
        }),
        { nil: undefined },
      ),
    });
    fc.assert(
      fc.property(
        count,
        sequence,
        fc.uint8Array({ maxLength: 500 }),
        fc.option(open, { nil: undefined }),
        (lane, batch, bytes, target) => {
          const entries = Buffer.from(bytes);
          const encoded = encodePublishRequest({
            lane,
            batch,
            entries,
            ...(target && { open: { ...target, sender: target.sender } as never }),
          });
          expect(PublishRequest.decode(encoded)).toEqual({
            lane,
            batch: BigInt(batch),
            entries,
            open: target && {
              topic: target.topic,
              hashFrom: target.range.from,
              hashTo: target.range.to - 1,
              epoch: target.epoch,
              sender: Buffer.from(target.sender?.id ?? "", "hex"),
              attempt: BigInt(target.sender?.attempt ?? 0),
            },
          });
        },
      ),
    );
  });

  it("are those of the generated code: chunks that are read", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), sequence, count, (bytes, firstSequence, many) => {
        const frames = Buffer.from(bytes);
        const encoded = ReadResponse.encode({ frames, firstSequence: BigInt(firstSequence), count: many });
        const chunk = decodeReadResponse(Buffer.from(encoded.finish()));
        expect(chunk).toEqual({ frames, firstSequence, count: many });
      }),
    );
  });

  it("are those of the generated code: answers to publishing", () => {
    const run = fc.record({ time: ticks, sequence, count });
    const refusal = fc.option(fc.record({ code: fc.constant("overloaded"), message: fc.string() }), {
      nil: undefined,
    });
    fc.assert(
      fc.property(count, sequence, fc.array(run, { maxLength: 4 }), refusal, (lane, batch, runs, refused) => {
        const encoded = PublishResponse.encode({
          lane,
          ackedBatch: BigInt(batch),
          runs: runs.map((one) => ({ ...one, sequence: BigInt(one.sequence) })),
          refusal: refused,
        });
        expect(decodePublishReplies(Buffer.from(encoded.finish()))).toEqual([
          ...(batch > 0 ? [{ type: "ack", lane, batch, runs }] : []),
          ...(refused ? [{ type: "refused", lane, code: "overloaded", message: refused.message }] : []),
        ]);
      }),
    );
  });

  it("skip what a later version may add", () => {
    const known = ReadResponse.encode({ frames: Buffer.from("f"), firstSequence: 7n, count: 1 }).finish();
    // Fields 15, one of each wire type: varint of 64 bits, 8 bytes, bytes, 4 bytes.
    const added = [
      Buffer.from([0x78, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
      Buffer.from([0x79, 1, 2, 3, 4, 5, 6, 7, 8]),
      Buffer.from([0x7a, 2, 1, 2]),
      Buffer.from([0x7d, 1, 2, 3, 4]),
    ];
    const chunk = decodeReadResponse(Buffer.concat([...added, known, ...added]));
    expect(chunk).toEqual({ frames: Buffer.from("f"), firstSequence: 7, count: 1 });
  });

  it("refuse other bytes with a sentence, whatever they are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        for (const decode of [decodeReadResponse, decodePublishReplies]) {
          try {
            decode(Buffer.from(bytes));
          } catch (error) {
            expect(error).toBeInstanceOf(Error);
            expect((error as Error).message).not.toBe("");
          }
        }
      }),
    );
  });

  it("count up to 2^53 as numbers and up to 2^64 as bigints, in the fewest bytes", () => {
    fc.assert(
      fc.property(ticks, (value) => {
        const out = Buffer.alloc(10);
        const end = writeVarint64(out, value, 0);
        expect(end).toBe(Math.max(1, Math.ceil(value.toString(2).length / 7)));
        expect(new WireReader(out.subarray(0, end)).varint64()).toBe(value);
      }),
    );
    fc.assert(
      fc.property(sequence, (value) => {
        const out = Buffer.alloc(10);
        expect(new WireReader(out.subarray(0, writeVarint(out, value, 0))).varint()).toBe(value);
      }),
    );
  });
});
