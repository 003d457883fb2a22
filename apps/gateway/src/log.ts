/** Lines on stderr, for people. Stdout belongs to READY and to what commands print. */
import type { BufferEvent } from "@x/topic-buffer";
import type { RegistryEvent } from "@x/viewreg";

export interface Log {
  info(message: string): void;
  error(message: string, cause?: unknown): void;
  debug(type: string, event: object): void;
  buffer(id: string, event: BufferEvent): void;
  /** What the gateway's registry of buffers tells. */
  registry(event: RegistryEvent): void;
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
    registry: registryLog(write, verbose),
  };
}

/** A line when a buffer goes out or comes back, not for those that come and go as they should. */
function registryLog(
  write: (level: string, message: string) => void,
  verbose: boolean,
): (event: RegistryEvent) => void {
  const out = new Set<string>();
  return (event) => {
    if (verbose) write("debug", `registry ${event.event} ${toJson(event)}`);
    const { endpoint = "", reason = "" } = event;
    switch (event.event) {
      case "unhealthy":
        if (reason === "removed") break;
        out.add(endpoint);
        write("warn", `the buffer at ${endpoint} is unwell: ${reason}`);
        break;
      case "healthy":
        if (out.delete(endpoint)) write("info", `the buffer at ${endpoint} is well again`);
        break;
      case "removed":
        out.delete(endpoint);
        break;
      case "panic":
        write(
          "warn",
          `nearly all buffers look unwell (${reason}), so ${event.count} of them are used anyway`,
        );
        break;
      case "locator-failed":
        write("warn", `the buffers can't be looked up: ${describeError(event.error)}`);
        break;
      case "no-health-service":
        write("warn", `the buffer at ${endpoint} has no grpc.health.v1: it counts as well while it answers`);
        break;
    }
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
