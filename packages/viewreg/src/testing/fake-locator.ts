import type { Endpoint } from "../endpoint.js";
import { parseEndpoint } from "../endpoint.js";
import type { Locator } from "../locator.js";
import { iterate } from "../locators/iteration.js";

export interface FakeLocator extends Locator {
  /** Yields this next, checked by nobody: garbage is welcome. Strings in an array are read as `host:port`. */
  set(endpoints: unknown): void;
  /** Throws this at its reader, once, and then yields what was set last to whoever asks again. */
  fail(error: unknown): void;
  /** How often `locate` was called. */
  readonly calls: number;
}

/** A locator for tests. Unlike a static one it yields whatever it is told to, as often as it is told, unchanged or wrong. */
export function fakeLocator(initial: readonly (string | Endpoint)[] = []): FakeLocator {
  let value: unknown = initial.map(toEndpoint);
  let version = 1;
  let failure: { readonly error: unknown } | undefined;
  let calls = 0;
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const resume of waiting) resume();
    waiting.clear();
  };

  async function* read(signal: AbortSignal): AsyncGenerator<readonly Endpoint[], void, undefined> {
    let told = 0;
    for (;;) {
      if (failure !== undefined) {
        const { error } = failure;
        failure = undefined;
        throw error;
      }
      if (told !== version) {
        told = version;
        yield value as readonly Endpoint[]; // or garbage, which is the test
      } else {
        await new Promise<void>((resolve) => {
          waiting.add(resolve);
          signal.addEventListener("abort", () => resolve(), { once: true });
        });
        signal.throwIfAborted();
      }
    }
  }

  return {
    locate({ signal }) {
      calls++;
      return iterate(signal, read);
    },
    set(endpoints) {
      value = Array.isArray(endpoints) ? endpoints.map(toEndpoint) : endpoints;
      version++;
      wake();
    },
    fail(error) {
      failure = { error };
      wake();
    },
    get calls() {
      return calls;
    },
  };
}

function toEndpoint(value: unknown): unknown {
  return typeof value === "string" ? parseEndpoint(value) : value;
}
