import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { afterAll, describe, expect, it } from "vitest";
import * as buffer from "../src/index.js";
import * as local from "../src/local.js";
import { coord, directory, printed } from "./readme-setup.js";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");

afterAll(async () => {
  await coord.close();
  await rm(directory, { recursive: true, force: true });
});

describe("README", () => {
  it("shows the example as it runs", async () => {
    const source = readFileSync(new URL("./readme-example.ts", import.meta.url), "utf8");
    const shown = source.replace(/^.*readme-setup.*\n/m, "").replaceAll("print(", "console.log(");
    expect(readme).toContain(`\`\`\`ts\n${shown}\`\`\``);
    await import("./readme-example.js");
    expect(printed).toEqual(["serving", "closed"]);
  });

  it("names everything that the package exports", () => {
    for (const name of [...Object.keys(buffer), ...Object.keys(local)]) expect(readme).toContain(`\`${name}`);
  });
});
