import { describe, expect, it } from "vitest";
import type { Random } from "../src/clock.js";
import { BlobError, type BlobStore, createReplica, memoryStore, refOf } from "../src/index.js";
import { testBlob } from "../src/testing/fixture.js";
import { FakeClock, FaultyStore, noChance } from "./replica-fakes.js";
import { PowerCutFiles } from "./support/power-cut-files.js";

/** Lehmer's generator (Park and Miller, 1988). */
function seeded(seed: number): Random {
  let state = seed + 1;
  const number = () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
  return { number, bytes: (count) => new Uint8Array(count) };
}

const blobs = Array.from({ length: 10 }, (_, n) => testBlob(n, 20));
const outage = () => Object.assign(new Error("the power is out"), { code: "EIO" });

function replicaOf(kept: BlobStore, behind: BlobStore, files: PowerCutFiles) {
  return createReplica({
    sync: [{ name: "kept", store: kept }],
    async: [{ name: "behind", store: behind }],
    queue: { dir: "/disk/queue", files },
    clock: new FakeClock(),
    random: noChance,
  });
}

describe("a queue on disk after a power cut", () => {
  it("still has every write that was acknowledged, whenever the power went, and though a sync had failed before", {
    timeout: 60_000,
  }, async () => {
    for (let cutAt = 1; ; cutAt++) {
      const files = new PowerCutFiles();
      const kept = memoryStore();
      const away = new FaultyStore();
      away.down();
      const acknowledged = new Set<Uint8Array>();
      let had: Uint8Array[] = [];
      let cut: PowerCutFiles[] | undefined;
      let calls = 0;
      let syncs = 0;
      files.onCall = (call) => {
        if (cut) throw outage();
        if (++calls === cutAt) {
          cut = Array.from({ length: 4 }, (_, n) => files.afterPowerCut(seeded(cutAt * 4 + n)));
          had = [...acknowledged];
          throw outage();
        }
        // What is behind it is unknown: a new file is begun.
        if (call.startsWith("sync /disk/queue/queue-") && ++syncs % 3 === 0) throw outage();
      };
      try {
        await using replica = await replicaOf(kept, away, files);
        for (const blob of blobs) {
          await replica.put(blob).then(
            () => acknowledged.add(blob),
            (error: unknown) => expect(error).toBeInstanceOf(BlobError),
          );
        }
      } catch (error) {
        expect(error).toBeInstanceOf(BlobError);
      }
      for (const after of cut ?? []) {
        const behind = memoryStore();
        await using replica = await replicaOf(kept, behind, after);
        await replica.drained();
        for (const blob of had) expect(await behind.has?.(refOf(blob)), `cut at ${cutAt}`).toBe(true);
        expect(replica.state().async[0]).toMatchObject({ backlog: 0, needsSync: false });
      }
      if (cut === undefined) {
        expect(acknowledged.size).toBeGreaterThanOrEqual(5);
        expect(cutAt).toBeGreaterThan(30);
        return;
      }
    }
  });
});
