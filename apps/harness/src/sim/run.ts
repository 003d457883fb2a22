/**
 * Runs the simulation from the command line:
 *
 * ```
 * node apps/harness/dist/sim/run.js --seed 17 [--trace] [--count 100]
 * ```
 *
 * `--mutation NAME` breaks the system on purpose (see mutations.ts). `--trace` prints every event; `--count` runs as many seeds from the first one on. Ends with 1 if a promise was broken.
 */
import { parseArgs } from "node:util";
import { formatViolation } from "../checker/index.js";
import { mutations } from "./mutations.js";
import { simulate } from "./simulate.js";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    count: { type: "string", default: "1" },
    mutation: { type: "string" },
    trace: { type: "boolean", default: false },
  },
});

const mutation = Object.entries(mutations).find(([name]) => name === values.mutation)?.[1];
if (values.mutation !== undefined && !mutation) {
  throw new RangeError(
    `there is no mutation "${values.mutation}", only ${Object.keys(mutations).join(", ")}`,
  );
}
const first = Number(values.seed);
for (let seed = first; seed < first + Number(values.count); seed++) {
  const startedMs = performance.now();
  const options = values.trace ? { onTrace: (line: string) => process.stdout.write(`${line}\n`) } : {};
  const result = await simulate({ seed, ...options, ...(mutation && { mutation }) });
  const { violations, failures, counts, events, simulatedMs, traceHash } = result;
  const tookMs = Math.round(performance.now() - startedMs);
  const shape = Object.entries(counts).map(([name, count]) => `${count} ${name}`);
  console.log(
    `seed ${seed}: ${violations.length} violations, ${shape.join(", ")}, ${events} events, ` +
      `${Math.round(simulatedMs / 1000)} s in ${tookMs} ms, trace ${traceHash.slice(0, 16)}`,
  );
  for (const { process: name, error } of failures) console.log(`  ${name} failed: ${String(error)}`);
  for (const violation of violations.slice(0, 10)) console.log(`  ${formatViolation(violation)}`);
  if (violations.length > 0) process.exitCode = 1;
}
