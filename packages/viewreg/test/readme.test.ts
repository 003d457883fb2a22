import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import * as akutan from "../src/akutan.js";
import * as etcd from "../src/etcd.js";
import * as viewreg from "../src/index.js";
import { resolveJudgement, resolveProbing } from "../src/judgement/settings.js";
import * as kubernetes from "../src/kubernetes.js";
import * as testing from "../src/testing.js";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");

afterEach(() => {
  vi.restoreAllMocks();
});

describe("README", { timeout: 60_000 }, () => {
  it.each([
    ["example", () => import("./readme-example.js")],
    ["fanout", () => import("./readme-fanout.js")],
  ] as const)("shows the file readme-%s.ts as it runs, with what it prints", async (name, run) => {
    const source = readFileSync(new URL(`./readme-${name}.ts`, import.meta.url), "utf8");
    expect(readme).toContain(`\`\`\`ts\n${source}\`\`\``);

    const printed: string[] = [];
    vi.spyOn(console, "log").mockImplementation((line: string) => void printed.push(line));
    await run();
    expect(printed).toHaveLength(2);
    expect(readme).toContain(`\`\`\`text\n${printed.join("\n")}\n\`\`\``);
  });

  it("names everything that the package exports", () => {
    for (const name of Object.keys({ ...viewreg, ...testing, ...etcd, ...kubernetes }))
      expect(readme, name).toContain(`\`${name}`);
    for (const name of Object.keys(akutan).filter((name) => /^(akutan|feature|parse|all)/.test(name)))
      expect(readme, name).toContain(`\`${name}`);
  });

  it("has every number of the defaults in its table", () => {
    const probing = resolveProbing();
    const { damping, outlier, ...judgement } = resolveJudgement(probing);
    const rows = new Map(
      [...readme.matchAll(/^\| `([\w.]+)` \| ([\d.,]+) ?\w* \|/gm)].map(([, name = "", value = ""]) => [
        name,
        Number(value.replaceAll(",", "")),
      ]),
    );
    const flat = (prefix: string, settings: object): [string, number][] =>
      Object.entries(settings).map(([name, value]) => [`${prefix}${name}`, value]);
    expect(Object.fromEntries(rows)).toEqual(
      Object.fromEntries([
        ...flat("probing.", probing),
        ...flat("judgement.", judgement),
        ...flat("judgement.damping.", damping || {}),
        ...flat("judgement.outlier.", outlier || {}),
        ["slowStartMs", 10_000],
        ["drainMs", 30_000],
        ["connectTimeoutMs", 5_000],
        ["recheckEvery", 20],
      ]),
    );
  });
});
