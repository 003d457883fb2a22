/** Which servers exist, which of them are well, and what they serve. */

export { type Endpoint, formatEndpoint, parseEndpoint } from "./endpoint.js";
export { RegistryError, type RegistryErrorCode } from "./errors.js";
export type { Locator } from "./locator.js";
