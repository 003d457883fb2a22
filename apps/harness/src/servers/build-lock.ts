import { randomUUID } from "node:crypto";
import { readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { pause } from "./wait.js";

/** A lock whose file was not touched for so long belongs to a dead process, whatever its pid says. */
const staleAfterMs = 30_000;
const touchEveryMs = 2_000;

interface Holder {
  readonly token: string;
  readonly pid: number;
  readonly host: string;
}

/**
 * Runs `work` while holding the lock file `path`, or returns what `done` gives once somebody else has done the work.
 *
 * The lock saves work, it does not guard data: should two processes ever hold it at once (a machine that slept for
 * longer than the stale time), both build, and the atomic rename at the end keeps the result whole. Its file is touched
 * while it is held; a dead holder is known at once by its pid on the same host, else by the age of the file.
 */
export async function onlyOnce<T>(
  path: string,
  options: {
    readonly done: () => Promise<T | undefined>;
    readonly work: () => Promise<T>;
    readonly signal?: AbortSignal;
  },
): Promise<T> {
  const holder: Holder = { token: randomUUID(), pid: process.pid, host: hostname() };
  for (;;) {
    const result = await options.done();
    if (result !== undefined) return result;
    if (await take(path, holder)) break;
    await breakIfStale(path);
    await pause(100, options.signal);
  }
  const touching = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {}); // gone: somebody thought us dead, which the rename copes with
  }, touchEveryMs);
  try {
    return (await options.done()) ?? (await options.work());
  } finally {
    clearInterval(touching);
    if ((await readHolder(path))?.token === holder.token) await rm(path, { force: true });
  }
}

async function take(path: string, holder: Holder): Promise<boolean> {
  try {
    await writeFile(path, JSON.stringify(holder), { flag: "wx" });
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    throw error;
  }
}

async function breakIfStale(path: string): Promise<void> {
  const holder = await readHolder(path);
  const touched = await stat(path).catch(() => undefined);
  if (touched === undefined) return;
  const dead = holder?.host === hostname() && !isAlive(holder.pid);
  if (!dead && Date.now() - touched.mtimeMs < staleAfterMs) return;
  // Rename and then look, so that of several who saw the same dead holder only one can take its lock away.
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return;
    throw error;
  }
  const taken = await readHolder(aside);
  if (taken !== undefined && taken.token !== holder?.token) {
    // A new holder came between the look and the rename: give it back, unless a third one has come by now.
    await writeFile(path, JSON.stringify(taken), { flag: "wx" }).catch(() => {});
  }
  await rm(aside, { force: true });
}

async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Holder; // written by `take`; anything else does not parse
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return errorCode(error) === "EPERM";
  }
}

function errorCode(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
