import { randomInt } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";

/** Picks as many different loopback ports as asked. Nothing holds them: whoever binds later must cope with a loss. */
export type PortPicker = (count: number) => Promise<readonly number[]>;

/**
 * Free loopback ports outside the range from which the kernel takes the local ports of outgoing connections.
 * Inside it, a server that is down for a moment (a kill, a restart) may lose its port to some client's connection, and a
 * client that redials a dead port may even connect to itself. The pick is random, so parallel test runs seldom collide.
 */
export async function pickPorts(count: number): Promise<readonly number[]> {
  const { low, high } = await quietRange();
  const picked = new Set<number>();
  for (let attempt = 0; picked.size < count; attempt++) {
    if (attempt >= 1000) throw new Error(`found no ${count} free ports between ${low} and ${high}`);
    const port = randomInt(low, high + 1);
    if (!picked.has(port) && (await canBind(port))) picked.add(port);
  }
  return [...picked];
}

async function quietRange(): Promise<{ readonly low: number; readonly high: number }> {
  const text = await readFile("/proc/sys/net/ipv4/ip_local_port_range", "utf8").catch(() => "49152 65535");
  const [first = 49152, last = 65535] = text.trim().split(/\s+/).map(Number);
  if (first - 10_240 >= 2_000) return { low: 10_240, high: first - 1 };
  if (65_535 - last >= 2_000) return { low: last + 1, high: 65_535 };
  return { low: 10_240, high: 65_535 };
}

function canBind(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen({ port, host: "127.0.0.1", exclusive: true }, () => probe.close(() => resolve(true)));
  });
}
