import { it } from "vitest";
import { type BlobStoreUnderTest, blobDamageCases, blobStoreCases } from "../../src/testing.js";

/** Runs the whole suite of stores. `damage`: also what is for stores that verify. */
export function itIsAStore(underTest: BlobStoreUnderTest, options: { readonly damage?: boolean } = {}): void {
  const timeoutMs = 60_000;
  for (const { name, run } of blobStoreCases) it(name, () => run(underTest), timeoutMs);
  if (options.damage) for (const { name, run } of blobDamageCases) it(name, () => run(underTest), timeoutMs);
}
