import { formatEndpoint } from "../endpoint.js";
import { RegistryError } from "../errors.js";
import type { Probe, ProbeContext, ServerInfo } from "../probe.js";

/** What a server does when it is asked. */
export type FakeAnswer<V> = (context: ProbeContext) => Promise<V>;

export interface FakeProbe<V extends ServerInfo> {
  /** For `RegistryOptions.probe`. */
  readonly probe: Probe<unknown, V>;
  /** The server at `host:port` says this from now on. */
  answer(address: string, info: V): void;
  /** It fails with this. */
  fail(address: string, error: unknown): void;
  /** It says that it does not serve. */
  deny(address: string): void;
  /** It does not answer. */
  silence(address: string): void;
  /** It does whatever the function does. */
  script(address: string, answer: FakeAnswer<V>): void;
  /** How often it was asked; all of them without an address. */
  calls(address?: string): number;
}

/** @param byDefault what servers say that were told nothing else */
export function fakeProbe<V extends ServerInfo>(byDefault: V): FakeProbe<V> {
  const scripts = new Map<string, FakeAnswer<V>>();
  const counts = new Map<string, number>();
  let total = 0;
  return {
    probe(_channel, context) {
      const address = formatEndpoint(context.endpoint);
      counts.set(address, (counts.get(address) ?? 0) + 1);
      total++;
      return scripts.get(address)?.(context) ?? Promise.resolve(byDefault);
    },
    answer: (address, info) => void scripts.set(address, () => Promise.resolve(info)),
    fail: (address, error) => void scripts.set(address, () => Promise.reject(error)),
    deny: (address) =>
      void scripts.set(address, () =>
        Promise.reject(new RegistryError("not-serving", "the server says that it does not serve")),
      ),
    silence: (address) => void scripts.set(address, ({ signal }) => untilAborted(signal)),
    script: (address, answer) => void scripts.set(address, answer),
    calls: (address) => (address === undefined ? total : (counts.get(address) ?? 0)),
  };
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
