import type { Clock } from "./clock.js";
import type { Coord, KeySelector, WatchEvent } from "./port.js";

export interface FollowBatch {
  readonly revision: bigint;
  readonly snapshot: boolean;
  readonly events: readonly WatchEvent[];
}

export interface FollowOptions {
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
}

export declare function follow(coord: Coord, selector: KeySelector, options?: FollowOptions): AsyncIterableIterator<FollowBatch>;
