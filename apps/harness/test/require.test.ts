import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { requireServer, startEtcd } from "../src/servers/index.js";

const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
const fixtures = fileURLToPath(new URL("fixtures/", import.meta.url));
let empty = "";
beforeAll(() => {
  empty = mkdtempSync(join(tmpdir(), "x-harness-test-"));
});
afterAll(() => rmSync(empty, { recursive: true }));

interface Outcome {
  readonly code: number;
  readonly output: string;
}

/** A real test run of one suite that needs etcd, on a machine without Go and with nothing built. */
function runWithoutGo(env: NodeJS.ProcessEnv): Promise<Outcome> {
  const { CI: _, ...inherited } = process.env;
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [vitest, "run", "--config", "vitest.config.ts", "needs-etcd"],
      { cwd: fixtures, env: { ...inherited, PATH: empty, X_HARNESS_CACHE: empty, NO_COLOR: "1", ...env } },
      (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), output: stdout + stderr }),
    );
  });
}

describe("on a machine without Go", () => {
  it("a suite is skipped with one line that says how to get the server", async () => {
    const { code, output } = await runWithoutGo({});
    expect(output.match(/SKIPPED.*/g)).toEqual([
      "SKIPPED the tests that need a real etcd: etcd is built from a pinned Go module: install Go 1.26.0 or newer, put `go` on PATH and run again; it is built once and kept !!!",
    ]);
    expect(output).toMatch(/Tests\s+1 skipped/);
    expect(code).toBe(0);
  }, 60_000);

  it("the same suite fails with CI=true", async () => {
    const { code, output } = await runWithoutGo({ CI: "true" });
    expect(output).toContain("with CI set, no suite may be skipped: etcd is built from a pinned Go module");
    expect(output).toMatch(/Test Files\s+1 failed/);
    expect(code).toBe(1);
  }, 60_000);

  it.each(["etcd", "nats", "redis"] as const)("%s is told to be missing, with what to install", (name) => {
    const lines: string[] = [];
    const env = { PATH: empty, X_HARNESS_CACHE: empty };
    expect(requireServer(name, { env, onMissing: (line) => lines.push(line) })).toBe(false);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(name === "redis" ? /apt-get install redis-server/ : /install Go 1\./);
    expect(() => requireServer(name, { env: { ...env, CI: "true" } })).toThrow(
      expect.objectContaining({ code: "missing-server" }),
    );
    expect(requireServer(name, { env: { ...env, CI: "false" }, onMissing: () => {} })).toBe(false);
  });

  it("a start says the same", async () => {
    const { PATH, X_HARNESS_CACHE } = process.env;
    Object.assign(process.env, { PATH: empty, X_HARNESS_CACHE: empty });
    try {
      await expect(startEtcd()).rejects.toMatchObject({ code: "missing-server", message: /install Go 1\./ });
    } finally {
      process.env.PATH = PATH;
      if (X_HARNESS_CACHE === undefined) delete process.env.X_HARNESS_CACHE;
      else process.env.X_HARNESS_CACHE = X_HARNESS_CACHE;
    }
  });
});
