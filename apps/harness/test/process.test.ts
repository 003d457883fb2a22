import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, vi } from "vitest";
import {
  type Launch,
  type NodeProcess,
  pickPorts,
  type ServerOptions,
  startProcess,
  type TestScope,
} from "../src/servers/index.js";
import { isGone } from "./processes.js";

const program = fileURLToPath(new URL("fixtures/program.mjs", import.meta.url));

function start(flags: readonly string[] = [], options: ServerOptions = {}): Promise<NodeProcess<"main">> {
  return startProcess(program, {
    ...options,
    name: "program",
    ready: /^READY pid=(\d+) colour=(\w+)$/,
    ports: ["main"],
    args: ({ ports, dataDir }: Launch<"main">) => [String(ports.main), dataDir, ...flags],
    env: { COLOUR: "blue" },
  });
}

/** The pid that the program on this port tells, or undefined if none answers. */
function askPid(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("data", (data) => resolve(Number(data.toString())));
    socket.on("error", () => resolve(undefined));
  });
}

function folderOf(server: NodeProcess<"main">): string {
  return dirname(server.logPath);
}

/** Takes what is written to stderr while `work` runs. */
async function withStderr(work: () => Promise<void>): Promise<string> {
  let text = "";
  const spy = vi.spyOn(process.stderr, "write").mockImplementation((part) => {
    text += String(part);
    return true;
  });
  try {
    await work();
  } finally {
    spy.mockRestore();
  }
  return text;
}

describe("a started process", { timeout: 30_000 }, () => {
  it("is the program itself, ready on its port, with its own environment, and says so in its log", async () => {
    await using server = await start();
    expect(await askPid(server.ports.main)).toBe(server.pid);
    expect((await server.ready()).slice(1)).toEqual([String(server.pid), "blue"]);
    expect(await server.log()).toContain("READY but not a whole line\nREADY pid=");
    expect(server.commandLine.slice(1)).toEqual([program, String(server.ports.main), server.dataDir]);
  });

  it("is gone after stop, and so is its folder", async () => {
    const server = await start();
    await server.stop();
    expect(isGone(server.pid)).toBe(true);
    expect(server.running).toBe(false);
    expect(existsSync(folderOf(server))).toBe(false);
    await server.stop();
    await expect(server.restart()).rejects.toMatchObject({ code: "stopped" });
  });

  it("leaves a data folder alone that is not its own", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "x-harness-test-"));
    const server = await start([], { dataDir });
    await server.stop();
    expect(readFileSync(join(dataDir, "starts"), "utf8")).toBe(`${server.pid}\n`);
    rmSync(dataDir, { recursive: true });
  });

  it("comes back on the same port with the same data after SIGKILL, and with none after a wipe", async () => {
    await using server = await start();
    const first = server.pid;
    const { ports } = server;
    await server.kill("SIGKILL");
    expect(isGone(first)).toBe(true);
    expect(await server.exited).toEqual({ code: undefined, signal: "SIGKILL" });
    expect(await askPid(ports.main)).toBeUndefined();

    await server.restart();
    expect(server.ports).toEqual(ports);
    expect(await askPid(ports.main)).toBe(server.pid);
    expect((await server.ready())[1]).toBe(String(server.pid));
    expect(readFileSync(join(server.dataDir, "starts"), "utf8")).toBe(`${first}\n${server.pid}\n`);

    await server.wipe();
    expect(await askPid(ports.main)).toBe(server.pid);
    expect(readFileSync(join(server.dataDir, "starts"), "utf8")).toBe(`${server.pid}\n`);
  });

  it("answers nothing between SIGSTOP and SIGCONT, and goes on after", async () => {
    await using server = await start();
    await server.kill("SIGSTOP");
    const answer = askPid(server.ports.main);
    const state = readFileSync(`/proc/${server.pid}/stat`, "utf8");
    expect(state.slice(state.lastIndexOf(")") + 2)[0]).toBe("T");
    expect(server.running).toBe(true);
    await server.kill("SIGCONT");
    expect(await answer).toBe(server.pid);
  });

  it("stops even if it stands still, or does not care about SIGTERM", async () => {
    const still = await start();
    await still.kill("SIGSTOP");
    await still.stop();
    expect(await still.exited).toEqual({ code: undefined, signal: "SIGTERM" });

    const stubborn = await start(["--stubborn"], { stopWithinMs: 100 });
    await stubborn.stop();
    expect(await stubborn.exited).toEqual({ code: undefined, signal: "SIGKILL" });
  });

  it("gives a line that comes later, and an error if the process ends without it", async () => {
    await using server = await start(["--stubborn"]);
    const line = server.waitForLine(/^SIGTERM\? (\w+)/);
    await server.kill("SIGTERM");
    expect((await line)[1]).toBe("No");
    const never = server.waitForLine(/never/);
    await server.kill("SIGKILL");
    await expect(never).rejects.toMatchObject({ code: "exited" });
  });
});

describe("a start that fails", { timeout: 30_000 }, () => {
  it("tells the end of the log and keeps it, when the program ends before it is ready", async () => {
    const error: Error = await startProcess(join(tmpdir(), "no-such-script.mjs"), { ready: /READY/ }).then(
      () => expect.unreachable(),
      (reason) => reason,
    );
    expect(error).toMatchObject({ code: "exited" });
    expect(error.message).toMatch(
      /^process ended \(1\) before it was ready; its log is .*, which ends with:\n/,
    );
    expect(error.message).toContain("Cannot find module");
    const log = /its log is (.*?), which/.exec(error.message)?.[1] ?? "";
    expect(readFileSync(log, "utf8")).toContain("Cannot find module");
    rmSync(dirname(log), { recursive: true });
  });

  it("ends the program and tells the log when it is not ready in time", async () => {
    const error: Error = await startProcess("-e", {
      ready: /^READY/,
      args: ["console.log('pid', process.pid); setInterval(() => {}, 1000)"],
      readyWithinMs: 5_000,
    }).then(
      () => expect.unreachable(),
      (reason) => reason,
    );
    expect(error).toMatchObject({ code: "not-ready" });
    const told = /^process was not ready within 5000 ms; its log is (.*), which ends with:\npid (\d+)$/.exec(
      error.message,
    );
    expect(isGone(Number(told?.[2]))).toBe(true);
    rmSync(dirname(told?.[1] ?? ""), { recursive: true });
  });

  it("rejects with the signal's reason itself, and leaves neither process nor folder", async () => {
    const abort = new AbortController();
    const reason = new Error("changed my mind");
    let launch: Launch<never> | undefined;
    const starting = startProcess(program, {
      ready: /never/,
      args: (given) => {
        launch = given;
        setImmediate(() => abort.abort(reason));
        return ["0", given.dataDir];
      },
      signal: abort.signal,
    });
    await expect(starting).rejects.toBe(reason);
    expect(existsSync(launch?.workDir ?? "/")).toBe(false);
  });

  it("picks another port when the first was taken meanwhile", async () => {
    const thief = createServer();
    const taken = await new Promise<number>((resolve) => {
      thief.listen(0, "127.0.0.1", () => resolve((thief.address() as { port: number }).port));
    });
    const picks: (readonly number[])[] = [];
    const pick = async (count: number): Promise<readonly number[]> => {
      picks.push(picks.length === 0 ? [taken] : await pickPorts(count));
      return picks.at(-1) ?? [];
    };
    await using server = await start([], { pickPorts: pick });
    expect(picks).toHaveLength(2);
    expect(server.ports.main).toBe(picks[1]?.[0]);
    expect(await askPid(server.ports.main)).toBe(server.pid);
    thief.close();
  });
});

describe("the folder of a process", () => {
  it("is kept, and its log told, when the process had crashed", async () => {
    const server = await start(["--crash-later"]);
    process.kill(server.pid, "SIGTERM"); // not by the harness, so to it this is a crash
    await server.exited;
    const said = await withStderr(() => server.stop());
    expect(said).toContain(`program had ended by itself (3); its log is ${server.logPath}, which ends with:`);
    expect(said).toContain(`READY pid=${server.pid}`);
    expect(existsSync(server.logPath)).toBe(true);
    rmSync(folderOf(server), { recursive: true });
  });

  it.each([
    { state: "fail", kept: true },
    { state: "pass", kept: false },
  ])("with a test that ends with $state is kept: $kept", async ({ state, kept }) => {
    const ends: (() => Promise<void>)[] = [];
    const result = { state: "run" };
    const test: TestScope = { task: { name: "some test", result }, onTestFinished: (end) => ends.push(end) };
    const server = await start([], { test });
    result.state = state;
    const said = await withStderr(async () => {
      for (const end of ends) await end();
    });
    expect(isGone(server.pid)).toBe(true);
    expect(said.includes(`program belongs to "some test", which failed; its log is ${server.logPath}`)).toBe(
      kept,
    );
    expect(existsSync(server.logPath)).toBe(kept);
    rmSync(folderOf(server), { recursive: true, force: true });
  });

  it("is kept when one of the tests that share the process fails", async () => {
    const server = await start();
    const ends: (() => Promise<void>)[] = [];
    server.keepIfFails({
      task: { name: "good", result: { state: "pass" } },
      onTestFinished: (end) => ends.push(end),
    });
    server.keepIfFails({
      task: { name: "bad", result: { state: "fail" } },
      onTestFinished: (end) => ends.push(end),
    });
    const said = await withStderr(async () => {
      for (const end of ends) await end();
      await server.stop();
    });
    expect(said).toContain('program was in use when "bad" failed');
    expect(said).not.toContain("good");
    expect(existsSync(server.logPath)).toBe(true);
    rmSync(folderOf(server), { recursive: true });
  });

  it("belongs to a real test context", async (test) => {
    const server = await start([], { test });
    expect(server.running).toBe(true);
  });
});
