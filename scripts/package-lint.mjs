// Lints every package as it would be published: publint, and "are the types wrong".
import { report } from "./lib/report.mjs";
import { mapLimited, run } from "./lib/run.mjs";
import { withTarballs } from "./lib/tarballs.mjs";

/** @type {string[]} */
const problems = [];

/**
 * @param {string} path
 * @param {string} command
 * @param {string[]} args
 */
async function lint(path, command, args) {
  const { code, output } = await run(command, args);
  if (code !== 0) problems.push(`${path}: ${command}\n${output}`);
}

const linted = await withTarballs(async (packages) => {
  await mapLimited(packages, 2, async ({ path, file, entries }) => {
    await lint(path, "publint", ["run", file, "--strict"]);
    // Without an entry point there are no types that could be wrong, and attw would call that a mistake.
    if (entries.length > 0) await lint(path, "attw", [file, "--profile", "esm-only", "--no-emoji"]);
  });
  return packages.length;
});

report(problems, `${linted} packages are fine for publint and attw`);
