/**
 * What every store of blobs must do, as cases that any test runner can run. On node:assert, without a runner inside:
 *
 *     for (const { name, run } of blobStoreCases) it(name, () => run(storeUnderTest));
 *
 * With the default sizes the cases put about 12,000 blobs, of which some 200 one after the other; none of them cuts the power. A store that syncs each put to a disk, which
 * others may use as well, takes minutes for that, and seconds without the syncs: let it leave them out here where it can, test what it keeps over a crash by itself, and
 * set the runner's limit of a case for the slowest disk.
 */
import { abortCases } from "./testing/abort-cases.js";
import { batchCases } from "./testing/batch-cases.js";
import { contentCases } from "./testing/content-cases.js";
import { damageCases } from "./testing/damage-cases.js";
import type { BlobStoreCase } from "./testing/fixture.js";
import { listingCases } from "./testing/listing-cases.js";

/** For every store and every composition of them. */
export const blobStoreCases: readonly BlobStoreCase[] = [
  ...contentCases,
  ...listingCases,
  ...batchCases,
  ...abortCases,
];

/** For those that verify what they serve: their fixture has `damage`. */
export const blobDamageCases: readonly BlobStoreCase[] = damageCases;

export type { BlobStoreCase, BlobStoreFixture, BlobStoreUnderTest } from "./testing/fixture.js";
export { testBlob, testBlobs } from "./testing/fixture.js";
