import { AsyncResource } from "node:async_hooks";
import { type Space, spaceOf, utf8Keys } from "@x/space";
import { type CheckedCallOptions, checkCallOptions } from "./check-options.js";
import { describe, messageOf } from "./describe.js";
import { FanoutError } from "./errors.js";
import type { Machine } from "./machine.js";
import type { CallOptions } from "./options.js";
import type { SortedPoints } from "./plan/contract.js";
import { sortPoints } from "./plan/sort-points.js";
import type { Rpc } from "./rpc.js";
import type { ViewSource } from "./views.js";

/** What a call was asked to do, not yet looked at. */
export interface CallArguments<V> {
  readonly points: readonly unknown[];
  readonly views: ViewSource<V>;
  readonly rpc: Rpc<V, unknown>;
  readonly options: CallOptions;
}

/** What there is of a call once its arguments have been looked at. */
export interface Begun<V> {
  readonly id: number;
  readonly machine: Machine<V>;
  readonly options: CheckedCallOptions;
  readonly space: Space<unknown>;
  readonly sorted: SortedPoints<unknown>;
  readonly deadlineMs: number;
  /** Everything of the caller runs in the async context in which he began the call, whichever event of which call leads to it. */
  readonly context: AsyncResource;
}

/** @throws FanoutError "invalid-argument" */
export function begin<V>(machine: Machine<V>, { points, rpc, ...rest }: CallArguments<V>): Begun<V> {
  const options = checkCallOptions(rest.options, machine.options.shared);
  if (typeof rpc !== "function") {
    throw new FanoutError("invalid-argument", `The rpc must be a function, not ${describe(rpc)}.`);
  }
  if (!Array.isArray(points)) {
    throw new FanoutError("invalid-argument", `The points must be an array, not ${describe(points)}.`);
  }
  const deadlineMs = machine.nowMs() + options.timeoutMs;
  const space = machine.options.space ?? spaceOfFirst(points);
  const sorted = sortPoints(space, points);
  const context = new AsyncResource("x.fanout.call", { requireManualDestroy: true });
  return { id: machine.nextCallId(), machine, options, space, sorted, deadlineMs, context };
}

function spaceOfFirst(points: readonly unknown[]): Space<unknown> {
  // No points are points of every space.
  if (points.length === 0) return utf8Keys as Space<unknown>;
  try {
    return spaceOf(points[0]);
  } catch (cause) {
    throw new FanoutError("invalid-argument", `points[0] is not a point. ${messageOf(cause)}`, { cause });
  }
}
