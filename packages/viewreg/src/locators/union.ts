import { setMaxListeners } from "node:events";
import type { Endpoint } from "../endpoint.js";
import { RegistryError } from "../errors.js";
import type { Locator } from "../locator.js";
import { oneLine } from "../text.js";
import { distinct, sameEndpoints } from "./endpoint-set.js";
import { iterate } from "./iteration.js";
import { keepLocating, type RetryOptions } from "./keep-locating.js";
import { Latest } from "./latest.js";

export interface UnionOptions extends Omit<RetryOptions, "onError"> {
  /** Told each failure of a source, with its place in the list. */
  readonly onError?: (error: unknown, source: number) => void;
}

/**
 * All endpoints that any of the sources knows. Of an endpoint that several know the labels of the last in the list hold.
 *
 * Yields first when the first source has: what the others know is added as they come. A source that fails keeps the endpoints that it
 * had told, and is asked again after a pause; the union throws only when all have failed before any told anything. Without sources
 * there are no endpoints.
 * @throws RegistryError "unavailable", its cause an AggregateError of each source's own, in their order
 */
export function union(sources: readonly Locator[], options: UnionOptions = {}): Locator {
  const locators = [...sources];
  return { locate: ({ signal }) => iterate(signal, (until) => join(locators, options, until)) };
}

async function* join(
  sources: readonly Locator[],
  options: UnionOptions,
  signal: AbortSignal,
): AsyncGenerator<readonly Endpoint[], void, undefined> {
  const told: (readonly Endpoint[])[] = sources.map(() => []);
  const errors = new Map<number, unknown>();
  // Only says that there is something new: the union is made when the reader comes for it.
  const changed = new Latest<void>();
  const stop = new AbortController();
  setMaxListeners(0, stop.signal);
  const onAbort = (): void => stop.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });

  const follow = async (source: Locator, index: number): Promise<void> => {
    const onError = (error: unknown): void => {
      errors.set(index, error);
      options.onError?.(error, index);
      if (changed.version === 0 && errors.size === sources.length) changed.fail(allFailed(sources, errors));
    };
    try {
      for await (const endpoints of keepLocating(source, { ...options, onError }).locate({
        signal: stop.signal,
      })) {
        told[index] = endpoints;
        changed.set();
      }
    } catch (error) {
      changed.fail(error);
    }
  };
  if (sources.length === 0) changed.set();
  const following = sources.map(follow);
  try {
    let last: readonly Endpoint[] | undefined;
    for await (const _ of changed.read({ signal })) {
      const all = distinct(told.flat());
      if (last !== undefined && sameEndpoints(last, all)) continue;
      last = all;
      yield all;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    stop.abort(new Error("the union was left"));
    await Promise.all(following);
  }
}

function allFailed(sources: readonly Locator[], errors: ReadonlyMap<number, unknown>): RegistryError {
  const causes = sources.map((_, index) => errors.get(index));
  const each = causes.map((cause, index) => `source ${index}: ${oneLine(cause)}`);
  return new RegistryError("unavailable", `no source knows any endpoints (${each.join("; ")})`, {
    cause: new AggregateError(causes),
  });
}
