/**
 * A buffer process with its fences taken out: it does not look whether a log was sealed, nor at the deadline of its session, and takes
 * a lost lease for a kept one. Arguments: etcd's endpoint, the data directory, the TTL in milliseconds.
 */

import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { setInterval, setTimeout } from "node:timers";
import { type Coord, nodeFileSystem } from "@x/coord";
import { etcdCoord } from "@x/coord/etcd";
import { createBufferServer, openBuffer } from "@x/topic-buffer";
import { openLocalArchive, openLocalSegmentLog } from "@x/topic-buffer/local";
import { mutations } from "../sim/mutations.js";

const [endpoint = "", data = "", ttl = "2000"] = process.argv.slice(2);

/** Time as a program sees it that does not know that it was stopped: no tick is longer than the interval. */
function unawareClock() {
  const TICK_MS = 10;
  let nowMs = 0;
  setInterval(() => {
    nowMs += TICK_MS;
  }, TICK_MS);
  return {
    wallMs: () => Date.now(),
    monotonicMs: () => nowMs,
    setTimer(delayMs: number, callback: () => void) {
      const timer = setTimeout(callback, delayMs);
      return () => clearTimeout(timer);
    },
  };
}

function neverLosing(coord: Coord): Coord {
  return new Proxy(coord, {
    get(target, name) {
      if (name === "keepAlive") {
        return (id: bigint) => target.keepAlive(id).catch(() => ({ id, ttlMs: Number(ttl) }));
      }
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

const clock = unawareClock();
const coord = neverLosing(etcdCoord({ hosts: [endpoint] }));
const { logFiles } = mutations["the fence is not looked at"];
if (!logFiles) throw new Error("the mutation has no files to break");
const fileSystem = logFiles(nodeFileSystem);
const logs = await openLocalSegmentLog({ directory: join(data, "segments"), fileSystem });
const archive = await openLocalArchive({ directory: join(data, "archive") });
const server = await createBufferServer({ address: "127.0.0.1:0" });
const buffer = await openBuffer({
  id: `unfenced-${randomBytes(4).toString("hex")}`,
  address: server.address,
  coord,
  logs,
  archive,
  leaseTtlMs: Number(ttl),
  runtime: { clock, random: { number: Math.random, bytes: randomBytes } },
});
server.serve(buffer);
process.stdout.write(`READY grpc=${server.address} pid=${process.pid}\n`);
