import type { PublishBatch, PublishReply } from "@x/topic-gateway/protocol";
import { describe, expect, it } from "vitest";
import { type LaneOwner, publishTo } from "../src/lanes.js";
import { RangeIntake } from "../src/range-intake.js";
import { settled } from "./support/fake-clock.js";
import { entriesOf } from "./support/world.js";

const range = { from: 0, to: 65536 };
const small = entriesOf([{ key: "k", data: "x" }]);
const large = entriesOf([{ key: "k", data: "x".repeat(2_000) }]);

/** Appends all that waits, as the owner of a range does. */
function append(intake: RangeIntake): void {
  let sequence = 1;
  while (!intake.isEmpty) {
    for (const { sender, batch, bodies } of intake.take(1_000_000).items) {
      sender.acknowledge(batch, BigInt(sequence), sequence, bodies.length);
      sequence += bodies.length;
    }
  }
}

/** Batches that come when a test says so. */
class Input implements AsyncIterable<PublishBatch> {
  readonly #waiting: PublishBatch[] = [];
  #wake: () => void = () => {};

  send(...batches: PublishBatch[]): void {
    this.#waiting.push(...batches);
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<PublishBatch> {
    for (;;) {
      for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) yield next;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

function told(reply: PublishReply): string {
  return reply.type === "ack" ? `${reply.lane}: ${reply.batch}` : `${reply.lane}: ${reply.code}`;
}

describe("a lane that is refused while earlier batches of it wait", () => {
  for (const reader of ["is waiting", "is busy with another answer"]) {
    it(`is told of them first, and then of the refusal, when its reader ${reader}`, async () => {
      const held = new RangeIntake("t/0-65535", 1_000, () => {});
      const open = new RangeIntake("u/0-65535", 1_000, () => {});
      open.isHeld = false;
      const input = new Input();
      const host = { ownerOf: ({ topic }: { topic: string }) => (topic === "u" ? open : held) };
      const out = publishTo(host, input, undefined);
      const replies: string[] = [];
      const read = async (): Promise<void> => {
        for await (const reply of out) replies.push(told(reply));
      };
      const busy = out.next();
      input.send({ lane: 9, open: { topic: "u", range, epoch: 1n }, batch: 1, entries: small });
      await settled();
      append(open);
      expect(told((await busy).value as PublishReply)).toBe("9: 1");
      if (reader === "is waiting") void read();
      input.send(
        { lane: 1, open: { topic: "t", range, epoch: 1n }, batch: 1, entries: large },
        { lane: 1, batch: 2, entries: small },
        { lane: 1, batch: 3, entries: small },
      );
      await settled();
      // The takeover goes on: the first is queued, the second is one too many.
      expect(replies).toEqual([]);
      held.isHeld = false;
      append(held);
      await settled();
      if (reader !== "is waiting") void read();
      await settled();
      expect(replies).toEqual(["1: 1", "1: overloaded"]);
      // Another lane takes its place.
      input.send({ lane: 2, open: { topic: "t", range, epoch: 1n }, batch: 1, entries: small });
      await settled();
      append(held);
      await settled();
      expect(replies).toEqual(["1: 1", "1: overloaded", "2: 1"]);
    });
  }

  it("is told of the refusal alone when they are given up", async () => {
    const held = new RangeIntake("t/0-65535", 1_000, () => {});
    const input = new Input();
    const replies: string[] = [];
    void (async () => {
      for await (const reply of publishTo({ ownerOf: () => held }, input, undefined))
        replies.push(told(reply));
    })();
    input.send(
      { lane: 1, open: { topic: "t", range, epoch: 1n }, batch: 1, entries: large },
      { lane: 1, batch: 2, entries: small },
    );
    await settled();
    expect(replies).toEqual([]);
    held.refuseAll("not-owner", "the range is no longer here");
    await settled();
    expect(replies).toEqual(["1: overloaded"]);
  });
});

describe("a reader that does not take its answers", () => {
  /** Acknowledges at once, with ids between which others are, so that no two make one run. */
  function scattered(): LaneOwner {
    let sequence = 0;
    return {
      attach() {},
      detach() {},
      room: () => undefined,
      accept(sender, batch, bodies) {
        sequence += 2;
        sender.acknowledge(batch, BigInt(sequence), sequence, bodies.length);
      },
    };
  }

  it("is not read further, and goes on where it was when it takes them", async () => {
    const total = 40_000;
    let read = 0;
    async function* batches(): AsyncGenerator<PublishBatch> {
      for (let batch = 1; batch <= total; batch++) {
        read += 1;
        yield {
          lane: 1,
          batch,
          entries: small,
          ...(batch === 1 && { open: { topic: "t", range, epoch: 1n } }),
        };
        if (batch % 1_000 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    }
    const owner = scattered();
    const out = publishTo({ ownerOf: () => owner }, batches(), undefined);
    const ids: number[] = [];
    const keep = (reply: PublishReply): number =>
      reply.type === "ack" ? ids.push(...reply.runs.map(({ sequence }) => sequence)) : 0;
    keep((await out.next()).value as PublishReply);
    for (let before = -1; before < read; ) {
      before = read;
      await settled();
      await settled();
    }
    expect(read).toBeLessThan(17_000);
    for await (const reply of out) keep(reply);
    expect(read).toBe(total);
    expect(ids).toEqual(Array.from({ length: total }, (_, i) => 2 * (i + 1)));
  });

  it("counts what is still to be appended, so that it does not come to more at once", async () => {
    const intake = new RangeIntake("t/0-65535", 100_000_000, () => {});
    intake.isHeld = false;
    let read = 0;
    async function* batches(): AsyncGenerator<PublishBatch> {
      for (let batch = 1; ; batch++) {
        read += 1;
        // Two lanes in turns.
        const lane = 1 + (batch % 2);
        const open = { topic: "t", range, epoch: 1n };
        yield { lane, batch: Math.ceil(batch / 2), entries: small, ...(batch <= 2 && { open }) };
        if (batch % 1_000 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    }
    const out = publishTo({ ownerOf: () => intake }, batches(), undefined);
    let acknowledged = 0;
    const take = async (): Promise<void> => {
      const { value } = await out.next();
      if (value?.type === "ack") for (const { count } of value.runs) acknowledged += count;
    };
    const first = take();
    let sequence = 1;
    for (let round = 0; round < 20; round++) {
      for (let before = -1; before < read && read < 100_000; ) {
        before = read;
        await settled();
        await settled();
      }
      expect(read - acknowledged).toBeGreaterThan(16_000);
      expect(read - acknowledged).toBeLessThan(17_000);
      // Some of both lanes, while most of theirs waits on.
      for (const { sender, batch, bodies } of intake.take(500 * small.length).items) {
        sender.acknowledge(batch, BigInt(sequence), sequence, bodies.length);
        sequence += bodies.length;
      }
      await (round === 0 ? first : take());
      await take();
    }
    expect(acknowledged).toBe(10_000);
    await out.return(undefined);
    const end = read;
    await settled();
    expect(read).toBeLessThanOrEqual(end + 1);
  });
});
