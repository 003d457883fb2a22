import { describe, expect, it } from "vitest";
import { type ProcessFacts, processIdentity } from "../src/stores/process-identity.js";
import { systemProcess } from "../src/system.js";

/** A machine with processes that started at these ticks. */
function facts(
  change: Partial<ProcessFacts> & { processes?: Record<number, number>; boot?: string; space?: string },
): ProcessFacts {
  const { processes = { 7: 100 }, boot = "boot-1", space = "pid:[4026531836]" } = change;
  return {
    pid: 7,
    hostName: "one",
    proc(path) {
      if (path === "/proc/sys/kernel/random/boot_id") return `${boot}\n`;
      if (path === "/proc/self/ns/pid") return space;
      const start = processes[Number(path.split("/")[2])];
      // proc_pid_stat(5), with a name that tries to be the end of itself.
      return start === undefined ? undefined : `7 (a) b) S ${"1 ".repeat(18)}${start} 0 0`;
    },
    runs: (pid) => pid in processes,
    ...change,
  };
}

describe("a process", () => {
  const seven = processIdentity(facts({ pid: 7, processes: { 7: 100, 8: 200 } }));

  it("is alive for itself and for those beside it", () => {
    const eight = processIdentity(facts({ pid: 8, processes: { 7: 100, 8: 200 } }));
    expect(seven.isDead(seven.token)).toBe(false);
    expect(seven.isDead(eight.token)).toBe(false);
    expect(systemProcess().isDead(systemProcess().token)).toBe(false);
  });

  it("is dead when it is gone, and when its number is another's now", () => {
    expect(processIdentity(facts({ pid: 8, processes: { 8: 200 } })).isDead(seven.token)).toBe(true);
    expect(processIdentity(facts({ pid: 8, processes: { 7: 300, 8: 200 } })).isDead(seven.token)).toBe(true);
    expect(processIdentity(facts({ pid: 7, processes: { 7: 300 } })).isDead(seven.token)).toBe(true);
  });

  it("is dead after a new start of the machine, whatever runs then", () => {
    expect(processIdentity(facts({ boot: "boot-2" })).isDead(seven.token)).toBe(true);
  });

  it("is not known on another machine, in another container, and when the token is none", () => {
    expect(processIdentity(facts({ hostName: "two" })).isDead(seven.token)).toBeUndefined();
    expect(processIdentity(facts({ space: "pid:[5]" })).isDead(seven.token)).toBeUndefined();
    for (const token of ["", "x", "7", `${seven.token}.1`]) expect(seven.isDead(token)).toBeUndefined();
  });

  it("lives as long as its number does where there is no /proc", () => {
    const without = (pid: number, running: readonly number[]) =>
      processIdentity({ ...facts({}), pid, proc: () => undefined, runs: (other) => running.includes(other) });
    const { token } = without(7, [7]);
    expect(token).toMatch(/^[0-9a-z.]+$/);
    expect(without(8, [7, 8]).isDead(token)).toBe(false);
    expect(without(8, [8]).isDead(token)).toBe(true);
  });
});
