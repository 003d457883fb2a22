import type { Range, Space } from "@x/space";
import type { Clock } from "../clock.js";
import type { Connector } from "../connection.js";
import type { Endpoint } from "../endpoint.js";
import type { Locator } from "../locator.js";
import type { Listen, Probe, ServerInfo } from "../probe.js";

/** The range that a V says it serves; undefined for a V that says nothing of it. */
export type Serves<V> = V extends { readonly serves: infer R extends Range<unknown> } ? R : undefined;

/** What one server was known to be at one moment. Frozen: a change makes a new view. */
export interface RegistryView<V extends ServerInfo, C = unknown, F extends string = string> {
  readonly endpoint: Endpoint;
  /** Connected and judged well at the time this view was made. */
  readonly healthy: boolean;
  /** What the last probe that succeeded said; undefined before the first. Bad probes do not wipe it. */
  readonly info: V | undefined;
  /** `info.serves`, so that a healthy view is a view for `@x/fanout`. */
  readonly serves: Serves<V> | undefined;
  /** Whether the server is known to have all of these features; false before a first probe has succeeded. */
  provides(...features: readonly F[]): boolean;
  readonly channel: C;
  /** From 0 (exclusive) to 1: a newcomer's share of the load, rising over `slowStartMs`. Read it when needed: it moves with time. */
  readonly weight: number;
  /** Tells the registry how a call to this server went: a passive signal beside the probes. Cheap. */
  report(outcome: "ok" | "failed" | "timeout"): void;
  /** Address and features: `10.0.0.7:9000 (kv, scan)`. */
  toString(): string;
}

/** A view that is healthy: its first probe has succeeded. */
export type HealthyView<V extends ServerInfo, C = unknown, F extends string = string> = RegistryView<V, C, F> & {
  readonly healthy: true;
  readonly info: V;
  readonly serves: Serves<V>;
};

/** What the registry is at one moment. */
export interface Snapshot<V extends ServerInfo, C = unknown, F extends string = string> {
  readonly version: number;
  readonly views: readonly RegistryView<V, C, F>[];
}

export interface Probing {
  /** Between the starts of two probes of one server, shortened by up to `jitter` of it. Default 250. */
  readonly intervalMs?: number;
  /** From 0 to 1. Default 0.2. */
  readonly jitter?: number;
  /** A probe that has not answered by then is aborted. Default 500. */
  readonly timeoutMs?: number;
  /** Over all servers; above it the intervals get longer, and `summary()` shows it. Default 1,000. */
  readonly maxProbesPerSecond?: number;
}

export interface Judgement {
  /** Good probes in a row until an unwell server is well again. Default 2. A new server needs one. */
  readonly rise?: number;
  /** Bad answers in a row until a server is unwell. Default 3. */
  readonly fall?: number;
  /** Phi above which a silent server is unwell (Hayashibara et al., "The phi accrual failure detector", 2004). Default 8. */
  readonly phi?: number;
  /** Silence (no answer at all) after which a server is unwell whatever phi says; longer when the probe cap stretches intervals. Default 800. */
  readonly maxSilenceMs?: number;
  /** When fewer than this share of the connected servers would be well, those that answer badly are used all the same. Default 0.1. */
  readonly panicThreshold?: number;
  /** Flap damping as in RFC 2439: each fall adds 1, which halves every `halfLifeMs`; held down from `suppress` until below `reuse`. */
  readonly damping?: { readonly suppress?: number; readonly reuse?: number; readonly halfLifeMs?: number; readonly maxMs?: number } | false;
  /** Passive signals: a server is ejected after so many failed reports in a row, for `ejectMs` times the number of its ejections. */
  readonly outlier?: { readonly consecutiveFailures?: number; readonly ejectMs?: number; readonly maxEjectedShare?: number } | false;
}

/** Structured events, for the caller's logger. */
export interface RegistryLog {
  (event: {
    readonly event:
      | "located" | "locator-failed" | "added" | "removed" | "healthy" | "unhealthy" | "probe-failed" | "panic" | "panic-over" | "damped" | "ejected";
    readonly endpoint?: string;
    readonly reason?: string;
    readonly error?: unknown;
    readonly count?: number;
  }): void;
}

/** The part of a metrics library that is used; prom-client's Counter, Gauge and Histogram fit. */
export interface RegistryMetrics {
  readonly probes?: { inc(labels: { readonly outcome: "ok" | "bad" | "silent" }, by?: number): void };
  readonly transitions?: { inc(labels: { readonly to: "healthy" | "unhealthy" }, by?: number): void };
  readonly views?: { set(labels: { readonly state: "healthy" | "unhealthy" | "draining" }, value: number): void };
  readonly probeSeconds?: { observe(value: number): void };
}

export interface RegistryOptions<V extends ServerInfo, C, F extends string = string> {
  readonly locator: Locator;
  readonly connector: Connector<C>;
  readonly probe: Probe<C, V>;
  readonly listen?: Listen<C>;
  /** Of `serves`. Default: by the type of its points. */
  readonly space?: Space<never>;
  readonly probing?: Probing;
  readonly judgement?: Judgement;
  /** A newcomer's weight rises to 1 in this time after it became well. Default 10,000. */
  readonly slowStartMs?: number;
  /** How long the connection of a removed server stays open for calls in flight. Default 30,000. */
  readonly drainMs?: number;
  readonly log?: RegistryLog;
  readonly metrics?: RegistryMetrics;
  readonly clock?: Clock;
  readonly random?: () => number;
}

/*
 * src/registry/registry.ts
 *
 * class Registry<V extends ServerInfo, C = unknown, F extends string = string> implements AsyncIterable<Snapshot>, AsyncDisposable {
 *   static open(options): Registry    // returns at once; nothing is known yet
 *   readonly version: number          // never given twice; rises with each change
 *   readonly lastChangedMs: number    // by the clock; two versions have distinct ones
 *   allViews(): RegistryView[]        // the arrays belong to the caller
 *   healthyViews(...features: F[]): HealthyView[]
 *   viewsFor(point, ...features: F[]): HealthyView[]
 *   visitViewsFor(point, visit: (view) => void): void    // the same without allocating
 *   waitForChange(version, { signal }): Promise<number>  // the version that it is now, at once when it is not `version` any more
 *   waitForStable(ms, { signal }): Promise<void>
 *   [Symbol.asyncIterator](): the latest snapshot, coalesced
 *   dump(): string                    // sorted by host, then port
 *   summary(): plain object for a log line or a status page
 *   [Symbol.asyncDispose]()           // afterwards there are no views; waits reject with RegistryError "closed"
 * }
 */
