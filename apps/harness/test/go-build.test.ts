import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { onlyOnce } from "../src/servers/build-lock.js";
import { findOnPath } from "../src/servers/cache.js";
import { findGoServer } from "../src/servers/go-build.js";
import {
  buildGoServer,
  cacheFolder,
  type GoServer,
  goBuildTimeoutMs,
  requireServer,
  supervise,
} from "../src/servers/index.js";
import { eventually } from "./processes.js";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "x-harness-test-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A Go module of one file, and a `go` first on PATH that notes each build and then runs the real one. */
function smallServer(main: string): {
  server: GoServer;
  env: NodeJS.ProcessEnv;
  builds: () => number;
  cache: string;
} {
  const module = join(folder, "module");
  const bin = join(folder, "bin");
  const notes = join(folder, "builds");
  for (const path of [module, bin]) mkdirSync(path, { recursive: true });
  writeFileSync(join(module, "go.mod"), "module x.harness/small\n\ngo 1.21\n");
  writeFileSync(join(module, "go.sum"), "");
  writeFileSync(join(module, "main.go"), main);
  const go = findOnPath("go");
  writeFileSync(
    join(bin, "go"),
    `#!/bin/sh\n[ "$1" = build ] && echo build >>'${notes}' && [ -n "$SLOW" ] && exec sleep 1000\nexec '${go}' "$@"\n`,
  );
  chmodSync(join(bin, "go"), 0o755);
  const cache = join(folder, "cache");
  return {
    server: { name: "small", package: ".", module },
    env: { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}`, X_HARNESS_CACHE: cache },
    builds: () => (existsSync(notes) ? readFileSync(notes, "utf8").trim().split("\n").length : 0),
    cache: join(cache, "go", "small"),
  };
}

const quiet = (): void => {};
const hello = 'package main\n\nfunc main() { println("hello") }\n';

// With nothing built, having etcd means having Go.
const hasGo = requireServer("etcd", { env: { ...process.env, X_HARNESS_CACHE: "/nowhere" } });

describe.skipIf(!hasGo)("a build of a Go server", { timeout: goBuildTimeoutMs }, () => {
  it("is done once by many who ask at the same time, and once for all who ask later", async () => {
    const { server, env, builds, cache } = smallServer(hello);
    const lines: string[] = [];
    const options = { env, onBuild: (line: string) => lines.push(line) };
    const programs = await Promise.all(Array.from({ length: 5 }, () => buildGoServer(server, options)));
    expect(new Set(programs).size).toBe(1);
    expect(builds()).toBe(1);
    expect(lines).toEqual([expect.stringMatching(/^building small from \., once/)]);
    const program = await supervise(programs[0] ?? "", { logPath: join(folder, "log") });
    expect((await program.exited).code).toBe(0);
    expect(readFileSync(join(folder, "log"), "utf8")).toBe("hello\n");
    expect(await buildGoServer(server, options)).toBe(programs[0]);
    expect(builds()).toBe(1);
    expect(readdirSync(cache)).toHaveLength(1); // no lock, log or scratch folder left
  });

  it("is found in the cache by a machine without Go", async () => {
    const { server, env } = smallServer(hello);
    const poor = { ...env, PATH: "/nowhere" };
    expect(findGoServer(server, poor)).toBeUndefined();
    await expect(buildGoServer(server, { env: poor })).rejects.toMatchObject({ code: "missing-server" });
    const program = await buildGoServer(server, { env, onBuild: quiet });
    expect(await buildGoServer(server, { env: poor })).toBe(program);
  });

  it("is done anew when the module's versions change", async () => {
    const { server, env, builds } = smallServer(hello);
    const first = await buildGoServer(server, { env, onBuild: quiet });
    writeFileSync(join(server.module ?? "", "go.mod"), "module x.harness/small\n\ngo 1.22\n");
    expect(await buildGoServer(server, { env, onBuild: quiet })).not.toBe(first);
    expect(builds()).toBe(2);
  });

  it("works in an empty HOME and without any", async () => {
    const { server, env } = smallServer(hello);
    const home = join(folder, "home");
    mkdirSync(home);
    const { X_HARNESS_CACHE: _, XDG_CACHE_HOME: __, GOPATH: ___, GOCACHE: ____, ...bare } = env;
    const program = await buildGoServer(server, { env: { ...bare, HOME: home }, onBuild: quiet });
    expect(program.startsWith(join(home, ".cache", "x-harness"))).toBe(true);
    const { HOME: _____, ...homeless } = env;
    await expect(buildGoServer(server, { env: homeless, onBuild: quiet })).resolves.toContain(
      cacheFolder(env),
    );
  });

  it("fails with the compiler's output, and leaves nothing that looks built", async () => {
    const { server, env, cache } = smallServer("package main\n\nfunc main() { nonsense() }\n");
    const error: Error = await buildGoServer(server, { env, onBuild: quiet }).then(
      () => expect.unreachable(),
      (reason) => reason,
    );
    expect(error).toMatchObject({ code: "build-failed" });
    expect(error.message).toContain("undefined: nonsense");
    const left = readdirSync(cache);
    expect(left).toEqual([expect.stringMatching(/\.log$/)]);
    expect(error.message).toContain(join(cache, left[0] ?? ""));
    writeFileSync(join(server.module ?? "", "main.go"), hello);
    await expect(buildGoServer(server, { env, onBuild: quiet })).resolves.toContain("small");
    expect(readdirSync(cache)).toHaveLength(1);
  });

  it("stops when asked, with the signal's reason itself, and can be done later", async () => {
    const { server, env, builds } = smallServer(hello);
    const abort = new AbortController();
    const reason = new Error("no time");
    const building = buildGoServer(server, {
      env: { ...env, SLOW: "1" },
      onBuild: quiet,
      signal: abort.signal,
    });
    building.catch(() => {});
    await eventually(() => builds() === 1);
    abort.abort(reason);
    await expect(building).rejects.toBe(reason);
    await buildGoServer(server, { env, onBuild: quiet });
    expect(builds()).toBe(2);
  });
});

describe("the lock of a build", () => {
  const work = async (): Promise<string> => "mine";
  const nothingDone = async (): Promise<undefined> => undefined;

  it("is waited for while its holder lives", async () => {
    const path = join(folder, "lock");
    writeFileSync(path, JSON.stringify({ token: "other", pid: process.pid, host: hostname() }));
    let asked = 0;
    const done = async (): Promise<string | undefined> => (++asked === 3 ? "theirs" : undefined);
    await expect(onlyOnce(path, { done, work })).resolves.toBe("theirs");
    expect(JSON.parse(readFileSync(path, "utf8")).token).toBe("other");
  });

  it("is taken from a holder that died", async () => {
    const dead = await supervise("/bin/true", { logPath: join(folder, "log") });
    await dead.exited;
    const path = join(folder, "lock");
    writeFileSync(path, JSON.stringify({ token: "other", pid: dead.pid, host: hostname() }));
    await expect(onlyOnce(path, { done: nothingDone, work })).resolves.toBe("mine");
    expect(existsSync(path)).toBe(false);
  });

  it("is taken from a holder on another machine only when it was not touched for long", async () => {
    const path = join(folder, "lock");
    writeFileSync(path, JSON.stringify({ token: "other", pid: 1, host: "elsewhere.invalid" }));
    const enough = new AbortController();
    let asked = 0;
    const done = async (): Promise<undefined> => {
      if (++asked === 3) enough.abort("asked three times");
    };
    await expect(onlyOnce(path, { done, work, signal: enough.signal })).rejects.toBe("asked three times");
    const longAgo = new Date(Date.now() - 60_000);
    utimesSync(path, longAgo, longAgo);
    await expect(onlyOnce(path, { done: nothingDone, work })).resolves.toBe("mine");
  });

  it("is taken when its file is empty and old, as after a power cut", async () => {
    const path = join(folder, "lock");
    writeFileSync(path, "");
    const longAgo = new Date(Date.now() - 60_000);
    utimesSync(path, longAgo, longAgo);
    await expect(onlyOnce(path, { done: nothingDone, work })).resolves.toBe("mine");
  });

  it("lets one at a time in", async () => {
    const path = join(folder, "lock");
    let inside = 0;
    let most = 0;
    const alone = async (): Promise<string> => {
      most = Math.max(most, ++inside);
      await new Promise((resolve) => setImmediate(resolve));
      inside--;
      return "done";
    };
    await Promise.all(Array.from({ length: 4 }, () => onlyOnce(path, { done: nothingDone, work: alone })));
    expect(most).toBe(1);
  });
});

describe("the cache folder", () => {
  it("is the one asked for, else in the user's cache, else in the home folder", () => {
    expect(cacheFolder({ X_HARNESS_CACHE: "/a", XDG_CACHE_HOME: "/b", HOME: "/c" })).toBe("/a");
    expect(cacheFolder({ X_HARNESS_CACHE: "", XDG_CACHE_HOME: "/b", HOME: "/c" })).toBe("/b/x-harness");
    expect(cacheFolder({ HOME: "/c" })).toBe("/c/.cache/x-harness");
  });
});
