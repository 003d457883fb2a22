import { isIPv4, isIPv6 } from "node:net";
import { RegistryError } from "./errors.js";
import { describe } from "./text.js";

/** Where a server listens. Sockets of the file system are no endpoints: a registry is for servers that others reach too. */
export interface Endpoint {
  /** A name or an address; an IPv6 address without brackets. */
  readonly host: string;
  /** 0 to 65535; 0 only where one is to be chosen. */
  readonly port: number;
  /** What the locator knows beside the address: a zone, a version. No part of the endpoint's identity. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** `host:port`, with brackets around an IPv6 address. */
export function formatEndpoint({ host, port }: Endpoint): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A name that gRPC would take for a scheme, as `unix` in `unix:80`, is a name here. @throws RegistryError "invalid-endpoint" */
export function parseEndpoint(text: string): Endpoint {
  const match = /^(?:\[([^\]]*:[^\]]*)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? "";
  const port = Number(match?.[3]);
  if (!isHost(host) || port > 65_535)
    throw new RegistryError(
      "invalid-endpoint",
      `${describe(text)} is not HOST:PORT: a name, an IPv4 address or an IPv6 address in brackets, then a port from 0 to 65535 (no path of a socket)`,
    );
  return { host, port };
}

/** A name's characters as resolvers and gRPC targets take them: none that means something in a URL or a list. */
const hostName = /^[\p{L}\p{N}\p{M}_][\p{L}\p{N}\p{M}_.-]{0,252}$/u;

/** Whether this is a name, an IPv4 address, or an IPv6 address without brackets. */
export function isHost(host: string): boolean {
  // A zone ("fe80::1%eth0") means something on one machine only, and HOST:PORT has no place for it.
  if (host.includes(":")) return isIPv6(host) && !host.includes("%");
  // What ends in a number is read as an IPv4 address by everything that takes an address or a name.
  return hostName.test(host) && (!/(^|\.)\d+\.?$/.test(host) || isIPv4(host));
}
