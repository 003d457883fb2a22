// Nothing that is committed may know the machine it was made on: no registry's host in a lockfile, no path of this machine.
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import { root } from "./lib/repo.mjs";
import { report } from "./lib/report.mjs";
import { run } from "./lib/run.mjs";

const lockfiles = new Set(["pnpm-lock.yaml", "package-lock.json", "go.sum"]);
const here = [root, homedir()].filter((path) => path.length > 2).map((path) => `${path}/`);
const homes = /(?<![\w./-])\/(?:root|home\/[\w.-]+|Users\/[\w.-]+)\//;

const listing = await run("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
/** @type {string[]} */
const problems = listing.code === 0 ? [] : [`git ls-files failed\n${listing.output}`];
const files = listing.output.split("\0").filter(Boolean);

for (const file of files) {
  const text = read(file);
  if (text === undefined || text.includes("\0")) continue;
  for (const [index, line] of text.split("\n").entries()) {
    const place = `${file}:${index + 1}`;
    // A hash in base64 may begin with slashes.
    if (lockfiles.has(basename(file)) && /:\/\/|\btarball:/.test(line.replace(/ h1:\S+$/, "")))
      problems.push(`${place}: a host in a lockfile`);
    const path = here.find((known) => line.includes(known)) ?? homes.exec(line)?.[0];
    if (path) problems.push(`${place}: a path of this machine (${path})`);
  }
}

/** @param {string} file */
function read(file) {
  try {
    return readFileSync(join(root, file), "utf8");
  } catch {
    return undefined; // listed and deleted, or a link to a folder
  }
}

report(problems, `${files.length} files name no registry's host and no path of this machine`);
