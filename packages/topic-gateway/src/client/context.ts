import type { Coord } from "@x/coord";
import type { Runtime } from "../protocol/runtime.js";
import type { SegmentArchive } from "../protocol/segment-archive.js";
import type { StateCache } from "../topics/cache.js";
import type { Connections } from "./connections.js";
import type { TopicEvent } from "./events.js";
import type { BufferFanout } from "./places.js";

/** What the parts of one client share. */
export interface ClientContext {
  readonly coord: Coord;
  readonly cache: StateCache;
  readonly connections: Connections;
  readonly fanout: BufferFanout;
  /** Where segments are read that no buffer serves any more. */
  readonly archive: SegmentArchive | undefined;
  readonly runtime: Runtime;
  readonly emit: (event: TopicEvent) => void;
}
