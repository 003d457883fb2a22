import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * @typedef {{ [condition: string]: ExportTarget } | string | null} ExportTarget
 * @typedef {Record<string, string>} Versions
 * @typedef {{
 *   name: string, version: string, private?: boolean, exports?: Record<string, ExportTarget>,
 *   dependencies?: Versions, devDependencies?: Versions, optionalDependencies?: Versions, peerDependencies?: Versions,
 *   peerDependenciesMeta?: Record<string, { optional?: boolean }>,
 * }} Manifest
 * @typedef {{ dir: string, path: string, manifest: Manifest }} Workspace
 */

/** The folder of the repository, without a slash at the end. */
export const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/[\\/]$/, "");

/**
 * @param {string} file
 * @returns {any}
 */
export function readJson(file) {
  return JSON.parse(readFileSync(file, "utf8"));
}

/**
 * The workspaces of one group, by name of their folder.
 *
 * @param {"packages" | "apps"} group
 * @returns {Workspace[]}
 */
export function workspaces(group) {
  return readdirSync(join(root, group))
    .sort()
    .filter((name) => existsSync(join(root, group, name, "package.json")))
    .map((name) => ({
      path: `${group}/${name}`,
      dir: join(root, group, name),
      manifest: readJson(join(root, group, name, "package.json")),
    }));
}

/**
 * The subpaths that can be imported. A package without code exports only its manifest, and has none.
 *
 * @param {Manifest} manifest
 * @returns {string[]}
 */
export function entryPoints(manifest) {
  return Object.keys(manifest.exports ?? {}).filter((subpath) => subpath !== "./package.json");
}

/**
 * Every file below a folder, relative to it, with `/` on every system.
 *
 * @param {string} dir
 * @returns {string[]}
 */
export function filesBelow(dir) {
  if (!existsSync(dir)) return [];
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1))
    .map((file) => file.replaceAll("\\", "/"))
    .sort();
}
