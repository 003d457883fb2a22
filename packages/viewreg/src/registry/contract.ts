import type { Range, Space } from "@x/space";
import type { Clock } from "../clock.js";
import type { Connector } from "../connection.js";
import type { Endpoint } from "../endpoint.js";
import type { Reason } from "../judgement/standing.js";
import type { Locator } from "../locator.js";
import type { Listen, Probe, ServerInfo } from "../probe.js";

/** The range that a V says it serves; undefined for a V that says nothing of it. */
export type Serves<V extends ServerInfo> = "serves" extends keyof V ? V["serves"] : undefined;

/** The points of `serves`. */
export type PointOf<V extends ServerInfo> =
  NonNullable<Serves<V>> extends infer R ? (R extends Range<infer P> ? P : never) : never;

/**
 * What one server was known to be at one moment. Frozen: a change makes a new view, and only of that server. What lives as long as
 * the server does is its `channel`, so that is what to keep things by: `new WeakMap([[view.channel, ...]])`.
 */
export interface RegistryView<V extends ServerInfo, C = unknown, F extends string = string> {
  readonly endpoint: Endpoint;
  /** Connected and judged well at the time this view was made, or used because of a panic (see `Judgement.panicThreshold`). */
  readonly healthy: boolean;
  /** What the last probe that said something new said; undefined before the first. Bad probes do not wipe it. */
  readonly info: V | undefined;
  /** `info.serves`, checked, copied and frozen, so that a healthy view is a view for `@x/fanout`. */
  readonly serves: Serves<V> | undefined;
  /** Whether the server is known to have all of these features; false before a first probe has succeeded. */
  provides(...features: readonly F[]): boolean;
  readonly channel: C;
  /**
   * A newcomer's share of the load, rising from 0.1 to 1 over `slowStartMs`. Read it when needed: it moves with time. A server that
   * was out for a moment only (less than `slowStartMs`, or less than a second when its connection broke) is no newcomer.
   */
  readonly weight: number;
  /** Tells the registry how a call to this server went: a passive signal beside the probes. Cheap. Ignored once the server is removed. */
  report(outcome: "ok" | "failed" | "timeout"): void;
  /** Address and features: `10.0.0.7:9000 (kv, scan)`. Only the address as long as none are known. */
  toString(): string;
}

/** A view that is healthy: its first probe has succeeded. */
export type HealthyView<V extends ServerInfo, C = unknown, F extends string = string> = RegistryView<
  V,
  C,
  F
> & {
  readonly healthy: true;
  readonly info: V;
  readonly serves: Serves<V>;
};

/** What the registry is at one moment. */
export interface Snapshot<V extends ServerInfo, C = unknown, F extends string = string, X = unknown> {
  readonly version: number;
  readonly views: readonly (RegistryView<V, C, F> & X)[];
}

export interface Probing {
  /** Between the starts of two probes of one server, shortened by up to `jitter` of it. Default 250. */
  readonly intervalMs?: number;
  /** From 0 to 1. Default 0.2. */
  readonly jitter?: number;
  /** A probe that has not answered by then is aborted, and the next one starts. Default 500. */
  readonly timeoutMs?: number;
  /**
   * Over all servers, evened out over 20 ms. When `intervalMs` would take more, intervals are as long as the cap makes them, servers /
   * cap, so is the time to notice, and `summary()` shows both. Default 1,000.
   */
  readonly maxProbesPerSecond?: number;
}

export interface Judgement {
  /** Good probes in a row until an unwell server is well again. Default 2. A new server needs one, and so does one that is connected again. */
  readonly rise?: number;
  /** Bad answers in a row until a server is unwell. Default 3. */
  readonly fall?: number;
  /** Phi above which a silent server is unwell (Hayashibara et al., "The φ Accrual Failure Detector", SRDS 2004). From 0.5 to 15, default 8. */
  readonly phi?: number;
  /**
   * Silence (no answer at all) after which a server is unwell whatever phi says. Default `intervalMs + timeoutMs + 50`, which is 800: an
   * answer that is in time is never too late, and a server that stopped is out within the second. Longer by one turn, servers / cap, when the
   * cap on probes makes the intervals longer.
   */
  readonly maxSilenceMs?: number;
  /**
   * When fewer than this share of the connected servers would be well, those that are out because they answer badly, are damped or were
   * ejected are used all the same: more likely the probe is wrong than nearly all servers. Never those that say of themselves that they
   * do not serve, nor those that never gave a good answer; silent ones only when all are silent and there are at least three. Default 0.1;
   * 0 for never.
   */
  readonly panicThreshold?: number;
  /**
   * Flap damping as in RFC 2439: each fall adds 1 to a penalty, which halves every `halfLifeMs` (default 15,000); held down from above
   * `suppress` (default 2) until at `reuse` (default 0.375 of that), at most `maxMs` (default 4 half-lives) after the last fall.
   */
  readonly damping?:
    | {
        readonly suppress?: number;
        readonly reuse?: number;
        readonly halfLifeMs?: number;
        readonly maxMs?: number;
      }
    | false;
  /**
   * Passive signals: a server is ejected after `consecutiveFailures` (default 5) failed reports in a row, for `ejectMs` (default 5,000)
   * times the number of its ejections, at most 10. No more than `maxEjectedShare` (default 0.2) of the connected servers at once, but
   * always one.
   */
  readonly outlier?:
    | {
        readonly consecutiveFailures?: number;
        readonly ejectMs?: number;
        readonly maxEjectedShare?: number;
      }
    | false;
}

/**
 * - `located`: the locator's set has changed; `count` endpoints. `locator-failed`: once per outage.
 * - `added`, `removed`: an endpoint. `connect-failed`: the connector threw, so there is no view of it; tried again. `close-failed`: a connection
 *   threw when it was closed.
 * - `healthy`, `unhealthy`: a view, with what speaks against it in `reason`.
 * - `disconnected`: a connection could not be made, or broke. Once until it is ready. That is all of a server that speaks something else.
 * - `probe-failed`, `listen-failed`: once per server and kind of failure (`reason`), until that changes. `no-health-service`: see `grpcHealth`.
 * - `damped`, `ejected`: a server.
 * - `panic`, `panic-over`: `count` servers are used that are not well.
 */
export type RegistryEventName =
  | "located"
  | "locator-failed"
  | "added"
  | "removed"
  | "connect-failed"
  | "close-failed"
  | "disconnected"
  | "healthy"
  | "unhealthy"
  | "probe-failed"
  | "listen-failed"
  | "no-health-service"
  | "panic"
  | "panic-over"
  | "damped"
  | "ejected";

export interface RegistryEvent {
  readonly event: RegistryEventName;
  readonly endpoint?: string;
  readonly reason?: string;
  readonly error?: unknown;
  readonly count?: number;
}

/** Gets structured events, for the caller's logger. What it throws is ignored. */
export type RegistryLog = (event: RegistryEvent) => void;

/** Of the events `locator-failed`, `probe-failed`, `connect-failed` and `close-failed`, `disconnected`, and `listen-failed`. */
export type ProblemKind = "locator" | "probe" | "connector" | "connection" | "listen";

/** The part of a metrics library that is used; prom-client's Counter, Gauge and Histogram fit. What they throw is ignored. */
export interface RegistryMetrics {
  readonly probes?: { inc(labels: { readonly outcome: "ok" | "bad" | "silent" }, by?: number): void };
  readonly transitions?: { inc(labels: { readonly to: "healthy" | "unhealthy" }, by?: number): void };
  readonly views?: {
    set(labels: { readonly state: "healthy" | "unhealthy" | "draining" }, value: number): void;
  };
  /** How long answers took, good and bad ones. */
  readonly probeSeconds?: { observe(value: number): void };
  /** What went wrong, once for each event that is logged of it: `outcome` of `probes` counts each probe, this each outage. */
  readonly errors?: { inc(labels: { readonly kind: ProblemKind }, by?: number): void };
}

export interface RegistryOptions<V extends ServerInfo, C, F extends string = string, X = unknown> {
  readonly locator: Locator;
  readonly connector: Connector<C>;
  readonly probe: Probe<C, V>;
  readonly listen?: Listen<C>;
  /**
   * Of `serves`. Default: by the type of its points, as `spaceOf` has it, the one of most servers that say what they serve, and at a draw
   * the first one's. One that serves in another answers badly.
   */
  readonly space?: Space<PointOf<V>>;
  /**
   * Methods and getters that every view gets beside its own, as one object; in them `this` is the view:
   * `extend: { zone() { return this.endpoint.labels?.zone; } }`.
   */
  readonly extend?: X & ThisType<RegistryView<V, C, F> & X>;
  readonly probing?: Probing;
  readonly judgement?: Judgement;
  /** A newcomer's weight rises to 1 in this time after it became well. Default 10,000; 0 for none. */
  readonly slowStartMs?: number;
  /** How long the connection of a removed server stays open for calls in flight. Default 30,000. */
  readonly drainMs?: number;
  readonly log?: RegistryLog;
  readonly metrics?: RegistryMetrics;
  /** Default: the process's clock. */
  readonly clock?: Clock;
  /** From 0 to 1. Default: `Math.random`. */
  readonly random?: () => number;
}

/** What a registry says of itself in a log line or on a status page. */
export interface RegistrySummary {
  readonly version: number;
  readonly servers: number;
  readonly connected: number;
  readonly healthy: number;
  readonly unhealthy: number;
  /** Removed, and their connections still open. */
  readonly draining: number;
  /** How many probes start in a second, as planned for those that are connected. */
  readonly probesPerSecond: number;
  /** The longest time between the starts of two probes of a server; longer than the option when the cap on probes makes it so. */
  readonly intervalMs: number;
  /** The longest time until a server that stops answering is out. */
  readonly noticeMs: number;
  /** Whether servers are used that are not well: `usable` ones that answer badly, or `silent` ones. */
  readonly panic: "off" | "usable" | "silent";
  readonly damped: number;
  readonly ejected: number;
  /** How often the locator has failed since it last worked. */
  readonly locatorFailures: number;
}

/** What is thought of one server at one moment, and why: for a status page. */
export interface ServerJudgement {
  readonly endpoint: Endpoint;
  readonly healthy: boolean;
  /** For how long `healthy` has been what it is, or the server there, in milliseconds. */
  readonly forMs: number;
  /** The most important first; empty when nothing is held against it. A healthy server with any is used because of a panic. */
  readonly reasons: readonly Reason[];
  /** How long ago it last answered a probe, well or not; undefined if it never has. */
  readonly answeredAgoMs: number | undefined;
  /** What went wrong with its last probe, in one line of readable text; undefined when nothing did. */
  readonly lastError: string | undefined;
}
