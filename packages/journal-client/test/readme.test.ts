import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import * as journalClient from "../src/index.js";
import * as messages from "../src/messages.js";
import { StubBroker } from "./support/stub-broker.js";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

describe("README", () => {
  it("shows the example as it runs, with what it prints", async () => {
    const source = readFileSync(new URL("./readme-example.ts", import.meta.url), "utf8");
    expect(readme).toContain(`\`\`\`ts\n${source}\`\`\``);

    await using broker = await StubBroker.start();
    broker.create("examples/log");
    vi.stubEnv("BROKER", broker.endpoint);
    const written: string[] = [];
    vi.spyOn(console, "log").mockImplementation((line: string) => void written.push(`${line}\n`));
    vi.spyOn(process.stdout, "write").mockImplementation((bytes) => {
      written.push(Buffer.from(bytes).toString());
      return true;
    });
    await import("./readme-example.js");
    const printed = written.join("");
    expect(readme).toContain(`\`\`\`text\n${printed}\`\`\``);
    expect(printed).toContain("hello, gazette");
  });

  it("names everything that the package exports", () => {
    for (const name of [...Object.keys(journalClient), ...Object.keys(messages)]) {
      expect(readme).toMatch(new RegExp(`\`[^\`\n]*\\b${name}\\b`));
    }
  });
});

describe("the names of Gazette's Go client", () => {
  it("exist here, as classes and functions", () => {
    // AsyncAppend, AsyncJournalClient and OpFuture are interfaces: types.test.ts has them.
    const exported = new Map<string, unknown>(Object.entries(journalClient));
    for (const name of [
      "append",
      "Appender",
      "AppendService",
      "OpFutures",
      "AsyncOperation",
      "finishedOperation",
      "Reader",
      "RetryReader",
      "FragmentReader",
      "openFragmentUrl",
      "RouteCache",
      "WatchedList",
      "readListResponse",
      "listAllJournals",
      "getJournal",
      "applyJournals",
      "applyJournalsInBatches",
      "listAllFragments",
      "fragmentStoreHealth",
    ]) {
      expect(exported.get(name)).toBeTypeOf("function");
    }
    expect(journalClient.JournalClient.prototype.installFileTransport).toBeTypeOf("function");
  });
});
