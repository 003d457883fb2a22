/**
 * - `invalid-argument`: an option or an argument is wrong.
 * - `invalid-endpoint`: not HOST:PORT.
 * - `not-serving`: (from a probe) the server itself says that it does not serve.
 * - `bad-answer`: (from a probe) what came back is not what a probe may say.
 * - `bad-source`: (from a locator) what was read is no list of endpoints.
 * - `unavailable`: (from a locator) the place that knows the endpoints cannot be reached.
 * - `no-feature`: the name is no feature of the registry.
 * - `closed`: the registry was closed.
 */
export type RegistryErrorCode =
  | "invalid-argument"
  | "invalid-endpoint"
  | "not-serving"
  | "bad-answer"
  | "bad-source"
  | "unavailable"
  | "no-feature"
  | "closed";

/** The one error class of this package. Match on `code`, never on the message. */
export class RegistryError extends Error {
  readonly code: RegistryErrorCode;

  constructor(code: RegistryErrorCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "RegistryError";
    this.code = code;
  }
}
