import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import type { Row } from "../src/bench/benchmark.js";
import {
  buildGoServer,
  etcdBuild,
  goBuildTimeoutMs,
  natsBuild,
  requireServer,
} from "../src/servers/index.js";
import { eventually, isGone } from "./processes.js";

/** Programs can only be run as they were built. */
const program = fileURLToPath(new URL("../dist/bench/main.js", import.meta.url));
const hasServers = (["etcd", "redis", "nats"] as const).map((name) => requireServer(name)).every(Boolean);

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function bench(
  args: readonly string[],
  options: { readonly temporary?: string; readonly onStart?: (child: ChildProcess) => void } = {},
): Promise<Ran> {
  const { temporary = tmpdir(), onStart = () => {} } = options;
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, TMPDIR: temporary },
  });
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (part: string) => {
      texts[name] += part;
    });
  }
  onStart(child);
  try {
    const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
    return { code, ...texts };
  } finally {
    child.kill("SIGKILL");
  }
}

/** All processes that this one started, and those that they started. */
function descendants(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    try {
      const line = readFileSync(`/proc/${name}/stat`, "utf8");
      const parent = Number(line.slice(line.lastIndexOf(")") + 2).split(" ")[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // It ended meanwhile.
    }
  }
  const all: number[] = [];
  for (let next = [pid]; next.length > 0; ) {
    next = next.flatMap((parent) => children.get(parent) ?? []);
    all.push(...next);
  }
  return all;
}

describe("the benchmarks' program", () => {
  beforeAll(() => expect(existsSync(program), "build first: `pnpm build`").toBe(true));

  it("names the benchmarks that there are when it is asked for another one", async () => {
    const { code, stdout, stderr } = await bench(["nosuch", "--json"]);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toContain('there is no benchmark "nosuch"');
    expect(stderr).toContain("topics");
  });

  it("refuses an option that it does not have", async () => {
    const { code, stderr } = await bench(["--fast"]);
    expect(code).toBe(2);
    expect(stderr).toContain("--fast");
  });
});

describe.skipIf(!hasServers)("the benchmark of topics", { timeout: 180_000 }, () => {
  beforeAll(() => buildGoServer(etcdBuild), goBuildTimeoutMs);
  beforeAll(() => buildGoServer(natsBuild), goBuildTimeoutMs);

  it("tells every figure of ours and of each peer, one JSON object a line, and shows the table elsewhere", async () => {
    const { code, stdout, stderr } = await bench(["topics", "--quick", "--json"]);
    expect(code, stderr).toBe(0);
    const rows = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Row);

    const perSize = [
      "publish, 1,000 in flight",
      "publish in batches of 64",
      "publish one at a time, p50",
      "publish one at a time, p99",
      "consume and commit",
      "end to end at 1,000/s, p50",
      "end to end at 1,000/s, p99",
      "end to end at 10,000/s, p50",
      "end to end at 10,000/s, p99",
    ];
    const memory = "peak memory after 500 messages of 1 KiB";
    const metrics = ["1 KiB", "100 B"].flatMap((size) => perSize.map((metric) => `${size}: ${metric}`));
    const peers = ["Redis Streams", "NATS JetStream", "raw TCP log"];
    const expected = [...metrics, `${memory}, all server processes`].flatMap((metric) =>
      peers.map((peer) => `${metric} | ${peer}`),
    );
    expected.push(`${memory}, ours: etcd | null`, `${memory}, ours: buffer | null`);
    expect(rows.map(({ metric, peer }) => `${metric} | ${peer}`)).toEqual(expected);

    for (const row of rows) {
      const shape = "bench metric unit better ours peer theirs ratio spread runs goal met".split(" ");
      expect(Object.keys(row)).toEqual(shape);
      expect(row.bench).toBe("topics");
      expect(["msg/s", "ms", "MB"]).toContain(row.unit);
      expect(row.better).toBe(row.unit === "msg/s" ? "higher" : "lower");
      expect(row.ours, row.metric).toBeGreaterThan(0);
      expect(row.runs).toBe(1);
      if (row.peer === null) continue;
      expect(row.theirs, `${row.metric} of ${row.peer}`).toBeGreaterThan(0);
      expect((row.ours ?? 0) / (row.theirs ?? 0) / (row.ratio ?? 0)).toBeCloseTo(1, 2);
    }
    const goals = rows.filter(({ goal }) => goal !== null);
    expect(goals.map(({ metric, peer, goal }) => `${metric} | ${peer} | ${goal}`)).toEqual([
      "1 KiB: publish, 1,000 in flight | Redis Streams | >= 1x Redis `always`",
      "1 KiB: publish, 1,000 in flight | raw TCP log | >= 18% of the raw log",
      "1 KiB: end to end at 10,000/s, p50 | Redis Streams | <= 0.5x Redis",
    ]);
    for (const { met, metric } of goals) {
      expect(typeof met).toBe("boolean");
      if (met === false) expect(stderr).toContain(`GOAL MISSED: ${metric}`);
    }
    for (const setting of ["appendfsync always", "sync_interval: always", "rangeSizeFactor", ...metrics]) {
      expect(stderr).toContain(setting);
    }
  });

  it.each([
    ["is interrupted", "SIGTERM"],
    ["is killed", "SIGKILL"],
  ] as const)("leaves no process behind when it %s in the middle", async (_, signal) => {
    // Its own, so that the folders of others are not taken for its own.
    const temporary = mkdtempSync(join(tmpdir(), "x-harness-bench-"));
    let started: number[] = [];
    const onStart = (child: ChildProcess): void => {
      const running = eventually(() => {
        // A supervisor and a server for each of etcd, buffer, Redis, NATS and raw log, and four clients.
        started = descendants(child.pid as number);
        return started.length >= 14;
      });
      running.finally(() => child.kill(signal)).catch(() => {});
    };
    const ran = await bench(["topics", "--json"], { temporary, onStart });
    expect(started.length).toBeGreaterThanOrEqual(14);
    await eventually(() => started.every(isGone));
    expect(ran.stdout).toBe("");
    const left = readdirSync(temporary).filter((name) => name.startsWith("x-bench-ours-"));
    rmSync(temporary, { recursive: true });
    if (signal === "SIGKILL") return; // nobody is there to remove folders
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain("interrupted by SIGTERM");
    expect(left).toEqual([]);
  });
});
