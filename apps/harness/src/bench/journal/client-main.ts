#!/usr/bin/env node
/**
 * Our client, or Node without a client, in a process of its own, for one window: `node client-main.js MODE FLAGS...`, as `call.ts` has them;
 * prints its figures as JSON.
 */
import { JournalClient } from "@x/journal-client";
import { bareAppends } from "./bare-append.js";
import { bareFragments } from "./bare-fragments.js";
import { type Call, type Figures, parseArguments } from "./call.js";
import { connect, type Done, type Load, p50Ms, prepare, warmUpOf } from "./loads.js";

const { call, endpoint } = parseArguments(process.argv.slice(2));
await using load = await loadOf(call);
const warmUp = warmUpOf(call);
const cold = warmUp && (await measured(load.prepare(warmUp)));

const run = load.prepare(call);
const before = process.cpuUsage();
const { done, seconds } = await measured(run);
const { user, system } = process.cpuUsage(before);
const figures: Figures = {
  ops: done.ops,
  bytes: done.bytes,
  seconds,
  p50Ms: p50Ms(done),
  ...(cold && { cold: { bytes: cold.done.bytes, seconds: cold.seconds, p50Ms: p50Ms(cold.done) } }),
  cpuSeconds: (user + system) / 1e6,
  maxRssBytes: process.resourceUsage().maxRSS * 1024,
  ...(call.mode === "fragments" && { directBytes: done.directBytes ?? 0 }),
  node: process.version,
};
process.stdout.write(`${JSON.stringify(figures)}\n`);

async function measured(run: () => Promise<Done>): Promise<{ done: Done; seconds: number }> {
  const begin = performance.now();
  const done = await run();
  return { done, seconds: (performance.now() - begin) / 1000 };
}

async function loadOf({ mode, journal, fileRoot }: Call): Promise<Load> {
  switch (mode) {
    case "bare-grpc-append":
    case "bare-http2-append":
      return bareAppends(endpoint, mode);
    case "bare-file":
    case "bare-snappy":
    case "bare-zstd":
      return await bareFragments(mode);
  }
  const client = new JournalClient({ endpoints: endpoint });
  if (fileRoot !== undefined) client.installFileTransport(fileRoot);
  await connect(client, journal);
  return {
    prepare: (each) => prepare(client, each),
    [Symbol.asyncDispose]: () => client.close(),
  };
}
