import { TopicError } from "../../src/protocol.js";

/** What became of it: undefined while it is open. */
export function outcome(promise: Promise<unknown>): { is?: string } {
  const found: { is?: string } = {};
  promise.then(
    () => {
      found.is = "resolved";
    },
    (error) => {
      found.is = error instanceof TopicError ? error.code : String(error);
    },
  );
  return found;
}
