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
import { fullScale, type Metric, partsOf } from "../src/bench/journal/plan.js";

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

  it("show beside each figure the least that the same takes on Node, which is no goal", () => {
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
