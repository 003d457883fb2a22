import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { buildGoServer, etcdBuild, goBuildTimeoutMs, requireServer } from "../src/servers/index.js";
import { eventually, isGone } from "./processes.js";

const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
const fixtures = fileURLToPath(new URL("fixtures/", import.meta.url));

interface Runner {
  readonly main: ChildProcess;
  readonly worker: number;
  readonly server: number;
}

/** Runs `work` beside a real test runner whose only test hangs, with an etcd of its own. */
async function besideHangingRunner(work: (runner: Runner) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "x-harness-test-"));
  const report = join(folder, "report.json");
  const main = spawn(process.execPath, [vitest, "run", "--config", "vitest.config.ts", "hanging"], {
    cwd: fixtures,
    // The runner's etcd cannot remove its folder when it is killed: it goes with ours.
    env: { ...process.env, REPORT: report, TMPDIR: folder },
    stdio: "ignore",
  });
  const ended = once(main, "exit");
  let pids: Omit<Runner, "main"> | undefined;
  try {
    const text = await eventually(() => existsSync(report) && readFileSync(report, "utf8"));
    pids = JSON.parse(text) as Omit<Runner, "main">; // written so by the fixture
    expect(isGone(pids.server)).toBe(false);
    await work({ main, ...pids });
  } finally {
    main.kill("SIGKILL");
    await ended;
    for (const pid of [pids?.worker, pids?.server]) {
      if (pid !== undefined && !isGone(pid)) process.kill(pid, "SIGKILL");
    }
    rmSync(folder, { recursive: true, maxRetries: 5 });
  }
}

describe.skipIf(!requireServer("etcd"))("etcd", () => {
  beforeAll(() => buildGoServer(etcdBuild), goBuildTimeoutMs);

  it("is gone when the test worker that started it is killed with SIGKILL", async () => {
    await besideHangingRunner(async ({ worker, server }) => {
      process.kill(worker, "SIGKILL");
      await eventually(() => isGone(server));
    });
  }, 90_000);

  it("is gone when the test runner is killed with SIGKILL and its worker lives on", async () => {
    await besideHangingRunner(async ({ main, worker, server }) => {
      main.kill("SIGKILL");
      expect(isGone(worker)).toBe(false);
      await eventually(() => isGone(server));
    });
  }, 90_000);

  it("is gone when it stood still at that moment", async () => {
    await besideHangingRunner(async ({ worker, server }) => {
      process.kill(server, "SIGSTOP");
      process.kill(worker, "SIGKILL");
      await eventually(() => isGone(server));
    });
  }, 90_000);
});
