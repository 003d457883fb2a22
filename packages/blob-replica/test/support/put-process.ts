/** Puts blobs into a folder, tells of each that was acknowledged, and ends itself with SIGKILL at the given call of the file system. */
import { writeSync } from "node:fs";
import { directoryStore } from "../../src/stores/directory.js";
import type { StoreFiles } from "../../src/stores/files.js";
import { nodeFiles } from "../../src/stores/node-files.js";
import { testBlob } from "../../src/testing/fixture.js";

const [dir = "", first = "0", killAt = "0"] = process.argv.slice(2);
let calls = 0;

/** Kills before the call is made, and sometimes while it is. */
function counted<Arguments extends unknown[], Result>(
  call: (...args: Arguments) => Promise<Result>,
): (...args: Arguments) => Promise<Result> {
  return (...args) => {
    const last = ++calls === Number(killAt);
    const running = last && Number(killAt) % 2 === 0 ? call(...args) : undefined;
    if (last) process.kill(process.pid, "SIGKILL");
    return running ?? call(...args);
  };
}

async function writeInParts(path: string, bytes: Uint8Array): Promise<void> {
  const file = await counted(nodeFiles.create)(path);
  await counted(file.append)(bytes);
  await counted(file.sync)();
  await counted(file.close)();
}

const files: StoreFiles = {
  ...nodeFiles,
  openForReading: counted(nodeFiles.openForReading),
  // In one, as it is, or in its parts, so that it may be killed between them.
  writeSynced: Number(killAt) % 3 === 0 ? counted(nodeFiles.writeSynced) : writeInParts,
  rename: counted(nodeFiles.rename),
  remove: counted(nodeFiles.remove),
  makeDir: counted(nodeFiles.makeDir),
  list: counted(nodeFiles.list),
  syncDir: counted(nodeFiles.syncDir),
};

const store = directoryStore(dir, { ports: { files } });
let next = Number(first);
async function putOn(): Promise<never> {
  for (;;) {
    const number = next++;
    await store.put(testBlob(number, (number * 7919) % 60_000));
    writeSync(1, `${number};\n`);
  }
}
await Promise.all(Array.from({ length: 8 }, putOn));
