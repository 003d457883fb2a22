/** A real Chromium, where there is one. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium } from "playwright-core";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/**
 * Where Chromium is: `X_CHROMIUM`, or the first of its names on PATH. Without one it says so in one loud line; with `CI` set that is a
 * failure instead.
 */
export function findChromium(
  env: NodeJS.ProcessEnv = process.env,
  options: {
    readonly exists?: (path: string) => boolean;
    readonly onMissing?: (line: string) => void;
  } = {},
): string | undefined {
  const { exists = existsSync, onMissing = (line) => process.stderr.write(`${line}\n`) } = options;
  const folders = [...(env.PATH ?? "").split(delimiter), "/usr/bin"];
  const names = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];
  const candidates = [
    ...(env.X_CHROMIUM ? [env.X_CHROMIUM] : []),
    ...names.flatMap((name) => folders.map((folder) => join(folder, name))),
  ];
  const found = candidates.find((path) => exists(path));
  if (found !== undefined) return found;
  const advice = "install it (apt-get install chromium), or say where it is with X_CHROMIUM";
  if (!["", "0", "false"].includes(env.CI ?? "")) {
    throw new Error(`with CI set, no suite may be skipped: there is no Chromium; ${advice}`);
  }
  onMissing(`!!! SKIPPED the tests that need a real Chromium: ${advice} !!!`);
  return undefined;
}

export function launchChromium(executablePath: string): Promise<Browser> {
  return chromium.launch({ executablePath, args: FLAGS });
}
