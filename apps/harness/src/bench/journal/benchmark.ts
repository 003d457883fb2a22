import * as zlib from "node:zlib";
import { requireServer } from "../../servers/index.js";
import type { BenchContext, Benchmark, Report, Row } from "../benchmark.js";
import { profileFlags } from "../topics/systems.js";
import type { Figures } from "./call.js";
import { complaint, rowsOf } from "./figures.js";
import { fullScale, type Part, partsOf, quickScale, type Scale } from "./plan.js";
import { type Side, Sides } from "./sides.js";

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
  await using sides = await Sides.start({ nodeArgs: profileFlags(context.profileDirectory), signal });
  const rows: Row[] = [];
  let failed = false;
  for (const part of partsOf(scale)) {
    if (context.only !== undefined && !part.name.includes(context.only)) continue;
    context.say(part.name);
    const figures: Record<Side, Figures[]> = { ours: [], go: [] };
    try {
      await measurePart(part, figures, { sides, scale });
    } catch (error) {
      signal.throwIfAborted();
      failed = true;
      const text = error instanceof Error ? error.message : String(error);
      context.say(text);
      notes.push(`failed in "${part.name}": ${text.split("\n", 1)[0]}`);
    }
    rows.push(...rowsOf(BENCH, part, figures.ours, figures.go));
  }
  if (!("createZstdDecompress" in zlib))
    notes.push(
      `This Node (${process.version}) has no zstd of its own, so ZSTANDARD is read by WebAssembly, in one thread; from Node 22.15 on it is native.`,
    );
  return { rows, setup: setupOf(scale), notes, failed };
}

async function measurePart(
  { call, filled, alone = false }: Part,
  figures: Record<Side, Figures[]>,
  { sides, scale }: { readonly sides: Sides; readonly scale: Scale },
): Promise<void> {
  const turns: readonly Side[] = alone ? ["ours"] : ["ours", "go"];
  const turn = async (side: Side, where: { readonly journal: string }): Promise<void> => {
    const told = await sides.run(side, { ...call, ...where });
    const wrong = complaint(call, told);
    if (wrong !== undefined) throw new Error(`${side === "ours" ? "our client" : "the Go client"}: ${wrong}`);
    figures[side].push(told);
  };
  const all = async (where?: { readonly journal: string }): Promise<void> => {
    for (let window = 0; window < scale.windows; window++) {
      for (const side of turns) {
        if (where !== undefined) await turn(side, where);
        else await sides.withNewJournal((journal) => turn(side, { journal }));
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
    "Before it is measured, each connects and learns the route. Ours then runs an eighth to a fifth of the load uncounted, since V8 compiles what is hot; the Go program is compiled.",
    "What is appended is text (JSON lines). Of the Appender it is written in chunks of 128 KiB, and the time ends with the commit.",
    `Direct reads: fragments of ${mib(fragmentBytes)} (${mib(directBytes)} of content), opened by the URLs that the broker tells, decompressed in the client; a window in which a byte came through the broker is an error.`,
    "CPU is that of the client's process while it was measured; its memory is the most that it ever had resident.",
    `Blocked readers: ${readers.toLocaleString("en-US")} \`retryReader\`s of one client of an empty journal; the Go program has no such mode.`,
  ];
}
