import { type ReadLogOptions, TopicError } from "@x/topic-gateway/protocol";

/** @throws TopicError "invalid-argument" */
export function checkReadOptions(options: ReadLogOptions): {
  fromSequence: number;
  lastSequence: number;
  signal: AbortSignal | undefined;
} {
  const { fromSequence = 1, lastSequence, signal } = options;
  if (!Number.isSafeInteger(fromSequence) || fromSequence < 1) {
    throw new TopicError("invalid-argument", `fromSequence is ${fromSequence}: integers from 1 are allowed`);
  }
  if (!Number.isSafeInteger(lastSequence) || lastSequence < 0) {
    throw new TopicError("invalid-argument", `lastSequence is ${lastSequence}: integers from 0 are allowed`);
  }
  return { fromSequence, lastSequence, signal };
}
