import { afterEach, expect, it } from "vitest";
import { randomFrom } from "../../coord/test/support/random.js";
import type { RefusalCode, TopicName } from "../src/protocol.js";
import { type FakeStream, type PublishingWorld, publishingWorld } from "./support/publishing-world.js";

const ALL = "0-65535";
const LOW = "0-32767";
const HIGH = "32768-65535";
const KEYS = ["key-1", "key-2", "key-3", "key-4"];
const CODES: RefusalCode[] = ["not-owner", "overloaded", "invalid-argument", "shutting-down", "failed"];

interface Sent {
  readonly key: string;
  readonly text: string;
  readonly call: number;
  readonly publishedAt: number;
}

let world: PublishingWorld;
afterEach(() => world[Symbol.asyncDispose]());

/**
 * Calls of one or two messages under acknowledgements, refusals, broken streams, moves, resizes, deadlines and callers that take
 * calls back: what a caller may see, of every two messages of one key.
 */
it.each(Array.from({ length: 100 }, (_, seed) => seed))(
  "no message is acknowledged behind one of its key that failed while it was on its way (seed %i)",
  async (seed) => {
    world = await publishingWorld({ seed, retry: { deadlineMs: 3_000, maxAttempts: 3 } });
    const random = randomFrom(seed + 5_000);
    const pick = (n: number): number => Math.floor(random() * n);
    const open: FakeStream[] = [];
    world.onStream = (_, stream) => {
      open.push(stream);
    };
    let factor = 16;
    let step = 0;
    const sent: Sent[] = [];
    const calls: { controller: AbortController; resolvedAt?: number; failedAt?: number }[] = [];
    /** What any buffer has acknowledged: whatever becomes of its call, it is in the log in front of its followers. */
    const logged = new Set<string>();
    const acknowledge = (stream: FakeStream): void => {
      const last = stream.received.at(-1);
      if (!last) return;
      for (const { lane, texts } of stream.received) {
        if (lane === last.lane) for (const text of texts) logged.add(text);
      }
      stream.acknowledge(last.lane, last.batch);
    };
    const publish = (): void => {
      const call: (typeof calls)[number] = { controller: new AbortController() };
      calls.push(call);
      const bodies = Array.from({ length: 1 + pick(2) }, () => {
        const key = KEYS[pick(KEYS.length)] as string;
        sent.push({ key, text: `${key}:${sent.length}`, call: calls.length - 1, publishedAt: step });
        return { key, data: Buffer.from(sent.at(-1)?.text ?? ""), time: 0 };
      });
      world.publisher.publish("t" as TopicName, bodies, call.controller.signal).then(
        () => {
          call.resolvedAt = step;
        },
        () => {
          call.failedAt = step;
        },
      );
    };
    await world.own(ALL, "a:1");
    for (step = 0; step < 200; step++) {
      const choice = pick(24);
      if (choice < 10) publish();
      else if (choice < 13) for (const stream of open) random() < 0.7 && acknowledge(stream);
      else if (choice < 14 && open.length > 0) open.splice(pick(open.length), 1)[0]?.break();
      else if (choice < 16) {
        const stream = open[pick(open.length || 1)];
        const lane = stream?.received.at(-1)?.lane;
        if (stream && lane !== undefined) stream.refuse(lane, CODES[pick(CODES.length)] as RefusalCode);
      } else if (choice < 17) {
        const range = factor === 16 ? ALL : random() < 0.5 ? LOW : HIGH;
        await world.own(range, random() < 0.3 ? undefined : `${"abc"[pick(3)]}:1`);
      } else if (choice < 18 && random() < 0.3) {
        factor = factor === 16 ? 15 : 16;
        await world.setFactor(factor);
      } else if (choice < 20) calls[pick(calls.length || 1)]?.controller.abort();
      else if (choice < 21) await world.clock.advance(pick(1_000));
      // Whoever was told something knows it in the same step; the network may be slower.
      await Promise.resolve();
      if (random() < 0.6) await world.settle();
    }
    await world.clock.advance(10_000);
    // Nobody waits for ever.
    expect(
      calls.filter(({ resolvedAt, failedAt }) => (resolvedAt === undefined) === (failedAt === undefined)),
    ).toEqual([]);
    let pairs = 0;
    sent.forEach((first, at) => {
      const { failedAt } = calls[first.call] ?? {};
      if (failedAt === undefined || logged.has(first.text)) return;
      for (const second of sent.slice(at + 1)) {
        if (second.key !== first.key || second.publishedAt >= failedAt) continue;
        const { resolvedAt } = calls[second.call] ?? {};
        if (resolvedAt === undefined) pairs += 1;
        else
          expect(
            resolvedAt,
            `${second.text} behind ${first.text}, which failed in step ${failedAt}`,
          ).toBeUndefined();
      }
    });
    expect(pairs).toBeGreaterThan(0);
  },
);
