/**
 * URLs as the brokers understand them (Go's net/url; endpoint.go and fragment_store.go of Gazette). The URL class of JavaScript is no
 * judge of these: it takes "http:///a" for the host "a", and corrects what Go refuses.
 */
import { type Place, refuse } from "./refusal.js";

interface UrlParts {
  /** Lower case; "" for a relative reference. */
  readonly scheme: string;
  /** With its port. */
  readonly host: string;
  readonly path: string;
}

const PARTS = /^(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?:\/\/([^/?#]*))?([^?#]*)(?:\?[^#]*)?(?:#([\s\S]*))?$/;
const BAD_ESCAPE = /%(?![0-9A-Fa-f]{2})/;
/** What Go lets stand before "@". */
const USER = /^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/;
/** A name, or an address of IPv6 in brackets, and perhaps a port. Of escapes, a name has only those that are not ASCII. */
const HOST =
  /^(?:\[[^\]\s\\^`{|}]*\](?::[0-9]*)?|(?:[^\s\\^`{|}%:[]|%[89A-Fa-f][0-9A-Fa-f])*|(?:[^\s\\^`{|}%[]|%[89A-Fa-f][0-9A-Fa-f])*:[0-9]*)$/;

/** The parts of a URL, or why it is none. */
function splitUrl(text: string): UrlParts | string {
  const parts = PARTS.exec(text);
  if (parts === null) return "it must be a URL";
  const [, scheme = "", authority = "", path = "", fragment = ""] = parts;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\u0000-\u001f\u007f]/.test(text.slice(0, text.length - fragment.length))) {
    return "it must not hold control characters";
  }
  // A relative reference cannot have ":" in its first part: it would be a scheme.
  if (scheme === "" && parts[2] === undefined && /^[^/]*:/.test(path)) return "its scheme is missing";
  const at = authority.lastIndexOf("@");
  const user = authority.slice(0, Math.max(at, 0));
  const host = authority.slice(at + 1);
  if (!USER.test(user) || !HOST.test(host)) return "its host is not well-formed";
  if ([user, path, fragment].some((part) => BAD_ESCAPE.test(part))) {
    return '"%" must be followed by two hexadecimal digits';
  }
  // "file:folder/" is no path to Go, but something opaque.
  const opaque = scheme !== "" && parts[2] === undefined && !path.startsWith("/");
  return { scheme: scheme.toLowerCase(), host, path: opaque ? "" : path };
}

function parse(place: Place, value: unknown): UrlParts {
  if (typeof value !== "string") refuse(place, value, "it must be a URL, as a string");
  const parts = splitUrl(value);
  if (typeof parts === "string") refuse(place, value, parts);
  return parts;
}

/** Any URL, also a relative one or "". */
export function checkUrl(place: Place, value: unknown): void {
  parse(place, value);
}

/** Where a process listens: `http://host:port`, `https://host:port`, `unix://host/path`. */
export function checkEndpointAt(place: Place, value: unknown): void {
  const { scheme, host } = parse(place, value);
  if (scheme === "") refuse(place, value, 'it must be absolute, as "http://host:port"');
  if (host === "") refuse(place, value, 'it must name a host, as "http://host:port" or "unix://host/path"');
}

/** The root of a fragment store: `s3://bucket/prefix/`, `gs://`, `azure://`, `azure-ad://tenant/account/container/`, `file:///folder/`. */
export function checkFragmentStoreAt(place: Place, value: unknown): void {
  const { scheme, host, path } = parse(place, value);
  switch (scheme) {
    case "":
      refuse(place, value, 'it must be absolute, as "s3://bucket/prefix/"');
      break;
    case "s3":
    case "gs":
    case "azure":
      if (host === "") refuse(place, value, "it must name a bucket");
      break;
    case "azure-ad": {
      const [account = "", container = ""] = path.slice(1).split("/");
      if (host === "") refuse(place, value, "it must name a tenant");
      if (account === "" || container === "") {
        refuse(place, value, "its path must begin with a storage account and a container");
      }
      break;
    }
    case "file":
      if (host !== "") refuse(place, value, 'a store of files has no host: "file:///folder/"');
      break;
    default:
      refuse(place, value, "its scheme must be s3, gs, azure, azure-ad or file");
  }
  if (!path.endsWith("/")) refuse(place, value, 'its path must end in "/"');
}

/** Whether a fragment store that was checked is one of files. */
export function isFileStore(store: string): boolean {
  return /^file:/i.test(store);
}

/** Where gRPC dials for an endpoint that was checked: "host:port" (80 and 443 when left out), or "unix:///path". */
export function endpointAddress(endpoint: string): string {
  const parts = splitUrl(endpoint);
  if (typeof parts === "string") return endpoint;
  const { scheme, host, path } = parts;
  if (scheme === "unix") return `unix://${path}`;
  if (/:[0-9]+$/.test(host)) return host;
  const bare = host.replace(/:$/, "");
  if (scheme === "https") return `${bare}:443`;
  return scheme === "http" ? `${bare}:80` : host;
}
