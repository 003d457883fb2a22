import { it } from "vitest";
import { type BlobStoreUnderTest, blobDamageCases, blobStoreCases } from "../../src/testing.js";

/** Runs the whole suite of stores. `damage`: also what is for stores that verify. */
export function itIsAStore(underTest: BlobStoreUnderTest, options: { readonly damage?: boolean } = {}): void {
  // Only to end what hangs: cases sync hundreds of files one after the other, on a disk that others use as well.
  const timeoutMs = 180_000;
  for (const { name, run } of blobStoreCases) it(name, () => run(underTest), timeoutMs);
  if (options.damage) for (const { name, run } of blobDamageCases) it(name, () => run(underTest), timeoutMs);
}
