// Reads every blob of every store back, and replaces what is damaged or missing by what another store has.
//
//     node verify-and-heal.mjs /mnt/disk1 /mnt/disk2 [BUCKET/PREFIX]
import { createReplica, sync, verify } from "@x/blob-replica";
import { progress, run, size } from "./support/command.mjs";
import { expectFolder, openPlace } from "./support/place.mjs";

await run("verify-and-heal.mjs DISK DISK [BUCKET/PREFIX]", { least: 2, most: 3 }, async (args, signal) => {
  const [first = "", second = "", bucket] = args;
  for (const each of [first, second]) await expectFolder(each);
  const place = await openPlace(first, second, bucket);
  const all = [...place.disks, ...place.remote];
  let sound = true;
  try {
    for (const { name, store } of all) {
      // Of a replica only the best copy would be read. This one is for what is to be written over bad ones.
      const others = await createReplica({ sync: all.filter((each) => each.name !== name), signal });
      const tell = progress();
      const found = await verify(store, {
        repairFrom: others,
        signal,
        onProgress: ({ checked, checkedBytes, bad }) =>
          tell(() => `${name}: ${checked} blobs, ${size(checkedBytes)}, ${bad} bad`),
      });
      const copied = await sync(others, store, {
        names: { from: "the others", to: name },
        signal,
        onProgress: ({ copied, copiedBytes }) =>
          tell(() => `${name}: ${copied} blobs, ${size(copiedBytes)} were missing and are copied`),
      });
      console.log(
        `${name}: ${found.checked} blobs, ${found.bad.length} bad, ${found.repaired} of them healed; ${copied.missing} missing, ${copied.copied} of them copied`,
      );
      for (const { ref, problem, error, repaired, repairError } of found.bad) {
        if (!repaired) console.log(`  ${ref} is ${problem}: ${repairError ?? error}`);
      }
      for (const { ref, error } of copied.failed) console.log(`  ${ref} could not be copied: ${error}`);
      for (const { stopped } of [found, copied]) if (stopped) console.log(`  ended early: ${stopped}`);
      sound &&= found.sound && copied.complete;
    }
  } finally {
    place.close();
  }
  console.log(sound ? "every store has everything, whole" : "not everything is well");
  if (!sound) process.exitCode = 1;
});
