/**
 * One call over many servers: the points of a call are grouped into as few requests as cover them, failed requests are sent
 * again elsewhere, slow ones are hedged, a budget bounds both, and every point is delivered or named as failed.
 */

export type { Call } from "./call.js";
export { classifyError } from "./classify.js";
export type { Clock } from "./clock.js";
export {
  type Cause,
  type ErrorClass,
  FanoutError,
  type FanoutErrorCode,
  type PointFailure,
  type Verdict,
} from "./errors.js";
export type { FanoutEvent } from "./events.js";
export { createFanout, type Fanout, type PointOf } from "./fanout.js";
export { call } from "./one-shot.js";
export type { CallOptions, FanoutOptions, HedgeDelay, HedgeOptions, SharedOptions } from "./options.js";
export { type PartitionOptions, partition } from "./partition.js";
export type { Chunk, PointValue, Rpc, RpcContext, Tie } from "./rpc.js";
export type { FanoutStats, ServerStats } from "./stats.js";
export { newViews, type View, type ViewSource, type Views } from "./views.js";
