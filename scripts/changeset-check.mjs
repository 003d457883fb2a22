// The changesets make sense together: they give a release plan, name only packages that are published, say something, and
// leave out no package that has code and was never released.
import getReleasePlan from "@changesets/get-release-plan";
import { entryPoints, root, workspaces } from "./lib/repo.mjs";
import { report } from "./lib/report.mjs";

/** @type {string[]} */
const problems = [];
const published = workspaces("packages").filter(({ manifest }) => !manifest.private);
const names = new Set(published.map(({ manifest }) => manifest.name));

try {
  const plan = await getReleasePlan(root);
  for (const { id, summary, releases } of plan.changesets) {
    if (!summary.trim()) problems.push(`.changeset/${id}.md: says nothing about the change`);
    for (const { name } of releases)
      if (!names.has(name)) problems.push(`.changeset/${id}.md: ${name} is not a package that is published`);
  }
  const planned = new Set(plan.releases.filter(({ type }) => type !== "none").map(({ name }) => name));
  for (const { manifest } of published) {
    if (manifest.version !== "0.0.0" || entryPoints(manifest).length === 0) continue;
    if (!planned.has(manifest.name))
      problems.push(`${manifest.name}: has code, no release, and no changeset`);
  }
} catch (error) {
  problems.push(`no release plan: ${error instanceof Error ? error.message : error}`);
}

report(problems, "the changesets give a release plan and leave no package out");
