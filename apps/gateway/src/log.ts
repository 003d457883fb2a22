/** Lines on stderr, for people. Stdout belongs to READY and to what commands print. */
import type { BufferEvent } from "@x/topic-buffer";

export interface Log {
  info(message: string): void;
  error(message: string, cause?: unknown): void;
  debug(type: string, event: object): void;
  buffer(id: string, event: BufferEvent): void;
}

const WORTH_A_LINE: ReadonlySet<BufferEvent["type"]> = new Set([
  "session-lost",
  "failed",
  "append-failed",
  "blocked",
  "archive-failed",
  "alarm",
]);

export function stderrLog(verbose: boolean): Log {
  const write = (level: string, message: string): void => {
    process.stderr.write(`${new Date().toISOString()} ${level} ${message}\n`);
  };
  return {
    info: (message) => write("info", message),
    error: (message, cause) =>
      write("error", cause === undefined ? message : `${message}: ${describeError(cause)}`),
    debug: (type, event) => {
      if (verbose) write("debug", `${type} ${toJson(event)}`);
    },
    buffer: (id, event) => {
      if (WORTH_A_LINE.has(event.type)) write("warn", `${id} ${event.type} ${toJson(event)}`);
      else if (verbose) write("debug", `${id} ${event.type} ${toJson(event)}`);
    },
  };
}

/** The message of an error and of what caused it. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message} (${describeError(error.cause)})`;
}

function toJson(event: object): string {
  return JSON.stringify(event, (_, value) => {
    if (typeof value === "bigint") return String(value);
    return value instanceof Error ? describeError(value) : value;
  });
}
