import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import * as blobs from "../src/index.js";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");

afterEach(() => {
  vi.restoreAllMocks();
});

describe("README", () => {
  it("shows the example as it runs, with what it prints", async () => {
    const source = readFileSync(new URL("./readme-example.ts", import.meta.url), "utf8");
    expect(readme).toContain(`\`\`\`ts\n${source}\`\`\``);
    const printed: string[] = [];
    vi.spyOn(console, "log").mockImplementation((...parts: unknown[]) => {
      printed.push(parts.map((part) => (typeof part === "string" ? part : JSON.stringify(part))).join(" "));
    });
    await import("./readme-example.js");
    expect(printed).toHaveLength(3);
    expect(readme).toContain(`\`\`\`text\n${printed.join("\n")}\n\`\`\``);
  });

  it("names everything that the package exports", () => {
    for (const name of Object.keys(blobs)) expect(readme).toMatch(new RegExp(`\`[^\`\n]*\\b${name}\\b`));
  });
});
