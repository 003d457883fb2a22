// Everything that CI runs except the tests, one line per step. All steps run, also after one has failed; only those that
// look at what the build makes are left out when it fails.
import { run } from "./lib/run.mjs";

/** @type {{ name: string, command: string, args: string[], needsBuild?: true }[]} */
const steps = [
  { name: "build", command: "turbo", args: ["run", "build", "--output-logs=errors-only"] },
  { name: "types of tests and scripts", command: "tsc", args: ["-p", "tsconfig.tests.json"] },
  { name: "biome", command: "biome", args: ["check", "--error-on-warnings", "."] },
  { name: "knip", command: "knip", args: ["--no-config-hints"] },
  script("generated code", "generated-check"),
  script("time and chance are ports", "ports-check"),
  script("hosts and paths", "host-check"),
  script("changesets", "changeset-check"),
  { ...script("publint and attw", "package-lint"), needsBuild: true },
  { ...script("packed packages", "pack-check"), needsBuild: true },
];

/**
 * @param {string} name
 * @param {string} file
 */
function script(name, file) {
  return { name, command: process.execPath, args: [`scripts/${file}.mjs`] };
}

/** @type {string[]} */
const failed = [];
const started = performance.now();

for (const { name, command, args, needsBuild } of steps) {
  if (needsBuild && failed.includes("build")) {
    console.log(`--    ${name}: left out, as the build failed`);
    continue;
  }
  const start = performance.now();
  const { code, output } = await run(command, args);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  if (code === 0) {
    console.log(`ok    ${name} (${seconds} s)`);
    continue;
  }
  failed.push(name);
  console.log(
    `FAIL  ${name} (${seconds} s): ${command === process.execPath ? `node ${args.join(" ")}` : [command, ...args].join(" ")}`,
  );
  console.log(output.trimEnd().replace(/^/gm, "      "));
}

const total = ((performance.now() - started) / 1000).toFixed(0);
console.log(
  failed.length === 0 ? `check: all fine in ${total} s` : `check: failed in ${total} s: ${failed.join(", ")}`,
);
if (failed.length > 0) process.exitCode = 1;
