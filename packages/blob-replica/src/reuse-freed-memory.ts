import { MessageChannel } from "node:worker_threads";
import { mayBeGlibc } from "./system.js";

/** From here on glibc takes new memory from the system for each block, and gives it back when that is freed. */
export const largeBytes: number = 128 * 1024;

/** glibc learns from blocks of at most 32 MiB, its own head of a few bytes included. */
const shownBytes = 31 * 1024 * 1024;

/** Once for a process: malloc is the same for all of it. */
let done = false;

/**
 * Makes the malloc of glibc use memory again that blobs had. It takes a large block from the system, and gives it back when it is freed, until it has seen a large one
 * freed: from then on it takes blocks of up to that size from its heap, and gives back what is more than twice as much at the end of that (`M_MMAP_THRESHOLD`, "dynamic",
 * in mallopt(3)). New memory can cost as much as hashing what is written there, so it is shown a block, which nobody has written to and which therefore has no memory.
 * glibc does the same by itself as soon as a blob of that size was freed; whoever sets one of its `MALLOC_..._THRESHOLD_` variables turns both off.
 */
export function reuseFreedMemory(): void {
  if (done) return;
  done = true;
  if (!mayBeGlibc) return;
  try {
    free(new ArrayBuffer(shownBytes));
  } catch {
    // No room, not even for addresses: then it stays as it is.
  }
}

/** Has `transfer` since ECMAScript 2024, which Node 20 does not know. */
type Transferable = ArrayBuffer & { transfer?(newLength: number): ArrayBuffer };

/** Now, or where that is not possible in the next turn of the event loop; V8 might take minutes. */
function free(buffer: Transferable): void {
  if (buffer.transfer) {
    buffer.transfer(0);
    return;
  }
  const { port1, port2 } = new MessageChannel();
  port2.close();
  port1.postMessage(undefined, [buffer]);
  port1.close();
}
