/** What an operator may want to count or see in a log. None of them needs an answer. */
export type LocalLogEvent =
  /** `torn`: behind the end was the rest of a write that nobody had acknowledged. */
  | { readonly type: "sealed"; readonly log: string; readonly end: number; readonly torn: boolean }
  /** The writer goes on without room prepared ahead, so appends get slower. */
  | { readonly type: "preallocation-failed"; readonly log: string; readonly cause: unknown };
