import { availableParallelism, cpus, totalmem } from "node:os";

/** What the figures were measured on, without names or dates. */
export function describeMachine(): string {
  const model = cpus()[0]?.model.trim() || process.arch;
  const memoryGb = Math.round(totalmem() / 2 ** 30);
  return `${availableParallelism()} cores (${model}), ${memoryGb} GB, ${process.platform}, Node ${process.version}`;
}
