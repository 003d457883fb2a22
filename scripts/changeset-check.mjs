// The changesets make sense together: they can be read, name only packages that are published, and every package that has
// code and was never released has one.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { entryPoints, readJson, root, workspaces } from "./lib/repo.mjs";
import { report } from "./lib/report.mjs";
import { run } from "./lib/run.mjs";

/** @type {string[]} */
const problems = [];
const packages = workspaces("packages").map(({ manifest }) => manifest);
const isPublished = new Map(packages.map(({ name, private: isPrivate }) => [name, !isPrivate]));

for (const file of readdirSync(join(root, ".changeset"))) {
  if (!file.endsWith(".md") || file === "README.md") continue;
  const [, head = "", summary = ""] = readFileSync(join(root, ".changeset", file), "utf8").split(/^---$/m);
  if (!summary.trim()) problems.push(`.changeset/${file}: says nothing about the change`);
  for (const [, name = ""] of head.matchAll(/^["'](.+)["']:/gm)) {
    if (!isPublished.get(name))
      problems.push(`.changeset/${file}: ${name} is not a package that is published`);
  }
}

const scratch = mkdtempSync(join(tmpdir(), "changesets-"));
try {
  // Compared with HEAD no package has changed, so that the plan fails only when the changesets themselves are wrong.
  const output = join(scratch, "plan.json");
  const args = ["status", "--since", "HEAD", "--output", relative(root, output)];
  const status = await run("changeset", args);
  if (status.code !== 0) problems.push(`changeset status failed\n${status.output}`);
  else {
    const planned = new Set(
      readJson(output).releases.map((/** @type {{ name: string }} */ { name }) => name),
    );
    for (const manifest of packages) {
      if (manifest.private || manifest.version !== "0.0.0" || entryPoints(manifest).length === 0) continue;
      if (!planned.has(manifest.name))
        problems.push(`${manifest.name}: has code, no release, and no changeset`);
    }
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

report(problems, "the changesets can be read and leave no package out");
