// Generates the code of every package with a proto folder into a scratch folder, and compares it with what is committed.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { filesBelow, workspaces } from "./lib/repo.mjs";
import { report } from "./lib/report.mjs";
import { run } from "./lib/run.mjs";

/** @type {string[]} */
const problems = [];
let compared = 0;

for (const { dir, path, manifest } of [...workspaces("packages"), ...workspaces("apps")]) {
  const hasProto = existsSync(join(dir, "proto"));
  const committed = join(dir, "src", "gen");
  if (!hasProto && existsSync(committed))
    problems.push(`${path}: has src/gen, and no proto folder to make it from`);
  if (!hasProto) continue;

  const missing = ["buf.yaml", "buf.gen.yaml"].filter((file) => !existsSync(join(dir, file)));
  if (missing.length > 0) {
    problems.push(`${path}: has a proto folder, and no ${missing.join(", no ")}`);
    continue;
  }
  if (!manifest.name || !("scripts" in manifest) || !Object.hasOwn(Object(manifest.scripts), "generate"))
    problems.push(`${path}: has a proto folder, and no script "generate"`);

  const scratch = mkdtempSync(join(tmpdir(), "generated-"));
  try {
    const { code, output } = await run("buf", ["generate", "--output", scratch], { cwd: dir });
    if (code !== 0) {
      problems.push(`${path}: buf generate failed\n${output}`);
      continue;
    }
    const generated = join(scratch, "src", "gen");
    const files = new Set([...filesBelow(generated), ...filesBelow(committed)]);
    if (files.size === 0) problems.push(`${path}: buf generate wrote nothing to src/gen`);
    for (const file of files) {
      compared += 1;
      const difference = compare(join(committed, file), join(generated, file));
      if (difference) problems.push(`${path}/src/gen/${file}: ${difference}; run \`pnpm generate\``);
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/**
 * @param {string} committed
 * @param {string} generated
 * @returns {string | undefined}
 */
function compare(committed, generated) {
  if (!existsSync(committed)) return "is generated and not there";
  if (!existsSync(generated)) return "is there and no longer generated";
  return readFileSync(committed).equals(readFileSync(generated))
    ? undefined
    : "differs from what is generated";
}

report(problems, `${compared} generated files are what their proto files give`);
