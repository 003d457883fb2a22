import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { entryPoints, filesBelow, readJson, workspaces } from "./repo.mjs";
import { mapLimited, pnpm, run } from "./run.mjs";

/**
 * A packed package: `file` is the tarball, `dir` what it unpacks to, `files` its content, `manifest` the packed one.
 *
 * @typedef {{ name: string, path: string, file: string, dir: string, files: string[], entries: string[],
 *   manifest: import("./repo.mjs").Manifest }} Packed
 */

/**
 * Packs every package that is not private, as `pnpm publish` would, hands them to `use`, and removes them.
 *
 * @template T
 * @param {(packed: Packed[], scratch: string) => Promise<T>} use
 * @returns {Promise<T>}
 */
export async function withTarballs(use) {
  const scratch = mkdtempSync(join(tmpdir(), "packed-"));
  try {
    const publishable = workspaces("packages").filter(({ manifest }) => !manifest.private);
    const packed = await mapLimited(publishable, 2, (workspace) => pack(workspace, scratch));
    return await use(packed, scratch);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/**
 * @param {import("./repo.mjs").Workspace} workspace
 * @param {string} scratch
 * @returns {Promise<Packed>}
 */
async function pack({ dir, path, manifest: { name } }, scratch) {
  const place = join(scratch, "tarballs", path.replace("/", "-"));
  mkdirSync(place, { recursive: true });
  const { command, args } = pnpm();
  const packing = await run(command, [...args, "pack", "--pack-destination", place], { cwd: dir });
  const [tarball] = readdirSync(place);
  if (packing.code !== 0 || !tarball) throw new Error(`${path}: pnpm pack failed\n${packing.output}`);
  const file = join(place, tarball);
  const unpacking = await run("tar", ["-xzf", file, "-C", place]);
  if (unpacking.code !== 0) throw new Error(`${path}: tar failed\n${unpacking.output}`);
  const unpacked = join(place, "package");
  const manifest = readJson(join(unpacked, "package.json"));
  return {
    name,
    path,
    file,
    dir: unpacked,
    files: filesBelow(unpacked),
    entries: entryPoints(manifest),
    manifest,
  };
}
