import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { ntail } from "@x/topic-gateway/wire";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { events, Http } from "./support/http.js";
import { launch, READY, type Running, run, startGatewayProcess } from "./support/process.js";

describe("the process", { timeout: 30_000 }, () => {
  let folder: string;
  const running: Running[] = [];
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "x-gateway-process-"));
  });
  afterEach(async () => {
    for (const one of running.splice(0)) {
      one.kill("SIGKILL");
      await one.ended;
    }
    await rm(folder, { recursive: true, force: true });
  });

  const anywhere = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];

  function start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
    const one = launch(args, { env, cwd: folder });
    running.push(one);
    return one;
  }

  describe("READY", () => {
    it("is one line on stdout, nothing else is there, and it stops with code 0 on SIGTERM", async () => {
      const serve = start(["serve", ...anywhere, "--data", folder]);
      const [, url, grpc, pid] = await serve.line(READY);
      expect(Number(pid)).toBe(serve.pid);
      expect((await new Http(url as string).get("/healthz")).json).toEqual({ status: "ok" });
      const client = new ntail.GatewayServiceClient(grpc as string, credentials.createInsecure());
      await new Promise((resolve, reject) =>
        client.listTopics({}, (error, response) => (error ? reject(error) : resolve(response))),
      );
      client.close();
      serve.kill("SIGTERM");
      const { code, stdout, stderr } = await serve.ended;
      expect(code).toBe(0);
      expect(stdout).toBe(`READY http=${url} grpc=${grpc} pid=${pid}\n`);
      expect(stderr).toMatch(/^\S+ info SIGTERM: stopping\n$/);
    });

    it("comes with an extra -- among the flags, flags from the environment, and data in the working folder", async () => {
      const env = { X_GATEWAY_HTTP: "127.0.0.1:0", X_GATEWAY_GRPC: "127.0.0.1:0", X_GATEWAY_BUFFERS: "1" };
      const serve = start(["serve", "--", "--segment-max-age-ms", "60000"], env);
      const [, url] = await serve.line(READY);
      expect(await new Http(url as string).metric("topic_buffers")).toBe(1);
      expect((await readdir(join(folder, "data"))).sort()).toEqual(["archive", "coord", "segments"]);
    });

    it("is printed for SIGINT's sake as well: Ctrl-C stops it with code 0", async () => {
      const serve = start(["serve", ...anywhere, "--data", folder]);
      await serve.line(READY);
      serve.kill("SIGINT");
      expect((await serve.ended).code).toBe(0);
    });
  });

  it("stops within 5 s with tails, pulls and appends on their way, and loses nothing that it acknowledged", {
    timeout: 90_000,
  }, async () => {
    const gateway = await startGatewayProcess();
    const http = new Http(gateway.url);
    const topic = await http.createTopic("busy");
    const at = await http.subscribe(topic, "s");
    const client = new ntail.GatewayServiceClient(gateway.grpc, credentials.createInsecure());

    const tails = Array.from({ length: 3 }, () => events(`${gateway.url}/v1/topics/${topic}/tail`));
    for (const tail of tails) await tail.next();
    const tailing = tails.map(async (tail) => {
      for await (const { event } of tail) expect(event).toBe("message");
    });
    // Somebody who opened a tail and does not read it.
    const stuck = await fetch(`${gateway.url}/v1/topics/${topic}/tail`);
    await http.createTopic("empty");
    const empty = await http.subscribe("empty", "s");
    const pull = http.get(`${empty}/messages?consumer=waiting&waitMs=30000`);
    const idle = client.append();
    idle.on("error", () => {});

    const acknowledged: string[] = [];
    const append = client.append();
    append.on("data", ({ msgId }: ntail.AppendResponse) => {
      if (msgId !== undefined) acknowledged.push(msgId);
    });
    append.on("error", () => {});
    const data = Buffer.alloc(1_000);
    let reqId = 0n;
    let stopping = false;
    const appending = (async () => {
      while (!stopping) {
        for (let i = 0; i < 100; i++) {
          reqId += 1n;
          append.write({ reqId, topic, key: `g${reqId % 50n}`, data });
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    })();
    const posting = (async () => {
      while (!stopping) {
        const lines = Array.from({ length: 50 }, (_, i) => ({ key: `h${i}`, data: "x" }));
        const answer = await http.postLines(topic, lines).catch(() => undefined);
        if (answer?.status !== 200) break;
        acknowledged.push(...(answer.json.ids ?? []));
      }
    })();
    while (acknowledged.length < 500) await new Promise((resolve) => setTimeout(resolve, 5));

    const started = performance.now();
    await gateway.process.kill("SIGTERM");
    const exit = await gateway.process.exited;
    const took = performance.now() - started;
    stopping = true;
    await Promise.all([appending, posting]);
    client.close();
    expect(exit).toEqual({ code: 0, signal: undefined });
    expect(took).toBeLessThan(25_000); // five times as long on a busy machine
    expect((await pull).status).toBe(503);
    // Ended, or cut off when this process was too slow to take all of it.
    await Promise.allSettled(tailing);
    await stuck.body?.cancel().catch(() => {});

    expect(await gateway.process.log()).not.toMatch(/Warning|error/i);

    await gateway.process.restart();
    const messages = await http.readUntil(at, "me", acknowledged);
    expect(messages.length).toBeGreaterThanOrEqual(acknowledged.length);
    await gateway.process.stop();
  });

  describe("what can't be", () => {
    it.each<[string, string[], RegExp]>([
      ["an unknown flag", ["serve", "--colour", "red"], /unknown option '--colour'/],
      ["an unknown command", ["server"], /unknown command 'server'/],
      ["an unknown role", ["serve", "--role", "king"], /Allowed choices are all, gateway, buffer/],
      ["an address without a port", ["serve", "--http", "localhost"], /"localhost" is not HOST:PORT/],
      ["a port that is too large", ["serve", "--grpc", "127.0.0.1:70000"], /is not HOST:PORT/],
      ["no buffers", ["serve", "--buffers", "0"], /"0" is not an integer from 1 to 64/],
      ["a host with a port", ["serve", "--http-allow-host", "gw:80"], /"gw:80" is not a name such as/],
      [
        "too little room",
        ["serve", "--http-max-body-bytes", "1000"],
        /"1000" is not an integer from 67108864/,
      ],
      ["a lease of text", ["serve", "--lease-ttl-ms", "5s"], /"5s" is not an integer from 1000/],
      ["an etcd that is no address", ["serve", "--etcd", "http://"], /is not an etcd endpoint such as/],
      ["a role without etcd", ["serve", "--role", "buffer"], /--role buffer needs --etcd URLS/],
      ["a stray argument", ["serve", "now"], /too many arguments/],
    ])("is told in one line, with code 1: %s", async (_, args, says) => {
      const { code, stdout, stderr } = await run(args, { cwd: folder });
      expect(stderr).toMatch(says);
      expect(stderr).toMatch(/^error: [^\n]+\n$/);
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(await readdir(folder)).toEqual([]);
    });

    it("is told the same way when it comes from the environment", async () => {
      const { code, stderr } = await run(["serve"], { cwd: folder, env: { X_GATEWAY_HTTP: "nowhere" } });
      expect(code).toBe(1);
      expect(stderr).toMatch(/^error: [^\n]*X_GATEWAY_HTTP[^\n]*"nowhere" is not HOST:PORT[^\n]*\n$/);
    });

    it.each(["--http", "--grpc"])(
      "is a port of %s that somebody has: one line, code 1, and no data touched",
      async (flag) => {
        const taken = createServer();
        await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
        const { port } = taken.address() as { port: number };
        const args = ["serve", ...anywhere, flag, `127.0.0.1:${port}`, "--data", "d"];
        const { code, stderr } = await run(args, { cwd: folder });
        expect(stderr).toBe(
          `error: can't listen on 127.0.0.1:${port}: another process listens there; ${flag} takes another address\n`,
        );
        expect(code).toBe(1);
        expect(await readdir(folder)).toEqual([]);
        taken.close();
      },
    );

    it("is a second one on the same ports and folder, and the first one does not notice", async () => {
      await using gateway = await startGatewayProcess({ data: folder });
      const http = new Http(gateway.url);
      await http.createTopic("t", 16);
      const [, , grpc] = (await gateway.process.ready()) as unknown as [string, string, string];
      const flags = ["--http", gateway.url.slice("http://".length), "--grpc", grpc, "--data", folder];
      expect((await run(["demo", ...flags])).code).toBe(1);
      expect((await http.postLines("t", [{ key: "a", data: "still there" }])).status).toBe(200);
    });

    it("is a folder that is a file", async () => {
      const { code, stderr } = await run(["serve", ...anywhere, "--data", "/dev/null"]);
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /^error: can't keep data in \/dev\/null; --data takes another folder \([^\n]+\)\n$/,
      );
    });
  });

  it.each(["gateway", "buffer"])(
    "waits as a %s for an etcd that is not there, says so, and stops when it is told to",
    async (role) => {
      const flags = ["--role", role, "--etcd", "http://127.0.0.1:1", "--data", folder];
      const serve = start(["serve", ...anywhere, ...flags]);
      while (!serve.output.stderr.includes("waiting for etcd at http://127.0.0.1:1")) {
        const ended = await Promise.race([serve.ended, new Promise((resolve) => setTimeout(resolve, 20))]);
        expect(ended).toBeUndefined();
      }
      serve.kill("SIGTERM");
      const { code, stdout } = await serve.ended;
      expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
    },
  );
});
