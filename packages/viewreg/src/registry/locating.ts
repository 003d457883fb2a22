import type { Clock } from "../clock.js";
import type { Endpoint } from "../endpoint.js";
import { RegistryError } from "../errors.js";
import type { Locator } from "../locator.js";
import { checkEndpoints } from "../locators/endpoint-set.js";
import { Backoff, pause } from "../locators/pause.js";
import { oneLine } from "../text.js";
import { Problems } from "./problems.js";
import type { Telemetry } from "./telemetry.js";

export interface LocatingOptions {
  readonly locator: Locator;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onEndpoints: (endpoints: readonly Endpoint[]) => void;
}

/**
 * Reads a locator for as long as the registry lives. When it throws, ends, or says what is no list of endpoints, what it said last stays
 * true; it is asked again after 100 ms, doubling up to 10 s, each a random part of that.
 */
export class Locating {
  readonly #options: LocatingOptions;
  readonly #leaving: AbortController = new AbortController();
  readonly #problems: Problems = new Problems();
  #failures = 0;

  constructor(options: LocatingOptions) {
    this.#options = options;
  }

  /** How often it has failed since it last worked. */
  get failures(): number {
    return this.#failures;
  }

  get error(): unknown {
    return this.#problems.error;
  }

  /** Runs until `stop`; never rejects. */
  async run(): Promise<void> {
    const { clock, random } = this.#options;
    const { signal } = this.#leaving;
    const backoff = new Backoff({ firstMs: 100, longestMs: 10_000, random });
    while (!signal.aborted) {
      try {
        for await (const endpoints of this.#options.locator.locate({ signal })) {
          if (signal.aborted) return;
          if (this.#accept(endpoints)) backoff.reset();
        }
        this.#failed(new RegistryError("unavailable", "the locator ended by itself"));
      } catch (error) {
        this.#failed(error);
      }
      await pause(backoff.next(), { clock, signal }).catch(() => undefined);
    }
  }

  stop(): void {
    this.#leaving.abort(new RegistryError("closed", "the registry was closed"));
  }

  #accept(value: unknown): boolean {
    let endpoints: readonly Endpoint[];
    try {
      endpoints = checkEndpoints(value as Iterable<unknown>); // what it is not, it says
    } catch (error) {
      const says = error instanceof Error ? error.message : "it cannot be read";
      this.#failed(new RegistryError("bad-source", `no list of endpoints: ${says}`, { cause: error }));
      return false;
    }
    this.#problems.clear();
    this.#failures = 0;
    this.#options.onEndpoints(endpoints);
    return true;
  }

  #failed(error: unknown): void {
    if (this.#leaving.signal.aborted) return;
    this.#failures++;
    // An outage is one kind, however its errors differ.
    if (this.#problems.add("outage", error))
      this.#options.telemetry.problem("locator", { event: "locator-failed", reason: oneLine(error), error });
  }
}
