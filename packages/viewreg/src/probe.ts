import type { Range } from "@x/space";
import type { Endpoint } from "./endpoint.js";

/** What a probe can say of a server. A probe's own type has more, if it likes. */
export interface ServerInfo {
  /** Names of features that the server provides. */
  readonly features?: readonly string[];
  /** The range of keys or hashes that the server has. */
  readonly serves?: Range<unknown>;
}

export interface ProbeContext {
  readonly endpoint: Endpoint;
  /** Aborted when the answer is no longer wanted, and when the probe has settled: what it began and did not wait for ends then. */
  readonly signal: AbortSignal;
  /** How long an answer may take. */
  readonly timeoutMs: number;
}

/**
 * Asks a server once, over its connection, what it is. Resolving says that it is well; the registry keeps what comes, so do not change it
 * later, and takes deep-equal answers for the same. To say that it is not well, reject: with a RegistryError "not-serving" when the
 * server itself says so, with anything else when it answers badly.
 *
 * What does not answer in time is silent, and that is judged apart. So leave the time to the registry, which aborts the signal after
 * `timeoutMs`: a deadline of one's own that passes first would look like an answer. (An error whose name is "TimeoutError" is taken for
 * silence all the same.) One probe at a time is under way for a server, and only while its connection is `ready`.
 */
export type Probe<C, V extends ServerInfo> = (channel: C, context: ProbeContext) => Promise<V>;

/**
 * A probe may also listen to what the server says by itself (`Watch` of grpc.health.v1): yields when it has news. Ends or throws when
 * that does not work: then what it said is forgotten, and it is started again with the next connection. The probe goes on beside it.
 */
export type Listen<C> = (
  channel: C,
  context: { readonly endpoint: Endpoint; readonly signal: AbortSignal },
) => AsyncIterable<"serving" | "not-serving">;
