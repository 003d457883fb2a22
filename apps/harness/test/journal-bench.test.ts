import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import {
  argumentsOf,
  type Call,
  type Figures,
  parseArguments,
  parseFigures,
} from "../src/bench/journal/call.js";
import { jsonLines } from "../src/bench/journal/content.js";
import { complaint, rowsOf } from "../src/bench/journal/figures.js";
import { findNewerNode, hasZstd, notesOfNodes } from "../src/bench/journal/nodes.js";
import { codecs, fullScale, isWanted, type Metric, NEWER_NODE, partsOf } from "../src/bench/journal/plan.js";
import { measurementOf, rowsOfNodes, turnsOf } from "../src/bench/journal/turns.js";
import { HarnessError } from "../src/servers/index.js";

const figures: Figures = {
  ops: 10,
  bytes: 1000,
  seconds: 2,
  p50Ms: 3,
  cpuSeconds: 1,
  maxRssBytes: 100e6,
};

describe("a window of the journal benchmark", () => {
  it("is described to a program by arguments that mean the same when they are read", () => {
    const calls: readonly Call[] = partsOf(fullScale).map(({ call }) => ({ ...call, journal: "a/b" }));
    for (const call of [
      ...calls,
      { mode: "fragments", journal: "a/b", bytes: 7, fileRoot: "/x y", into: true } as const,
      { mode: "bare-snappy", journal: "a/b", bytes: 7, fileRoot: "/x" } as const,
    ]) {
      const args = [...argumentsOf(call), "-endpoint", "http://127.0.0.1:1"];
      expect(parseArguments(args)).toEqual({ call, endpoint: "http://127.0.0.1:1" });
    }
  });

  it("is refused when its arguments say nothing that is known", () => {
    expect(() => parseArguments(["fly", "-journal", "a", "-endpoint", "e"])).toThrow('no mode "fly"');
    expect(() => parseArguments(["read", "-endpoint", "e"])).toThrow("-journal is missing");
    expect(() => parseArguments(["read", "-journal", "a"])).toThrow("-endpoint is missing");
    for (const bytes of ["0", "-1", "1.5", "many"]) {
      const args = ["read", "-journal", "a", "-endpoint", "e", "-bytes", bytes];
      expect(() => parseArguments(args)).toThrow("-bytes must be a whole number above 0");
    }
  });

  it("tells its figures in the last line of what it prints", () => {
    expect(parseFigures(`a warning\n${JSON.stringify(figures)}\n`)).toEqual(figures);
    expect(() => parseFigures("")).toThrow();
    expect(() => parseFigures('{"ops":1}\n')).toThrow("no figure bytes");
  });

  it("counts only when it moved what it should, and by URLs where that is measured", () => {
    expect(complaint({ mode: "append-service", count: 10, size: 100 }, figures)).toBeUndefined();
    expect(complaint({ mode: "append-service", count: 10, size: 101 }, figures)).toContain("instead of 1010");
    expect(complaint({ mode: "read", bytes: 1001 }, figures)).toContain("1000 bytes instead of 1001");
    const call = { mode: "fragments", bytes: 1000 } as const;
    expect(complaint(call, figures)).toContain("only 0 of 1000");
    expect(complaint(call, { ...figures, directBytes: 999 })).toContain("only 999 of 1000");
    expect(complaint(call, { ...figures, directBytes: 1000 })).toBeUndefined();
  });

  it("appends text that compresses to a quarter or less, the same in every run", () => {
    const text = jsonLines(1_000_000);
    expect(text).toHaveLength(1_000_000);
    expect(jsonLines(1_000_000).equals(text)).toBe(true);
    expect(() => JSON.parse(text.subarray(0, text.indexOf("\n")).toString())).not.toThrow();
    const ratio = gzipSync(text).length / text.length;
    expect(ratio).toBeGreaterThan(0.1);
    expect(ratio).toBeLessThan(0.25);
  });
});

describe("the rows of the journal benchmark", () => {
  const speed: Metric = {
    name: "",
    unit: "appends/s",
    better: "higher",
    of: ({ ops, seconds }) => ops / seconds,
    goal: { text: ">= 0.5x Go", atLeast: 0.5 },
  };
  const memory: Metric = {
    name: "memory",
    unit: "MB",
    better: "lower",
    of: ({ maxRssBytes }) => maxRssBytes / 1e6,
    ownGoal: { text: "<= 150 MB", atMost: 150 },
  };

  it("judge a goal of the ratio by the ratio to the Go client", () => {
    const theirs = [{ ...figures, seconds: 1 }];
    const [row, ...more] = rowsOf("b", { name: "part", metrics: [speed] }, [figures], theirs);
    expect(more).toEqual([]);
    expect(row).toMatchObject({ metric: "part", ours: 5, theirs: 10, ratio: 0.5, met: true });
    const slower = [{ ...figures, seconds: 0.9 }];
    expect(rowsOf("b", { name: "part", metrics: [speed] }, [figures], slower)[0]?.met).toBe(false);
  });

  it("judge a goal of our own figure by that alone, and show the Go client's beside it", () => {
    const theirs = [{ ...figures, maxRssBytes: 20e6 }];
    const rows = rowsOf("b", { name: "part", metrics: [memory] }, [figures], theirs);
    expect(rows).toMatchObject([
      { metric: "part: memory", peer: null, ours: 100, goal: "<= 150 MB", met: true },
      { metric: "part: memory", peer: "Go client", theirs: 20, ratio: 5, goal: null },
    ]);
  });

  it("show beside each figure that of Node without a client, which is no goal", () => {
    const bare = [{ name: "bare Node", figures: [{ ...figures, seconds: 0.5 }] }];
    const rows = rowsOf("b", { name: "part", metrics: [speed, memory] }, [figures], [figures], bare);
    expect(rows.filter(({ peer }) => peer === "bare Node")).toMatchObject([
      { metric: "part", ours: 5, theirs: 20, ratio: 0.25, goal: null, met: null },
      { metric: "part: memory", ours: 100, theirs: 100, goal: null },
    ]);
    const bareParts = partsOf(fullScale).filter((part) => (part.bare ?? []).length > 0);
    expect(bareParts.map(({ name }) => name)).toEqual([
      "one append at a time, 100 B",
      "read fragments of NONE directly, 256 MiB",
      "read fragments of SNAPPY directly, 256 MiB",
      "read fragments of ZSTANDARD directly, 256 MiB",
    ]);
  });

  it("have no peer where the Go client was not measured", () => {
    const rows = rowsOf("b", { name: "part", metrics: [memory, speed], alone: true }, [figures], []);
    expect(rows.map(({ peer }) => peer)).toEqual([null, null]);
  });

  it("miss their goals when nothing could be measured", () => {
    const rows = rowsOf("b", { name: "part", metrics: [speed, memory] }, [], []);
    expect(rows.filter(({ goal }) => goal !== null).map(({ met }) => met)).toEqual([false, false]);
  });

  it("have every goal that was set", () => {
    const goals = partsOf(fullScale).flatMap(({ name, metrics }) =>
      metrics.flatMap(({ goal, ownGoal }) =>
        [goal, ownGoal].flatMap((each) => (each ? [`${name}: ${each.text}`] : [])),
      ),
    );
    expect(goals).toEqual([
      "AppendService, 100 B: >= 0.5x Go",
      "AppendService, 1 KiB: >= 0.9x Go",
      "one append at a time, 100 B: <= 2x Go",
      "Appender, 1 GiB: >= 0.9x Go",
      "read through the broker, 1 GiB: >= 0.9x Go",
      "read through the broker, 1 GiB: <= 150 MB",
      "read fragments of NONE directly, 256 MiB: >= 0.8x Go",
      "read fragments of GZIP directly, 256 MiB: >= 0.8x Go",
      "read fragments of SNAPPY directly, 256 MiB: >= 0.8x Go",
      "read fragments of ZSTANDARD directly, 256 MiB: >= 0.8x Go",
      "1,000 blocked readers: <= 300 MB",
    ]);
  });
});

describe("the Node that runs our client in the journal benchmark", () => {
  const zstandard = "read fragments of ZSTANDARD directly, 256 MiB";
  const partNamed = (name: string): ReturnType<typeof partsOf>[number] => {
    const part = partsOf(fullScale).find((each) => each.name === name);
    if (part === undefined) throw new Error(`there is no part ${name}`);
    return part;
  };

  it("is a newer one, too, for every read of ZSTANDARD and nothing else", () => {
    expect(NEWER_NODE).toBe("Node 24");
    const both = partsOf(fullScale).filter(({ byNewerNode }) => byNewerNode !== undefined);
    expect(both.map(({ name, byNewerNode }) => [name, byNewerNode])).toEqual([
      [zstandard, `${zstandard}, Node 24`],
      [
        `${zstandard}, each chunk in memory of its own`,
        `${zstandard}, each chunk in memory of its own, Node 24`,
      ],
    ]);
  });

  it("takes its turn beside the same window of the Go client, with the same load", () => {
    const part = partNamed(zstandard);
    const turns = turnsOf(part, measurementOf(part, "/node24"));
    expect(turns.map(({ name, side, call, node }) => [name, side, call.mode, node])).toEqual([
      ["our client", "ours", "fragments", undefined],
      ["the Go client", "go", "fragments", undefined],
      ["our client on Node 24", "ours", "fragments", "/node24"],
      ["bare Node", "ours", "bare-zstd", undefined],
      ["bare Node on Node 24", "ours", "bare-zstd", "/node24"],
    ]);
    expect(turns[2]?.call).toEqual(turns[0]?.call);
    const alone = partNamed(`${zstandard}, each chunk in memory of its own`);
    const names = turnsOf(alone, measurementOf(alone, "/node24")).map(({ name }) => name);
    expect(names).toEqual(["our client", "our client on Node 24"]);
  });

  it("has no turn where it is not to be had, and none of what it would do no better", () => {
    const parts = partsOf(fullScale);
    for (const part of parts) expect(measurementOf(part, undefined).nodes).toHaveLength(1);
    const measured = parts.filter((part) => measurementOf(part, "/node24").nodes.length > 1);
    expect(measured.map(({ filled }) => filled?.codec)).toEqual(["ZSTANDARD", "ZSTANDARD"]);
  });

  it("has rows of its own, judged by the same windows of the Go client", () => {
    const part = partNamed(zstandard);
    const measurement = measurementOf(part, "/node24");
    const seconds = [2, 1, 1.25, 1, 0.5];
    for (const [at, { into }] of turnsOf(part, measurement).entries())
      into.push({ ...figures, bytes: 100e6, seconds: seconds[at] ?? 1 });
    const rows = rowsOfNodes("b", part, measurement).filter(({ unit }) => unit === "MB/s");
    expect(rows).toMatchObject([
      { metric: zstandard, peer: "Go client", ours: 50, theirs: 100, ratio: 0.5, met: false },
      { metric: zstandard, peer: "bare Node", theirs: 100 },
      { metric: `${zstandard}: the first 256 MiB of a process`, peer: "Go client" },
      { metric: `${zstandard}: the first 256 MiB of a process`, peer: "bare Node" },
      {
        metric: `${zstandard}, Node 24`,
        peer: "Go client",
        ours: 80,
        theirs: 100,
        goal: ">= 0.8x Go",
        met: true,
      },
      { metric: `${zstandard}, Node 24`, peer: "bare Node", theirs: 200 },
      { metric: `${zstandard}, Node 24: the first 256 MiB of a process`, peer: "Go client" },
      { metric: `${zstandard}, Node 24: the first 256 MiB of a process`, peer: "bare Node" },
    ]);
  });

  it("is told with its exact version, as the windows had it", () => {
    const own = [figures, { ...figures, node: "v20.1.2" }, { ...figures, node: "v20.1.2" }];
    const newer = [{ ...figures, node: "v24.3.4" }];
    const [note, ...more] = notesOfNodes({ own, newer }, { native: false });
    expect(more).toEqual([]);
    expect(note).toMatch(/were run by Node v20\.1\.2, .* WebAssembly.*"Node 24".* by Node v24\.3\.4/);
    expect(notesOfNodes({ own: newer, newer: [] }, { native: true })).toEqual([
      expect.stringMatching(/run by Node v24\.3\.4, which has a zstd of its own/),
    ]);
    expect(notesOfNodes({ own: [], newer: [] }, { native: false })).toEqual([]);
  });

  it("is left out with a note that says why where it is not to be had", async () => {
    const { signal } = new AbortController();
    const why = "npm could not install it (ENOTFOUND)";
    const newer = await findNewerNode(signal, async () => {
      throw new HarnessError("build-failed", why);
    });
    expect(newer).toEqual({ missing: why });
    const own = [{ ...figures, node: "v20.1.2" }];
    expect(notesOfNodes({ own, newer: [] }, { native: false, missing: why })).toEqual([
      expect.stringContaining("by WebAssembly"),
      `There are no rows of Node 24: ${why}.`,
    ]);
    const full = Object.assign(new Error("ENOSPC: no space left, mkdir '/a/folder'"), { code: "ENOSPC" });
    expect(await findNewerNode(signal, () => Promise.reject(full))).toEqual({
      missing: "its installation failed (ENOSPC)",
    });
    const interrupted = new Error("interrupted");
    await expect(findNewerNode(AbortSignal.abort(interrupted), () => Promise.reject(full))).rejects.toBe(
      interrupted,
    );
  });

  it("is asked for by the name of its rows as well as by that of the part", () => {
    const wanted = (only?: string): number =>
      partsOf(fullScale).filter((part) => isWanted(part, only)).length;
    expect(wanted()).toBe(partsOf(fullScale).length);
    expect([wanted("Node 24"), wanted("ZSTANDARD"), wanted("SNAPPY"), wanted("fragments")]).toEqual([
      2,
      2,
      2,
      2 * codecs.length,
    ]);
  });

  it("has a zstd of its own from 22.15 on", () => {
    const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
    expect(hasZstd()).toBe(major > 23 || (major === 23 && minor >= 8) || (major === 22 && minor >= 15));
  });
});
