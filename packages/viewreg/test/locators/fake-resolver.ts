import type { DnsAddress, DnsResolver, DnsService } from "../../src/locators/dns.js";

/** What `FakeResolver` may be told to do in place of an answer. */
export const servfail: Error = new Error("SERVFAIL");
export const hangs = "hangs";
type Said<T> = readonly T[] | Error | typeof hangs;

/** DNS in memory. Answers what was put in it; [] for the rest. */
export class FakeResolver implements DnsResolver {
  readonly v4 = new Map<string, Said<DnsAddress>>();
  readonly v6 = new Map<string, Said<DnsAddress>>();
  readonly srv = new Map<string, Said<DnsService>>();
  asked = 0;
  atOnce = 0;
  mostAtOnce = 0;

  addresses(
    name: string,
    { family, signal }: { family: 4 | 6; signal: AbortSignal },
  ): Promise<readonly DnsAddress[]> {
    return this.#say((family === 4 ? this.v4 : this.v6).get(name) ?? [], signal);
  }

  services(name: string, { signal }: { signal: AbortSignal }): Promise<readonly DnsService[]> {
    return this.#say(this.srv.get(name) ?? [], signal);
  }

  async #say<T>(said: Said<T>, signal: AbortSignal): Promise<readonly T[]> {
    this.asked++;
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.atOnce);
    await Promise.resolve();
    this.atOnce--;
    if (said === hangs)
      return await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    if (said instanceof Error) throw said;
    return said;
  }
}

export const a = (address: string, ttlSeconds = 10): DnsAddress => ({ address, ttlSeconds });
