import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { transpileInto } from "./support/transpile.js";

const pageBytes = 4096;
const bytes = 16 * 1024 * 1024;

// Nothing is promised of another malloc.
describe.runIf(usesGlibc())("memory for a blob is what an earlier one left", () => {
  let folder: string;
  let program: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "blob-memory-"));
    const source = fileURLToPath(new URL("support/reread-process.ts", import.meta.url));
    program = await transpileInto(folder, source);
  });

  afterAll(() => rm(folder, { recursive: true }));

  it.each(["memory", "a directory"])("when it is read from %s", async (where) => {
    const args = where === "memory" ? [] : [join(folder, "store")];
    const { stdout } = await promisify(execFile)(process.execPath, [program, String(bytes), ...args]);
    // Otherwise all of them.
    expect(Number(stdout)).toBeLessThan(bytes / pageBytes / 8);
  });
});

function usesGlibc(): boolean {
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  return header.glibcVersionRuntime !== undefined;
}
