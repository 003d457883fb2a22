// Restores what backup.mjs backed up, from whichever of the disks and the bucket has it whole. What it finds damaged it heals.
//
//     node restore.mjs photos ./restored /mnt/disk1 /mnt/disk2 [BUCKET/PREFIX]
//     node restore.mjs 5f3c... ./restored /mnt/disk1 /mnt/disk2 BUCKET/PREFIX     by the ref that backup.mjs told
import { createWriteStream } from "node:fs";
import { mkdir, readdir, rename } from "node:fs/promises";
import { dirname, resolve, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import { anchors, BlobError, createReplica, openBlobTree, parseRef } from "@x/blob-replica";
import { progress, run, size } from "./support/command.mjs";
import { openPlace } from "./support/place.mjs";

const usage = "restore.mjs NAME|REF FOLDER DISK DISK [BUCKET/PREFIX]";
await run(
  usage,
  { least: 4, most: 5 },
  async ([what = "", to = "", first = "", second = "", bucket], signal) => {
    const folder = resolve(to);
    await mkdir(folder, { recursive: true });
    if ((await readdir(folder)).length > 0) throw new BlobError("invalid-argument", `${folder} is not empty`);
    const place = await openPlace(first, second, bucket);
    // Reads go to the synchronous stores: here the bucket is one of them.
    const replica = await createReplica({ sync: [...place.disks, ...place.remote], signal });
    try {
      const root = /^[0-9a-f]{64}$/.test(what)
        ? parseRef(what)
        : await find(what, place.names, replica, signal);
      /** @type {import("@x/blob-replica").AnchorStore} */
      const cell = { load: async () => root, swap: async () => false };
      const tell = progress();
      let files = 0;
      let bytes = 0;
      for await (const { name, ref } of anchors(replica, cell).list(undefined, { signal })) {
        const path = within(folder, name);
        if (name.endsWith("/")) {
          await mkdir(path, { recursive: true });
          continue;
        }
        await mkdir(dirname(path), { recursive: true });
        const tree = await openBlobTree(replica, ref, { signal });
        // A name that is there is a file that is whole.
        await pipeline(tree.stream({ signal }), createWriteStream(`${path}.part`));
        await rename(`${path}.part`, path);
        files++;
        bytes += tree.size;
        tell(() => `${files} files, ${size(bytes)}; ${name}`);
      }
      console.log(`${files} files, ${size(bytes)}`);
      await healed(replica, signal);
    } finally {
      await replica[Symbol.asyncDispose]();
      place.close();
    }
  },
);

/**
 * The latest backup with this name that one of the disks knows.
 * @param {string} name
 * @param {readonly import("@x/blob-replica").AnchorStore[]} names
 * @param {import("@x/blob-replica").Replica} replica
 * @param {AbortSignal} signal
 */
async function find(name, names, replica, signal) {
  let latest;
  for (const cell of names) {
    const found = await anchors(replica, cell).get(name, { signal });
    if (found && (latest === undefined || found.atMs > latest.atMs)) latest = found;
  }
  if (latest) return latest.ref;
  throw new BlobError("not-found", `no backup is called ${JSON.stringify(name)}`);
}

/**
 * A map may come from anybody: no name of it leads out of the folder.
 * @param {string} folder
 * @param {string} name
 */
function within(folder, name) {
  const path = resolve(folder, name);
  if (path === folder || path.startsWith(folder + sep)) return path;
  throw new BlobError("bad-data", `the name ${JSON.stringify(name)} leads out of the folder`);
}

/**
 * @param {import("@x/blob-replica").Replica} replica
 * @param {AbortSignal} signal
 */
async function healed(replica, signal) {
  const enough = AbortSignal.any([signal, AbortSignal.timeout(10_000)]);
  try {
    for await (const { sync } of replica.states({ signal: enough })) {
      if (sync.every(({ repairBacklog }) => repairBacklog === 0)) break;
    }
  } catch {
    // What is still damaged is found again.
  }
  for (const { name, repairs } of replica.state().sync) {
    if (repairs > 0) console.log(`healed ${repairs} blobs of ${name}`);
  }
}
