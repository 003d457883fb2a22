import {
  type Coord,
  type Clock as CoordClock,
  CoordError,
  type FollowBatch,
  follow,
  type KeyValue,
} from "@x/coord";
import { type Endpoint, formatEndpoint } from "../endpoint.js";
import { RegistryError } from "../errors.js";
import type { Locator } from "../locator.js";
import { systemClock } from "../system.js";
import { describe } from "../text.js";
import { maxEndpoints, readEndpoint, sameEndpoints } from "./endpoint-set.js";
import { iterate } from "./iteration.js";
import { Latest } from "./latest.js";

/** A key under the prefix whose value is no endpoint. */
export interface SkippedKey {
  readonly key: string;
  readonly revision: bigint;
  readonly error: unknown;
}

export interface EtcdLocatorOptions {
  readonly coord: Coord;
  /** With its slash at the end: `/services/kv` is also the start of `/services/kv2/...`. Not empty. */
  readonly prefix: string;
  /**
   * What one key says. Undefined when it is not there to say anything; what it throws or returns that is no endpoint makes the key
   * a skipped one. Default: JSON of `{ host, port, labels? }`, as `register` writes it, or `host:port`, with or without quotes.
   */
  readonly decode?: (kv: KeyValue) => Endpoint | undefined;
  /** Told each key that is skipped, once for each change of its value. What it throws changes nothing. */
  readonly onSkipped?: (skipped: SkippedKey) => void;
  /** For pauses between attempts. Default: the process's clock. */
  readonly clock?: CoordClock;
}

export interface EtcdLocator extends Locator {
  /** How many keys are there now whose value is no endpoint, as far as some reader has read. */
  readonly skipped: number;
}

/**
 * The endpoints that the keys under a prefix say. Where several keys say the same host and port, the labels of the key that was
 * changed last hold. At most 100,000 endpoints.
 *
 * When the store cannot be reached from the start it throws; later it goes on by itself, from the revision where it was or from a new
 * snapshot, and the endpoints stay meanwhile.
 * @throws RegistryError "invalid-argument" here; "unavailable" and "bad-source" (too many) from `locate`
 */
export function etcdLocator(options: EtcdLocatorOptions): EtcdLocator {
  if (typeof options.prefix !== "string" || options.prefix.length === 0)
    throw new RegistryError("invalid-argument", "prefix must be a string that is not empty");
  const reader = new PrefixReader(options);
  return {
    get skipped() {
      return reader.skipped;
    },
    locate: ({ signal }) => iterate(signal, (until) => reader.read(until)),
  };
}

interface Found {
  readonly endpoint: Endpoint;
  readonly revision: bigint;
}

class PrefixReader {
  skipped = 0;
  readonly #options: EtcdLocatorOptions;
  /** What was skipped up to here has been told: any number of readers tell it once. */
  #toldUpTo = 0n;

  constructor(options: EtcdLocatorOptions) {
    this.#options = options;
  }

  async *read(signal: AbortSignal): AsyncGenerator<readonly Endpoint[], void, undefined> {
    const found = new Map<string, Found>();
    // Follow tells every revision; a slow reader is to have the newest state. So it is read ahead, and a set is made of it on demand.
    const changed = new Latest<void>();
    const following = this.#follow(found, changed, signal);
    try {
      let last: readonly Endpoint[] | undefined;
      for await (const _ of changed.read({ signal })) {
        const endpoints = endpointsOf(found);
        if (last !== undefined && sameEndpoints(last, endpoints)) continue;
        last = endpoints;
        yield endpoints;
      }
    } finally {
      await following;
    }
  }

  async #follow(found: Map<string, Found>, changed: Latest<void>, signal: AbortSignal): Promise<void> {
    const { coord, prefix, clock = systemClock } = this.#options;
    const skipped = new Set<string>();
    try {
      // `follow` waits in silence for a store that is away, and that a locator has nothing to tell must be heard.
      await coord.get({ prefix }, { limit: 1, signal });
      for await (const batch of follow(coord, { prefix }, { clock, signal })) {
        this.#apply(batch, found, skipped);
        this.skipped = skipped.size;
        if (found.size > maxEndpoints)
          throw new RegistryError("bad-source", `more than ${maxEndpoints} keys under ${describe(prefix)}`);
        changed.set();
      }
      changed.end();
    } catch (error) {
      if (error instanceof CoordError && error.code === "history-lost") this.#toldUpTo = 0n;
      changed.fail(error instanceof CoordError ? unavailable(prefix, error) : error);
    }
  }

  #apply({ revision, events }: FollowBatch, found: Map<string, Found>, skipped: Set<string>): void {
    for (const event of events) {
      const key = event.type === "put" ? event.kv.key : event.key;
      found.delete(key);
      skipped.delete(key);
      if (event.type === "delete") continue;
      try {
        const endpoint = (this.#options.decode ?? decodeValue)(event.kv);
        if (endpoint !== undefined)
          found.set(key, { endpoint: readEndpoint(endpoint), revision: event.kv.modRevision });
      } catch (error) {
        skipped.add(key);
        if (event.kv.modRevision > this.#toldUpTo) this.#tell({ key, revision: event.kv.modRevision, error });
      }
    }
    if (revision > this.#toldUpTo) this.#toldUpTo = revision;
  }

  #tell(skipped: SkippedKey): void {
    try {
      this.#options.onSkipped?.(skipped);
    } catch {
      // A log that fails must not hide the keys that are good.
    }
  }
}

function endpointsOf(found: ReadonlyMap<string, Found>): readonly Endpoint[] {
  const byAddress = new Map<string, Found>();
  for (const each of found.values()) {
    const address = formatEndpoint(each.endpoint);
    const other = byAddress.get(address);
    if (other === undefined || other.revision <= each.revision) byAddress.set(address, each);
  }
  return Object.freeze([...byAddress.values()].map(({ endpoint }) => endpoint));
}

/** @throws RegistryError "invalid-endpoint" */
function decodeValue({ value }: KeyValue): Endpoint {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(value).trim();
  } catch (cause) {
    throw new RegistryError("invalid-endpoint", "the value is not UTF-8", { cause });
  }
  if (!/^["{]/.test(text)) return readEndpoint(text);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new RegistryError("invalid-endpoint", `${describe(text)} is neither HOST:PORT nor JSON`, { cause });
  }
  return readEndpoint(json);
}

function unavailable(prefix: string, cause: CoordError): RegistryError {
  return new RegistryError(
    "unavailable",
    `the keys under ${describe(prefix)} can't be read: ${cause.message}`,
    {
      cause,
    },
  );
}
