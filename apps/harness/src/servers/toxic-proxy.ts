import { HarnessError } from "./errors.js";
import { requestJson } from "./http.js";

/** "downstream": from the server to the client; "upstream": the other way. */
export type ToxicStream = "downstream" | "upstream";

/** toxiproxy's toxics with their attributes, as its manual has them. Times are milliseconds, `rate` is KB/s. */
export interface ToxicAttributes {
  readonly latency: { readonly latency: number; readonly jitter?: number };
  readonly bandwidth: { readonly rate: number };
  readonly slow_close: { readonly delay: number };
  /** Nothing passes; the connection is closed after so long, 0: never, until the toxic is removed. */
  readonly timeout: { readonly timeout: number };
  readonly reset_peer: { readonly timeout: number };
  readonly slicer: {
    readonly average_size: number;
    readonly size_variation?: number;
    readonly delay?: number;
  };
  readonly limit_data: { readonly bytes: number };
}

export interface ToxicOptions {
  /** Default "downstream". */
  readonly stream?: ToxicStream;
  /** The share of connections it acts on, 0 to 1. Default 1. */
  readonly toxicity?: number;
  readonly signal?: AbortSignal;
}

/** One fault on a proxy, until it is removed. */
export interface Toxic extends AsyncDisposable {
  readonly name: string;
  /** More than one call is fine. Connections that it holds go on. */
  remove(): Promise<void>;
}

/** A way to a server that can be made bad. Made by `ToxiproxyServer.proxy`. */
export class ToxicProxy {
  readonly name: string;
  readonly host = "127.0.0.1";
  readonly port: number;
  /** Of the form of the upstream that was given: with its scheme, if it had one. */
  readonly endpoint: string;
  readonly #api: string;
  #toxics = 0;

  /** @internal */
  constructor(parts: {
    readonly api: string;
    readonly name: string;
    readonly port: number;
    readonly scheme: string;
  }) {
    this.#api = parts.api;
    this.name = parts.name;
    this.port = parts.port;
    this.endpoint = `${parts.scheme}127.0.0.1:${parts.port}`;
  }

  /** Adds a toxic, to connections that are open too. @throws HarnessError "request-failed" */
  async addToxic<T extends keyof ToxicAttributes>(
    type: T,
    attributes: ToxicAttributes[T],
    options: ToxicOptions = {},
  ): Promise<Toxic> {
    const name = `${type}-${this.#toxics++}`;
    const { stream = "downstream", toxicity = 1, signal } = options;
    await this.#ask("/toxics", { post: { name, type, stream, toxicity, attributes }, signal });
    let removed: Promise<void> | undefined;
    const remove = (): Promise<void> => {
      removed ??= this.#ask(`/toxics/${name}`, { method: "DELETE" });
      return removed;
    };
    return { name, remove, [Symbol.asyncDispose]: remove };
  }

  /** Refuses new connections and ends those that are open: a server that is gone. */
  async cut(): Promise<void> {
    await this.#ask("", { post: { enabled: false } });
  }

  /** After `cut`: lets connections through again, with the toxics as they were. */
  async restore(): Promise<void> {
    await this.#ask("", { post: { enabled: true } });
  }

  /** What comes from the server comes so much later. */
  latency(ms: number, options: ToxicOptions & { readonly jitterMs?: number } = {}): Promise<Toxic> {
    return this.addToxic("latency", { latency: ms, jitter: options.jitterMs ?? 0 }, options);
  }

  /** The end of a connection is told so much later. */
  slowClose(delayMs: number, options: ToxicOptions = {}): Promise<Toxic> {
    return this.addToxic("slow_close", { delay: delayMs }, options);
  }

  /**
   * A connection ends as soon as it carries its next byte, or so long after that: those that are made from now on with a reset
   * (RST), those that are open now so too if the proxy was made with `resets`, else with an orderly end.
   * Default stream: "upstream", so it is the client's byte.
   */
  resetPeers(options: ToxicOptions & { readonly afterMs?: number } = {}): Promise<Toxic> {
    return this.addToxic("reset_peer", { timeout: options.afterMs ?? 0 }, { stream: "upstream", ...options });
  }

  /** Nothing comes from the server any more, and no connection ends: a network that swallows. */
  blackHole(options: ToxicOptions = {}): Promise<Toxic> {
    return this.addToxic("timeout", { timeout: 0 }, options);
  }

  /** Each connection ends after so many bytes from the server. */
  limitBytes(bytes: number, options: ToxicOptions = {}): Promise<Toxic> {
    return this.addToxic("limit_data", { bytes }, options);
  }

  async #ask(path: string, options: Parameters<typeof requestJson>[1]): Promise<void> {
    const url = `${this.#api}/proxies/${this.name}${path}`;
    try {
      await requestJson(url, { ...options, timeoutMs: 10_000 });
    } catch (error) {
      options?.signal?.throwIfAborted();
      throw new HarnessError("request-failed", `toxiproxy refused: ${String(error)}`, { cause: error });
    }
  }
}
