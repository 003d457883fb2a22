import type { FragmentFile, FragmentTransport } from "../client/routed-journal-client.js";
import { JournalError } from "../errors.js";
import { type HttpTransportOptions, httpTransport } from "./http-transport.js";
import { printableUrl } from "./printable-url.js";

/** The transports of one client, by the schemes of their URLs. */
export class FragmentTransports implements FragmentTransport {
  readonly #transports = new Map<string, FragmentTransport[]>();

  /**
   * `scheme` without its colon, as `file`. The latest that was installed for a scheme is used; the returned function takes it away, and
   * the one before is used again.
   */
  install(scheme: string, transport: FragmentTransport): () => void {
    const installed = this.#transports.get(scheme) ?? [];
    this.#transports.set(scheme, installed);
    // Its own object, so that each removal takes away what its call installed.
    const entry: FragmentTransport = { get: (url, options) => transport.get(url, options) };
    installed.push(entry);
    return () => {
      const at = installed.indexOf(entry);
      if (at !== -1) {
        installed.splice(at, 1);
      }
    };
  }

  async get(
    url: string,
    options: { readonly headers?: Readonly<Record<string, string>>; readonly signal?: AbortSignal } = {},
  ): Promise<FragmentFile> {
    const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase();
    const transport = scheme === undefined ? undefined : this.#transports.get(scheme)?.at(-1);
    if (transport === undefined) {
      const allowed = [...this.#transports]
        .filter(([, installed]) => installed.length > 0)
        .map(([name]) => name);
      throw new JournalError(
        "url-refused",
        `a fragment's URL ${printableUrl(url)} has a scheme that is not allowed here: allowed are ${allowed.join(", ") || "none"}` +
          (scheme === "file" ? " (installFileTransport allows files under a folder)" : ""),
      );
    }
    return transport.get(url, options);
  }
}

/** The transports of a new client: http and https. `close` ends the connections that are kept open for the next fragment. */
export function fragmentTransports(
  options: HttpTransportOptions = {},
): FragmentTransports & { readonly close: () => void } {
  const transports = new FragmentTransports();
  const http = httpTransport(options);
  transports.install("http", http);
  transports.install("https", http);
  return Object.assign(transports, { close: () => http.close() });
}
