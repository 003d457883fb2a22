#!/usr/bin/env node
/** Our client in a process of its own, for one window: `node client-main.js MODE FLAGS...`, as `call.ts` has them; prints its figures as JSON. */
import { type Figures, parseArguments } from "./call.js";
import { loadJournalClient } from "./client-api.js";
import { connect, p50Ms, prepare, warmUpOf } from "./loads.js";

const { call, endpoint } = parseArguments(process.argv.slice(2));
const { JournalClient } = await loadJournalClient();
await using client = new JournalClient({ endpoints: endpoint });
if (call.fileRoot !== undefined) client.installFileTransport(call.fileRoot);
await connect(client, call.journal);
const warmUp = warmUpOf(call);
if (warmUp !== undefined) await prepare(client, warmUp)();

const run = prepare(client, call);
const before = process.cpuUsage();
const begin = performance.now();
const done = await run();
const seconds = (performance.now() - begin) / 1000;
const { user, system } = process.cpuUsage(before);
const figures: Figures = {
  ops: done.ops,
  bytes: done.bytes,
  seconds,
  p50Ms: p50Ms(done),
  cpuSeconds: (user + system) / 1e6,
  maxRssBytes: process.resourceUsage().maxRSS * 1024,
  ...(call.mode === "fragments" && { directBytes: done.directBytes ?? 0 }),
};
process.stdout.write(`${JSON.stringify(figures)}\n`);
