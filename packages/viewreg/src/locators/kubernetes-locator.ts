import type { Clock } from "../clock.js";
import type { Endpoint } from "../endpoint.js";
import { RegistryError } from "../errors.js";
import type { Locator } from "../locator.js";
import { systemClock, systemRandom } from "../system.js";
import { describe, oneLine } from "../text.js";
import { distinct, maxEndpoints, sameEndpoints } from "./endpoint-set.js";
import { iterate } from "./iteration.js";
import {
  type ApiOptions,
  Gone,
  get,
  type KubernetesHttp,
  readJson,
  readLines,
  type Secret,
} from "./kubernetes-api.js";
import { endpointsOfSlice, record, type SliceRules } from "./kubernetes-slice.js";
import { Latest } from "./latest.js";
import { Backoff, pause } from "./pause.js";
import { systemHttp } from "./system-https.js";
import { withDeadline } from "./with-deadline.js";

const pageSize = 500;
/** As many as the most endpoints need when each has a slice of its own: a list that goes on has no end. */
const maxPages = maxEndpoints / pageSize;
/** For a whole list. */
const listMs = 60_000;

export interface EndpointSliceLocatorOptions {
  readonly namespace: string;
  readonly service: string;
  /** The port's name, or its number. Default: the only port that the service has. */
  readonly port?: string | number;
  /** The API server, like `https://10.0.0.1:443`. `inCluster` has it, with `token` and `ca`. */
  readonly server: string;
  /** Sent as a bearer token, over https or to a loopback address only. Called for each request. Default: none. */
  readonly token?: Secret;
  /** Certificates of the server's authority, PEM. Default: the system's. */
  readonly ca?: Secret;
  /** `ready` by default; `serving` has those too that end and still answer, `all` all. Others than ready ones are labelled so. */
  readonly include?: "ready" | "serving" | "all";
  /** Default: all three. A dual-stack service has each pod once for each: then say which one. */
  readonly addressTypes?: readonly ("IPv4" | "IPv6" | "FQDN")[];
  /** A watch is ended and begun again after so long, up to twice. Default 240,000. */
  readonly watchMs?: number;
  /** Default: Node's http and https. */
  readonly http?: KubernetesHttp;
  /** Default: the process's clock. */
  readonly clock?: Clock;
  /** From 0 to 1. Default: Math.random. */
  readonly random?: () => number;
}

/**
 * The endpoints of a Kubernetes service, with the labels `zone`, `node`, `pod` and `hostname` where they are known. Needs the right to
 * list and watch endpointslices. Lists, then watches from there; when a watch breaks off it goes on from where it was, and lists again
 * when that is too long ago or the watch made no sense. Throws when listing fails, takes more than a minute or comes in more than 200
 * pages.
 * @throws RegistryError "invalid-argument" here; "unavailable" and "bad-source" from `locate`
 */
export function endpointSliceLocator(options: EndpointSliceLocatorOptions): Locator {
  const { namespace, service, watchMs = 240_000, clock = systemClock, random = systemRandom } = options;
  for (const [name, value] of Object.entries({ namespace, service })) {
    if (typeof value !== "string" || !/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(value))
      throw new RegistryError(
        "invalid-argument",
        `${name} must be a name in Kubernetes, not ${describe(value)}`,
      );
  }
  if (!(Number.isFinite(watchMs) && watchMs >= 1_000))
    throw new RegistryError(
      "invalid-argument",
      `watchMs must be a number of at least 1000, not ${describe(watchMs)}`,
    );
  const { token, ca, http = systemHttp } = options;
  const api: ApiOptions = { server: checkServer(options.server, token !== undefined), token, ca, http };
  const selector = encodeURIComponent(`kubernetes.io/service-name=${service}`);
  const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?labelSelector=${selector}`;
  const { port, include = "ready", addressTypes = ["IPv4", "IPv6", "FQDN"] } = options;
  const plan: Plan = { api, path, watchMs, clock, random, rules: { port, include, addressTypes } };
  return { locate: ({ signal }) => iterate(signal, (until) => locate(plan, until)) };
}

interface Plan {
  readonly api: ApiOptions;
  readonly path: string;
  readonly watchMs: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly rules: SliceRules;
}

async function* locate(
  plan: Plan,
  signal: AbortSignal,
): AsyncGenerator<readonly Endpoint[], void, undefined> {
  const slices = new Map<string, readonly Endpoint[]>();
  const changed = new Latest<void>();
  const following = new Follower(plan, slices, changed).run(signal);
  try {
    let last: readonly Endpoint[] | undefined;
    for await (const _ of changed.read({ signal })) {
      const endpoints = distinct([...slices.values()].flat());
      if (last !== undefined && sameEndpoints(last, endpoints)) continue;
      last = endpoints;
      yield endpoints;
    }
  } finally {
    await following;
  }
}

class Follower {
  readonly #plan: Plan;
  readonly #slices: Map<string, readonly Endpoint[]>;
  readonly #changed: Latest<void>;

  constructor(plan: Plan, slices: Map<string, readonly Endpoint[]>, changed: Latest<void>) {
    this.#plan = plan;
    this.#slices = slices;
    this.#changed = changed;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#plan;
    const backoff = new Backoff({ firstMs: 500, longestMs: 30_000, random });
    try {
      for (;;) {
        let version = await this.#list(signal);
        for (;;) {
          const startedMs = clock.monotonicMs();
          const next = await this.#watch(version, signal);
          if (next === "list") break;
          version = next;
          // A server that ends every watch at once must not be asked without a pause.
          if (clock.monotonicMs() - startedMs >= 1_000) backoff.reset();
          else await pause(backoff.next(), { clock, signal });
        }
        await pause(backoff.next(), { clock, signal });
      }
    } catch (error) {
      this.#changed.fail(error);
    }
  }

  async #list(signal: AbortSignal): Promise<string> {
    const { api, path, clock } = this.#plan;
    const untilMs = clock.monotonicMs() + listMs;
    const late = (): RegistryError =>
      new RegistryError("unavailable", `the Kubernetes API did not send the whole list within ${listMs} ms`);
    const found = new Map<string, readonly Endpoint[]>();
    for (let next = "", pages = 1, restarts = 0; ; pages++) {
      let page: Readonly<Record<string, unknown>>;
      try {
        page = await withDeadline(untilMs - clock.monotonicMs(), { clock, signal, late }, async (until) => {
          const { body } = await get(`${path}&limit=${pageSize}${next}`, api, until);
          return record(await this.#reading(readJson(body), until));
        });
      } catch (error) {
        // The pages behind are of a state that is not kept any more.
        if (!(error instanceof Gone) || restarts++ > 0)
          throw error instanceof Gone ? new RegistryError("unavailable", `listing: ${error.message}`) : error;
        next = "";
        pages = 0;
        found.clear();
        continue;
      }
      const metadata = record(page.metadata);
      if (!Array.isArray(page.items) || typeof metadata.resourceVersion !== "string")
        throw new RegistryError("bad-source", "the Kubernetes API answered with no list of EndpointSlices");
      for (const item of page.items) this.#put(found, item);
      if (typeof metadata.continue !== "string" || metadata.continue === "") {
        this.#slices.clear();
        for (const [name, endpoints] of found) this.#slices.set(name, endpoints);
        this.#changed.set();
        return metadata.resourceVersion;
      }
      if (pages === maxPages)
        throw new RegistryError("bad-source", `the Kubernetes API has a list of more than ${maxPages} pages`);
      next = `&continue=${encodeURIComponent(metadata.continue)}`;
    }
  }

  /** Gives the version to go on from, or "list" when there is none. */
  async #watch(from: string, signal: AbortSignal): Promise<string | "list"> {
    const { api, path, clock, watchMs, random } = this.#plan;
    const lastsMs = watchMs * (1 + random());
    // The server ends it; one that is gone without a word does not.
    const late = (): Error => new Error("the watch did not end in time");
    let version = from;
    try {
      return await withDeadline(lastsMs + 10_000, { clock, signal, late }, async (until) => {
        const query = `&watch=1&allowWatchBookmarks=true&resourceVersion=${encodeURIComponent(from)}&timeoutSeconds=${Math.ceil(lastsMs / 1000)}`;
        const { body } = await get(`${path}${query}`, api, until);
        for await (const line of readLines(body)) {
          until.throwIfAborted();
          const told = this.#apply(record(line));
          if (told === "list") return "list";
          version = told;
        }
        return version;
      });
    } catch (error) {
      signal.throwIfAborted();
      // What has broken off goes on from where it was. What was refused or made no sense begins with a list, which says what is wrong.
      return error instanceof Gone || error instanceof RegistryError ? "list" : version;
    }
  }

  #apply({ type, object }: Readonly<Record<string, unknown>>): string | "list" {
    const { metadata } = record(object);
    const { resourceVersion, name } = record(metadata);
    // ERROR too: 410 in its Status when the version is too old.
    if (typeof resourceVersion !== "string" || resourceVersion === "") return "list";
    if (type === "BOOKMARK") return resourceVersion;
    if (type === "DELETED" && typeof name === "string") this.#slices.delete(name);
    else if (type === "ADDED" || type === "MODIFIED") this.#put(this.#slices, object);
    else return "list";
    this.#changed.set();
    return resourceVersion;
  }

  #put(slices: Map<string, readonly Endpoint[]>, slice: unknown): void {
    const { name } = record(record(slice).metadata);
    if (typeof name !== "string") return;
    slices.set(name, endpointsOfSlice(slice, this.#plan.rules));
    let count = 0;
    for (const { length } of slices.values()) count += length;
    if (count > maxEndpoints)
      throw new RegistryError("bad-source", `the service has more than ${maxEndpoints} endpoints`);
  }

  /** What breaks off in the middle of a list is an outage. */
  async #reading(reading: Promise<unknown>, signal: AbortSignal): Promise<unknown> {
    try {
      return await reading;
    } catch (cause) {
      signal.throwIfAborted();
      if (cause instanceof RegistryError) throw cause;
      const why = oneLine(cause);
      throw new RegistryError("unavailable", `the Kubernetes API broke off: ${why}`, { cause });
    }
  }
}

function checkServer(server: string, hasToken: boolean): string {
  const url = typeof server === "string" && URL.canParse(server) ? new URL(server) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.search !== "" || url.hash !== "")
    throw new RegistryError(
      "invalid-argument",
      `server must be https://host:port or http://host:port, not ${describe(server)}`,
    );
  if (hasToken && url.protocol === "http:" && !/^(127(\.\d+){3}|\[::1\]|localhost)$/.test(url.hostname))
    throw new RegistryError("invalid-argument", "a token is sent over https only, or to this machine");
  return server.replace(/\/+$/, "");
}
