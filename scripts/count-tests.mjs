// Adds up vitest's JSON reports: `node scripts/count-tests.mjs REPORT...` prints `N passed, N failed, N skipped`. A report
// that is missing, or a file whose tests could not even be collected, counts as one failure.
import { existsSync } from "node:fs";
import { readJson } from "./lib/repo.mjs";

/** @typedef {{ status: string, assertionResults: { status: string }[] }} FileResult */

const sum = { passed: 0, failed: 0, skipped: 0 };

for (const report of process.argv.slice(2)) {
  if (!existsSync(report)) {
    sum.failed += 1;
    continue;
  }
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults, success } =
    readJson(report);
  /** @type {FileResult[]} */
  const files = testResults;
  const broken = files.filter(
    ({ status, assertionResults }) =>
      status === "failed" && !assertionResults.some((assertion) => assertion.status === "failed"),
  );
  const failures = numFailedTests + broken.length;
  sum.passed += numPassedTests;
  // An error outside of every test, or no test at all, makes the run fail without a failed test.
  sum.failed += failures === 0 && !success ? 1 : failures;
  sum.skipped += numPendingTests + numTodoTests;
}

console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
if (sum.failed > 0 || sum.passed === 0) process.exitCode = 1;
