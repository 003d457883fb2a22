#!/usr/bin/env node
/** `pnpm bench [name] [--json] [--quick] [--only TEXT] [--no-write] [--profile DIR]` */
import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Benchmark } from "./benchmark.js";
import { blobsBenchmark } from "./blobs/benchmark.js";
import { fanoutBenchmark } from "./fanout/benchmark.js";
import { journalBenchmark } from "./journal/benchmark.js";
import { busyNote, describeMachine } from "./machine.js";
import { legend, markdown, textTable } from "./print.js";
import { rewriteFigures } from "./readme.js";
import { spaceBenchmark } from "./space/benchmark.js";
import { topicsBenchmark } from "./topics/benchmark.js";
import { viewregBenchmark } from "./viewreg/benchmark.js";

const benchmarks: readonly Benchmark[] = [
  topicsBenchmark,
  viewregBenchmark,
  spaceBenchmark,
  fanoutBenchmark,
  journalBenchmark,
  blobsBenchmark,
];

const usage = `usage: pnpm bench [name] [options]
  name           one of ${benchmarks.map(({ name }) => name).join(", ")}; all of them without it
  --json         one JSON object per figure on stdout; what is for people goes to stderr
  --quick        a smoke run of some seconds: its figures mean little, and no README gets them
  --only TEXT    only the parts that have TEXT in their names; no README gets the figures
  --no-write     leaves the READMEs alone
  --profile DIR  CPU profiles of our own processes are written into DIR; no README gets the figures
`;

const root = fileURLToPath(new URL("../../../../", import.meta.url));

async function main(): Promise<number> {
  // Package managers that pass arguments through may leave a `--` in front of them.
  const { values, positionals } = parseArgs({
    args: process.argv.slice(2).filter((arg) => arg !== "--"),
    allowPositionals: true,
    allowNegative: true,
    options: {
      json: { type: "boolean", default: false },
      quick: { type: "boolean", default: false },
      write: { type: "boolean", default: true },
      only: { type: "string" },
      profile: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const chosen =
    positionals.length === 0 ? benchmarks : benchmarks.filter(({ name }) => positionals.includes(name));
  const unknown = positionals.find((name) => !benchmarks.some((benchmark) => benchmark.name === name));
  if (unknown !== undefined) throw new UsageError(`there is no benchmark ${JSON.stringify(unknown)}`);

  const say = (line: string): void => void (values.json ? process.stderr : process.stdout).write(`${line}\n`);
  const profileDirectory = values.profile === undefined ? undefined : resolve(values.profile);
  if (profileDirectory !== undefined) await mkdir(profileDirectory, { recursive: true });
  const writes = values.write && !values.quick && values.only === undefined && profileDirectory === undefined;
  const machine = describeMachine();
  const busy = busyNote();
  let exitCode = 0;
  for (const benchmark of chosen) {
    say(`${benchmark.name}: ${benchmark.about}\n${machine}\n`);
    const { quick, only } = values;
    // What is shown while it runs is not the result, so it never goes to stdout.
    const progress = (line: string): void => void process.stderr.write(`${line}\n`);
    const measured = await benchmark.run({
      quick,
      only,
      profileDirectory,
      signal: interrupted(),
      say: progress,
    });
    const report = { ...measured, notes: [...(busy === undefined ? [] : [busy]), ...measured.notes] };
    for (const line of report.setup) say(`  ${line}`);
    say(`\n${textTable(report.rows)}\n\n${legend}\n`);
    for (const line of report.notes) say(`note: ${line}`);
    const missed = report.rows.filter(({ met }) => met === false);
    for (const { metric, peer, goal } of missed)
      say(`GOAL MISSED: ${metric}${peer === null ? "" : ` against ${peer}`}: ${goal}`);
    if (values.json) {
      for (const row of report.rows) process.stdout.write(`${JSON.stringify(row)}\n`);
    }
    if (report.failed) exitCode = 1;
    if (!writes || report.failed) continue;
    for (const readme of benchmark.readmes) {
      const text = markdown(benchmark, report, machine);
      if (await rewriteFigures(resolve(root, readme), benchmark.name, text))
        say(`wrote the figures into ${readme}`);
    }
  }
  return exitCode;
}

class UsageError extends Error {}

const interruption = new AbortController();

/** Aborts at the first SIGINT or SIGTERM, so that servers are stopped on the way out. A second one ends the process at once. */
function interrupted(): AbortSignal {
  return interruption.signal;
}

for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.once(name, () => interruption.abort(new Error(`interrupted by ${name}`)));
}

try {
  process.exitCode = await main();
} catch (error) {
  const isUsage =
    error instanceof UsageError || (error as NodeJS.ErrnoException)?.code?.startsWith("ERR_PARSE_ARGS");
  const text =
    error instanceof Error
      ? isUsage
        ? `${error.message}\n\n${usage}`
        : (error.stack ?? error.message)
      : String(error);
  process.stderr.write(`error: ${text}\n`);
  process.exitCode = isUsage ? 2 : 1;
}
