import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openEmbeddedCoord } from "@x/coord/embedded";
import { describe, it } from "vitest";
import { createBufferServer, openBuffer } from "../../topic-buffer/src/index.js";
import { openLocalArchive, openLocalSegmentLog } from "../../topic-buffer/src/local.js";
import { example } from "./readme-example.js";
import { healthExample } from "./readme-health-example.js";

const read = (path: string): Promise<string> => readFile(new URL(path, import.meta.url), "utf8");

describe("the README's example", () => {
  it.each(["readme-example", "readme-health-example"])(
    "is what the file says that is run here: %s",
    async (file) => {
      const source = await read(`./${file}.ts`);
      const [, body = ""] = /\/\/ example:begin\n([\s\S]*?) *\/\/ example:end/.exec(source) ?? [];
      const imports = source.split("\n").filter((line) => line.startsWith("import { "));
      const shown = [...imports, "", ...body.trimEnd().split("\n")]
        .map((line) => line.replace(/^ {2}/, ""))
        .join("\n");
      assert.ok(
        (await read("../README.md")).includes(`\`\`\`ts\n${shown}\n\`\`\``),
        `the README should show:\n${shown}`,
      );
    },
  );

  it("runs against a buffer on this machine, over gRPC", async () => {
    const directory = await mkdtemp(join(tmpdir(), "topics-readme-"));
    const coord = await openEmbeddedCoord({ directory: join(directory, "coord") });
    const logs = await openLocalSegmentLog({ directory: join(directory, "segments") });
    const archive = await openLocalArchive({ directory: join(directory, "archive") });
    const server = await createBufferServer({ address: "127.0.0.1:0" });
    const buffer = await openBuffer({ id: "one", address: server.address, coord, logs, archive });
    server.serve(buffer);
    const lines: string[] = [];
    const states: string[] = [];
    try {
      await example(coord, (line) => lines.push(line));
      await healthExample(coord, (line) => states.push(line));
    } finally {
      await buffer.close();
      await server.close();
      await logs[Symbol.asyncDispose]();
      await coord.close();
      await rm(directory, { recursive: true, force: true });
    }
    assert.deepEqual(lines, ["customer-7: ordered", "customer-7: paid"]);
    assert.deepEqual(states, ["one is healthy"]);
  });
});
