/** Records what was seen of a topic system and checks it against what the topic protocol promises. */
export { checkHistory } from "./check.js";
export { type ContentSources, readContents } from "./contents.js";
export type {
  CommitOp,
  Delivery,
  History,
  LoggedMessage,
  ObservedRevision,
  PublishOp,
  SegmentContent,
  Stamp,
} from "./history.js";
export { HistoryRecorder, type OpenCommit, type OpenPublish } from "./recorder.js";
export { formatViolation, type Invariant, type Violation } from "./violation.js";
