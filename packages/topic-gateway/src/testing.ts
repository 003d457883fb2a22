/**
 * What every implementation of the storage ports must do, as cases that any test runner can run. On node:assert, without a
 * runner inside:
 *
 *     for (const { name, run } of segmentLogCases) it(name, () => run(storeUnderTest));
 */
export type { ComplianceCase } from "./testing/log-draft.js";
export {
  type SegmentArchiveCase,
  type SegmentArchiveFixture,
  type SegmentArchiveUnderTest,
  segmentArchiveCases,
} from "./testing/segment-archive-cases.js";
export {
  type SegmentLogCase,
  type SegmentLogFixture,
  type SegmentLogUnderTest,
  segmentLogCases,
} from "./testing/segment-log-cases.js";
