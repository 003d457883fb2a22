import { isDeepStrictEqual } from "node:util";
import type { Connection, Connector } from "../connection.js";
import { type Endpoint, formatEndpoint } from "../endpoint.js";
import type { ServerInfo } from "../probe.js";
import { oneLine } from "../text.js";
import { type Agenda, Task } from "./agenda.js";
import { Server, type ServerHost } from "./server.js";
import type { ServerSet } from "./server-set.js";
import type { Telemetry } from "./telemetry.js";

/** How long after the connector threw the endpoint is tried again. */
const retryMs = 5_000;

interface Draining<V extends ServerInfo, C> {
  readonly server: Server<V, C>;
  readonly task: Task;
}

/** Connects to endpoints that come, and drains those that go. */
export class Endpoints<V extends ServerInfo, C, F extends string, X> {
  readonly #set: ServerSet<V, C, F, X>;
  readonly #host: ServerHost<V, C>;
  readonly #connector: Connector<C>;
  readonly #agenda: Agenda;
  readonly #telemetry: Telemetry;
  readonly #drainMs: number;
  readonly #onDrained: () => void;
  readonly #servers: Map<string, Server<V, C>> = new Map();
  readonly #draining: Map<string, Draining<V, C>> = new Map();
  readonly #refused: Map<string, { readonly endpoint: Endpoint; readonly error: unknown }> = new Map();
  readonly #retryTask: Task = new Task(() => this.#retry());

  constructor(options: {
    readonly set: ServerSet<V, C, F, X>;
    readonly host: ServerHost<V, C>;
    readonly connector: Connector<C>;
    readonly drainMs: number;
    /** A server that was removed is closed. */
    readonly onDrained: () => void;
  }) {
    this.#set = options.set;
    this.#host = options.host;
    this.#connector = options.connector;
    this.#agenda = options.host.agenda;
    this.#telemetry = options.host.telemetry;
    this.#drainMs = options.drainMs;
    this.#onDrained = options.onDrained;
  }

  get drainingCount(): number {
    return this.#draining.size;
  }

  /** Those that the connector threw for, with what it threw. */
  get refused(): Iterable<{ readonly endpoint: Endpoint; readonly error: unknown }> {
    return this.#refused.values();
  }

  /** The server at an endpoint that the locator has, and that could be connected to. */
  find(endpoint: Endpoint): Server<V, C> | undefined {
    return this.#servers.get(formatEndpoint(endpoint));
  }

  /** Makes these the endpoints: each once, checked, in any order. O(n). */
  replace(endpoints: readonly Endpoint[]): void {
    const wanted = new Map(endpoints.map((endpoint) => [formatEndpoint(endpoint), endpoint]));
    let changed = false;
    for (const [key, server] of this.#servers) {
      if (wanted.has(key)) continue;
      changed = true;
      this.#remove(key, server);
    }
    for (const key of this.#refused.keys()) if (!wanted.has(key)) this.#refused.delete(key);
    for (const [key, endpoint] of wanted) {
      const server = this.#servers.get(key);
      if (server === undefined) changed = this.#add(key, endpoint) || changed;
      else if (!isDeepStrictEqual(server.endpoint.labels, endpoint.labels)) {
        changed = true;
        server.endpoint = endpoint;
        this.#set.update(server);
      }
    }
    if (changed) this.#telemetry.log({ event: "located", count: wanted.size });
  }

  /** Closes all connections. */
  close(): void {
    for (const [key, server] of this.#servers) {
      this.#servers.delete(key);
      server.deactivate();
      this.#set.remove(server);
      this.#close(key, server);
    }
    for (const [key, { server }] of this.#draining) this.#close(key, server);
    this.#draining.clear();
    this.#refused.clear();
  }

  #add(key: string, endpoint: Endpoint): boolean {
    const server = this.#revive(key) ?? this.#connect(key, endpoint);
    if (server === undefined) return false;
    server.endpoint = endpoint;
    this.#servers.set(key, server);
    this.#telemetry.log({ event: "added", endpoint: key });
    server.reset();
    this.#set.add(server);
    server.activate();
    return true;
  }

  #revive(key: string): Server<V, C> | undefined {
    const draining = this.#draining.get(key);
    if (draining === undefined) return undefined;
    this.#draining.delete(key);
    this.#agenda.delete(draining.task);
    return draining.server;
  }

  #connect(key: string, endpoint: Endpoint): Server<V, C> | undefined {
    let connection: Connection<C> | undefined;
    try {
      connection = this.#connector.connect(endpoint);
      const server = new Server(endpoint, connection, this.#host);
      this.#refused.delete(key);
      return server;
    } catch (error) {
      // It may be only its `listen` that threw.
      if (connection !== undefined) this.#close(key, connection);
      const known = this.#refused.has(key);
      this.#refused.set(key, { endpoint, error });
      if (!known)
        this.#telemetry.problem("connector", {
          event: "connect-failed",
          endpoint: key,
          reason: oneLine(error),
          error,
        });
      this.#agenda.setBy(this.#retryTask, this.#agenda.nowMs() + retryMs);
      return undefined;
    }
  }

  #retry(): void {
    for (const [key, { endpoint }] of [...this.#refused]) this.#add(key, endpoint);
  }

  #remove(key: string, server: Server<V, C>): void {
    this.#servers.delete(key);
    server.deactivate();
    this.#set.remove(server);
    this.#telemetry.log({ event: "removed", endpoint: key });
    const task = new Task(() => {
      this.#draining.delete(key);
      this.#close(key, server);
      this.#onDrained();
    });
    this.#draining.set(key, { server, task });
    this.#agenda.set(task, this.#agenda.nowMs() + this.#drainMs);
  }

  #close(endpoint: string, what: { close(): void }): void {
    try {
      what.close();
    } catch (error) {
      this.#telemetry.problem("connector", {
        event: "close-failed",
        endpoint,
        reason: oneLine(error),
        error,
      });
    }
  }
}
