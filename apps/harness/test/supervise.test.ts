import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { supervise } from "../src/servers/index.js";
import { eventually, isGone } from "./processes.js";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "x-harness-test-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function sh(script: string): ReturnType<typeof supervise> {
  return supervise("/bin/sh", { args: ["-c", script], logPath: join(folder, "log") });
}

function log(): string {
  return readFileSync(join(folder, "log"), "utf8");
}

it("tells the code a program ended with, and has both its outputs in the log", async () => {
  const program = await sh("echo out; echo err >&2; exit 7");
  expect(await program.exited).toEqual({ code: 7, signal: undefined });
  expect(program.exit).toEqual({ code: 7, signal: undefined });
  expect(log()).toBe("out\nerr\n");
  expect(program.send("SIGTERM")).toBe(false);
});

it("tells the signal a program ended by", async () => {
  const program = await sh("kill -TERM $$");
  expect(await program.exited).toEqual({ code: undefined, signal: "SIGTERM" });
});

it("gives the program an empty stdin and neither end of the lifeline and the report", async () => {
  const program = await sh("cat; for fd in 0 1 3 4; do (: <&$fd) 2>/dev/null && echo open $fd; done");
  await program.exited;
  expect(log()).toBe("open 0\nopen 1\n");
});

it("ends what a program started, when the program ends", async () => {
  const program = await sh("sleep 1000 & echo $!; kill -KILL $$");
  await program.exited;
  const grandchild = Number(log());
  await eventually(() => isGone(grandchild));
});

it("tells a missing program as an exit with 127 and a line in the log", async () => {
  const program = await supervise("/no/such/program", { logPath: join(folder, "log") });
  expect((await program.exited).code).toBe(127);
  expect(log()).toContain("/no/such/program");
});

it("rejects when the program's folder is missing", async () => {
  const options = { cwd: join(folder, "missing"), logPath: join(folder, "log") };
  await expect(supervise("/bin/true", options)).rejects.toMatchObject({ code: "ENOENT" });
});
