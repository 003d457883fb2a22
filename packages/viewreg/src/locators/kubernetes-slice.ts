import type { Endpoint } from "../endpoint.js";
import { RegistryError } from "../errors.js";
import { describe } from "../text.js";
import { checkEndpoint } from "./endpoint-set.js";

export interface SliceRules {
  /** A port's name or number. Undefined: the only one there is. */
  readonly port: string | number | undefined;
  /** - `ready`: takes new work. - `serving`: also what is being ended and still answers. - `all`: whatever is there. */
  readonly include: "ready" | "serving" | "all";
  readonly addressTypes: readonly string[];
}

/**
 * The endpoints of one EndpointSlice (discovery.k8s.io/v1). What is no endpoint in it is left out. Of an endpoint's addresses the first
 * is taken: they mean the same server. A condition that is not set counts as the API says: ready is true, serving is ready, terminating
 * is false.
 * @throws RegistryError "bad-source" when the slice has several ports and none was asked for
 */
export function endpointsOfSlice(slice: unknown, rules: SliceRules): Endpoint[] {
  const { addressType, endpoints, ports } = record(slice);
  if (!rules.addressTypes.includes(String(addressType))) return [];
  const port = choosePort(list(ports).map(record), rules.port);
  if (port === undefined) return [];
  return list(endpoints).flatMap((each) => {
    const endpoint = record(each);
    const conditions = record(endpoint.conditions);
    const isReady = conditions.ready !== false;
    const isServing = typeof conditions.serving === "boolean" ? conditions.serving : isReady;
    if (rules.include === "ready" && !isReady) return [];
    if (rules.include === "serving" && !isServing) return [];
    const labels: Record<string, string> = {};
    if (typeof endpoint.zone === "string") labels.zone = endpoint.zone;
    if (typeof endpoint.nodeName === "string") labels.node = endpoint.nodeName;
    if (typeof endpoint.hostname === "string") labels.hostname = endpoint.hostname;
    const target = record(endpoint.targetRef);
    if (target.kind === "Pod" && typeof target.name === "string") labels.pod = target.name;
    if (!isReady) labels.ready = "false";
    if (conditions.terminating === true) labels.terminating = "true";
    try {
      return [checkEndpoint({ host: list(endpoint.addresses)[0], port, labels })];
    } catch {
      return [];
    }
  });
}

function choosePort(
  ports: readonly Readonly<Record<string, unknown>>[],
  wanted: string | number | undefined,
): unknown {
  const tcp = ports.filter(
    ({ protocol }) => protocol === undefined || protocol === null || protocol === "TCP",
  );
  if (typeof wanted === "string") return tcp.find(({ name }) => (name ?? "") === wanted)?.port;
  // A service without selector or ports may leave them out: then any port is meant.
  if (typeof wanted === "number")
    return ports.length === 0 || tcp.some(({ port }) => port === wanted) ? wanted : undefined;
  if (tcp.length > 1) {
    const names = tcp.map(({ name, port }) => `${describe(name)} (${describe(port)})`).slice(0, 10);
    throw new RegistryError(
      "bad-source",
      `the service has several ports, say which is meant: ${names.join(", ")}`,
    );
  }
  return tcp[0]?.port;
}

export function record(value: unknown): Readonly<Record<string, unknown>> {
  // An object of unknown properties is what anything can be read as; each is looked at before it is used.
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
