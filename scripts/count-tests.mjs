// Adds up vitest's JSON reports: `node scripts/count-tests.mjs REPORT...` prints what failed, and `N passed, N failed,
// N skipped` as the last line. A report that is missing, or a file whose tests could not even be collected, counts as one
// failure.
import { existsSync } from "node:fs";
import { basename, relative } from "node:path";
import { readJson, root } from "./lib/repo.mjs";

/** @typedef {{ status: string, fullName: string, failureMessages?: string[] }} Assertion */
/** @typedef {{ name: string, status: string, message: string, assertionResults: Assertion[] }} FileResult */

const MESSAGE_LINES = 12;

const sum = { passed: 0, failed: 0, skipped: 0 };

for (const report of process.argv.slice(2)) {
  if (!existsSync(report)) {
    console.log(`no report ${basename(report)}: its tests did not run to the end`);
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
  for (const { name, assertionResults } of files) {
    for (const { status, fullName, failureMessages = [] } of assertionResults) {
      if (status === "failed") show(report, name, fullName, failureMessages.join("\n"));
    }
  }
  for (const { name, message } of broken) show(report, name, "could not be run", message);
  const failures = numFailedTests + broken.length;
  sum.passed += numPassedTests;
  // An error outside of every test, or no test at all, makes the run fail without a failed test.
  sum.failed += failures === 0 && !success ? 1 : failures;
  sum.skipped += numPendingTests + numTodoTests;
}

console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
if (sum.failed > 0 || sum.passed === 0) process.exitCode = 1;

/**
 * @param {string} report
 * @param {string} file
 * @param {string} test
 * @param {string} message
 */
function show(report, file, test, message) {
  console.log(`FAILED (${basename(report, ".json")}) ${relative(root, file)}: ${test}`);
  for (const line of message.split("\n").slice(0, MESSAGE_LINES)) console.log(`    ${line}`);
}
