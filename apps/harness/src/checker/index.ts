/** Records what was seen of a topic system and checks it against what the topic protocol promises. */
export { checkHistory } from "./check.js";
export { readContents } from "./contents.js";
export type {
  CommitOp,
  Delivery,
  History,
  LoggedMessage,
  PublishOp,
  Stamp,
} from "./history.js";
export { HistoryRecorder, type OpenPublish } from "./recorder.js";
export { formatViolation, type Invariant, type Violation } from "./violation.js";
