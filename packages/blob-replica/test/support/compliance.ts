import { it } from "vitest";
import {
  type BlobStoreCase,
  type BlobStoreUnderTest,
  blobDamageCases,
  blobStoreCases,
} from "../../src/testing.js";
import { pendingFileCalls } from "./watched-files.js";

/** Only to end what hangs: cases write hundreds of files one after the other, on a disk that others use as well. */
const LONGEST_MS = 180_000;

/** Runs the whole suite of stores. `damage`: also what is for stores that verify. */
export function itIsAStore(underTest: BlobStoreUnderTest, options: { readonly damage?: boolean } = {}): void {
  const cases = [...blobStoreCases, ...(options.damage ? blobDamageCases : [])];
  for (const each of cases) it(each.name, () => bounded(each, underTest), LONGEST_MS + 10_000);
}

/**
 * Fails with what the process waits for then: nothing at all, where a wake-up was lost, or calls of the file system that do not return; and with those calls that go through
 * watched files, since when.
 */
export async function bounded(
  { run }: BlobStoreCase,
  underTest: BlobStoreUnderTest,
  longestMs: number = LONGEST_MS,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const hangs = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const waitsFor = process.getActiveResourcesInfo().sort().join(" ");
      const calls = pendingFileCalls();
      reject(
        new Error(
          `it hangs, and the process waits for: ${waitsFor}; pending calls of watched files: ${calls}`,
        ),
      );
    }, longestMs);
  });
  try {
    await Promise.race([run(underTest), hangs]);
  } finally {
    clearTimeout(timer);
  }
}
