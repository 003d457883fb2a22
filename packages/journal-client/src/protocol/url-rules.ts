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

const PARTS = /^(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?:\/\/([^/?#]*))?([^?#]*)(?:\?[^#]*)?(?:#[\s\S]*)?$/;
const BAD_ESCAPE = /%(?![0-9A-Fa-f]{2})/;

/** The parts of a URL, or why it is none. */
function splitUrl(text: string): UrlParts | string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\u0000-\u001f\u007f]/.test(text)) return "it must not hold control characters";
  const parts = PARTS.exec(text);
  if (parts === null) return "it must be a URL";
  const [, scheme = "", authority = "", path = ""] = parts;
  // A relative reference cannot have ":" in its first part: it would be a scheme.
  if (scheme === "" && !path.startsWith("/") && /^[^/]*:/.test(path)) return "its scheme is missing";
  const at = authority.lastIndexOf("@");
  const host = authority.slice(at + 1);
  if (!/^(?:\[[0-9A-Fa-f:.%A-Za-z0-9_~-]+\]|[^\s"<>\\^`{|}[\]:]*)(?::[0-9]*)?$/.test(host)) {
    return "its host is not well-formed";
  }
  if (BAD_ESCAPE.test(path) || BAD_ESCAPE.test(host)) return '"%" must be followed by two hexadecimal digits';
  return { scheme: scheme.toLowerCase(), host, path };
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
      return refuse(place, value, 'it must be absolute, as "s3://bucket/prefix/"');
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
      return refuse(place, value, "its scheme must be s3, gs, azure, azure-ad or file");
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
