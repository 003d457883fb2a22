import { Resolver } from "node:dns/promises";
import type { DnsResolver } from "./dns.js";

export interface SystemDnsOptions {
  /** Addresses of DNS servers, `10.0.0.10` or `10.0.0.10:53`. Default: the machine's. */
  readonly servers?: readonly string[];
  /** Until a server is asked again or the next one is asked. Default 2,000. */
  readonly timeoutMs?: number;
  /** How often each server is asked. Default 2. */
  readonly tries?: number;
}

/**
 * Node's own resolver (c-ares). Asks DNS and nothing else: no hosts file, and names as they are, without the machine's search list.
 * It does not tell the TTL of SRV records.
 */
export function systemDnsResolver(options: SystemDnsOptions = {}): DnsResolver {
  const { servers, timeoutMs = 2_000, tries = 2 } = options;
  // A resolver for each question, since a resolver can only be cancelled as a whole.
  const ask = async <T>(
    question: (resolver: Resolver) => Promise<T[]>,
    signal: AbortSignal,
  ): Promise<T[]> => {
    signal.throwIfAborted();
    const resolver = new Resolver({ timeout: timeoutMs, tries });
    if (servers !== undefined) resolver.setServers(servers);
    const cancel = (): void => resolver.cancel();
    signal.addEventListener("abort", cancel, { once: true });
    try {
      return await question(resolver);
    } catch (error) {
      signal.throwIfAborted();
      if (says(error, "ENOTFOUND") || says(error, "ENODATA")) return [];
      throw error;
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  };
  return {
    async addresses(name, { family, signal }) {
      const records = await ask(
        (resolver) =>
          family === 4 ? resolver.resolve4(name, { ttl: true }) : resolver.resolve6(name, { ttl: true }),
        signal,
      );
      return records.map(({ address, ttl }) => ({ address, ttlSeconds: ttl }));
    },
    services: (name, { signal }) => ask((resolver) => resolver.resolveSrv(name), signal),
  };
}

function says(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
