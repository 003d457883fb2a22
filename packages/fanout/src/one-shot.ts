import { type Call, FanoutCall } from "./call.js";
import { CallRun } from "./call-run.js";
import { checkFanoutOptions } from "./check-options.js";
import type { PointOf } from "./fanout.js";
import { Machine } from "./machine.js";
import type { CallOptions, FanoutOptions } from "./options.js";
import type { PointValue, Rpc } from "./rpc.js";
import type { View, ViewSource } from "./views.js";

/**
 * One call with a fanout of its own, for scripts and tests. It knows nothing of the servers when it begins, and its budget is its own: a
 * program that calls again and again is better off with `createFanout`. Otherwise as `Fanout.call`.
 */
export function call<W extends View<unknown>, T>(
  points: readonly PointOf<W>[],
  views: ViewSource<W>,
  rpc: Rpc<W, PointValue<T>>,
  options: CallOptions & FanoutOptions<W, PointOf<W>> & { readonly perPoint: true },
): Call<PointOf<W>, W, T>;
export function call<W extends View<unknown>, R>(
  points: readonly PointOf<W>[],
  views: ViewSource<W>,
  rpc: Rpc<W, R>,
  options?: CallOptions & FanoutOptions<W, PointOf<W>> & { readonly perPoint?: false },
): Call<PointOf<W>, W, R>;
export function call(
  points: readonly unknown[],
  views: ViewSource<View<unknown>>,
  rpc: Rpc<never, unknown>,
  options: CallOptions = {},
): Call<unknown, View<unknown>, unknown> {
  // The rpc and the options are given views and points of this very call, which the signatures above tie to their types.
  const args = { points, views, rpc: rpc as Rpc<View<unknown>, unknown>, options };
  const own = options as FanoutOptions<View<unknown>>;
  return new FanoutCall(new CallRun(() => new Machine(checkFanoutOptions(own)), args));
}
