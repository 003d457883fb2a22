import { spawn } from "node:child_process";
import { delimiter, join } from "node:path";
import { root } from "./repo.mjs";

/**
 * Runs a program to its end and keeps what it wrote, both streams in the order they came.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, timeoutMs?: number }} [options]
 * @returns {Promise<{ code: number, output: string }>}
 */
export function run(command, args, { cwd = root, env = toolEnv(), timeoutMs = 600_000 } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
    child.on("error", (error) => {
      clearTimeout(timer);
      resolve({ code: 127, output: `${output}${error.message}\n` });
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (signal) output += `ended by ${signal}\n`;
      resolve({ code: code ?? 1, output });
    });
  });
}

/**
 * The program and first arguments that run pnpm: the one that runs this script, so that no other version is started.
 *
 * @returns {{ command: string, args: string[] }}
 */
export function pnpm() {
  const script = process.env.npm_execpath;
  if (script && /pnpm\.c?js$/.test(script)) return { command: process.execPath, args: [script] };
  return { command: "pnpm", args: [] };
}

/** The environment for the tools of the repository: they are found without their path, and none counts its users. */
export function toolEnv() {
  return {
    ...process.env,
    PATH: [join(root, "node_modules", ".bin"), process.env.PATH].join(delimiter),
    DO_NOT_TRACK: "1",
    NO_COLOR: "1",
    FORCE_COLOR: undefined,
  };
}

/**
 * The environment for npm in a folder of its own. pnpm hands its settings to its scripts as `npm_config_*`; npm would
 * obey them, so only those about the way to the registry are kept.
 */
export function npmEnv() {
  const kept = /^npm_config_(registry|cache|cafile|ca|.*proxy|strict_ssl)$/i;
  const env = Object.entries(process.env).filter(([name]) => kept.test(name) || !/^p?npm_/i.test(name));
  return { ...Object.fromEntries(env), NO_COLOR: "1", FORCE_COLOR: undefined };
}

/**
 * `Promise.all` with at most `limit` at a time.
 *
 * @template T, R
 * @param {readonly T[]} items
 * @param {number} limit
 * @param {(item: T) => Promise<R>} work
 * @returns {Promise<R[]>}
 */
export async function mapLimited(items, limit, work) {
  /** @type {R[]} */
  const results = [];
  const queue = items.entries();
  const worker = async () => {
    for (const [index, item] of queue) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: limit }, worker));
  return results;
}
