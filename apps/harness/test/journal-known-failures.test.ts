import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { expectKnownFailures, knownFailures, parseKnownFailures } from "./journal-known-failures.js";

const here = new URL("./", import.meta.url);

describe("the known failures of the journal client", () => {
  it("have a reason each, and are tests that exist", () => {
    const sources = readdirSync(here)
      .filter((name) => /^journal-.*\.test\.ts$/.test(name))
      .map((name) => readFileSync(new URL(name, here), "utf8"))
      .join("\n");
    for (const [name, reason] of knownFailures()) {
      expect(sources).toContain(name);
      expect(reason.length).toBeGreaterThan(10);
    }
  });

  it("are read line by line", () => {
    expect([...parseKnownFailures("# why\n\nit breaks :: the broker does\n")]).toEqual([
      ["it breaks", "the broker does"],
    ]);
    expect(() => parseKnownFailures("it breaks\n")).toThrow(/needs a name and a reason/);
  });

  describe("when there is one", () => {
    expectKnownFailures(new Map([["fails as is known", "it is made to"]]));

    it("fails as is known", () => {
      expect(1).toBe(2);
    });

    it("leaves the others as they are", ({ task }) => {
      expect(task.fails).toBeFalsy();
    });
  });
});
