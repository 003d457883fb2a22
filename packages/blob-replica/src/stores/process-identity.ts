import { createHash } from "node:crypto";

/** What one process can know about itself and others on the machine. */
export interface ProcessFacts {
  readonly pid: number;
  readonly hostName: string;
  /** The text of a file or the target of a link of `/proc`; undefined where there is none. */
  readonly proc: (path: string) => string | undefined;
  /** Whether a process of this number runs. */
  readonly runs: (pid: number) => boolean;
}

/** Names this process so that another one can tell whether it still lives, also when its number is used again. */
export interface ProcessIdentity {
  /** Letters, digits and dots. */
  readonly token: string;
  /** Undefined when that cannot be known: another machine, another container. */
  isDead(token: string): boolean | undefined;
}

const shape = /^([0-9a-f]{8})\.([0-9a-f]{8}|none)\.([0-9]+|none)\.([0-9]+)\.([0-9]+|none)$/;

/** The token: host name, boot, process-number space, number, start; where there is no `/proc`, "none". */
export function processIdentity(facts: ProcessFacts): ProcessIdentity {
  const boot = facts.proc("/proc/sys/kernel/random/boot_id")?.trim();
  const self = {
    host: short(facts.hostName),
    boot: boot ? short(boot) : "none",
    space: facts.proc("/proc/self/ns/pid")?.match(/[0-9]+/)?.[0] ?? "none",
    start: startOf(facts, facts.pid),
  };
  return {
    token: [self.host, self.boot, self.space, facts.pid, self.start].join("."),
    isDead(token) {
      const [, host, boot, space, pid, start] = shape.exec(token) ?? [];
      if (host !== self.host) return undefined;
      if (boot !== self.boot) return true;
      if (space !== self.space) return undefined;
      if (!facts.runs(Number(pid))) return true;
      const now = startOf(facts, Number(pid));
      return start !== "none" && now !== "none" && start !== now;
    },
  };
}

/** Field 22 of proc_pid_stat(5): ticks from boot to its start. Its second field, a name in parentheses, may have spaces. */
function startOf(facts: ProcessFacts, pid: number): string {
  const status = facts.proc(`/proc/${pid}/stat`);
  return status?.slice(status.lastIndexOf(")") + 2).split(" ")[19] ?? "none";
}

function short(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}
