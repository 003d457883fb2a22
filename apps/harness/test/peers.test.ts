import { readFileSync } from "node:fs";
import { createConnection } from "node:net";
import { beforeAll, describe, expect, it } from "vitest";
import {
  buildGoServer,
  goBuildTimeoutMs,
  natsBuild,
  requireServer,
  startNats,
  startRedis,
} from "../src/servers/index.js";

/** Sends text, and gives the answer up to and with `until`. */
function converse(port: number, text: string, until: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(port, "127.0.0.1", () => socket.write(text));
    let answer = "";
    socket.on("data", (part) => {
      answer += part.toString();
      if (!answer.includes(until)) return;
      socket.destroy();
      resolve(answer);
    });
    socket.on("error", reject);
    socket.on("close", () => reject(new Error(`closed after ${answer}`)));
  });
}

describe.skipIf(!requireServer("redis"))("a real Redis", { timeout: 60_000 }, () => {
  it("syncs every write, and has it after SIGKILL", async () => {
    await using redis = await startRedis();
    const config = await converse(redis.port, "CONFIG GET append*\r\nPING\r\n", "+PONG");
    expect(config.split("\r\n")).toEqual(
      expect.arrayContaining(["appendfsync", "always", "appendonly", "yes"]),
    );
    await converse(redis.port, "XADD stream * field value\r\nPING\r\n", "+PONG");
    await redis.kill("SIGKILL");
    await redis.restart();
    expect(await converse(redis.port, "XLEN stream\r\n", "\r\n")).toBe(":1\r\n");
    await redis.wipe();
    expect(await converse(redis.port, "XLEN stream\r\n", "\r\n")).toBe(":0\r\n");
  });
});

describe.skipIf(!requireServer("nats"))("a real NATS", { timeout: 60_000 }, () => {
  beforeAll(() => buildGoServer(natsBuild), goBuildTimeoutMs);

  it("is of the pinned version, with JetStream that syncs before it acknowledges, and has a message after SIGKILL", async () => {
    await using nats = await startNats();
    const request = (subject: string, body: string): string =>
      `PUB ${subject} inbox ${body.length}\r\n${body}\r\n`;
    const connect = 'CONNECT {"verbose":false}\r\nSUB inbox 1\r\n';
    const create = JSON.stringify({ name: "S", subjects: ["s"], storage: "file" });
    const created = await converse(
      nats.ports.client,
      connect + request("$JS.API.STREAM.CREATE.S", create),
      '"did_create":true',
    );
    expect(created).toContain('"version":"2.15.2"');
    await converse(nats.ports.client, connect + request("s", "hello"), '"seq":1');
    expect(JSON.parse(readFileSync(nats.commandLine.at(-1) ?? "", "utf8"))).toMatchObject({
      jetstream: { sync_interval: "always", store_dir: nats.dataDir },
    });
    await nats.kill("SIGKILL");
    await nats.restart();
    const info = await converse(
      nats.ports.client,
      connect + request("$JS.API.STREAM.INFO.S", ""),
      '"state":',
    );
    expect(info).toContain('"messages":1');
  });
});
