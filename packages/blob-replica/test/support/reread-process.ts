/** `SIZE [FOLDER]`: frees a blob that a store gave, reads it again, and prints how many pages of memory that got from the system. */
import { setImmediate } from "node:timers/promises";
import { MessageChannel } from "node:worker_threads";
import { directoryStore, memoryStore } from "../../src/index.js";
import { testBlob } from "../../src/testing/fixture.js";

const { port1: nowhere, port2 } = new MessageChannel();
port2.close();
const [size, folder] = process.argv.slice(2);
const store = folder === undefined ? memoryStore() : directoryStore(folder);
const { ref: first } = await store.put(testBlob(1, 256 * 1024));
const { ref } = await store.put(testBlob(2, Number(size)));
const kept = await store.get(first);
// What is to be done after the first large read may take a turn of the loop.
for (let turn = 0; turn < 10; turn++) await setImmediate();

async function pagesOfARead(): Promise<number> {
  const before = process.resourceUsage().minorPageFault;
  const read = await store.get(ref);
  const pages = process.resourceUsage().minorPageFault - before;
  nowhere.postMessage(undefined, [read.buffer as ArrayBuffer]); // frees it: nobody gets it
  return pages;
}

await pagesOfARead();
console.log(await pagesOfARead());
nowhere.close();
if (kept.length === 0) throw new Error("the first one was collected");
