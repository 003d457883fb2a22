import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import * as viewreg from "../src/index.js";
import * as testing from "../src/testing.js";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");

afterEach(() => {
  vi.restoreAllMocks();
});

describe("README", () => {
  it("shows the example as it runs, with what it prints", async () => {
    const source = readFileSync(new URL("./readme-example.ts", import.meta.url), "utf8");
    expect(readme).toContain(`\`\`\`ts\n${source}\`\`\``);

    const printed: string[] = [];
    vi.spyOn(console, "log").mockImplementation((line: string) => void printed.push(line));
    await import("./readme-example.js");
    expect(printed).toHaveLength(2);
    expect(readme).toContain(`\`\`\`text\n${printed.join("\n")}\n\`\`\``);
  }, 30_000);

  it("names everything that the package exports", () => {
    for (const name of Object.keys({ ...viewreg, ...testing })) expect(readme, name).toContain(`\`${name}`);
  });

  it("says what the defaults are", () => {
    for (const figure of ["250 ms", "500 ms", "800 ms", "1,000"]) expect(readme).toContain(figure);
  });
});
