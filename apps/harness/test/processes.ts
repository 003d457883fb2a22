import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** Gone, or a zombie that nobody reaps (as under a container's first process): it runs no more. */
export function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return true;
  }
  try {
    const line = readFileSync(`/proc/${pid}/stat`, "utf8");
    return line.slice(line.lastIndexOf(")") + 2).startsWith("Z");
  } catch {
    return false;
  }
}

/** Asks again and again until it is so. It fails before the test's time is over, so that the test can still clean up. */
export async function eventually<T>(question: () => T | undefined | false, withinMs = 40_000): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const answer = question();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > deadline) throw new Error(`not so within ${withinMs} ms: ${question}`);
    await sleep(20);
  }
}
