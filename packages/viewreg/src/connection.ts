import type { Endpoint } from "./endpoint.js";

/**
 * - `connecting`: being set up, for the first time or again.
 * - `ready`: usable.
 * - `failed`: the last try to connect failed, or the connection broke. Tries again by itself.
 */
export type ConnectionState = "connecting" | "ready" | "failed";

/** A long-lived connection to one server, which connects by itself and again when it breaks. `C` is what probes and callers use it by. */
export interface Connection<C> {
  readonly channel: C;
  readonly state: ConnectionState;
  /** Calls back after each change of `state`; the returned function ends that. */
  listen(listener: (state: ConnectionState) => void): () => void;
  /** Ends it for new calls. Calls in flight may go on. */
  close(): void;
}

export interface Connector<C> {
  /** Returns at once, without waiting for the server. Never throws for a server that is not there. */
  connect(endpoint: Endpoint): Connection<C>;
}
