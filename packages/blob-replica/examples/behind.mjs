// Tells what the bucket does not have yet of what was backed up, and goes on with it until it has everything, or until Ctrl-C.
//
//     node behind.mjs /mnt/disk1 /mnt/disk2 BUCKET/PREFIX
import { createReplica, sync } from "@x/blob-replica";
import { progress, run, size } from "./support/command.mjs";
import { expectFolder, openPlace } from "./support/place.mjs";

await run("behind.mjs DISK DISK BUCKET/PREFIX", { least: 3, most: 3 }, async (args, signal) => {
  const [first = "", second = "", bucket] = args;
  for (const each of [first, second]) await expectFolder(each);
  const place = await openPlace(first, second, bucket);
  // The queue of whoever was before. One process at a time has it: a backup that still runs would lose it to this one.
  const replica = await createReplica({ sync: place.disks, async: place.remote, queue: place.queue, signal });
  try {
    for (const state of replica.state().async) console.log(describe(state));
    const tell = progress();
    for await (const { async } of replica.states({ signal })) {
      if (async.every(({ backlog }) => backlog === 0)) break;
      tell(() => async.map(describe).join("; "));
    }
    for (const { name, needsSync, dropped } of replica.state().async) {
      if (!needsSync) continue;
      // More than its queue could hold: what it lacks is found by comparing.
      const { store } = place.remote.find((each) => each.name === name) ?? {};
      if (store === undefined) continue;
      const report = await sync(replica, store, {
        signal,
        onProgress: ({ copied, copiedBytes }) =>
          tell(() => `${name}: ${copied} blobs, ${size(copiedBytes)} copied`),
      });
      if (report.complete) await replica.markSynced(name, { dropped, signal });
      else throw report.stopped ?? report.failed[0]?.error;
    }
    console.log("nothing is behind");
  } finally {
    await replica[Symbol.asyncDispose]();
    place.close();
  }
});

/** @param {import("@x/blob-replica").AsyncStoreState} state */
function describe({ name, backlog, backlogBytes, lagMs, oldest, failures, lastError, needsSync }) {
  const parts = [`${name} is ${backlog} blobs and ${size(backlogBytes)} behind`];
  if (oldest) parts.push(`for ${Math.round(lagMs / 1000)} s, since ${oldest.slice(0, 12)}`);
  if (failures > 0)
    parts.push(`failed ${failures} times: ${lastError instanceof Error ? lastError.message : lastError}`);
  if (needsSync) parts.push("and lacks what its queue could not hold");
  return parts.join(", ");
}
