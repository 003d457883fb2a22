/**
 * - `missing-server`: the program, or what would build or install it (Go, npm), is not on this machine; the message says what is missing.
 * - `build-failed`: `go build` failed (the message ends with its output and says where all of it is), or npm could not install a program.
 * - `not-ready`: the server runs but did not become ready before the deadline.
 * - `exited`: the server ended by itself while it was expected to run.
 * - `stopped`: the server was stopped for good, its folder is gone, and it cannot be used again.
 * - `request-failed`: a running server answered a helper's request with an error.
 */
export type HarnessErrorCode =
  | "missing-server"
  | "build-failed"
  | "not-ready"
  | "exited"
  | "stopped"
  | "request-failed";

/** The one error class of the harness. Match on `code`, never on the message. */
export class HarnessError extends Error {
  readonly code: HarnessErrorCode;

  constructor(code: HarnessErrorCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "HarnessError";
    this.code = code;
  }
}
