import type { Endpoint } from "../endpoint.js";
import type { Locator } from "../locator.js";
import { checkEndpoints, sameEndpoints } from "./endpoint-set.js";
import { Latest } from "./latest.js";

/** A set of endpoints that the program itself decides. */
export interface StaticLocator extends Locator {
  /** What is set now: each host and port once. */
  readonly endpoints: readonly Endpoint[];
  /** 1 at first, one more with each `set` that changed something. */
  readonly version: number;
  /**
   * Of duplicates (same host and port) the last one's labels hold. The same endpoints in another order are no change.
   * @throws RegistryError "invalid-endpoint", "invalid-argument"; then nothing has changed
   */
  set(endpoints: Iterable<Endpoint>): void;
}

/** @throws RegistryError "invalid-endpoint", "invalid-argument" */
export function staticLocator(initial: Iterable<Endpoint> = []): StaticLocator {
  const latest = new Latest<readonly Endpoint[]>();
  let endpoints = checkEndpoints(initial);
  latest.set(endpoints);
  return {
    get endpoints() {
      return endpoints;
    },
    get version() {
      return latest.version;
    },
    set(next) {
      const checked = checkEndpoints(next);
      if (sameEndpoints(endpoints, checked)) return;
      endpoints = checked;
      latest.set(checked);
    },
    locate: (options) => latest.read(options),
  };
}
