import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  buildGazette,
  buildGoServer,
  etcdBuild,
  type GazetteCluster,
  goBuildTimeoutMs,
  requireServer,
  runProgram,
  startEtcd,
  startGazette,
  startProcess,
} from "../src/servers/index.js";
import { expectKnownFailures } from "./journal-known-failures.js";

expectKnownFailures();

// The examples run as a user would run them: from the built package, against a real broker.
const example = (name: string): string =>
  fileURLToPath(new URL(`../../../packages/journal-client/examples/${name}.mjs`, import.meta.url));

const missing = [requireServer("etcd"), requireServer("gazette")].includes(false);

describe.skipIf(missing)("the examples of journal-client", { timeout: 120_000 }, () => {
  let etcd: Awaited<ReturnType<typeof startEtcd>>;
  let gazette: GazetteCluster;
  let folder: string;

  beforeAll(async () => {
    await buildGoServer(etcdBuild);
    await buildGazette();
    etcd = await startEtcd();
    gazette = await startGazette({ etcd });
    folder = await mkdtemp(join(tmpdir(), "journal-examples-"));
  }, 2 * goBuildTimeoutMs);

  afterAll(async () => {
    await gazette?.stop();
    await etcd?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function run(name: string, args: readonly string[], input = ""): Promise<string> {
    const signal = AbortSignal.timeout(60_000);
    const all = [example(name), gazette.endpoint, ...args];
    const { stdout } = await runProgram(process.execPath, { args: all, input, cwd: folder, signal });
    return stdout.toString();
  }

  async function contentOf(journal: string): Promise<string> {
    const { stdout } = await gazette.gazctl(["journals", "read", "-l", `name=${journal}`]);
    return stdout.toString();
  }

  it("append stdin, whole or line by line", async () => {
    await gazette.createJournals(["examples/whole", "examples/lines"]);
    await run("append-stdin", ["examples/whole"], "one\ntwo\n");
    expect(await contentOf("examples/whole")).toBe("one\ntwo\n");
    const lines = Array.from({ length: 1000 }, (_, index) => `line ${index}\n`).join("");
    await run("append-stdin", ["examples/lines", "--lines"], lines);
    expect(await contentOf("examples/lines")).toBe(lines);
  });

  it("tail a journal to stdout, also what comes later, until they are interrupted", async (test) => {
    await gazette.createJournals(["examples/tail"]);
    await run("append-stdin", ["examples/tail"], "before\n");
    const tail = await startProcess(example("tail"), {
      args: [gazette.endpoint, "examples/tail", "0"],
      ready: /^before$/,
      test,
    });
    await run("append-stdin", ["examples/tail"], "after\n");
    await tail.waitForLine(/^after$/);
    await tail.kill("SIGTERM");
    await tail.waitForLine(/^the next byte is at 13$/);
  });

  it("copy the fragments in the store to a folder, decompressed, and tell how far they are", async () => {
    await gazette.createJournals([
      {
        name: "examples/copied",
        codec: "GZIP",
        fragmentBytes: 1024,
        stores: ["file:///"],
        refreshSeconds: 1,
      },
    ]);
    const parts = ["a", "b", "c"].map((letter) => letter.repeat(2000));
    for (const part of parts) await run("append-stdin", ["examples/copied"], part);
    // A fragment is persisted when the next append begins another.
    await expect
      .poll(() => run("copy-fragments", ["examples/copied", "copy", gazette.fileRoot]), {
        timeout: 60_000,
        interval: 200,
      })
      .toMatch(/100 %.*\n2 fragments, 4000 bytes/);
    const names = (await readdir(join(folder, "copy"))).sort();
    const copied = await Promise.all(names.map((name) => readFile(join(folder, "copy", name), "utf8")));
    expect(copied.join("")).toBe(parts.slice(0, 2).join(""));
  });

  it("publish a transaction over two journals, and read it back committed", async () => {
    const labels = [{ name: "content-type", value: "application/x-ndjson" }];
    await gazette.createJournals([
      { name: "examples/debits", labels },
      { name: "examples/credits", labels },
    ]);
    const printed = await run("transaction", ["examples/debits", "examples/credits"]);
    expect(printed).toMatch(/examples\/debits at 0: .*"amount":-10/);
    expect(printed).toMatch(/examples\/credits at 0: .*"amount":10/);
    expect((await contentOf("examples/debits")).trim().split("\n")).toHaveLength(2);
  });
});
