import { RegistryError } from "./errors.js";

/** Where a server listens. */
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

/** @throws RegistryError "invalid-endpoint" */
export function parseEndpoint(text: string): Endpoint {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535)
    throw new RegistryError(
      "invalid-endpoint",
      `${JSON.stringify(text).slice(0, 128)} is not HOST:PORT: a name, an IPv4 address or an IPv6 address in brackets, then a port from 0 to 65535`,
    );
  return { host, port };
}
