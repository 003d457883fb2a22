import * as zlib from "node:zlib";
import { requireServer } from "../../servers/index.js";
import type { BenchContext, Benchmark, Report, Row } from "../benchmark.js";
import { profileFlags } from "../topics/systems.js";
import type { BareMode, Figures } from "./call.js";
import { type BareFigures, complaint, rowsOf } from "./figures.js";
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
    const bare = (part.bare ?? []).map(({ name, mode }) => ({ name, mode, figures: [] as Figures[] }));
    try {
      await measurePart(part, { figures, bare }, { sides, scale });
    } catch (error) {
      signal.throwIfAborted();
      failed = true;
      const text = error instanceof Error ? error.message : String(error);
      context.say(text);
      notes.push(`failed in "${part.name}": ${text.split("\n", 1)[0]}`);
    }
    rows.push(...rowsOf(BENCH, part, figures.ours, figures.go, bare));
  }
  if (!("createZstdDecompress" in zlib))
    notes.push(
      `This Node (${process.version}) has no zstd of its own, so ZSTANDARD is read by WebAssembly, in one thread; from Node 22.15 on it is native.`,
    );
  return { rows, setup: setupOf(scale), notes, failed };
}

/** One process of a window, and where its figures go. */
interface Turn {
  readonly name: string;
  readonly side: Side;
  readonly call: Part["call"];
  readonly into: Figures[];
}

async function measurePart(
  { call, filled, alone = false }: Part,
  {
    figures,
    bare,
  }: {
    readonly figures: Record<Side, Figures[]>;
    readonly bare: readonly (BareFigures & { readonly mode: BareMode; readonly figures: Figures[] })[];
  },
  { sides, scale }: { readonly sides: Sides; readonly scale: Scale },
): Promise<void> {
  const turns: readonly Side[] = alone ? ["ours"] : ["ours", "go"];
  const each: readonly Turn[] = [
    ...turns.map((side) => ({
      name: side === "ours" ? "our client" : "the Go client",
      side,
      call,
      into: figures[side],
    })),
    ...bare.map(({ name, mode, figures }) => ({
      name,
      side: "ours" as const,
      call: { ...call, mode },
      into: figures,
    })),
  ];
  const turn = async (
    { name, side, call, into }: Turn,
    where: { readonly journal: string },
  ): Promise<void> => {
    const told = await sides.run(side, { ...call, ...where });
    const wrong = complaint(call, told);
    if (wrong !== undefined) throw new Error(`${name}: ${wrong}`);
    into.push(told);
  };
  const all = async (where?: { readonly journal: string }): Promise<void> => {
    for (let window = 0; window < scale.windows; window++) {
      for (const one of each) {
        if (where !== undefined) await turn(one, where);
        else await sides.withNewJournal((journal) => turn(one, { journal }));
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
    "NONE is read with `readInto`, into one buffer of 1 MiB, as the Go client always reads into one (of 128 KiB); `read` gives each chunk in memory of its own, which is measured without a peer. All else of ours is by `read`.",
    "The bare columns are no clients, but the least that the same takes on Node: appends in a bare loop of @grpc/grpc-js and of node:http2 with nothing around it; the files of NONE in a bare loop of node:fs; for SNAPPY and ZSTANDARD the decompressor that the client uses, alone, fed from memory. What they do not reach, no client on them can.",
    "CPU is that of the client's process while it was measured; its memory is the most that it ever had resident.",
    `Blocked readers: ${readers.toLocaleString("en-US")} \`retryReader\`s of one client of an empty journal; the Go program has no such mode.`,
  ];
}
