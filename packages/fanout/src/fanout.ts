import { type Call, FanoutCall } from "./call.js";
import { CallRun } from "./call-run.js";
import { checkFanoutOptions } from "./check-options.js";
import { Machine } from "./machine.js";
import type { CallOptions, FanoutOptions } from "./options.js";
import type { PointValue, Rpc } from "./rpc.js";
import type { FanoutStats } from "./stats.js";
import type { View, ViewSource } from "./views.js";

/** The type of the points that a view of this type serves. */
export type PointOf<V> = V extends View<infer P> ? P : never;

/** Makes calls, and holds what outlives them: how fast and how well servers are, the requests under way, and the budget. */
export interface Fanout<V, P> {
  /**
   * Asks the servers for these points, with as few requests as cover them, until each point is satisfied: until a request that
   * carries it has ended without an error or, with `perPoint`, its value is there. Which server gets which points is
   * decided from what `views` say they serve; `rpc` sends one request to one of them.
   *
   * Chunks come in no particular order. Without `perPoint` some of a point's results can come more than once, and are marked as
   * `duplicates`; with it each point comes exactly once.
   */
  call<W extends V & View<P>, T>(
    points: readonly PointOf<W>[],
    views: ViewSource<W>,
    rpc: Rpc<W, PointValue<T>>,
    options: CallOptions & { readonly perPoint: true },
  ): Call<PointOf<W>, W, T>;
  call<W extends V & View<P>, R>(
    points: readonly PointOf<W>[],
    views: ViewSource<W>,
    rpc: Rpc<W, R>,
    options?: CallOptions & { readonly perPoint?: false },
  ): Call<PointOf<W>, W, R>;

  /** How things are now: tokens and servers. */
  stats(): FanoutStats;
}

/**
 * Makes a fanout. One per kind of server is right: calls of one fanout share a budget and what is known of the servers. It holds no
 * resources when no call is under way, so there is nothing to close.
 *
 * @throws FanoutError "invalid-argument" for an option that cannot be
 */
export function createFanout<V = unknown, P = unknown>(options: FanoutOptions<V, P> = {}): Fanout<V, P> {
  const machine = new Machine<V>(checkFanoutOptions<V, P>(options));

  function call<W extends V & View<P>, T>(
    points: readonly PointOf<W>[],
    views: ViewSource<W>,
    rpc: Rpc<W, PointValue<T>>,
    options: CallOptions & { readonly perPoint: true },
  ): Call<PointOf<W>, W, T>;
  function call<W extends V & View<P>, R>(
    points: readonly PointOf<W>[],
    views: ViewSource<W>,
    rpc: Rpc<W, R>,
    options?: CallOptions & { readonly perPoint?: false },
  ): Call<PointOf<W>, W, R>;
  function call(
    points: readonly unknown[],
    views: ViewSource<V>,
    rpc: Rpc<never, unknown>,
    options: CallOptions = {},
  ): Call<unknown, V, unknown> {
    // The rpc is given views of this very call, which the signatures above tie to its own type of views.
    const args = { points, views, rpc: rpc as Rpc<V, unknown>, options };
    return new FanoutCall(new CallRun(() => machine, args));
  }

  return { call, stats: () => machine.stats() };
}
