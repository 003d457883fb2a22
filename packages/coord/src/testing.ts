/**
 * What every implementation of the port must do, as cases that any test runner can run. On node:assert, without a runner inside:
 *
 *     for (const { name, run } of complianceCases) it(name, () => run(storeUnderTest));
 */
import type { ComplianceCase } from "./testing/fixture.js";
import { leaseCases } from "./testing/leases.js";
import { lifetimeCases } from "./testing/lifetime.js";
import { readCases } from "./testing/reads.js";
import { txnCases } from "./testing/txns.js";
import { watchCases } from "./testing/watches.js";

export type { ComplianceCase, CoordFixture, CoordUnderTest } from "./testing/fixture.js";

/** All of them; each opens a store of its own. To be run one after the other where they share a server. */
export const complianceCases: readonly ComplianceCase[] = [
  ...readCases,
  ...txnCases,
  ...leaseCases,
  ...watchCases,
  ...lifetimeCases,
];
