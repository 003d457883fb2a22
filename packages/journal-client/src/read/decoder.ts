import type { FragmentBody } from "../client/routed-journal-client.js";
import { JournalError } from "../errors.js";

/**
 * Decompresses a fragment's file as it comes, in bounded memory, no further ahead than its reader wants. Leaving the iteration leaves the
 * file's, and waits until nothing runs. Errors of the file come out as they are. What it gives out is in buffers of its own, which
 * are freed when somebody has copied all of one (`SpentMemory`): it may not touch one whose last byte it gave out. A chunk of the file it may
 * look at until it asks for the next but one (`recycled`).
 * Throws JournalError "fragment-corrupt", "unexpected-eof" (the file ends too early), "unsupported-codec".
 */
export type Decoder = (file: FragmentBody) => AsyncIterable<Uint8Array>;

export function fileTooShort(codec: string, cause?: unknown): JournalError {
  return new JournalError(
    "unexpected-eof",
    `a fragment's file ended within its ${codec} content`,
    cause === undefined ? {} : { cause },
  );
}

export function corrupt(codec: string, what: string, cause?: unknown): JournalError {
  return new JournalError(
    "fragment-corrupt",
    `a fragment's file is not valid ${codec}: ${what}`,
    cause === undefined ? {} : { cause },
  );
}
