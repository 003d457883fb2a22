import { expect } from "vitest";
import { type Ref, refOf } from "../../src/index.js";
import { ReplicaQueue } from "../../src/replica/queue/queue.js";
import { blobOf, FakeClock, settle } from "../replica-fakes.js";
import { PowerCutFiles } from "./power-cut-files.js";
import { SteppedFiles } from "./stepped-files.js";

const never = new AbortController().signal;
const clock = new FakeClock();

/** Each owner's id is another one. */
function randomOf(id: number) {
  return { number: () => 0, bytes: (count: number) => new Uint8Array(count).fill(id) };
}

export function open(files: PowerCutFiles | SteppedFiles, id: number): Promise<ReplicaQueue> {
  return ReplicaQueue.open({
    where: { dir: "/queue", files },
    names: ["far"],
    maxQueued: 1000,
    whenFull: "block",
    clock,
    random: randomOf(id),
    leastCompaction: 2,
    onChange: () => {},
    onDropped: () => {},
  });
}

export function refNumber(n: number): Ref {
  return refOf(blobOf(`blob ${n}`));
}

export async function push(queue: ReplicaQueue, n: number): Promise<void> {
  const reservation = queue.tryReserve(1) ?? (await queue.reserve(1, never));
  try {
    await queue.commit([{ ref: refNumber(n), bytes: n }], reservation);
  } finally {
    queue.giveBack(reservation);
  }
}

interface Process {
  readonly files: SteppedFiles;
  readonly acknowledged: Set<number>;
  readonly codes: string[];
  over: boolean;
}

/** What a process does after the beginning; it says what was acknowledged. */
type Script = (process: Process, id: number, opened: ReplicaQueue | undefined) => Promise<void>;

export const puts =
  (...numbers: number[]): Script =>
  async (process, id, opened) => {
    const queue = opened ?? (await open(process.files, id));
    for (const n of numbers) {
      await push(queue, n).then(
        () => {
          process.acknowledged.add(n);
          // Who was told that he is deposed, is.
          expect(process.codes).not.toContain("closed");
        },
        (error: { readonly code: string }) => process.codes.push(error.code),
      );
    }
  };

interface World {
  readonly disk: PowerCutFiles;
  readonly processes: readonly Process[];
}

export interface Plan {
  /** The first has the queue open, with blob 1 acknowledged; the others open it. */
  readonly scripts: readonly Script[];
  /** Which call of which process fails. */
  readonly fault?: { readonly process: number; readonly call: number };
}

async function begin({ scripts, fault }: Plan): Promise<World> {
  const disk = new PowerCutFiles();
  const processes = scripts.map(
    (): Process => ({ files: new SteppedFiles(disk), acknowledged: new Set(), codes: [], over: false }),
  );
  const [first] = processes as [Process, ...Process[]]; // one at least
  first.files.free = true;
  const queue = await open(first.files, 1);
  await push(queue, 1);
  first.acknowledged.add(1);
  first.files.free = false;
  if (fault !== undefined) {
    let calls = 0;
    const { files } = processes[fault.process] as Process; // it is one of them
    files.onStep = (call) => {
      if (calls++ === fault.call) throw Object.assign(new Error(`${call} fails`), { code: "EIO" });
    };
  }
  scripts.forEach((script, i) => {
    const process = processes[i] as Process; // as many as scripts
    void script(process, i + 1, i === 0 ? queue : undefined)
      .catch((error: { readonly code: string }) => process.codes.push(error.code))
      .finally(() => {
        process.over = true;
      });
  });
  await settle();
  return { disk, processes };
}

/** All that decides how a world goes on. */
async function keyOf({ disk, processes }: World): Promise<string> {
  const names = (await disk.list("/queue")).sort();
  const contents = names.map((name) => {
    const into = new Uint8Array(4096);
    return [name, Buffer.from(into.subarray(0, disk.readNow(`/queue/${name}`, into))).toString("base64")];
  });
  return JSON.stringify([contents, processes.map(({ files }) => files.history)]);
}

/** Everybody was killed. What was acknowledged is in the queue, or the store is known to need a sync. */
async function expectAll(disk: PowerCutFiles, { processes }: World, when: string): Promise<void> {
  const after = await open(disk, 9);
  const [store] = after.stores;
  const has = new Set([...(store?.backlog.entries() ?? [])].map(({ bytes }) => bytes));
  const acknowledged = processes.flatMap((process) => [...process.acknowledged]);
  const lost = acknowledged.filter((n) => !has.has(n));
  if (store && store.dropped > store.synced) return;
  expect(lost, when).toEqual([]);
}

let cuts = 1;
export function chance(): number {
  // Lehmer's generator (Park and Miller, 1988).
  cuts = (cuts * 48_271) % 2_147_483_647;
  return cuts / 2_147_483_647;
}

export interface Explored {
  readonly states: number;
  /** What each process had acknowledged in the end, as "1+2 10". */
  readonly ends: ReadonlySet<string>;
}

/** Every order of the steps of all processes, or `runs` orders by chance; in every state that is new a kill and two power cuts. */
export async function explore(plan: Plan, runs?: number): Promise<Explored> {
  const seen = new Set<string>();
  const ends = new Set<string>();
  const todo: number[][] = [[]];
  for (let run = 1; todo.length > 0; run++) {
    const schedule = todo.pop() ?? [];
    const world = await begin(plan);
    const path: number[] = [];
    const go = async (i: number) => {
      path.push(i);
      world.processes[i]?.files.step();
      await settle();
    };
    for (const i of schedule) await go(i);
    for (;;) {
      const key = await keyOf(world);
      const isNew = !seen.has(key);
      if (!isNew && runs === undefined) break;
      seen.add(key);
      if (isNew) await killIn(world, path);
      const able = world.processes.flatMap(({ files }, i) => (files.waits ? [i] : []));
      if (able.length === 0) {
        expect(world.processes.map(({ over }) => over)).toEqual(world.processes.map(() => true));
        ends.add(world.processes.map(({ acknowledged }) => [...acknowledged].join("+")).join(" "));
        break;
      }
      const [next, ...others] = runs === undefined ? able : [byChance(able, path.at(-1))];
      for (const other of others) todo.push([...path, other as number]);
      await go(next as number);
    }
    if (runs !== undefined && run < runs) todo.push([]);
  }
  return { states: seen.size, ends };
}

/** Mostly the same again: else nobody gets far ahead of the others. */
function byChance(able: readonly number[], last: number | undefined): number {
  if (last !== undefined && able.includes(last) && chance() < 0.8) return last;
  return able[Math.floor(chance() * able.length)] as number; // one at least
}

async function killIn(world: World, path: readonly number[]): Promise<void> {
  const last = world.processes.map(({ files }) => files.history.at(-1));
  const when = `after the steps ${path.join("")}, the last ones of each ${JSON.stringify(last)}`;
  const all = { number: () => 0.999_999, bytes: () => new Uint8Array() };
  await expectAll(world.disk.afterPowerCut(all), world, `killed ${when}`);
  for (let cut = 0; cut < 2; cut++) {
    const some = { number: chance, bytes: () => new Uint8Array() };
    await expectAll(world.disk.afterPowerCut(some), world, `power cut ${when}`);
  }
}
