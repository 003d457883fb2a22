import { requireServer } from "../../servers/index.js";
import type { BenchContext, Benchmark, Report, Row } from "../benchmark.js";
import { profileFlags } from "../topics/systems.js";
import type { Figures } from "./call.js";
import { complaint } from "./figures.js";
import { findNewerNode, hasZstd, type NewerNode, notesOfNodes } from "./nodes.js";
import { fullScale, isWanted, type Part, partsOf, quickScale, type Scale } from "./plan.js";
import { Sides } from "./sides.js";
import { measurementOf, rowsOfNodes, type Turn, turnsOf } from "./turns.js";

const BENCH = "journal";
/** The whole run takes about five minutes on a quiet machine. */
const LIMIT_MS = 20 * 60_000;

export const journalBenchmark: Benchmark = {
  name: BENCH,
  about: "The client of Gazette journals against Gazette's own, which is written in Go, at the same broker.",
  readmes: ["packages/journal-client/README.md"],
  run: measure,
};

async function measure(context: BenchContext): Promise<Report> {
  const notes: string[] = [];
  const missing = (["etcd", "gazette", "gazette-peer"] as const).filter(
    (name) =>
      !requireServer(name, { env: { ...process.env, CI: "" }, onMissing: (line) => notes.push(line) }),
  );
  if (missing.length > 0) return { rows: [], setup: [], notes, failed: true };
  const scale = context.quick ? quickScale : fullScale;
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(LIMIT_MS)]);
  const parts = partsOf(scale).filter((part) => isWanted(part, context.only));
  const newerNode = await newerNodeFor(parts, signal);
  const program = newerNode !== undefined && "program" in newerNode ? newerNode.program : undefined;
  await using sides = await Sides.start({ nodeArgs: profileFlags(context.profileDirectory), signal });
  const rows: Row[] = [];
  const windows: Record<"own" | "newer", Figures[]> = { own: [], newer: [] };
  let failed = false;
  for (const part of parts) {
    context.say(part.name);
    const measurement = measurementOf(part, program);
    try {
      await measurePart(part, turnsOf(part, measurement), { sides, scale });
    } catch (error) {
      signal.throwIfAborted();
      failed = true;
      const text = error instanceof Error ? error.message : String(error);
      context.say(text);
      notes.push(`failed in "${part.name}": ${text.split("\n", 1)[0]}`);
    }
    rows.push(...rowsOfNodes(BENCH, part, measurement));
    for (const { node, ours } of measurement.nodes)
      windows[node === undefined ? "own" : "newer"].push(...ours);
  }
  const absent = newerNode !== undefined && "missing" in newerNode ? newerNode.missing : undefined;
  notes.push(...notesOfNodes(windows, { native: hasZstd(), missing: absent }));
  return { rows, setup: setupOf(scale), notes, failed };
}

/** Undefined where it would measure nothing more. */
async function newerNodeFor(parts: readonly Part[], signal: AbortSignal): Promise<NewerNode | undefined> {
  if (hasZstd() || parts.every(({ byNewerNode }) => byNewerNode === undefined)) return undefined;
  return findNewerNode(signal);
}

async function measurePart(
  { filled }: Part,
  turns: readonly Turn[],
  { sides, scale }: { readonly sides: Sides; readonly scale: Scale },
): Promise<void> {
  const run = async (
    { name, side, call, node, into }: Turn,
    where: { readonly journal: string },
  ): Promise<void> => {
    const told = await sides.run(side, { ...call, ...where }, node === undefined ? {} : { node });
    const wrong = complaint(call, told);
    if (wrong !== undefined) throw new Error(`${name}: ${wrong}`);
    into.push(told);
  };
  const all = async (where?: { readonly journal: string }): Promise<void> => {
    for (let window = 0; window < scale.windows; window++) {
      for (const turn of turns) {
        if (where !== undefined) await run(turn, where);
        else await sides.withNewJournal((journal) => run(turn, { journal }));
      }
    }
  };
  if (filled === undefined) await all();
  else await sides.withFilledJournal(filled, scale, all);
}

function setupOf({ windows, directBytes, fragmentBytes, readers }: Scale): string[] {
  const mib = (bytes: number): string => `${bytes / 2 ** 20} MiB`;
  return [
    `Gazette v0.103.0, one broker with a \`file://\` store, etcd, and the client of the window share the machine; each window is a process of its own, and the sides take turns (${windows} windows each).`,
    "Go client: `client.AppendService`, `client.Append`, `client.Appender` and `client.RetryReader` of go.gazette.dev/core v0.103.0 with their defaults, in `servers/gazette-peer/bench.go`. Ours: `JournalClient` with its defaults.",
    "Before it is measured, each connects and learns the route. Ours then runs a part of the load uncounted, since V8 compiles what is hot; the Go program is compiled. The part is an eighth to a fifth; of one append at a time, and of fragments, it is as much as is counted, and has a row of its own (`the first`): so slow is a process that has just begun.",
    "What is appended is text (JSON lines). Of the Appender it is written in chunks of 128 KiB, and the time ends with the commit.",
    `Direct reads: fragments of ${mib(fragmentBytes)} (${mib(directBytes)} of content), opened by the URLs that the broker tells, decompressed in the client; a window in which a byte came through the broker is an error.`,
    "Fragments are read with `readInto`, into one buffer of 1 MiB; the Go client always reads into one (of 128 KiB). `read`, which gives each chunk in memory of its own, is measured for each codec without a peer. What comes through the broker is read with `read`.",
    "The bare columns are no clients, but the same by Node with next to nothing around it: appends in a bare loop of @grpc/grpc-js and of node:http2; the files of NONE in a bare loop of node:fs; for SNAPPY and ZSTANDARD the decompressor that the client uses, alone, fed from memory, each block in new memory. Our client can be faster than the decompressor alone: it frees such memory at once, where the bare loop leaves it to the garbage collector.",
    "CPU is that of the client's process while it was measured; its memory is the most that it ever had resident.",
    `Blocked readers: ${readers.toLocaleString("en-US")} \`retryReader\`s of one client of an empty journal; the Go program has no such mode.`,
  ];
}
