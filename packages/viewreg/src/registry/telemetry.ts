import type { ProblemKind, RegistryEvent, RegistryLog, RegistryMetrics } from "./contract.js";

/** The caller's log and metrics, whose errors are not ours. */
export class Telemetry {
  readonly #log: RegistryLog | undefined;
  readonly #metrics: RegistryMetrics;

  constructor({ log, metrics = {} }: { readonly log?: RegistryLog; readonly metrics?: RegistryMetrics }) {
    this.#log = log;
    this.#metrics = metrics;
  }

  log(event: RegistryEvent): void {
    try {
      this.#log?.(event);
    } catch {
      // A logger that fails must not end what it was told of.
    }
  }

  /** What somebody does wrong, or what goes wrong: told once, and counted as often as it is told. */
  problem(kind: ProblemKind, event: RegistryEvent): void {
    this.metric(({ errors }) => errors?.inc({ kind }));
    this.log(event);
  }

  metric(write: (metrics: RegistryMetrics) => void): void {
    try {
      write(this.#metrics);
    } catch {
      // As above.
    }
  }
}
