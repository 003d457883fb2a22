import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createReplica, directoryStore } from "@x/blob-replica";
import { openEmbeddedCoord } from "@x/coord/embedded";
import { describe, expect, it } from "vitest";
import { createBufferServer, openBuffer } from "../../topic-buffer/src/index.js";
import { openLocalSegmentLog } from "../../topic-buffer/src/local.js";
import { coordNames, openBlobArchive } from "../src/blob.js";
import { TopicClient } from "../src/client.js";
import { archiveExample } from "./readme-archive-example.js";

const read = (path: string): Promise<string> => readFile(new URL(path, import.meta.url), "utf8");

describe("the README's example of an archive", () => {
  it("is what the file says that is run here", async () => {
    const source = await read("./readme-archive-example.ts");
    const [, body = ""] = /\/\/ example:begin\n([\s\S]*?) *\/\/ example:end/.exec(source) ?? [];
    const imports = source.split("\n").filter((line) => line.startsWith("import { "));
    const shown = [...imports, "", ...body.trimEnd().split("\n")]
      .map((line) => line.replace(/^ {2}/, ""))
      .join("\n");
    assert.ok(
      (await read("../README.md")).includes(`\`\`\`ts\n${shown}\n\`\`\``),
      `the README should show:\n${shown}`,
    );
  });

  it("reads from the archive what a buffer on this machine put there", { timeout: 30_000 }, async () => {
    const directory = await mkdtemp(join(tmpdir(), "topics-readme-"));
    const coord = await openEmbeddedCoord({ directory: join(directory, "coord") });
    const logs = await openLocalSegmentLog({ directory: join(directory, "segments") });
    const disks = ["1", "2"].map((name) => ({ name, store: directoryStore(join(directory, name)) }));
    const store = await createReplica({ sync: disks });
    const archive = openBlobArchive({ store, names: coordNames({ coord }) });
    const server = await createBufferServer({ address: "127.0.0.1:0" });
    const options = { id: "one", address: server.address, coord, logs, archive, segmentMaxBytes: 65_536 };
    const buffer = await openBuffer(options);
    server.serve(buffer);
    const lines: string[] = [];
    try {
      const client = await TopicClient.open({ coord, archive });
      await client.topics.add("orders", 16);
      const isArchived = async () =>
        (await client.describe("orders")).segments.filter(({ state }) => state === "archived").length > 1;
      for (let i = 0; i < 200; i += 20) {
        const headers = { padding: "x".repeat(10_000) };
        await client.publishMany(
          "orders",
          Array.from({ length: 20 }, (_, j) => ({ key: `c${j}`, data: `order ${i + j}`, headers })),
        );
      }
      await expect.poll(isArchived, { timeout: 20_000 }).toBe(true);
      await client.close();
      await archiveExample(coord, directory, (line) => lines.push(line));
    } finally {
      await buffer.close();
      await server.close();
      await logs[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      await coord.close();
      await rm(directory, { recursive: true, force: true });
    }
    const orders = Array.from({ length: 200 }, (_, i) => `c${i % 20}: order ${i}`);
    assert.deepEqual(lines, [...orders, "blobs are kept, 0 are deleted"]);
  });
});

describe("what is loaded without @x/topic-gateway/blob", () => {
  it("has no file that knows of blobs: they are an optional peer", async () => {
    const seen = new Set<string>();
    const left = ["index.ts", "client.ts", "protocol.ts", "testing.ts", "wire.ts"].map(
      (name) => new URL(`../src/${name}`, import.meta.url).href,
    );
    for (let file = left.pop(); file; file = left.pop()) {
      if (seen.has(file)) continue;
      seen.add(file);
      const source = await readFile(new URL(file), "utf8");
      // Types as well: the declarations of the root must not mention it.
      for (const [, specifier = ""] of source.matchAll(/(?:from|import\()\s*"([^"]+)"/g)) {
        expect(specifier, file).not.toMatch(/^@x\/blob-replica/);
        if (specifier.startsWith(".")) left.push(new URL(specifier.replace(/\.js$/, ".ts"), file).href);
      }
    }
    expect(seen.size).toBeGreaterThan(50);
    expect([...seen].filter((file) => file.includes("/src/blob"))).toEqual([]);
  });
});
