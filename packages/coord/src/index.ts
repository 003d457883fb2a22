/**
 * A small coordination port (get, transaction, lease, watch), what is built on it (sessions, following a set of keys), and
 * its ports for time and disk. Stores behind the port: `@x/coord/embedded` (one process) and `@x/coord/etcd`.
 */
export type { Clock } from "./clock.js";
export { CoordError, type CoordErrorCode } from "./errors.js";
export type { FileHandle, FileSystem } from "./file-system.js";
export { type FollowBatch, type FollowOptions, follow } from "./follow.js";
export type {
  Compare,
  CompareOp,
  Coord,
  GetOptions,
  GetResult,
  KeySelector,
  KeyValue,
  Lease,
  Op,
  OpResult,
  Txn,
  TxnResult,
  WatchBatch,
  WatchEvent,
  WatchOptions,
} from "./port.js";
export { compareKeys, selects } from "./selector.js";
export { openSession, type Session, type SessionOptions } from "./session.js";
export { nodeFileSystem, systemClock, systemRandomBytes } from "./system.js";
