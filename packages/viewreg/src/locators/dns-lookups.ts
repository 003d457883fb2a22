import type { Clock } from "../clock.js";
import { RegistryError } from "../errors.js";
import type { DnsAddress, DnsResolver, DnsService } from "./dns.js";
import { withDeadline } from "./with-deadline.js";

export interface Answer<T> {
  readonly value: T;
  /** Of the record that ends first; infinite without records. */
  readonly ttlMs: number;
  /** Why questions were not answered. Where there was an answer before, it is in `value`. */
  readonly failures: readonly unknown[];
  /** Whether any question was answered. */
  readonly answered: boolean;
}

interface LookupOptions {
  readonly resolver: DnsResolver;
  readonly clock: Clock;
  readonly families: readonly (4 | 6)[];
  readonly srvTtlMs: number;
  readonly timeoutMs: number;
}

/** So many questions at once, since each may take a socket. */
const maxQuestions = 16;

/** Questions to DNS, and the last answer to each, for when it is not answered the next time. */
export class DnsLookups {
  readonly #options: LookupOptions;
  readonly #addresses: Map<string, readonly DnsAddress[]> = new Map();

  constructor(options: LookupOptions) {
    this.#options = options;
  }

  async services(name: string, signal: AbortSignal): Promise<Answer<readonly DnsService[]>> {
    const { resolver, srvTtlMs } = this.#options;
    try {
      const services = await this.#within((until) => resolver.services(name, { signal: until }), signal);
      const ttls = services.map(({ ttlSeconds }) =>
        ttlSeconds === undefined ? srvTtlMs : ttlSeconds * 1000,
      );
      return { value: [...services], ttlMs: lowest(ttls), failures: [], answered: true };
    } catch (error) {
      signal.throwIfAborted();
      return { value: [], ttlMs: Number.POSITIVE_INFINITY, failures: [error], answered: false };
    }
  }

  /** Of all the names, in all families, by name. What is remembered of other names is forgotten. */
  async addresses(
    names: Iterable<string>,
    signal: AbortSignal,
  ): Promise<Answer<ReadonlyMap<string, readonly DnsAddress[]>>> {
    const { resolver, families } = this.#options;
    const questions = [...names].flatMap((name) =>
      families.map((family) => ({ name, family, key: `${family} ${name}` })),
    );
    const asked = new Set(questions.map(({ key }) => key));
    for (const key of this.#addresses.keys()) if (!asked.has(key)) this.#addresses.delete(key);

    const failures: unknown[] = [];
    const queue = questions.values();
    const ask = async (): Promise<void> => {
      for (const { name, family, key } of queue) {
        try {
          const answer = await this.#within(
            (until) => resolver.addresses(name, { family, signal: until }),
            signal,
          );
          this.#addresses.set(key, [...answer]);
        } catch (error) {
          signal.throwIfAborted();
          failures.push(error);
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(maxQuestions, questions.length) }, ask));
    const value = new Map<string, DnsAddress[]>();
    for (const { name, key } of questions)
      value.set(name, [...(value.get(name) ?? []), ...(this.#addresses.get(key) ?? [])]);
    return {
      value,
      ttlMs: lowest([...value.values()].flat().map(({ ttlSeconds }) => ttlSeconds * 1000)),
      failures,
      answered: failures.length < questions.length,
    };
  }

  async #within<T>(ask: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    const { clock, timeoutMs } = this.#options;
    const late = (): RegistryError => new RegistryError("unavailable", `no answer within ${timeoutMs} ms`);
    return await withDeadline(timeoutMs, { clock, signal, late }, ask);
  }
}

function lowest(ttls: readonly number[]): number {
  return ttls.reduce((a, b) => Math.min(a, Number.isFinite(b) ? b : 0), Number.POSITIVE_INFINITY);
}
