import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Report } from "../src/bench/benchmark.js";
import { markdown, textTable } from "../src/bench/print.js";
import { inFrames, inWhole, u32 } from "../src/bench/raw-wire.js";
import { replaceBetween, rewriteFigures } from "../src/bench/readme.js";
import { type Measured, toRow } from "../src/bench/rows.js";
import { median, percentile } from "../src/bench/stats.js";

const measured: Measured = {
  bench: "b",
  metric: "m",
  unit: "msg/s",
  better: "higher",
  ours: [10, 30, 20],
  peer: "P",
  theirs: [20, 10, 10],
};
const report: Report = { rows: [toRow(measured)], setup: ["P 1.0"], notes: [], failed: false };

describe("the figures of a benchmark", () => {
  it("are medians with their ratio, and the spread is that of windows side by side", () => {
    expect(toRow(measured)).toEqual({
      bench: "b",
      metric: "m",
      unit: "msg/s",
      better: "higher",
      ours: 20,
      peer: "P",
      theirs: 10,
      ratio: 2,
      spread: [0.5, 3],
      runs: 3,
      goal: null,
      met: null,
    });
  });

  it("have a spread of their own where there is no peer", () => {
    const alone = toRow({ bench: "b", metric: "m", unit: "MB", better: "lower", ours: [5, 7, 6] });
    expect(alone).toMatchObject({ ours: 6, peer: null, theirs: null, ratio: null, spread: [5, 7], runs: 3 });
  });

  it("meet a goal exactly at its limit, and miss it beyond", () => {
    const met = (goal: { atLeast?: number; atMost?: number }) =>
      toRow({ ...measured, goal: { text: "t", ...goal } }).met;
    expect(met({ atLeast: 2 })).toBe(true);
    expect(met({ atLeast: 2.01 })).toBe(false);
    expect(met({ atMost: 2 })).toBe(true);
    expect(met({ atMost: 1.99 })).toBe(false);
  });

  it("miss a goal that could not be measured", () => {
    const goal = { text: ">= 1x P", atLeast: 1 };
    expect(toRow({ ...measured, ours: [], goal })).toMatchObject({ ours: null, ratio: null, met: false });
    expect(toRow({ ...measured, theirs: [], goal })).toMatchObject({ theirs: null, ratio: null, met: false });
  });

  it("say in the table that a goal was missed", () => {
    const row = toRow({ ...measured, goal: { text: ">= 3x P", atLeast: 3 } });
    expect(textTable([row])).toContain(">= 3x P: MISSED");
    expect(textTable([{ ...row, met: true }])).toContain(">= 3x P: met");
  });

  it("have percentiles by nearest rank", () => {
    const samples = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect([0.5, 0.99, 1].map((part) => percentile(samples, part))).toEqual([50, 99, 100]);
    expect(percentile([7], 0.5)).toBe(7);
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });
});

describe("a README's figures", () => {
  const benchmark = { name: "b", about: "About b.", readmes: [], run: async () => report };

  it("tell the machine, the command, the peers and the ratios", () => {
    const text = markdown(benchmark, report, "2 cores, Node v20");
    for (const part of ["2 cores, Node v20", "bench b`", "P 1.0", "2.00x (0.50-3.00)"]) {
      expect(text).toContain(part);
    }
  });

  it("replace what is between the markers of their benchmark, and nothing else", () => {
    const text = "a\n<!-- bench:b -->\nold\n<!-- /bench:b -->\nz <!-- bench:c -->keep<!-- /bench:c -->\n";
    expect(replaceBetween(text, "b", "new")).toBe(
      "a\n<!-- bench:b -->\nnew\n<!-- /bench:b -->\nz <!-- bench:c -->keep<!-- /bench:c -->\n",
    );
    expect(replaceBetween(text, "d", "new")).toBeUndefined();
    expect(replaceBetween("<!-- /bench:b --> <!-- bench:b -->", "b", "new")).toBeUndefined();
  });

  it("leave a file without markers, or no file, as it is", async () => {
    const folder = await mkdtemp(join(tmpdir(), "x-bench-readme-"));
    try {
      const path = join(folder, "README.md");
      expect(await rewriteFigures(path, "b", "new")).toBe(false);
      await writeFile(path, "no markers");
      expect(await rewriteFigures(path, "b", "new")).toBe(false);
      expect(await readFile(path, "utf8")).toBe("no markers");
      await writeFile(path, "<!-- bench:b --><!-- /bench:b -->");
      expect(await rewriteFigures(path, "b", "new")).toBe(true);
      expect(await readFile(path, "utf8")).toBe("<!-- bench:b -->\nnew\n<!-- /bench:b -->");
      expect(await readdir(folder)).toEqual(["README.md"]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("the raw log's wire", () => {
  it("finds whole frames however they were cut on the way", () => {
    const frames = ["", "a", "bc", "defg"].map((text) =>
      Buffer.concat([u32(text.length), Buffer.from(text)]),
    );
    const bytes = Buffer.concat(frames);
    for (let size = 1; size <= bytes.length; size++) {
      const got: Buffer[] = [];
      let count = 0;
      const receive = inFrames((whole, frameCount) => {
        got.push(whole);
        count += frameCount;
      });
      for (let at = 0; at < bytes.length; at += size) receive(bytes.subarray(at, at + size));
      expect(Buffer.concat(got)).toEqual(bytes);
      expect(count).toBe(4);
    }
  });

  it("finds whole records of a size", () => {
    const got: number[] = [];
    const receive = inWhole(4, (records) => {
      for (let at = 0; at < records.length; at += 4) got.push(records.readUInt32LE(at));
    });
    const bytes = Buffer.concat([u32(1), u32(2), u32(3)]);
    for (const [from, to] of [
      [0, 3],
      [3, 9],
      [9, 12],
    ]) {
      receive(bytes.subarray(from, to));
    }
    expect(got).toEqual([1, 2, 3]);
  });
});
