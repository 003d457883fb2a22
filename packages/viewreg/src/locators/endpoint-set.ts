import { type Endpoint, formatEndpoint, isHost, parseEndpoint } from "../endpoint.js";
import { RegistryError } from "../errors.js";
import { describe } from "../text.js";

/** More than any of these is no list of servers any more but a mistake, or an attack on memory. */
export const maxEndpoints = 100_000;
const maxLabels = 64;
const maxLabelName = 256;
const maxLabelValue = 4096;

/**
 * A frozen copy of what somebody says is an endpoint, with no property but its own three. Its labels have no prototype, so that a
 * label that was not given is undefined whatever its name.
 * @throws RegistryError "invalid-endpoint"
 */
export function checkEndpoint(value: unknown): Endpoint {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    refuse(`an endpoint is { host, port, labels? }, not ${describe(value)}`);
  const { host, port, labels } = value as { host?: unknown; port?: unknown; labels?: unknown };
  if (typeof host !== "string" || !isHost(host))
    refuse(
      `a host is a name, an IPv4 address or an IPv6 address without brackets (no path of a socket), not ${describe(host)}`,
    );
  if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65_535)
    refuse(`the port of ${describe(host)} must be a whole number from 1 to 65535, not ${describe(port)}`);
  if (labels === undefined || labels === null) return Object.freeze({ host, port });
  return Object.freeze({ host, port, labels: checkLabels(labels, host) });
}

/** `"host:port"` or `{ host, port, labels? }`, as files and stores have them. @throws RegistryError "invalid-endpoint" */
export function readEndpoint(value: unknown): Endpoint {
  return checkEndpoint(typeof value === "string" ? parseEndpoint(value) : value);
}

/** Each host and port once, in the order of their first appearance, with the labels of their last. */
export function distinct(endpoints: Iterable<Endpoint>): readonly Endpoint[] {
  const byAddress = new Map<string, Endpoint>();
  for (const endpoint of endpoints) byAddress.set(formatEndpoint(endpoint), endpoint);
  return Object.freeze([...byAddress.values()]);
}

/** Checked and distinct. @throws RegistryError "invalid-endpoint", "invalid-argument" when it is no list or too long a one */
export function checkEndpoints(values: Iterable<unknown>): readonly Endpoint[] {
  if (typeof values !== "object" || values === null || !(Symbol.iterator in values))
    throw new RegistryError("invalid-argument", `endpoints are a list, not ${describe(values)}`);
  const endpoints: Endpoint[] = [];
  for (const value of values) {
    endpoints.push(checkEndpoint(value));
    if (endpoints.length > maxEndpoints)
      throw new RegistryError("invalid-argument", `there may be at most ${maxEndpoints} endpoints`);
  }
  return distinct(endpoints);
}

/** Whether both say the same, labels and all. Both must be distinct; their order means nothing. */
export function sameEndpoints(a: readonly Endpoint[], b: readonly Endpoint[]): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  const others = new Map(b.map((endpoint) => [formatEndpoint(endpoint), endpoint]));
  return a.every((endpoint) => {
    const other = others.get(formatEndpoint(endpoint));
    return other !== undefined && sameLabels(endpoint.labels ?? {}, other.labels ?? {});
  });
}

function sameLabels(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && a[name] === b[name])
  );
}

function checkLabels(labels: unknown, host: string): Readonly<Record<string, string>> {
  if (typeof labels !== "object" || labels === null || Array.isArray(labels))
    refuse(`the labels of ${describe(host)} must be an object of strings, not ${describe(labels)}`);
  const entries = Object.entries(labels);
  if (entries.length > maxLabels) refuse(`${describe(host)} may have at most ${maxLabels} labels`);
  const checked: Record<string, string> = Object.create(null);
  for (const [name, value] of entries) {
    if (name.length === 0 || name.length > maxLabelName)
      refuse(
        `a label's name has 1 to ${maxLabelName} characters, unlike ${describe(name)} of ${describe(host)}`,
      );
    if (typeof value !== "string" || value.length > maxLabelValue)
      refuse(
        `the label ${describe(name)} of ${describe(host)} must be a string of at most ${maxLabelValue} characters`,
      );
    checked[name] = value;
  }
  return Object.freeze(checked);
}

function refuse(message: string): never {
  throw new RegistryError("invalid-endpoint", message);
}
