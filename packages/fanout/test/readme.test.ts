import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import * as fanout from "../src/index.js";
import { example } from "./readme-example.js";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");
const readme = read("../README.md");

describe("README", () => {
  it("shows the example as it runs, with what it prints", async () => {
    const source = read("./readme-example.ts");
    const [, body] = /\/\/ example:begin\n([\s\S]*?) *\/\/ example:end/.exec(source) ?? [];
    const lines = body!.trimEnd().split("\n");
    const shown = lines.map((line) => line.replace(/^ {2}/, "")).join("\n");
    expect(readme).toContain(
      `\`\`\`ts\nimport { createFanout, partition } from "@x/fanout";\n\n${shown}\n\`\`\``,
    );

    const printed: string[] = [];
    await example((line) => printed.push(line));
    expect(printed).toHaveLength(7);
    expect(readme).toContain(`\`\`\`text\n${printed.join("\n")}\n\`\`\``);
  });

  it("names everything that the package exports", () => {
    for (const name of [...Object.keys(fanout), "traceFanout"]) expect(readme).toContain(`\`${name}`);
  });
});
