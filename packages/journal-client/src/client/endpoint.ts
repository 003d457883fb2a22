import { JournalError } from "../errors.js";
import { argument, type Place, refuse } from "../protocol/refusal.js";
import { checkEndpointAt, endpointAddress } from "../protocol/url-rules.js";

/** Where a broker listens, in the forms that are needed to call it. */
export interface Endpoint {
  /** As it was given. */
  readonly url: string;
  /** What grpc-js dials. */
  readonly target: string;
  /** https: with TLS. */
  readonly secure: boolean;
}

const ALLOWED = 'it must be "http://host:port", "https://host:port" or "unix://host/path"';

/**
 * Endpoints as Gazette has them (broker/protocol/endpoint.go): path and query of http(s) are of no meaning, ports default to 80 and 443;
 * the path of `unix` is the socket's. Its host may be left out.
 * @throws JournalError "invalid-argument"
 */
export function parseEndpoint(text: string, place: Place = argument("endpoint")): Endpoint {
  if (typeof text !== "string") refuse(place, text, ALLOWED);
  const hostless = /^unix:\/\/\//i.test(text);
  if (!hostless) checkEndpointAt(place, text);
  const scheme = /^[a-z0-9+.-]+(?=:)/i.exec(text)?.[0].toLowerCase();
  switch (scheme) {
    case "http":
    case "https":
      if (/^[^/]*\/\/[^/?#]*@/.test(text)) {
        refuse(place, text.replace(/\/\/[^/?#]*@/, "//...@"), "a user and password are not sent: use `auth`");
      }
      return { url: text, target: `dns:${endpointAddress(text)}`, secure: scheme === "https" };
    case "unix": {
      const path = socketPath(place, text);
      return { url: text, target: `unix:${path}`, secure: false };
    }
    default:
      return refuse(place, text, ALLOWED);
  }
}

function socketPath(place: Place, text: string): string {
  const encoded = /^unix:\/\/[^/?#]*(\/[^?#]+)/i.exec(text)?.[1] ?? "";
  let path = "";
  try {
    path = decodeURIComponent(encoded);
  } catch {
    refuse(place, text, '"%" must begin an escape of UTF-8');
  }
  if (path.length < 2) refuse(place, text, 'it must name a socket, as "unix://host/path/to/socket"');
  return path;
}

/** One or more. @throws JournalError "invalid-argument" */
export function parseEndpoints(given: string | readonly string[]): readonly Endpoint[] {
  const list: readonly string[] = typeof given === "string" ? [given] : given;
  if (!Array.isArray(list) || list.length === 0) {
    throw new JournalError("invalid-argument", "endpoints must be an endpoint, or an array of one or more.");
  }
  const parsed = list.map((text, index) => parseEndpoint(text, argument(`endpoints[${index}]`)));
  return parsed.filter((endpoint, index) => parsed.findIndex(({ url }) => url === endpoint.url) === index);
}

/** The endpoint of a route's member, or undefined when this client has no way to it. */
export function memberEndpoint(text: string | undefined): Endpoint | undefined {
  if (text === undefined) return undefined;
  try {
    return parseEndpoint(text);
  } catch {
    return undefined;
  }
}
