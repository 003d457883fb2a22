// Backs a folder up on two disks and, in the background, in a bucket. A second backup writes what has changed.
//
//     node backup.mjs ./photos /mnt/disk1 /mnt/disk2
//     node backup.mjs ./photos /mnt/disk1 /mnt/disk2 BUCKET/PREFIX     with AWS_ACCESS_KEY_ID and so on in the environment
//
// It backs up folders, files and their contents; links, permissions and times it leaves out.
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import {
  anchorReferences,
  anchors,
  createReplica,
  memoryAnchorStore,
  memoryStore,
  split,
} from "@x/blob-replica";
import { progress, run, size } from "./support/command.mjs";
import { expectFolder, openPlace } from "./support/place.mjs";

const waitMs = 60_000;

await run("backup.mjs FOLDER DISK DISK [BUCKET/PREFIX]", { least: 3, most: 4 }, async (args, signal) => {
  const [folder = "", first = "", second = "", bucket] = args;
  for (const each of [folder, first, second]) await expectFolder(each);
  const place = await openPlace(first, second, bucket);
  const replica = await createReplica({
    sync: place.disks,
    ...(place.remote.length > 0 && { async: place.remote, queue: place.queue }),
    signal,
  });
  try {
    const { root, files, bytes } = await backUp(resolve(folder), replica, signal);
    const name = basename(resolve(folder));
    // The same in each of the files with the names: either disk will do to restore.
    for (const names of place.names) await anchors(replica, names).put(name, root, { signal });
    console.log(`${name}: ${files} files, ${size(bytes)}, as ${root}`);
    if (place.remote.length > 0) await waitForBucket(replica, signal);
  } finally {
    await replica[Symbol.asyncDispose]();
    place.close();
  }
});

/**
 * A file is a tree of chunks, and the folder a map of all names to their trees, which is stored when it is whole.
 * @param {string} folder
 * @param {import("@x/blob-replica").Replica} replica
 * @param {AbortSignal} signal
 */
async function backUp(folder, replica, signal) {
  const scratch = memoryStore();
  const cell = memoryAnchorStore();
  const map = anchors(scratch, cell);
  const tell = progress();
  let files = 0;
  let bytes = 0;
  // So that an empty folder has a map, too.
  await map.put("./", await split(replica, new Uint8Array(0), { signal }), { atMs: 0, signal });
  for await (const { name, path } of entries(folder, "")) {
    signal.throwIfAborted();
    if (path === undefined) {
      await map.put(name, await split(replica, new Uint8Array(0), { signal }), { atMs: 0, signal });
      continue;
    }
    const counted = async function* () {
      for await (const piece of createReadStream(path, { highWaterMark: 256 * 1024 })) {
        bytes += piece.length;
        tell(() => `${files} files, ${size(bytes)}; at ${name}`);
        yield piece;
      }
    };
    await map.put(name, await split(replica, counted(), { signal }), { atMs: 0, signal });
    files++;
  }
  const root = await cell.load();
  if (root === undefined) throw new Error("the map is empty"); // it has "./" at least
  // Of the map's nodes those count that its last root refers to.
  const copy = async (/** @type {import("@x/blob-replica").Ref} */ ref) => {
    if (!(await scratch.has?.(ref))) return;
    const node = await scratch.get(ref);
    for (const child of anchorReferences(node)) await copy(child.ref);
    await replica.put(node, { ref, signal });
  };
  await copy(root);
  return { root, files, bytes };
}

/**
 * Folders have names that end with a "/".
 * @param {string} folder
 * @param {string} prefix
 * @returns {AsyncGenerator<{ name: string, path?: string }>}
 */
async function* entries(folder, prefix) {
  for (const each of await readdir(folder, { withFileTypes: true })) {
    const [name, path] = [prefix + each.name, join(folder, each.name)];
    if (each.isDirectory()) {
      yield { name: `${name}/` };
      yield* entries(path, `${name}/`);
    } else if (each.isFile()) {
      yield { name, path };
    } else {
      console.error(`left out, no file and no folder: ${name}`);
    }
  }
}

/**
 * The backup is safe on the disks: the rest can also be done later.
 * @param {import("@x/blob-replica").Replica} replica
 * @param {AbortSignal} signal
 */
async function waitForBucket(replica, signal) {
  const tell = progress();
  const long = AbortSignal.timeout(waitMs);
  try {
    for await (const { async } of replica.states({ signal: AbortSignal.any([signal, long]) })) {
      const [state] = async;
      if (state === undefined || state.backlog === 0) break;
      tell(() => `the bucket is ${state.backlog} blobs and ${size(state.backlogBytes)} behind`);
    }
  } catch (error) {
    signal.throwIfAborted();
    if (!long.aborted) throw error;
  }
  const [state] = replica.state().async;
  if (state?.backlog === 0) {
    console.log("the bucket has everything");
    return;
  }
  console.log(`the bucket is ${state?.backlog} blobs behind: behind.mjs goes on with them`);
  if (state?.lastError)
    console.log(`  ${state.lastError instanceof Error ? state.lastError.message : state.lastError}`);
}
