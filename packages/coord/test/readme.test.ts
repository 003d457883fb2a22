import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "vitest";
import { example } from "./readme-example.js";

const read = (path: string): Promise<string> => readFile(new URL(path, import.meta.url), "utf8");

describe("the README's example", () => {
  it("is what the file says that is run here", async () => {
    const source = await read("./readme-example.ts");
    const [, body] = /\/\/ example:begin\n([\s\S]*?) *\/\/ example:end/.exec(source) ?? [];
    const imports = source.split("\n").filter((line) => line.startsWith("import "));
    const shown = [...imports, "", ...body!.trimEnd().split("\n")]
      .map((line) => line.replace(/^ {2}/, ""))
      .join("\n");
    assert.ok(
      (await read("../README.md")).includes(`\`\`\`ts\n${shown}\n\`\`\``),
      `the README should show:\n${shown}`,
    );
  });

  it("runs", async () => {
    const directory = await mkdtemp(join(tmpdir(), "coord-readme-"));
    const lines: string[] = [];
    await example(directory, (line) => lines.push(line));
    await rm(directory, { recursive: true, force: true });
    assert.deepEqual(lines, ["I lead", "2 put", "3 delete"]);
  });
});
