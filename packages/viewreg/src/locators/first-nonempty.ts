import type { Endpoint } from "../endpoint.js";
import type { Locator } from "../locator.js";
import { keepLocating, type RetryOptions } from "./keep-locating.js";

/**
 * The first set that has an endpoint in it. Waits for as long as there is none, over failures of the locator too.
 * @throws signal.reason
 */
export async function firstNonempty(
  locator: Locator,
  options: RetryOptions & { readonly signal?: AbortSignal } = {},
): Promise<readonly Endpoint[]> {
  const signal = options.signal ?? new AbortController().signal;
  signal.throwIfAborted();
  for await (const endpoints of keepLocating(locator, options).locate({ signal })) {
    if (endpoints.length > 0) return endpoints;
  }
  throw signal.reason;
}
