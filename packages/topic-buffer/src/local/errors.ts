import { TopicError, type TopicErrorCode } from "@x/topic-gateway/protocol";

export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

/** TopicErrors and the reason of an abort stay what they are; what a file system says becomes the cause of one. */
export function asTopicError(
  error: unknown,
  options: {
    readonly code: TopicErrorCode;
    readonly doing: string;
    readonly signal?: AbortSignal | undefined;
  },
): unknown {
  if (error instanceof TopicError || (options.signal?.aborted && error === options.signal.reason))
    return error;
  const why = error instanceof Error ? error.message : String(error);
  return new TopicError(options.code, `${options.doing} failed: ${why}`, { cause: error });
}
