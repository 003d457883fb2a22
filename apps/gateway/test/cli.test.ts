import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "./support/gateway.js";
import { type Delivered, Http } from "./support/http.js";
import { launch, type Ran, run } from "./support/process.js";

describe("the command line", { timeout: 30_000 }, () => {
  let gateway: TestGateway;
  let http: Http;
  beforeAll(async () => {
    gateway = await startGateway();
    http = new Http(gateway.url);
  });
  afterAll(async () => {
    expect(gateway.errors).toEqual([]);
    await gateway[Symbol.asyncDispose]();
  });

  function x(args: readonly string[], input?: string): Promise<Ran> {
    const env = { X_GATEWAY_URL: gateway.url };
    return run(args, input === undefined ? { env } : { env, input });
  }

  function linesOf({ stdout }: Ran): unknown[] {
    return stdout
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  }

  /** All that is in a topic, by a subscription of its own and a session that is ended. */
  async function readBack(topic: string, count: number): Promise<Delivered[]> {
    const at = await http.subscribe(topic, "read_back");
    const messages = await http.pullCount(at, "me", count);
    await http.send("DELETE", `${at}/consumers/me`);
    return messages;
  }

  it("creates, lists and describes topics and subscriptions, as NDJSON", async () => {
    const created = await x(["topic", "create", "cli", "--range-size-factor", "15"]);
    expect(created).toMatchObject({ code: 0, stderr: "", stdout: '{"name":"cli","rangeSizeFactor":15}\n' });
    await x(["topic", "create", "another", "--url", gateway.url]);
    expect(linesOf(await x(["topic", "list"]))).toEqual([
      { name: "another", rangeSizeFactor: 13 },
      { name: "cli", rangeSizeFactor: 15 },
    ]);
    const subscribed = await x(["subscription", "create", "cli", "new", "--mode", "latest"]);
    expect(linesOf(subscribed)).toEqual([{ topic: "cli", name: "new", mode: "latest" }]);
    expect(linesOf(await x(["subscription", "list", "cli"]))).toEqual([{ name: "new" }]);
    expect(linesOf(await x(["topic", "describe", "cli"]))).toMatchObject([
      { name: "cli", messages: 0, ranges: [{ from: 0 }, { from: 32768 }], subscriptions: ["new"] },
    ]);
  });

  it("appends NDJSON from stdin, prints the ids in order, and tells on stderr how many", async () => {
    await http.createTopic("appended", 16);
    const lines = Array.from({ length: 2_500 }, (_, i) => JSON.stringify({ key: "k", data: `${i}` }));
    const ran = await x(["append", "appended"], `${lines.join("\n")}\n\n`);
    expect(ran).toMatchObject({ code: 0, stderr: "appended 2500\n" });
    const messages = await readBack("appended", 2_500);
    expect(messages.map(({ data }) => data)).toEqual(lines.map((_, i) => `${i}`));
    expect(linesOf(ran)).toEqual(messages.map(({ id }) => ({ id })));
  });

  it("appends every line as it is with --key, empty ones too", async () => {
    await http.createTopic("plain", 16);
    const ran = await x(["append", "plain", "--key", "log"], 'one\n\n{"not": parsed\r\nlast without end');
    expect(ran).toMatchObject({ code: 0, stderr: "appended 4\n" });
    const messages = await readBack("plain", 4);
    expect(messages.map(({ key, data }) => `${key}:${data}`)).toEqual([
      "log:one",
      "log:",
      'log:{"not": parsed',
      "log:last without end",
    ]);
  });

  it("appends what it has read when no more comes for a moment, while stdin stays open", async () => {
    await http.createTopic("slow", 16);
    const append = launch(["append", "slow", "--key", "a"], { env: { X_GATEWAY_URL: gateway.url } });
    append.write("first\n");
    await append.line(/^\{"id":".*"\}$/);
    expect(await http.count("slow")).toBe(1);
    append.write("second\n");
    append.endInput();
    expect(await append.ended).toMatchObject({ code: 0, stderr: "appended 2\n" });
    expect(await http.count("slow")).toBe(2);
  });

  it("appends what is in front of a bad line, and says which line was bad and that nothing from there on was appended", async () => {
    await http.createTopic("bad", 16);
    const good = '{"key":"k","data":"x"}';
    const ran = await x(["append", "bad"], [good, "", good, "nonsense", good, good].join("\n"));
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(
      /^appended 2\nerror: line 4 is not valid JSON .*; line 4 and all lines behind it were not appended, or not acknowledged\n$/,
    );
    expect(linesOf(ran)).toHaveLength(2);
    expect(await http.count("bad")).toBe(2);

    const noTopic = await x(["append", "nope"], `${good}\n${good}\n`);
    expect(noTopic).toMatchObject({ code: 1, stdout: "" });
    expect(noTopic.stderr).toMatch(
      /error: there is no topic "nope"; lines 1 to 2 and all behind them were not appended/,
    );
  });

  it("tails live messages: NDJSON on stdout alone, until there were --max", async () => {
    await http.createTopic("live", 16);
    const tail = launch(["tail", "live", "--max", "3"], { env: { X_GATEWAY_URL: gateway.url } });
    let ended = false;
    void tail.ended.then(() => {
      ended = true;
    });
    while (!ended) await http.postLines("live", [{ key: "k", data: "again" }]);
    const ran = await tail.ended;
    expect(ran).toMatchObject({ code: 0, stderr: "waiting for messages, Ctrl-C ends\n" });
    expect(linesOf(ran)).toHaveLength(3);
    expect(linesOf(ran)[0]).toMatchObject({
      key: "k",
      data: "again",
      id: expect.any(String),
      time: expect.any(String),
    });
  });

  it("tails a subscription, commits what it printed, and leaves at once", async () => {
    await http.createTopic("read");
    await http.subscribe("read", "s");
    await http.postLines(
      "read",
      Array.from({ length: 100 }, (_, i) => ({ key: `k${i}`, data: `${i}` })),
    );
    const sessions = await http.metric("http_consumer_sessions");
    const tail = (max: number): Promise<Ran> => x(["tail", "read", "--subscription", "s", "--max", `${max}`]);
    const first = await tail(60);
    const second = await tail(40);
    expect([first.code, second.code, first.stderr, second.stderr]).toEqual([0, 0, "", ""]);
    const all = [...linesOf(first), ...linesOf(second)] as { data: string; ack?: string }[];
    expect(all.map(({ data }) => Number(data)).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 100 }, (_, i) => i),
    );
    expect(all.every(({ ack }) => ack === undefined)).toBe(true);
    expect(await http.metric("http_consumer_sessions")).toBe(sessions);
  });

  it.each(["SIGINT", "SIGTERM"] as const)("ends a tail with code 0 on %s", async (signal) => {
    const topic = await http.createTopic(`stop_${signal}`, 16);
    await http.subscribe(topic, "s");
    for (const [flags, gauge] of [
      [[], "http_tails"],
      [["--subscription", "s"], "http_consumer_sessions"],
    ] as const) {
      const before = await http.metric(gauge);
      const tail = launch(["tail", topic, ...flags], { env: { X_GATEWAY_URL: gateway.url } });
      while ((await http.metric(gauge)) === before) await new Promise((resolve) => setTimeout(resolve, 10));
      tail.kill(signal);
      expect(await tail.ended).toMatchObject({ code: 0, stdout: "" });
      while ((await http.metric(gauge)) !== before) await new Promise((resolve) => setTimeout(resolve, 10));
    }
  });

  it("ends quietly when nobody reads its output any more, and commits nothing that was not printed", async () => {
    await http.createTopic("head", 16);
    const at = await http.subscribe("head", "s");
    const data = "x".repeat(100_000);
    await http.postLines(
      "head",
      Array.from({ length: 50 }, () => ({ key: "k", data })),
    );
    const tail = launch(["tail", "head", "--subscription", "s"], { env: { X_GATEWAY_URL: gateway.url } });
    tail.closeStdout();
    const { code, signal, stderr } = await tail.ended;
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: "" });
    expect(await http.pullCount(at, "me", 50)).toHaveLength(50);
  });

  it("says in a sentence that no gateway is there, with code 1", async () => {
    for (const args of [
      ["topic", "list"],
      ["append", "t", "--key", "k"],
      ["tail", "t"],
      ["tail", "t", "--subscription", "s"],
    ]) {
      const { code, stdout, stderr } = await run([...args, "--url", "http://127.0.0.1:1"], { input: "x\n" });
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toMatch(
        /error: no gateway answers at http:\/\/127\.0\.0\.1:1: start one with "serve", or say where it is with --url/,
      );
    }
  });

  it("says in a sentence what the gateway refused, with code 1", async () => {
    expect(await x(["topic", "create", "a-b"])).toMatchObject({
      code: 1,
      stdout: "",
      stderr: 'error: "a-b" is not a topic name: 1 to 128 letters, digits or "_" are allowed\n',
    });
    expect((await x(["topic", "describe", "nope"])).stderr).toBe('error: there is no topic "nope"\n');
    expect((await x(["topic", "describe", "../../healthz"])).stderr).toMatch(/is not a topic name/);
    expect((await x(["tail", "nope"])).stderr).toBe('error: there is no topic "nope"\n');
    expect((await x(["subscription", "create", "nope", "s"])).stderr).toBe(
      'error: there is no topic "nope"\n',
    );
    expect((await x(["tail", "t", "--max", "0"])).stderr).toMatch(
      /^error: [^\n]*"0" is not an integer[^\n]*\n$/,
    );
  });

  it("says when something else than a gateway answers", async () => {
    const other = createServer((_, response) => response.writeHead(404).end("<html>not found</html>"));
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
    const { code, stderr } = await run(["topic", "list", "--url", url]);
    expect(code).toBe(1);
    expect(stderr).toBe(`error: ${url} answered 404, and not as a gateway does: is it one?\n`);
    other.close();
  });

  it("tells how it is used", async () => {
    const { code, stdout } = await run(["--help"]);
    expect(code).toBe(0);
    for (const command of ["serve", "demo", "topic", "subscription", "append", "tail"])
      expect(stdout).toContain(command);
    expect((await run(["serve", "--help"])).stdout).toMatch(/--etcd <urls>.*X_GATEWAY_ETCD/s);
  });
});
