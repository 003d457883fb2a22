import { TopicError } from "@x/topic-gateway/protocol";
import { describe, expect, it } from "vitest";
import { firstOccurrences, History } from "./support/history.js";
import { Publisher } from "./support/publisher.js";
import { rangeOfKey, seededRandom, type TestBuffer, World } from "./support/world.js";

const range = rangeOfKey("k", 16);

/** Buffers that lose calls, answers, disks, the store and their lives, at moments that one number decides. */
async function run(seed: number): Promise<{ order: string[]; sent: number }> {
  const random = seededRandom(seed);
  const chance = (probability: number): boolean => random.number() < probability;
  const world = await World.open();
  await using _ = world;
  await world.createTopic(16);
  const history = new History(world);
  const publisher = new Publisher(world, range, ["k", "l", "m"]);
  let calm = false;
  let started = 0;
  const start = async (): Promise<TestBuffer> => {
    started += 1;
    const options = { segmentMaxBytes: 1_500, groupMaxBytes: 400, readersGraceMs: 2_000 };
    const buffer = await world.startBuffer(`b${started}`, options);
    buffer.coord.onTxn = () => {
      if (calm || chance(0.85)) return "none";
      return chance(0.5) ? "not-done" : "no-answer";
    };
    const faulty = buffer.logs;
    faulty.hook = async (call) => {
      if (calm || !chance(0.02)) return;
      throw new TopicError(call === "append" || call === "create" ? "log-failed" : "unavailable", "chaos");
    };
    return buffer;
  };
  const live = [await start(), await start()];
  let sent = 0;
  for (let step = 0; step < 120; step++) {
    await publisher.publish(2);
    sent += 2;
    await world.clock.advance(random.number() * 200);
    const victim = live[Math.floor(random.number() * live.length)] as TestBuffer;
    const fate = random.number();
    if (fate < 0.03) {
      live.splice(live.indexOf(victim), 1);
      publisher.drop();
      if (chance(0.3)) await world.clock.during(victim.node.close());
      else victim.kill();
      world.buffers.splice(world.buffers.indexOf(victim), 1);
      live.push(await start());
    } else if (fate < 0.08) {
      victim.coord.partition();
      await world.clock.advance(random.number() * 9_000);
      victim.coord.heal();
    } else if (fate < 0.13) {
      publisher.drop();
    }
  }
  calm = true;
  await publisher.untilAcked(120_000);
  return { order: await history.check(publisher.acked), sent };
}

describe("a buffer under all faults at once", () => {
  it("keeps everything acknowledged, in order, whatever the seed", { timeout: 120_000 }, async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const { order, sent } = await run(seed).catch((error: unknown) => {
        throw new Error(`seed ${seed}`, { cause: error });
      });
      expect(firstOccurrences(order), `seed ${seed}`).toEqual(
        Array.from({ length: sent }, (_, i) => String(i + 1)),
      );
    }
  });
});
