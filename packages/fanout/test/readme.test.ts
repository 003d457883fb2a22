import { readFileSync } from "node:fs";
import { trace } from "@opentelemetry/api";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { describe, expect, it } from "vitest";
import * as fanout from "../src/index.js";
import { example } from "./readme-example.js";
import { fanout as traced } from "./readme-trace-example.js";

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

  it("shows how to trace as it runs", async () => {
    const source = read("./readme-trace-example.ts")
      .replace("../src/index.js", "@x/fanout")
      .replace("../src/opentelemetry.js", "@x/fanout/opentelemetry");
    expect(readme).toContain(`\`\`\`ts\n${source}\`\`\``);

    const exporter = new InMemorySpanExporter();
    trace.setGlobalTracerProvider(
      new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
    );
    const views = [{ serves: { from: 0, to: 9 } }];
    for await (const _ of traced.call([1], views, async () => "answer"));
    trace.disable();
    expect(exporter.getFinishedSpans().map(({ name }) => name)).toEqual(["fanout.request", "fanout"]);
  });

  it("names everything that the package exports", () => {
    for (const name of [...Object.keys(fanout), "traceFanout"]) expect(readme).toContain(`\`${name}`);
  });
});
