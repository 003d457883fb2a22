import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BlobError, createReplica, getMany, type NamedStore, type Ref, refOf } from "@x/blob-replica";
import { afterAll, beforeAll, expect, it } from "vitest";
import { SeededRandom } from "../src/sim/random.js";
import { contentOf, numberOf, lanes as putsAtOnce, replicaIn } from "./fixtures/blob-writer-plan.mjs";
import { inOneFile } from "./one-file.js";

/** Kills of a writer that was putting; those that strike its opening come on top. */
const kills = 1_000;
/** Folders that are written to, killed and looked after at the same time. */
const lanes = 4;
/** After so many kills a folder's queue is emptied, everything in it is checked, and the lane goes on with a new one. */
const killsPerFolder = 25;
const mostLines = 8;
/** Of the last process of a folder, which leaves much to the restart. */
const lastLines = 40;
/** About as long as a put takes. */
const longestDelayMs = 10;

const seed = process.env.BLOB_SEED ?? String(Date.now());

let root = "";
let writer = "";
beforeAll(async () => {
  console.log(`BLOB_SEED=${seed}`);
  root = await mkdtemp(join(tmpdir(), "x-harness-blob-kill-"));
  writer = join(root, "writer.cjs");
  const sources = new URL("../../../packages/blob-replica/src/index.ts", import.meta.url);
  const program = new URL("fixtures/blob-writer.mjs", import.meta.url);
  await writeFile(writer, await inOneFile(program, { "@x/blob-replica": sources }));
});
afterAll(() => rm(root, { recursive: true, force: true }));

interface Told {
  /** Whether it was putting when it was killed. */
  readonly opened: boolean;
  /** Numbers of blobs. */
  readonly acknowledged: readonly number[];
}

/** Kills it when so many lines were told, or a moment later: from its first line on, so that its opening is struck as well. */
async function runUntilKilled(
  folder: string,
  first: number,
  random: SeededRandom,
  isLast: boolean,
): Promise<Told> {
  const killAt = isLast ? lastLines : random.integer(1, mostLines);
  const delayMs = random.integer(0, longestDelayMs);
  const away = isLast || random.chance(0.5) ? "four" : "none";
  // One that hangs ends by another signal, and so fails.
  const child = spawn(process.execPath, [writer, String(first), away, folder], {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 60_000,
    killSignal: "SIGTERM",
  });
  const exited = once(child, "exit");
  let told = "";
  let lines = 0;
  let struck = false;
  for await (const chunk of child.stdout) {
    told += chunk;
    lines = told.split("\n").length - 1;
    if (struck || lines < killAt) continue;
    struck = true;
    setTimeout(() => child.kill("SIGKILL"), delayMs);
  }
  const [, signal] = await exited;
  expect(signal, `how the writer ended that had told ${lines} lines`).toBe("SIGKILL");
  // The kill may have cut the last line: only one with its end mark tells something.
  const whole = [...told.matchAll(/^(\w+);$/gm)].map(([, what = ""]) => what);
  const [, opened, ...numbers] = whole;
  return { opened: opened !== undefined, acknowledged: numbers.map(Number) };
}

/** What is there is right, and every one of `must` is there. */
async function expectWhole(
  { name, store }: NamedStore,
  refs: ReadonlySet<Ref>,
  must: ReadonlySet<Ref>,
  when: string,
): Promise<void> {
  const wrong: unknown[] = [];
  for await (const { ref, blob, error } of getMany(store, [...refs])) {
    if (blob !== undefined ? refOf(blob) === ref : !must.has(ref) && isAbsence(error)) continue;
    wrong.push({ ref, error });
  }
  expect(wrong, `what is missing or wrong in store ${name} ${when}; the seed is ${seed}`).toEqual([]);
}

function isAbsence(error: unknown): boolean {
  return (error as BlobError | undefined)?.code === "not-found";
}

async function refsIn({ store }: NamedStore): Promise<ReadonlySet<Ref>> {
  const refs = new Set<Ref>();
  for await (const ref of store.listRefs()) refs.add(ref);
  return refs;
}

/** Nobody opened the replica since: what is in the stores is what the kill left. @returns the refs that were acknowledged */
async function checkKilled(
  folder: string,
  first: number,
  { acknowledged }: Told,
  when: string,
): Promise<ReadonlySet<Ref>> {
  const refs = (numbers: readonly number[]) => new Set(numbers.map((number) => refOf(contentOf(number))));
  const must = refs(acknowledged);
  // Also those that it was at, and what asynchronous stores have already: nobody was told of it, but there is none or all of it.
  const begun = Array.from({ length: acknowledged.length + putsAtOnce }, (_, i) => numberOf(first + i));
  const may = new Set([...must, ...refs(begun)]);
  expect(may.size, `blobs that the writer was at ${when}`).toBe(new Set(begun).size);
  const options = replicaIn(folder);
  for (const each of options.sync) await expectWhole(each, may, must, when);
  for (const each of options.async) await expectWhole(each, may, new Set(), when);
  return must;
}

/** @returns how many writes to asynchronous stores were left to this restart */
async function checkRestart(folder: string, acknowledged: ReadonlySet<Ref>, when: string): Promise<number> {
  const options = replicaIn(folder);
  const behind: number[] = [];
  for (const each of options.async) {
    const there = await refsIn(each);
    behind.push([...acknowledged].filter((ref) => !there.has(ref)).length);
  }
  const replica = await createReplica(options);
  const recovered = replica.state().async;
  for (const [i, count] of behind.entries()) {
    expect(recovered[i]?.backlog, `backlog ${when}`).toBeGreaterThanOrEqual(count);
  }
  await replica.drained({ signal: AbortSignal.timeout(60_000) });
  for (const state of replica.state().async) {
    expect(state).toMatchObject({ backlog: 0, needsSync: false, dropped: 0, lastError: undefined });
  }
  await replica[Symbol.asyncDispose]();
  for (const each of [...options.sync, ...options.async]) {
    // Also what nobody was told of is whole, where there is any of it.
    const all = new Set([...acknowledged, ...(await refsIn(each))]);
    await expectWhole(each, all, all, when);
  }
  return behind.reduce((sum, count) => sum + count, 0);
}

it(`keeps every acknowledged put, and serves none torn, when writers are killed at ${kills} points`, {
  timeout: 400_000,
}, async () => {
  const sum = { kills: 0, struck: 0, folders: 0, acknowledged: 0, left: 0 };
  let failed = false;

  /** Writers after one another, until so many of them were killed while they put. */
  const killIn = async (folder: string, name: string, base: number, points: number): Promise<void> => {
    const acknowledged = new Set<Ref>();
    for (let struck = 0, kill = 0; struck < points && !failed; kill++) {
      const random = new SeededRandom(`${seed}/${name}/${kill}`);
      const first = (base + kill) * 1000;
      const told = await runUntilKilled(folder, first, random, struck === points - 1);
      for (const ref of await checkKilled(folder, first, told, `after kill ${kill} in folder ${name}`)) {
        acknowledged.add(ref);
      }
      sum.kills++;
      if (!told.opened) continue;
      struck++;
      sum.struck++;
    }
    if (failed) return;
    const left = await checkRestart(folder, acknowledged, `after the restart in folder ${name}`);
    sum.left += left;
    sum.folders++;
    sum.acknowledged += acknowledged.size;
    await rm(folder, { recursive: true });
  };

  const killing = Array.from({ length: lanes }, async (_, lane) => {
    try {
      for (let n = 0; n * killsPerFolder < kills / lanes && !failed; n++) {
        const points = Math.min(killsPerFolder, kills / lanes - n * killsPerFolder);
        const name = `${lane}-${n}`;
        await killIn(join(root, name), name, (lane * 100 + n) * 1000, points);
      }
    } catch (error) {
      failed = true;
      throw error;
    }
  });
  await Promise.allSettled(killing);
  await Promise.all(killing);

  const { folders, left } = sum;
  console.log(
    `${sum.kills} kills, ${sum.struck} of them of a writer that was putting, in ${folders} folders; ${sum.acknowledged} puts were acknowledged, and ${left} of their asynchronous writes were left to a restart`,
  );
  expect(sum.struck).toBe(kills);
  expect(sum.acknowledged).toBeGreaterThan(kills);
  // The last process of each folder told of at least 38 puts while a store was away, and at most 6 of them were of what an earlier one had put.
  expect(left).toBeGreaterThanOrEqual(folders * 32);
});
