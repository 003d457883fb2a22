import type { RegistryEvent, RegistryLog, RegistryMetrics } from "./contract.js";

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

  metric(write: (metrics: RegistryMetrics) => void): void {
    try {
      write(this.#metrics);
    } catch {
      // As above.
    }
  }
}

/** One line of readable text, however it came here. */
export function oneLine(value: unknown, longest = 200): string {
  let text: string;
  try {
    text = value instanceof Error ? value.message : String(value);
  } catch {
    text = "(an error that cannot be shown)";
  }
  const line = text
    .slice(0, longest + 1)
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ")
    .trim();
  return line.length > longest || text.length > longest ? `${line.slice(0, longest)}...` : line;
}
