import type { Clock } from "../clock.js";
import type { Endpoint } from "../endpoint.js";
import { RegistryError } from "../errors.js";
import type { Locator } from "../locator.js";
import { systemClock, systemRandom } from "../system.js";
import { describe, oneLine } from "../text.js";
import { type Answer, DnsLookups } from "./dns-lookups.js";
import { checkEndpoint, distinct, sameEndpoints } from "./endpoint-set.js";
import { iterate } from "./iteration.js";
import { Backoff, pause } from "./pause.js";
import { systemDnsResolver } from "./system-dns.js";

/** What an A or AAAA record says. */
export interface DnsAddress {
  readonly address: string;
  readonly ttlSeconds: number;
}

/** What an SRV record says (RFC 2782). */
export interface DnsService {
  readonly name: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
  /** Node's resolver does not tell it. */
  readonly ttlSeconds?: number;
}

/**
 * Asks DNS. Resolves with [] when DNS says that there are none: the name does not exist, or has no such record. Rejects when it
 * does not say: no answer, SERVFAIL, and with `signal.reason` when that is aborted.
 */
export interface DnsResolver {
  addresses(
    name: string,
    options: { readonly family: 4 | 6; readonly signal: AbortSignal },
  ): Promise<readonly DnsAddress[]>;
  services(name: string, options: { readonly signal: AbortSignal }): Promise<readonly DnsService[]>;
}

export interface SrvLocatorOptions {
  /** The whole name: search lists of the machine are not applied. */
  readonly name: string;
  /** Which addresses are asked for. Default: both. */
  readonly families?: readonly (4 | 6)[];
  /** An answer is believed for at least so long, whatever its TTL. Default 1,000. */
  readonly minTtlMs?: number;
  /** And at most so long. Default 300,000. */
  readonly maxTtlMs?: number;
  /** By how much of the TTL, at most, it is asked later than the TTL ends, so that many processes do not ask at once. Default 0.1. */
  readonly jitter?: number;
  /**
   * What it means when DNS says that there is nothing: "keep" what was there before, over outages too (it is mostly a mistake), or be
   * "empty". Either way it is asked again after 1 s, doubling up to 30 s or `maxTtlMs`. Default "keep".
   */
  readonly whenNone?: "keep" | "empty";
  /** For the TTL of SRV records where the resolver does not tell it. Default 30,000. */
  readonly srvTtlMs?: number;
  /** A question that is not answered by then has failed. Default 5,000. */
  readonly timeoutMs?: number;
  /** Default: `systemDnsResolver()`. */
  readonly resolver?: DnsResolver;
  /** Default: the process's clock. */
  readonly clock?: Clock;
  /** From 0 to 1. Default: Math.random. */
  readonly random?: () => number;
}

export interface DnsLocatorOptions extends Omit<SrvLocatorOptions, "srvTtlMs"> {
  /** Of all the endpoints. */
  readonly port: number;
}

/**
 * The addresses of a name (A and AAAA records), asked again when their TTL has ended.
 *
 * A question that fails keeps the answer that it had before and is asked again soon; when all of them fail the locator throws. What
 * is told at first when DNS knows nothing, and has told this locator of nothing before, is the empty set.
 * @throws RegistryError "invalid-argument" here; "unavailable" from `locate`
 */
export function dnsLocator(options: DnsLocatorOptions): Locator {
  const { port } = options;
  checkEndpoint({ host: "a", port });
  return locatorOf(options, async (lookups, signal) => {
    const found = await lookups.addresses([options.name], signal);
    return {
      ...found,
      value: [...found.value.values()].flat().map(({ address }) => ({ host: address, port })),
    };
  });
}

/**
 * The servers of an SRV name like `_kv._tcp.example.com`: the addresses of all targets, with the labels `target`, `priority` and
 * `weight`, which are for the reader to heed. An address that several records give has the labels of the most preferred one.
 * Otherwise like `dnsLocator`.
 */
export function srvLocator(options: SrvLocatorOptions): Locator {
  return locatorOf(options, async (lookups, signal) => {
    const services = await lookups.services(options.name, signal);
    // A target that is the root says: decidedly no such service here.
    const offered = services.value.filter(({ name }) => name !== "" && name !== ".");
    if (offered.length === 0) return { ...services, value: [] };
    const found = await lookups.addresses(new Set(offered.map(({ name }) => name)), signal);
    const endpoints = offered
      .sort((a, b) => b.priority - a.priority || a.weight - b.weight)
      .flatMap(({ name, port, priority, weight }) =>
        (found.value.get(name) ?? []).map(({ address }) => ({
          host: address,
          port,
          labels: { target: name, priority: String(priority), weight: String(weight) },
        })),
      );
    return {
      value: endpoints,
      ttlMs: Math.min(services.ttlMs, found.ttlMs),
      failures: [...services.failures, ...found.failures],
      answered: found.answered,
    };
  });
}

type Resolve = (lookups: DnsLookups, signal: AbortSignal) => Promise<Answer<readonly Endpoint[]>>;

function locatorOf(options: SrvLocatorOptions, resolve: Resolve): Locator {
  const {
    name,
    minTtlMs = 1_000,
    maxTtlMs = 300_000,
    jitter = 0.1,
    whenNone = "keep",
    srvTtlMs = 30_000,
    timeoutMs = 5_000,
  } = options;
  const {
    families = [4, 6],
    resolver = systemDnsResolver(),
    clock = systemClock,
    random = systemRandom,
  } = options;
  if (typeof name !== "string" || !/^[^\s\p{Cc}]{1,254}$/u.test(name))
    throw new RegistryError("invalid-argument", `name must be a DNS name, not ${describe(name)}`);
  for (const [option, value] of Object.entries({ minTtlMs, maxTtlMs, srvTtlMs, timeoutMs })) {
    if (!(Number.isFinite(value) && value > 0))
      throw new RegistryError(
        "invalid-argument",
        `${option} must be a number above 0, not ${describe(value)}`,
      );
  }
  if (maxTtlMs < minTtlMs) throw new RegistryError("invalid-argument", "maxTtlMs must not be below minTtlMs");
  if (!(jitter >= 0 && jitter <= 1))
    throw new RegistryError("invalid-argument", `jitter must be from 0 to 1, not ${describe(jitter)}`);
  if (families.length === 0 || families.some((family) => family !== 4 && family !== 6))
    throw new RegistryError("invalid-argument", "families must be [4], [6] or [4, 6]");
  // Both of the locator, not of one reading: who reads again after an outage still has what was answered before it.
  let known: readonly Endpoint[] = [];
  const believe = (found: readonly Endpoint[]): readonly Endpoint[] => {
    if (found.length > 0) known = found;
    return whenNone === "empty" ? found : known;
  };
  const lookups = new DnsLookups({ resolver, clock, families: [...new Set(families)], srvTtlMs, timeoutMs });
  return {
    locate: ({ signal }) =>
      iterate(signal, (until) =>
        resolveForever(() => resolve(lookups, until), {
          name,
          believe,
          clock,
          signal: until,
          backoff: new Backoff({ firstMs: 1_000, longestMs: Math.min(30_000, maxTtlMs), random }),
          delayOf: (ttlMs) => Math.min(Math.max(ttlMs, minTtlMs), maxTtlMs) * (1 + jitter * random()),
        }),
      ),
  };
}

interface Plan {
  readonly name: string;
  /** What is told when this was found. */
  readonly believe: (found: readonly Endpoint[]) => readonly Endpoint[];
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly backoff: Backoff;
  readonly delayOf: (ttlMs: number) => number;
}

async function* resolveForever(
  resolve: () => Promise<Answer<readonly Endpoint[]>>,
  { name, believe, clock, signal, backoff, delayOf }: Plan,
): AsyncGenerator<readonly Endpoint[], void, undefined> {
  let last: readonly Endpoint[] | undefined;
  for (;;) {
    const answer = await resolve();
    const askedMs = clock.monotonicMs();
    if (!answer.answered) throw outage(name, answer.failures);
    const found = distinct(answer.value.flatMap(usable));
    const isGood = found.length > 0 && answer.failures.length === 0;
    if (isGood) backoff.reset();
    const delayMs = isGood ? delayOf(answer.ttlMs) : Math.min(backoff.next(), delayOf(answer.ttlMs));
    const endpoints = believe(found);
    if (last === undefined || !sameEndpoints(last, endpoints)) {
      last = endpoints;
      yield endpoints;
    }
    await pause(Math.max(0, askedMs + delayMs - clock.monotonicMs()), { clock, signal });
  }
}

/** An answer may be forged or broken: what is no endpoint in it is left out. */
function usable(endpoint: Endpoint): Endpoint[] {
  try {
    return [checkEndpoint(endpoint)];
  } catch {
    return [];
  }
}

function outage(name: string, failures: readonly unknown[]): RegistryError {
  const causes = failures.map((cause) => oneLine(cause));
  return new RegistryError("unavailable", `DNS did not answer for ${describe(name)}: ${causes.join("; ")}`, {
    cause: failures.length === 1 ? failures[0] : new AggregateError(failures),
  });
}
