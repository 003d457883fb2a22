import type { Clock } from "../clock.js";
import type { Route } from "../protocol/header.js";
import { stripMeta } from "../protocol/journal-name.js";
import { argument, refuse } from "../protocol/refusal.js";
import { systemClock } from "../system.js";
import type { DispatchRouter } from "./routed-journal-client.js";

export interface RouteCacheOptions {
  /** Of how many journals. The ones that were not asked for longest go first. */
  readonly size: number;
  /** How long after it was last told a route is believed. */
  readonly ttlMs: number;
  readonly clock?: Clock;
}

const NO_ROUTE: Route = Object.freeze({
  members: Object.freeze([]),
  primary: -1,
  endpoints: Object.freeze([]),
});

/**
 * The routes that brokers told of, so that a call goes straight to a broker that has its journal, and to one nearby. One cache may be
 * shared by several clients. A journal's `;meta` is no part of its name.
 */
export class RouteCache implements DispatchRouter {
  readonly isNoopRouter = false;
  readonly #size: number;
  readonly #ttlMs: number;
  readonly #clock: Clock;
  /** In the order of their last use: a Map keeps that of insertion. */
  readonly #routes = new Map<string, { readonly route: Route; readonly atMs: number }>();

  /** @throws JournalError "invalid-argument" */
  constructor({ size, ttlMs, clock = systemClock }: RouteCacheOptions) {
    if (!Number.isSafeInteger(size) || size < 1) {
      refuse(argument("RouteCache.size"), size, "it must be a whole number above 0");
    }
    if (typeof ttlMs !== "number" || !(ttlMs > 0)) {
      refuse(argument("RouteCache.ttlMs"), ttlMs, "it must be a number of milliseconds above 0");
    }
    this.#size = size;
    this.#ttlMs = ttlMs;
    this.#clock = clock;
  }

  /** How many routes are held, also those too old to be given out. */
  get size(): number {
    return this.#routes.size;
  }

  route(item: string): Route {
    const key = stripMeta(item);
    const known = this.#routes.get(key);
    if (known === undefined) return NO_ROUTE;
    this.#routes.delete(key);
    if (this.#clock.monotonicMs() - known.atMs > this.#ttlMs) return NO_ROUTE;
    this.#routes.set(key, known);
    return known.route;
  }

  updateRoute(item: string, route: Route | undefined): void {
    const key = stripMeta(item);
    this.#routes.delete(key);
    if (route === undefined || route.members.length === 0) return;
    const { members, primary, endpoints } = route;
    const copy: Route = { members: [...members], primary, endpoints: [...endpoints] };
    this.#routes.set(key, { route: copy, atMs: this.#clock.monotonicMs() });
    if (this.#routes.size <= this.#size) return;
    for (const oldest of this.#routes.keys()) {
      this.#routes.delete(oldest);
      return;
    }
  }
}
