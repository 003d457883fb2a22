/**
 * A folder for a queue that one process at a time has: processes that share a data folder take the first that is free. What a process leaves
 * behind when it dies is taken by the next one that starts.
 */
import { randomBytes } from "node:crypto";
import { link, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";

const SLOTS = 64;
const OWNER = /^owner-(\d+)$/;

/** The path of the queue's folder. It is this process's until it ends. @throws what the file system says, and when all are taken */
export async function takeQueueSlot(root: string): Promise<string> {
  const me = JSON.stringify({ host: hostname(), pid: process.pid, started: await startOf(process.pid) });
  for (let slot = 1; slot <= SLOTS; slot++) {
    const folder = join(root, String(slot));
    await mkdir(folder, { recursive: true });
    if (await take(folder, me)) return join(folder, "queue");
  }
  throw new Error(`all ${SLOTS} queues in ${root} are taken by other processes`);
}

/**
 * The file with the highest number says whose it is. It is never changed and, but by its own owner's successor, never removed: whoever finds its
 * owner dead makes the next one, which only one can.
 */
async function take(directory: string, me: string): Promise<boolean> {
  for (;;) {
    const owners = (await readdir(directory))
      .flatMap((name) => Number(OWNER.exec(name)?.[1] ?? []))
      .sort((a, b) => a - b);
    const highest = owners.at(-1) ?? 0;
    if (highest > 0) {
      const text = await readFile(join(directory, `owner-${highest}`), "utf8").catch(() => undefined);
      // Removed since: somebody else has it by now.
      if (text === undefined) continue;
      if (await lives(text)) return false;
    }
    const temporary = join(directory, `taking-${randomBytes(8).toString("hex")}`);
    await writeFile(temporary, me, { flush: true });
    try {
      await link(temporary, join(directory, `owner-${highest + 1}`));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") continue;
      throw error;
    } finally {
      await rm(temporary, { force: true });
    }
    for (const old of owners) await rm(join(directory, `owner-${old}`), { force: true });
    return true;
  }
}

/** Of another machine nothing is known, so it counts as alive; so does what can't be read. */
async function lives(text: string): Promise<boolean> {
  let owner: { readonly host?: unknown; readonly pid?: unknown; readonly started?: unknown };
  try {
    owner = JSON.parse(text);
  } catch {
    return true;
  }
  if (owner.host !== hostname() || typeof owner.pid !== "number") return true;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  // Its number may be another process's by now.
  return owner.started === (await startOf(owner.pid));
}

/** When a process began, as Linux tells it: with the boot, since numbers begin anew. "" elsewhere. */
async function startOf(pid: number): Promise<string> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
    // The name of the program, in parentheses, may hold anything. Behind it the 20th field is the 22nd of all.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return `${boot.trim()} ${fields[19]}`;
  } catch {
    return "";
  }
}
