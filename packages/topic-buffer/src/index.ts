/**
 * The node that holds the tail of topics: it leases hash ranges, makes messages durable in segment logs before it acknowledges
 * them, serves them from memory, and takes over what others held. `@x/topic-buffer/local` has the logs and the archive on disk.
 */
export { type BufferServer, type BufferServerOptions, createBufferServer } from "./grpc/server.js";
export {
  type BufferNode,
  type BufferNode as Buffer,
  type BufferStatus,
  openBuffer,
  type PolledChunk,
  type RangeStatus,
} from "./node.js";
export type { BufferEvent, BufferOptions } from "./options.js";
export type { OwnerPhase } from "./range-owner.js";
