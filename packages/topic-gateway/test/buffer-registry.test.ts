import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type EmbeddedCoord, openEmbeddedCoord } from "@x/coord/embedded";
import { parseEndpoint } from "@x/viewreg";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { pickPorts } from "../../../apps/harness/src/servers/ports.js";
import { type BufferRegistry, type BufferRegistryOptions, openBufferRegistry } from "../src/index.js";
import { encodeBuffer, type Runtime } from "../src/protocol.js";
import { systemRuntime } from "../src/system.js";
import { type HealthServer, record, startHealthServer, unrecord } from "./support/health-servers.js";
import { until } from "./support/local-system.js";

describe("the registry of buffers", { timeout: 60_000 }, () => {
  let folder: string;
  let coord: EmbeddedCoord;
  let one: HealthServer;
  let two: HealthServer;
  const registries: BufferRegistry[] = [];
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "buffer-registry-"));
    coord = await openEmbeddedCoord({ directory: folder });
    one = await startHealthServer(coord, "one");
    two = await startHealthServer(coord, "two");
  });
  afterEach(async () => {
    for (const registry of registries.splice(0)) await registry[Symbol.asyncDispose]();
    await one[Symbol.asyncDispose]();
    await two[Symbol.asyncDispose]();
    await coord.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function open(options: Partial<BufferRegistryOptions> = {}): Promise<BufferRegistry> {
    const registry = openBufferRegistry({ coord, ...options });
    registries.push(registry);
    await until(() => registry.summary().healthy === 2, "both are healthy");
    return registry;
  }
  const becomes = (registry: BufferRegistry, { address }: HealthServer, reason: string): Promise<void> =>
    until(() => registry.judge(address)?.reasons.includes(reason as never) === true, `it is ${reason}`);

  it("finds the buffers by their records, and those that come and go", async () => {
    const registry = await open();
    expect(registry.judge(one.address)).toMatchObject({ healthy: true, reasons: [] });
    expect(registry.registry.find(parseEndpoint(one.address))?.endpoint.labels).toEqual({ buffer: "one" });
    expect(registry.unwell(one.address)).toBeUndefined();
    await using three = await startHealthServer(coord, "three");
    await until(() => registry.judge(three.address)?.healthy === true, "the third is healthy");
    await unrecord(coord, "one");
    await until(() => registry.judge(one.address) === undefined, "the first is gone");
    expect(registry.unwell(one.address), "whoever is not recorded may be asked").toBeUndefined();
    expect(registry.summary()).toMatchObject({ servers: 2, healthy: 2 });
  });

  it("says of a buffer that does not answer any more that it is no use, until it answers again", async () => {
    const registry = await open();
    one.pause();
    await becomes(registry, one, "silent");
    expect(registry.judge(one.address)?.healthy).toBe(false);
    expect(registry.unwell(one.address)).toMatch(/^silent; it last answered \d\.\d s ago$/);
    expect(registry.unwell(two.address)).toBeUndefined();
    one.resume();
    await until(() => registry.judge(one.address)?.healthy === true, "it is healthy again");
    expect(registry.unwell(one.address)).toBeUndefined();
  });

  it("says of a buffer that is gone without a word that it is no use", async () => {
    const registry = await open();
    await one[Symbol.asyncDispose]();
    await becomes(registry, one, "disconnected");
    expect(registry.unwell(one.address)).toMatch(/^disconnected; it last answered/);
  });

  it("holds against a buffer that it is going, and that calls to it fail, and lets it be asked all the same", async () => {
    const registry = await open();
    one.set("NOT_SERVING");
    await becomes(registry, one, "not-serving");
    expect(registry.judge(one.address)?.healthy).toBe(false);
    expect(registry.unwell(one.address)).toBeUndefined();
    for (let i = 0; i < 5; i++) registry.report?.(two.address, "failed");
    expect(registry.judge(two.address)?.reasons).toEqual(["ejected"]);
    expect(registry.summary().ejected).toBe(1);
    expect(registry.unwell(two.address)).toBeUndefined();
  });

  it("lets buffers be asked that it knows nothing of, or could never reach", async () => {
    const [free] = await pickPorts(1);
    const nobody = `127.0.0.1:${free}`;
    await record(coord, "three", encodeBuffer({ address: nobody }));
    const registry = await open();
    await until(() => registry.judge(nobody)?.reasons[0] === "disconnected", "it is not reached");
    expect(registry.judge(nobody)).toMatchObject({ healthy: false, answeredAgoMs: undefined });
    for (const address of [nobody, "127.0.0.1:1", "nonsense", "", "[::1]:70000"]) {
      expect(registry.unwell(address)).toBeUndefined();
      expect(() => registry.report?.(address, "failed")).not.toThrow();
    }
    expect(registry.judge("nonsense")).toBeUndefined();
  });

  it("skips records that are no buffer's, says so once, and finds the others", async () => {
    const skipped: string[] = [];
    await record(coord, "bad-json", "{");
    await record(coord, "bad-address", encodeBuffer({ address: "http://host" }));
    await record(coord, "bad-port", encodeBuffer({ address: "host:0" }));
    const registry = await open({ onSkipped: ({ key }) => void skipped.push(key) });
    expect(registry.summary().servers).toBe(2);
    expect(skipped.sort()).toEqual(["/x/buffers/bad-address", "/x/buffers/bad-json", "/x/buffers/bad-port"]);
    await record(coord, "bad-json", encodeBuffer({ address: one.address }));
    await until(
      () => registry.registry.find(parseEndpoint(one.address))?.endpoint.labels?.buffer === "bad-json",
      "the record that was changed last says whose address it is",
    );
  });

  it("leaves no timer and no connection behind, also when a buffer does not answer", async () => {
    const timers = new Set<() => void>();
    const { clock, random } = systemRuntime;
    const runtime: Runtime = {
      random,
      clock: {
        ...clock,
        setTimer(delayMs, callback) {
          const cancel = clock.setTimer(delayMs, () => {
            timers.delete(cancel);
            callback();
          });
          timers.add(cancel);
          return () => {
            timers.delete(cancel);
            cancel();
          };
        },
      },
    };
    const registry = await open({ runtime });
    one.pause();
    await becomes(registry, one, "silent");
    expect(timers.size).toBeGreaterThan(0);
    expect(two.connections).toBeGreaterThan(0);
    await registry[Symbol.asyncDispose]();
    expect(timers.size).toBe(0);
    one.resume();
    await until(() => one.connections + two.connections === 0, "all connections are closed");
    expect(registry.judge(two.address)).toBeUndefined();
  });
});
