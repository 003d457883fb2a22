/** A try of an append failed, and there will be another. */
export interface AppendRetryEvent {
  readonly type: "retry";
  readonly journal: string;
  readonly error: unknown;
  /** How many tries have failed before this one. */
  readonly attempt: number;
  readonly delayMs: number;
}

/** Appends could not be written to local files. They stay in memory, and it is tried again: nothing is lost, but there is less room. */
export interface SpillFailedEvent {
  readonly type: "spill-failed";
  /** A JournalError "spill-failed", with the file system's error as its cause. */
  readonly error: unknown;
  readonly delayMs: number;
}

export type AppendServiceEvent = AppendRetryEvent | SpillFailedEvent;

/** An observer that throws must not cost an append. */
export function tell<E>(onEvent: ((event: E) => void) | undefined, event: E): void {
  try {
    onEvent?.(event);
  } catch {
    // Its own affair.
  }
}
