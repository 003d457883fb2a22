import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createReplica, directoryStore, type Ref, refOf } from "../src/index.js";

const source = fileURLToPath(new URL("../src/", import.meta.url));
let dir = "";

/** A process of its own needs plain JavaScript: the sources without their types. */
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "blob-process-"));
  for (const name of await readdir(source, { recursive: true })) {
    if (!name.endsWith(".ts")) continue;
    const target = join(dir, "code", name.replace(/\.ts$/, ".js"));
    await mkdir(dirname(target), { recursive: true });
    const { outputText } = ts.transpileModule(await readFile(join(source, name), "utf8"), {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
    });
    await writeFile(target, outputText);
  }
  await writeFile(join(dir, "code", "package.json"), '{ "type": "module" }');
}, 60_000);

afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
});

/** Puts blobs, 8 at a time, and says a line for each that is acknowledged. */
const program = (place: string, round: number) => `
import { createReplica, directoryStore } from ${JSON.stringify(pathToFileURL(join(dir, "code", "index.js")).href)};
const store = (name) => ({ name, store: directoryStore(${JSON.stringify(place)} + "/" + name) });
const replica = await createReplica({ sync: [store("a"), store("b")], async: [store("c")], queue: { dir: ${JSON.stringify(place)} + "/queue" } });
console.log("ready");
let next = 0;
const lane = async () => {
  for (;;) {
    const { ref } = await replica.put(new TextEncoder().encode("round ${round} blob " + next++ + "x".repeat(next % 5000)));
    process.stdout.write(ref + "\\n");
  }
};
await Promise.all(Array.from({ length: 8 }, lane));
`;

describe("a process that is killed", () => {
  it("has lost nothing that it acknowledged, at whatever moment it was killed", {
    timeout: 120_000,
  }, async () => {
    const place = join(dir, "stores");
    const acknowledged: Ref[] = [];
    for (let round = 0; round < 4; round++) {
      const child: ChildProcess = spawn(
        process.execPath,
        ["--input-type=module", "-e", program(place, round)],
        {
          stdio: ["ignore", "pipe", "inherit"],
        },
      );
      const after = 1 + round * 61;
      const mine: Ref[] = [];
      for await (const line of createInterface({ input: child.stdout! })) {
        if (line.length === 64) mine.push(line as Ref);
        // Killed in the middle of what it does; what it had said before that counts, too.
        if (mine.length === after) child.kill("SIGKILL");
      }
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      expect(mine.length).toBeGreaterThanOrEqual(after);
      acknowledged.push(...mine);
    }
    const stores = ["a", "b", "c"].map((name) => ({ name, store: directoryStore(join(place, name)) }));
    const replica = await createReplica({
      sync: stores.slice(0, 2),
      async: stores.slice(2),
      queue: { dir: join(place, "queue") },
    });
    for (const { store } of stores.slice(0, 2)) {
      for (const ref of acknowledged) expect(refOf(await store.get(ref))).toBe(ref);
    }
    await replica.drained();
    for (const ref of acknowledged) expect(refOf(await stores[2]!.store.get(ref))).toBe(ref);
    expect(replica.state().async[0]).toMatchObject({ backlog: 0, needsSync: false });
    await replica[Symbol.asyncDispose]();
  });
});
