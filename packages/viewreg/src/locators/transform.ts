import { type Endpoint, formatEndpoint } from "../endpoint.js";
import type { Locator } from "../locator.js";
import { checkEndpoint, checkEndpoints, distinct, sameEndpoints } from "./endpoint-set.js";
import { iterate } from "./iteration.js";

/** Those endpoints that the predicate accepts. Throws what the predicate throws. */
export function filter(locator: Locator, predicate: (endpoint: Endpoint) => boolean): Locator {
  return transform(locator, (endpoints) => endpoints.filter((endpoint) => predicate(endpoint)));
}

/**
 * Each endpoint turned into another one: another port, more labels. Where two become the same the last one's labels hold. Throws
 * what `change` throws.
 * @throws RegistryError "invalid-endpoint" for what `change` made
 */
export function map(locator: Locator, change: (endpoint: Endpoint) => Endpoint): Locator {
  return transform(locator, (endpoints) => endpoints.map((endpoint) => checkEndpoint(change(endpoint))));
}

/** All endpoints but some, by host and port: for a server that looks for its peers, and is no peer of itself. */
export function exclude(locator: Locator, excluded: Endpoint | readonly Endpoint[]): Locator {
  const list = Array.isArray(excluded) ? excluded : [excluded];
  const addresses = new Set(checkEndpoints(list).map(formatEndpoint));
  return filter(locator, (endpoint) => !addresses.has(formatEndpoint(endpoint)));
}

function transform(
  locator: Locator,
  change: (endpoints: readonly Endpoint[]) => readonly Endpoint[],
): Locator {
  return {
    locate: ({ signal }) =>
      iterate(signal, async function* (until) {
        let last: readonly Endpoint[] | undefined;
        for await (const endpoints of locator.locate({ signal: until })) {
          const changed = distinct(change(endpoints));
          if (last !== undefined && sameEndpoints(last, changed)) continue;
          last = changed;
          yield changed;
        }
      }),
  };
}
