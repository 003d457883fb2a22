import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type BlobStore,
  createReplica,
  directoryStore,
  getMany,
  type Ref,
  type Replica,
  type ReplicaEvent,
  refOf,
  streamBlob,
  sync,
  verify,
} from "@x/blob-replica";
import { testBlob } from "@x/blob-replica/testing";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { SeededRandom } from "../src/sim/random.js";

const blobs = 2_000;
const reads = 10_000;
const share = 0.01;
const seed = process.env.BLOB_SEED ?? String(Date.now());

let root = "";
beforeAll(async () => {
  console.log(`BLOB_SEED=${seed}`);
  root = await mkdtemp(join(tmpdir(), "x-harness-blob-bitrot-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** What a disk may do to a file behind everybody's back. */
const damages: Readonly<Record<string, (path: string, random: SeededRandom) => Promise<void>>> = {
  "flipped bits": async (path, random) => {
    const bytes = await readFile(path);
    const at = random.integer(0, bytes.length - 1);
    bytes[at] = (bytes[at] as number) ^ random.integer(1, 255); // it is within
    await writeFile(path, bytes);
  },
  "cut short": async (path, random) => {
    const bytes = await readFile(path);
    await writeFile(path, bytes.subarray(0, random.integer(0, bytes.length - 1)));
  },
  longer: async (path) => writeFile(path, Buffer.concat([await readFile(path), Buffer.from("more")])),
  "of another blob": async (path) => writeFile(path, testBlob(-1, 1_000)),
  zeroed: async (path) => writeFile(path, Buffer.alloc((await readFile(path)).length)),
  gone: (path) => rm(path),
};

/** The layout that other programs rely on, and without the syncs that a store makes. */
async function fill(folder: string, contents: ReadonlyMap<Ref, Uint8Array>): Promise<void> {
  for (const [ref, blob] of contents) {
    const path = fileOf(folder, ref);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, blob);
  }
}

function fileOf(folder: string, ref: Ref): string {
  return join(folder, "blobs", ref.slice(0, 2), ref.slice(0, 4), ref);
}

/** The same, and its answers come later: whoever wants one soon asks another. */
function farAway(store: BlobStore): BlobStore {
  return {
    put: (blob, options) => store.put(blob, options),
    listRefs: (after, options) => store.listRefs(after, options),
    get: async (ref, options) => {
      await sleep(5);
      return store.get(ref, options);
    },
  };
}

async function joined(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

/** One blob, or a batch, by one of the ways in which a replica is read. */
async function read(
  replica: Replica,
  refs: readonly Ref[],
  how: number,
): Promise<(Uint8Array | undefined)[]> {
  const [first] = refs as readonly [Ref, ...Ref[]]; // callers give some
  if (how < 0.8) return [await replica.get(first)];
  if (how < 0.9) return [await joined(streamBlob(replica, first))];
  const found = new Map<Ref, Uint8Array | undefined>();
  for await (const { ref, blob } of getMany(replica, refs)) found.set(ref, blob);
  return refs.map((ref) => found.get(ref));
}

it(`gives no wrong byte in ${reads} reads when ${share * 100} % of a store's files are damaged, and heals them all`, {
  timeout: 120_000,
}, async () => {
  const random = new SeededRandom(seed);
  const contents = new Map<Ref, Uint8Array>();
  for (let number = 0; contents.size < blobs; number++) {
    const blob = testBlob(
      number,
      number % 100 === 1 ? 300_000 + (number % 1000) : 16 + ((number * 7919) % 5_000),
    );
    contents.set(refOf(blob), blob);
  }
  const refs = [...contents.keys()];
  const folders = ["rotten", "second", "third"].map((name) => join(root, name));
  for (const folder of folders) await fill(folder, contents);
  const [rotten, second, third] = folders.map((folder) => directoryStore(folder)) as [
    BlobStore,
    BlobStore,
    BlobStore,
  ]; // as many as folders

  // The large ones are among them.
  const damaged = new Set<Ref>([refs[1], refs[101]] as Ref[]);
  while (damaged.size < blobs * share) damaged.add(random.pick(refs));
  const kinds = Object.values(damages);
  for (const [i, ref] of [...damaged].entries()) {
    await kinds[i % kinds.length]?.(fileOf(folders[0] as string, ref), random); // of three
  }
  const before = await verify(rotten);
  const isGone = (i: number) => i % kinds.length === kinds.length - 1;
  expect(before.bad.map(({ ref }) => ref)).toEqual([...damaged].filter((_, i) => !isGone(i)).sort());

  const repaired = new Set<Ref>();
  const others: ReplicaEvent[] = [];
  const replica = await createReplica({
    sync: [
      { name: "rotten", store: rotten },
      { name: "second", store: farAway(second) },
      { name: "third", store: farAway(third) },
    ],
    onEvent: (told) => {
      if (told.event === "repaired" && told.store === "rotten" && told.ref) repaired.add(told.ref);
      else if (told.event !== "corrupt" || told.store !== "rotten") others.push(told);
    },
  });
  let done = 0;
  let wrong = 0;
  const reader = async (own: SeededRandom): Promise<void> => {
    while (done < reads) {
      const some = Array.from({ length: 8 }, () => own.pick(refs));
      const got = await read(replica, some, own.number());
      done += got.length;
      for (const [i, blob] of got.entries()) {
        const right = contents.get(some[i] as Ref); // as many as refs, or the first only
        if (blob === undefined || right === undefined || Buffer.compare(blob, right) !== 0) wrong++;
      }
    }
  };
  await Promise.all(Array.from({ length: 8 }, (_, i) => reader(random.fork(i))));
  expect(wrong, `wrong bytes; the seed is ${seed}`).toBe(0);

  await vi.waitFor(
    () => expect(replica.state().sync.map(({ repairBacklog }) => repairBacklog)).toEqual([0, 0, 0]),
    {
      timeout: 30_000,
    },
  );
  expect(others).toEqual([]);
  // What reads meet they heal. Which ones they meet is a matter of chance and of who is asked (four of five here), and the others are for those whose task it is.
  expect(repaired.size).toBeGreaterThan(0);
  for (const ref of repaired) {
    expect(damaged).toContain(ref);
    expect(Buffer.compare(await rotten.get(ref), contents.get(ref) as Uint8Array)).toBe(0);
  }
  // From a store, not from the replica: that would heal by itself what it finds missing meanwhile.
  const scrub = await verify(rotten, { repairFrom: second });
  expect(scrub.sound).toBe(true);
  const copies = await sync(second, rotten);
  expect(copies.complete).toBe(true);
  expect(repaired.size + scrub.repaired + copies.copied).toBe(damaged.size);
  await replica[Symbol.asyncDispose]();

  for (const [i, store] of [rotten, second, third].entries()) {
    expect(await verify(store)).toMatchObject({ sound: true, bad: [], checked: blobs });
    for (const [ref, blob] of contents) {
      expect(Buffer.compare(await readFile(fileOf(folders[i] as string, ref)), blob)).toBe(0); // of three
    }
  }
  console.log(
    `${done} reads, ${damaged.size} damaged files, ${repaired.size} healed by reads, ${scrub.repaired} by verify, ${copies.copied} by sync`,
  );
});
