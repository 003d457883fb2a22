import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createReplica, getMany, type NamedStore, type Ref, refOf } from "@x/blob-replica";
import { afterAll, beforeAll, expect, it } from "vitest";
import { SeededRandom } from "../src/sim/random.js";
import { contentOf, replicaIn } from "./fixtures/blob-writer-plan.mjs";

// A kill strikes every replica that the process has, each at a point of its own: a process for each would spend the time on its start.
const points = 1_000;
const sitesPerProcess = 10;
const processes = 2;
const mostLines = 60;

const writer = fileURLToPath(new URL("fixtures/blob-writer.mjs", import.meta.url));
const seed = process.env.BLOB_SEED ?? String(Date.now());

let root = "";
beforeAll(async () => {
  console.log(`BLOB_SEED=${seed}`);
  root = await mkdtemp(join(tmpdir(), "x-harness-blob-kill-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** One folder with a replica's stores and queue, and what was acknowledged there. */
interface Site {
  readonly folder: string;
  readonly acknowledged: Set<Ref>;
}

interface Told {
  /** Sites that were putting when the process was killed. */
  readonly opened: ReadonlySet<number>;
  /** By site. */
  readonly acknowledged: ReadonlyMap<number, readonly number[]>;
}

/** Kills as soon as so many lines were told, or a moment later: from its first line on, so that also its openings are struck. */
async function runUntilKilled(
  sites: readonly Site[],
  first: number,
  random: SeededRandom,
  isLast: boolean,
): Promise<Told> {
  const killAt = isLast ? mostLines : random.integer(1, mostLines);
  const turns = random.integer(0, 20);
  const away = isLast || random.chance(0.5) ? "four" : "none";
  const folders = sites.map(({ folder }) => folder);
  const child = spawn(process.execPath, [writer, String(first), away, ...folders], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  let told = "";
  let killed = false;
  for await (const chunk of child.stdout) {
    told += chunk;
    if (killed || told.split("\n").length <= killAt) continue;
    killed = true;
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
    child.kill("SIGKILL");
  }
  const [, signal] = await exited;
  expect(signal).toBe("SIGKILL");
  const opened = new Set<number>();
  const acknowledged = new Map<number, number[]>();
  // The kill may have cut the last line: only one with its end mark tells something.
  for (const [, site, what] of told.matchAll(/^(\d+) (\w+);$/gm)) {
    if (what === "opened") opened.add(Number(site));
    else acknowledged.set(Number(site), [...(acknowledged.get(Number(site)) ?? []), Number(what)]);
  }
  return { opened, acknowledged };
}

/** Every one of the refs, with the right content. */
async function expectAll({ name, store }: NamedStore, refs: Iterable<Ref>, when: string): Promise<void> {
  const wrong: unknown[] = [];
  for await (const { ref, blob, error } of getMany(store, [...refs])) {
    if (blob === undefined || refOf(blob) !== ref) wrong.push({ ref, error });
  }
  expect(wrong, `what is missing or wrong in store ${name} ${when}; the seed is ${seed}`).toEqual([]);
}

async function refsIn({ store }: NamedStore): Promise<ReadonlySet<Ref>> {
  const refs = new Set<Ref>();
  for await (const ref of store.listRefs()) refs.add(ref);
  return refs;
}

it(`keeps every acknowledged put, and serves none torn, when writers are killed at ${points} points`, {
  timeout: 300_000,
}, async () => {
  let struck = 0;
  let kills = 0;
  let failed = false;
  const keepKilling = async (lane: number): Promise<readonly Site[]> => {
    const sites = Array.from({ length: sitesPerProcess }, (_, i) => ({
      folder: join(root, `${lane}-${i}`),
      acknowledged: new Set<Ref>(),
    }));
    for (let isLast = false; !isLast && !failed; ) {
      isLast = struck >= points;
      const kill = kills++;
      const random = new SeededRandom(`${seed}/${kill}`);
      const { opened, acknowledged } = await runUntilKilled(sites, kill * 1000, random, isLast);
      struck += opened.size;
      for (const [i, numbers] of acknowledged) {
        const { folder, acknowledged: all } = sites[i] as Site; // as many as there are folders
        const refs = numbers.map((number) => refOf(contentOf(number)));
        for (const ref of refs) all.add(ref);
        for (const each of replicaIn(folder).sync) await expectAll(each, refs, "right after the kill");
      }
    }
    return sites;
  };
  const killing = Array.from({ length: processes }, (_, lane) =>
    keepKilling(lane).catch((error: unknown) => {
      failed = true;
      throw error;
    }),
  );
  await Promise.allSettled(killing);
  const lanes = await Promise.all(killing);

  let total = 0;
  let missing = 0;
  for (const { folder, acknowledged } of lanes.flat()) {
    total += acknowledged.size;
    const options = replicaIn(folder);
    const behind: number[] = [];
    for (const each of options.async) {
      const there = await refsIn(each);
      behind.push([...acknowledged].filter((ref) => !there.has(ref)).length);
    }
    const replica = await createReplica(options);
    const recovered = replica.state().async;
    for (const [i, count] of behind.entries()) {
      missing += count;
      expect(recovered[i]?.backlog).toBeGreaterThanOrEqual(count);
    }
    await replica.drained({ signal: AbortSignal.timeout(60_000) });
    for (const state of replica.state().async) {
      expect(state).toMatchObject({ backlog: 0, needsSync: false, dropped: 0, lastError: undefined });
    }
    await replica[Symbol.asyncDispose]();
    for (const each of [...options.sync, ...options.async]) {
      // Also what nobody was told of is whole, where there is any of it.
      await expectAll(each, new Set([...acknowledged, ...(await refsIn(each))]), "in the end");
    }
  }
  console.log(
    `${kills} kills at ${struck} points; ${total} puts were acknowledged, and ${missing} of their asynchronous writes were left to a restart`,
  );
  expect(total).toBeGreaterThan(points);
  // The last process of each lane told of at least 49 puts while a store was away, and at most 24 of them were of what an earlier one had put.
  expect(missing).toBeGreaterThanOrEqual(processes * 25);
});
