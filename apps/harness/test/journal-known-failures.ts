import { readFileSync } from "node:fs";
import { beforeEach } from "vitest";

const file = new URL("../../../packages/journal-client/known-failures.txt", import.meta.url);

/** Reads lines of the form `name :: reason`; empty lines and those that begin with "#" are of no meaning. */
export function parseKnownFailures(text: string): ReadonlyMap<string, string> {
  const entries = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line): [string, string] => {
      const [name = "", reason = ""] = line.split(" :: ");
      if (name === "" || reason === "") throw new Error(`a known failure needs a name and a reason: ${line}`);
      return [name, reason];
    });
  return new Map(entries);
}

export function knownFailures(): ReadonlyMap<string, string> {
  return parseKnownFailures(readFileSync(file, "utf8"));
}

/** Has the tests of this file (or this `describe`) that are known to fail pass when they fail, and fail when they pass. */
export function expectKnownFailures(known: ReadonlyMap<string, string> = knownFailures()): void {
  beforeEach(({ task }) => {
    if (known.has(task.name)) Object.assign(task, { fails: true }); // read-only in its type, and read after the test
  });
}
