import { availableParallelism, cpus, loadavg, totalmem } from "node:os";

/** What the figures were measured on, without names or dates. */
export function describeMachine(): string {
  const model = cpus()[0]?.model.trim() || process.arch;
  const memoryGb = Math.round(totalmem() / 2 ** 30);
  return `${availableParallelism()} cores (${model}), ${memoryGb} GB, ${process.platform}, Node ${process.version}`;
}

/** What a reader must know if others use the machine, since their load and their syncs are in every figure; undefined if it is quiet. */
export function busyNote(): string | undefined {
  const load = loadavg()[0] ?? 0;
  if (load <= availableParallelism() / 2) return undefined;
  return `the machine was busy with other work (load ${load.toFixed(1)}) when this began: figures are lower, and goals may be met or missed by chance`;
}
