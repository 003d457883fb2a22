import { type PublishBatch, type PublishReply, parseMessageId, TopicError } from "@x/topic-gateway/protocol";
import type { ntail } from "@x/topic-gateway/wire";
import { describe, expect, it } from "vitest";
import { NtailAppend } from "../src/grpc/ntail-append.js";
import type { BufferNode } from "../src/index.js";
import { publishTo } from "../src/lanes.js";
import { settled } from "./support/fake-clock.js";

const range = { from: 0, to: 65536 };

type Publish = (batches: AsyncIterable<PublishBatch>) => AsyncIterable<PublishReply>;

/** As much of a buffer as the published wire's `Append` asks for, with one range. */
function bufferOf(publish: Publish): BufferNode {
  const ranges = [{ topic: "t", range, epoch: 1n }];
  return { id: "b", status: () => ({ ranges }), publish } as unknown as BufferNode;
}

/** Acknowledges at once. */
const prompt: Publish = (batches) => {
  let sequence = 1;
  return publishTo(
    {
      ownerOf: () => ({
        attach() {},
        detach() {},
        room: () => undefined,
        accept(sender, batch, bodies) {
          sender.acknowledge(batch, BigInt(sequence), sequence, bodies.length);
          sequence += bodies.length;
        },
      }),
    },
    batches,
    undefined,
  );
};

function request(reqId: number, key = "k"): ntail.AppendRequest {
  return { reqId: BigInt(reqId), topic: "t", key, data: Buffer.alloc(0) };
}

describe("Append of the published wire", () => {
  for (const [what, key] of [
    ["are acknowledged", "k"],
    ["fail", ""],
  ] as const) {
    it(`reads no further while answers to messages that ${what} are not taken`, async () => {
      const total = 30_000;
      let read = 0;
      async function* requests(): AsyncGenerator<ntail.AppendRequest> {
        for (let i = 1; i <= total; i++) {
          read += 1;
          yield request(i, key);
          if (i % 1_000 === 0) await new Promise((resolve) => setImmediate(resolve));
        }
      }
      const out = new NtailAppend(bufferOf(prompt), () => 1).run(requests(), new AbortController().signal);
      const ids = [(await out.next()).value?.reqId];
      for (let before = -1; before < read; ) {
        before = read;
        await settled();
        await settled();
      }
      expect(read).toBeLessThanOrEqual(10_001);
      const sequences: number[] = [];
      for await (const answer of out) {
        ids.push(answer.reqId);
        if (answer.msgId !== undefined) sequences.push(parseMessageId(answer.msgId).sequence);
      }
      expect(ids).toEqual(Array.from({ length: total }, (_, i) => BigInt(i + 1)));
      if (key !== "") expect(sequences).toEqual(Array.from({ length: total - 1 }, (_, i) => i + 2));
    });
  }

  it("does not take a failure of the stream underneath for the caller's fault", async () => {
    // biome-ignore lint/correctness/useYield: it fails before there is anything to say
    const failing: Publish = async function* (batches) {
      for await (const _ of batches) throw new TopicError("invalid-argument", "65536 lanes are enough");
    };
    async function* requests(): AsyncGenerator<ntail.AppendRequest> {
      yield request(1);
      await new Promise(() => {});
    }
    const out = new NtailAppend(bufferOf(failing), () => 1).run(requests(), new AbortController().signal);
    await expect(out.next()).rejects.toMatchObject({ code: "unavailable" });
  });
});
