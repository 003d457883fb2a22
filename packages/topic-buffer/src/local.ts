/**
 * Segment logs and a segment archive in folders of this machine: the default of a single host.
 * Several processes of the host may share one folder; that is how a buffer seals and serves the segments of a dead one.
 */
export { type LocalArchiveOptions, openLocalArchive } from "./local/archive.js";
export type { LocalLogEvent } from "./local/events.js";
export type { DurableFile, LogFileSystem } from "./local/log-files.js";
export {
  type LocalSegmentLog,
  type LocalSegmentLogOptions,
  openLocalSegmentLog,
} from "./local/segment-log.js";
